"""What an agent yields on its way into the log: in order, gathered, bounded, and given up when the run is taken."""

from __future__ import annotations

import asyncio
import gc
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async

from agents.events import AgentEvent, AgentResponseChunk, AgentStarted, AgentThinking, ToolCompleted, ToolExecuting
from chat import run_writer
from chat.claiming import HeldRun
from chat.event_log import EventLog, RunFenced
from chat.pool import DatabasePool
from chat.publisher import Publisher
from chat.run_writer import RunWriter
from chat.threads import ThreadService
from tests.chat.holding import claimed, completed, failed, fresh, posted

LONG = 60.0
Said = list[tuple[str, Any]]


class WatchedLog(EventLog):
    """The log, which tells the sizes of its appends, and which can be held up."""

    def __init__(self, pool: DatabasePool) -> None:
        super().__init__(pool, Publisher())
        self.appends: list[int] = []
        self.open = asyncio.Event()
        self.open.set()
        self.reached = asyncio.Event()

    async def append(self, run: HeldRun, events: Any) -> None:
        self.reached.set()
        await self.open.wait()
        await super().append(run, events)
        self.appends.append(len(events))


@pytest.fixture
async def log(service: ThreadService) -> WatchedLog:
    return WatchedLog(service.event_log.pool)


@pytest.fixture
async def held(service: ThreadService, ann: Any) -> HeldRun:
    return await claimed(service.event_log, (await posted(service, ann)).run_id)


def text(piece: str, message_id: str = "m") -> AgentResponseChunk:
    return AgentResponseChunk(agent="assistant", message_id=message_id, text=piece)


def thought(piece: str, step: int = 1) -> AgentThinking:
    return AgentThinking(agent="assistant", step=step, text=piece)


def tool(call: str) -> ToolExecuting:
    return ToolExecuting(agent="assistant", tool_call_id=call, tool="x", arguments={"a": 1})


def result(call: str, value: Any = None) -> ToolCompleted:
    return ToolCompleted(agent="assistant", tool_call_id=call, tool="x", result=value, duration_ms=1)


STARTED = AgentStarted(agent="assistant", model="offline", attempt=1)


async def written(log: EventLog, run: HeldRun) -> Said:
    """Type and telling data of each event after the question."""
    said: Said = []
    for frame in await log.read_after(str(run.id), 1, limit=5000):
        event = json.loads(frame.text)
        data = event["data"]
        said.append((event["type"], data.get("text", data.get("tool_call_id"))))
    return said


async def write_all(writer: RunWriter, events: list[AgentEvent]) -> None:
    for event in events:
        await writer.write(event)


# Order and gathering


async def test_text_is_gathered_and_everything_stays_in_its_order(log: WatchedLog, held: HeldRun) -> None:
    writer = RunWriter(log, held, window=LONG)
    await write_all(
        writer,
        [
            STARTED,
            thought(""),
            thought("Let me "),
            thought("see."),
            text("The "),
            text("answer"),
            tool("1"),
            tool("2"),
            result("2", 4),
            text(" is"),
            result("1", 5),
            thought("", step=2),
            thought("So", step=2),
            text(" 42"),
            text("."),
        ],
    )
    await writer.finish(completed())
    assert await written(log, held) == [
        ("agent_started", None),
        ("agent_thinking", ""),
        ("agent_thinking", "Let me see."),
        ("agent_response_chunk", "The answer"),
        ("tool_executing", "1"),
        ("tool_executing", "2"),
        ("tool_completed", "2"),
        ("agent_response_chunk", " is"),
        ("tool_completed", "1"),
        ("agent_thinking", ""),
        ("agent_thinking", "So"),
        ("agent_response_chunk", " 42."),
        ("agent_completed", None),
    ]
    answer = (await fresh(held.id)).output_message
    assert answer is not None
    assert answer.content == "The answer is 42."


async def test_text_of_different_messages_and_steps_is_never_joined(log: WatchedLog, held: HeldRun) -> None:
    writer = RunWriter(log, held, window=LONG)
    await write_all(writer, [text("a"), text("b", "n"), text("c", "n"), thought("d"), thought("e", step=2), text("f")])
    await writer.finish(completed())
    assert await written(log, held) == [
        ("agent_response_chunk", "a"),
        ("agent_response_chunk", "bc"),
        ("agent_thinking", "d"),
        ("agent_thinking", "e"),
        ("agent_response_chunk", "f"),
        ("agent_completed", None),
    ]


async def test_many_deltas_are_few_events_whose_concatenation_is_exact(log: WatchedLog, held: HeldRun) -> None:
    writer = RunWriter(log, held, window=0.03)
    pieces = [f"{place} é\u2028\U0001f600 " for place in range(2000)]
    for place, piece in enumerate(pieces):
        await writer.write(text(piece))
        if place % 20 == 0:
            await asyncio.sleep(0)
    await writer.finish(completed())
    said = await written(log, held)
    assert "".join(content for kind, content in said if kind == "agent_response_chunk") == "".join(pieces)
    assert len(said) < 60
    answer = (await fresh(held.id)).output_message
    assert answer is not None
    assert answer.content == "".join(pieces)


async def test_whatever_is_said_is_written_exactly(log: WatchedLog, service: ThreadService, ann: Any) -> None:
    """Random streams, with pauses: text joined per kind and all else one by one, in the order of the agent."""
    for seed in range(8):
        chance = random.Random(seed)
        held = await claimed(service.event_log, (await posted(service, ann)).run_id)
        writer = RunWriter(log, held, window=chance.choice([0, 0.001, 0.01, LONG]))
        expected: Said = []
        for place in range(chance.randint(1, 120)):
            match chance.choices(["text", "thought", "tool", "pause"], [8, 3, 1, 2])[0]:
                case "text":
                    await writer.write(text(f"{place} "))
                    expected.append(("agent_response_chunk", f"{place} "))
                case "thought":
                    await writer.write(thought(f"{place} "))
                    expected.append(("agent_thinking", f"{place} "))
                case "tool":
                    await writer.write(tool(str(place)))
                    expected.append(("tool_executing", str(place)))
                case _:
                    await asyncio.sleep(chance.choice([0, 0.002]))
        await writer.finish(completed())
        assert joined(await written(log, held)) == [*joined(expected), ("agent_completed", None)]


def joined(said: Said) -> Said:
    """Neighbouring text of one kind as one."""
    result: Said = []
    for kind, content in said:
        if result and result[-1][0] == kind and kind != "tool_executing":
            result[-1] = (kind, result[-1][1] + content)
        else:
            result.append((kind, content))
    return result


async def test_a_tool_takes_the_text_before_it_along_at_once(log: WatchedLog, held: HeldRun) -> None:
    writer = RunWriter(log, held, window=LONG)
    await writer.write(text("Let me look"))
    await asyncio.sleep(0)
    assert not log.reached.is_set(), "text alone waits for more"
    await writer.write(tool("1"))
    async with asyncio.timeout(10):
        await log.reached.wait()
    await writer.abandon()


async def test_text_alone_is_written_when_the_window_closes(log: WatchedLog, held: HeldRun) -> None:
    writer = RunWriter(log, held, window=0.01)
    await writer.write(text("Hel"))
    await writer.write(text("lo"))
    async with asyncio.timeout(10):
        await log.reached.wait()
    await writer.finish(completed())
    assert await written(log, held) == [("agent_response_chunk", "Hello"), ("agent_completed", None)]


async def test_the_ending_takes_along_what_waits(log: WatchedLog, held: HeldRun) -> None:
    writer = RunWriter(log, held, window=LONG)
    await writer.write(text("Hello"))
    await writer.finish(completed())
    assert log.appends == []
    assert await written(log, held) == [("agent_response_chunk", "Hello"), ("agent_completed", None)]


async def test_a_run_without_a_word_just_ends(log: WatchedLog, held: HeldRun) -> None:
    await RunWriter(log, held, window=LONG).finish(failed())
    assert await written(log, held) == [("agent_error", None)]


async def test_what_no_log_can_hold_is_replaced(log: WatchedLog, held: HeldRun) -> None:
    writer = RunWriter(log, held, window=LONG)
    await write_all(
        writer,
        [
            text("a\x00b"),
            text("\ud83d"),
            text("\ude00c\udc00"),
            result("1", {"\x00": ["\ud800", float("nan"), b"\xff"]}),
        ],
    )
    await writer.finish(completed())
    said = await written(log, held)
    assert said[0] == ("agent_response_chunk", "a\ufffdb\U0001f600c\ufffd"), "halves that meet are one character"
    assert said[1][0] == "tool_completed"


# Bounds


async def test_who_yields_faster_than_the_log_takes_waits(
    log: WatchedLog, held: HeldRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_writer, "MAX_BUFFERED_EVENTS", 10)
    writer = RunWriter(log, held, window=0)
    log.open.clear()
    yielded = 0

    async def agent() -> None:
        nonlocal yielded
        for place in range(50):
            await writer.write(tool(str(place)))
            yielded += 1

    working = asyncio.create_task(agent())
    await log.reached.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not working.done()
    assert yielded <= 20, "ten on their way and ten that wait"
    log.open.set()
    async with asyncio.timeout(20):
        await working
    await writer.finish(completed())
    assert [call for kind, call in await written(log, held) if kind == "tool_executing"] == [
        str(place) for place in range(50)
    ]
    assert max(log.appends) <= 11


async def test_long_text_does_not_wait_for_its_window(
    log: WatchedLog, held: HeldRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_writer, "MAX_BUFFERED_CHARACTERS", 1000)
    writer = RunWriter(log, held, window=LONG)
    async with asyncio.timeout(20):
        for _ in range(30):
            await writer.write(text("x" * 100))
    await writer.finish(completed())
    said = await written(log, held)
    assert [len(content) for kind, content in said if kind == "agent_response_chunk"] == [1000] * 3


# When the run is taken


async def stop(service: ThreadService, held: HeldRun) -> None:
    await database_sync_to_async(service.stop_run)(held.user_id, held.id)


async def test_the_fence_surfaces_at_a_later_write(service: ThreadService, log: WatchedLog, held: HeldRun) -> None:
    writer = RunWriter(log, held, window=0)
    await writer.write(text("Before"))
    await writer.write(tool("1"))
    await stop(service, held)

    async def go_on() -> None:
        while True:
            await writer.write(text("Late"))
            await asyncio.sleep(0)

    with pytest.raises(RunFenced):
        async with asyncio.timeout(20):
            await go_on()
    await writer.abandon()
    assert "Late" not in str(await written(log, held))


async def test_the_fence_surfaces_at_the_end(service: ThreadService, log: WatchedLog, held: HeldRun) -> None:
    writer = RunWriter(log, held, window=LONG)
    await writer.write(text("Never seen"))
    await stop(service, held)
    with pytest.raises(RunFenced):
        await writer.finish(completed())
    assert await written(log, held) == [("agent_cancelled", None)]


async def test_the_fence_wakes_who_waits_for_room(
    service: ThreadService, log: WatchedLog, held: HeldRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_writer, "MAX_BUFFERED_EVENTS", 3)
    writer = RunWriter(log, held, window=0)
    log.open.clear()

    async def agent() -> None:
        while True:
            await writer.write(tool("1"))

    working = asyncio.create_task(agent())
    await log.reached.wait()
    await stop(service, held)
    log.open.set()
    with pytest.raises(RunFenced):
        async with asyncio.timeout(20):
            await working
    await writer.abandon()


async def test_an_abandoned_writer_writes_nothing_more(log: WatchedLog, held: HeldRun) -> None:
    writer = RunWriter(log, held, window=0.001)
    await writer.write(tool("1"))
    await log.reached.wait()
    await writer.abandon()
    before = await written(log, held)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == f"flush run {held.id}"]
    await writer.abandon()
    assert await written(log, held) == before
    assert (await fresh(held.id)).status == "running"


async def test_abandoning_leaves_text_that_waited_unwritten(log: WatchedLog, held: HeldRun) -> None:
    writer = RunWriter(log, held, window=LONG)
    await writer.write(text("Nobody saw this"))
    await writer.abandon()
    assert await written(log, held) == []


async def never_begun(_writer: RunWriter) -> None:
    pass


async def one_word(writer: RunWriter) -> None:
    await writer.write(text("x"))


@pytest.mark.parametrize("said", [never_begun, one_word])
async def test_abandoning_what_was_hardly_begun_is_no_error(
    log: WatchedLog, held: HeldRun, said: Callable[[RunWriter], Awaitable[None]]
) -> None:
    writer = RunWriter(log, held, window=0)
    await said(writer)
    await writer.abandon()


async def test_a_failure_that_nobody_asks_for_is_not_reported_as_lost(
    service: ThreadService, log: WatchedLog, held: HeldRun
) -> None:
    """A stopped run fences its flush; the agent is cancelled before it writes again, and the writer abandoned."""
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
    writer = RunWriter(log, held, window=0)
    await stop(service, held)
    await writer.write(tool("1"))
    flushing = [task for task in asyncio.all_tasks() if task.get_name() == f"flush run {held.id}"]
    await asyncio.wait(flushing)
    del flushing
    await writer.abandon()
    del writer
    gc.collect()
    await asyncio.sleep(0)
    assert reported == []
