"""A run from claim to end, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.db import connection

from agents.events import AgentCompleted, AgentError, AgentEvent, AgentResponseChunk, Usage
from agents.registry import FunctionAgent
from agents.request import RunRequest
from chat.models import Message, RunEvent
from chat.run_services import excerpt
from chat.sweep import sweep_runs
from netra.testing import Netra, Socket, eventually, receive, send


class Scripted:
    """An agent that says a piece each time the test lets it, and ends when told. Each run listens to the queue that
    `pieces` is when it begins.
    """

    def __init__(self, name: str = "scripted") -> None:
        self.pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.requests: list[RunRequest] = []
        self.agent = FunctionAgent(name, "Says what the test says", "none", self.answer)

    async def answer(self, request: RunRequest) -> AsyncIterator[AgentEvent]:
        self.requests.append(request)
        pieces = self.pieces
        try:
            while True:
                self.waiting.set()
                piece = await pieces.get()
                self.waiting.clear()
                if piece is None:
                    break
                yield AgentResponseChunk(agent=self.agent.name, message_id=request.message_id, text=piece)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        yield AgentCompleted(agent=self.agent.name, usage=Usage(model="none"), duration_ms=1)


async def begin(socket: Socket, content: str = "Tell me", **fields: Any) -> dict[str, Any]:
    await send(socket, type="user_message", content=content, ref="begin", **fields)
    return await receive(socket, "message_accepted")


async def stop_worker(netra: Netra) -> None:
    """What a shutdown does, while the sockets stay open; `application.start()` starts another."""
    engine, running = netra.application._engine, netra.application._running
    engine.stop()
    await asyncio.wait([running])
    netra.application._running = None


async def events_of(run_id: str) -> list[str]:
    seen = RunEvent.objects.filter(run_id=run_id).order_by("seq").values_list("type", flat=True)
    return await database_sync_to_async(lambda: list(seen))()


async def test_stop_ends_a_run_at_once_and_keeps_what_was_said(netra: Netra) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    socket = await netra.connect(await netra.user("ann"))
    accepted = await begin(socket)
    await scripted.pieces.put("So far")
    await receive(socket, "agent_response_chunk")

    await send(socket, type="stop_run", run_id=accepted["run_id"], ref="stop")
    cancelled = await receive(socket, "agent_cancelled")
    assert cancelled["data"]["by"] == "user"
    assert cancelled["data"]["message"]["content"] == "So far"
    async with asyncio.timeout(5):
        await scripted.cancelled.wait()

    await send(socket, type="stop_run", run_id=accepted["run_id"], ref="again")
    again = await receive(socket, "run_stopped")
    while again["ref"] != "again":
        again = await receive(socket, "run_stopped")
    assert again["status"] == "cancelled"
    kept = await database_sync_to_async(lambda: Message.objects.get(role="assistant"))()
    assert (kept.content, kept.partial) == ("So far", True)
    assert (await events_of(accepted["run_id"])).count("agent_cancelled") == 1


async def test_stop_of_a_queued_run_never_starts_it(netra: Netra) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    socket = await netra.connect(await netra.user("ann"))
    first = await begin(socket)
    second = await begin(socket, "And then", thread_id=first["thread_id"])
    await send(socket, type="stop_run", run_id=second["run_id"])
    assert (await receive(socket, "run_stopped"))["status"] == "cancelled"
    await scripted.pieces.put(None)
    await receive(socket, "agent_completed")
    assert await events_of(second["run_id"]) == ["message_created", "agent_cancelled"]
    assert len(scripted.requests) == 1


async def test_a_threads_messages_are_answered_one_after_the_other_with_what_was_said_before(netra: Netra) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    socket = await netra.connect(await netra.user("ann"))
    first = await begin(socket, "One")
    await begin(socket, "Two", thread_id=first["thread_id"])
    for piece in ("Answer one", None, "Answer two", None):
        await scripted.pieces.put(piece)
    assert (await receive(socket, "agent_completed"))["data"]["message"]["content"] == "Answer one"
    assert (await receive(socket, "agent_completed"))["data"]["message"]["content"] == "Answer two"
    said = [(turn.role, turn.content) for turn in scripted.requests[1].history]
    assert said == [("user", "One"), ("assistant", "Answer one")]
    assert scripted.requests[1].user.username == "ann"


async def test_an_interrupting_message_takes_the_place_of_what_runs_and_waits(netra: Netra) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    socket = await netra.connect(await netra.user("ann"))
    first = await begin(socket)
    waiting = await begin(socket, "Waits", thread_id=first["thread_id"])
    await scripted.waiting.wait()
    third = await begin(socket, "Now", thread_id=first["thread_id"], when_busy="interrupt")
    async with asyncio.timeout(5):
        await scripted.cancelled.wait()
    for run_id in (first["run_id"], waiting["run_id"]):
        assert (await netra.run_in_state(run_id, "cancelled")).cancelled_by == "interrupt"
    await scripted.pieces.put("Here")
    await scripted.pieces.put(None)
    assert (await receive(socket, "agent_completed"))["run_id"] == third["run_id"]


async def test_an_agent_that_fails_ends_its_run_with_a_code_and_the_next_run_begins(netra: Netra) -> None:
    calls, queued = 0, asyncio.Event()

    async def fail_once(request: RunRequest) -> AsyncIterator[AgentEvent]:
        nonlocal calls
        calls += 1
        yield AgentResponseChunk(agent="moody", message_id=request.message_id, text=f"Call {calls}")
        if calls == 1:
            await queued.wait()
            raise RuntimeError("secret detail")
        yield AgentCompleted(agent="moody", usage=Usage(model="none"), duration_ms=1)

    netra.use_agents(FunctionAgent("moody", "Fails once", "none", fail_once))
    socket = await netra.connect(await netra.user("ann"))
    first = await begin(socket)
    await begin(socket, "Again", thread_id=first["thread_id"])
    queued.set()
    error = await receive(socket, "agent_error")
    assert error["data"]["error_code"] == "INTERNAL_ERROR"
    assert "secret" not in str(error)
    assert error["data"]["message"]["content"] == "Call 1"
    assert (await receive(socket, "agent_completed"))["data"]["message"]["content"] == "Call 2"


async def test_an_error_whose_text_cannot_be_stored_as_it_is_still_ends_its_run(netra: Netra) -> None:
    async def fail(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        yield AgentError(agent="odd", error_code="MODEL_ERROR", error_message="a \x00 and \ud800", retryable=False)

    netra.use_agents(FunctionAgent("odd", "Fails oddly", "none", fail))
    socket = await netra.connect(await netra.user("ann"))
    accepted = await begin(socket)
    assert (await receive(socket, "agent_error"))["data"]["error_code"] == "MODEL_ERROR"
    assert (await netra.run_in_state(accepted["run_id"], "failed")).error_message.startswith("a ")


async def test_a_run_that_takes_too_long_ends_with_run_timeout(netra: Netra) -> None:
    netra.use_agents((scripted := Scripted()).agent, run_timeout=0.1)
    socket = await netra.connect(await netra.user("ann"))
    await begin(socket)
    error = await receive(socket, "agent_error")
    assert error["data"]["error_code"] == "RUN_TIMEOUT"
    assert scripted.cancelled.is_set()


async def test_a_disconnect_cancels_nothing(netra: Netra) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    accepted = await begin(socket)
    await scripted.pieces.put("Half ")
    await receive(socket, "agent_response_chunk")
    await socket.disconnect()
    await scripted.pieces.put("and half")
    await scripted.pieces.put(None)
    assert (await netra.run_in_state(accepted["run_id"], "completed")).last_seq == 5

    back = await netra.connect(ann)
    await send(back, type="resume", cursors={accepted["run_id"]: 3})
    resumed = await receive(back, "resumed")
    assert resumed["runs"][accepted["run_id"]]["from_seq"] == 4
    frames = [await receive(back) for _ in range(2)]
    assert [frame["seq"] for frame in frames] == [4, 5]
    assert frames[-1]["data"]["message"]["content"] == "Half and half"


async def test_a_shutdown_hands_a_run_back_and_the_next_worker_completes_it(netra: Netra) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    accepted = await begin(socket)
    await scripted.pieces.put("Lost words")
    await receive(socket, "agent_response_chunk")

    netra.application._engine._worker.shutdown_graceful_timeout = 0.0
    await stop_worker(netra)
    handed_back = await netra.run_in_state(accepted["run_id"], "queued")
    assert handed_back.attempt == 1
    restarted = await receive(socket, "agent_restarted")
    assert restarted["data"] == {"attempt": 1, "reason": "handed_back"}

    netra.application.start()
    await scripted.pieces.put("Said again")
    await scripted.pieces.put(None)
    completed = await receive(socket, "agent_completed")
    assert completed["data"]["message"]["content"] == "Said again"
    assert completed["seq"] == len(await events_of(accepted["run_id"]))


async def test_the_sweep_repeats_a_run_whose_worker_is_lost_and_fences_the_lost_one(netra: Netra) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    socket = await netra.connect(await netra.user("ann"))
    await begin(socket)
    await scripted.pieces.put("From the lost worker")
    await receive(socket, "agent_response_chunk")

    def lose_worker() -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")
            # Only the time since the database started keeps the sweep from believing it.
            cursor.execute("DELETE FROM procrastinate_workers")

    await sync_to_async(lose_worker)()
    lost, scripted.pieces = scripted.pieces, asyncio.Queue()
    await database_sync_to_async(sweep_runs)()
    restarted = await receive(socket, "agent_restarted")
    assert restarted["data"] == {"attempt": 2, "reason": "worker_lost"}

    for piece in ("Too late", None):  # the lost worker speaks, and finds the run taken
        await lost.put(piece)

    async def taken_up_again() -> bool:
        return len(scripted.requests) == 2

    await eventually(taken_up_again)
    async with asyncio.timeout(10):
        await scripted.pieces.put("From its successor")
        await scripted.pieces.put(None)
        content = (await receive(socket, "agent_completed"))["data"]["message"]["content"]
    assert content == "From its successor"


async def test_the_sweep_gives_a_stranded_run_another_job(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    await stop_worker(netra)
    accepted = await begin(socket, "What is 6 * 7?")

    def lose_job() -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM procrastinate_jobs")

    await database_sync_to_async(lose_job)()
    await database_sync_to_async(sweep_runs)()
    netra.application.start()
    assert (await receive(socket, "agent_completed"))["run_id"] == accepted["run_id"]


@pytest.fixture
def _checks_often(configure: Any) -> None:
    configure(ws_position_check_seconds=0.05)


@pytest.mark.usefixtures("_checks_often")
async def test_what_no_wake_up_announced_is_found_by_the_position_check(
    netra: Netra, monkeypatch: pytest.MonkeyPatch
) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    socket = await netra.connect(await netra.user("ann"))

    async def lose(*_: Any) -> None:
        pass

    monkeypatch.setattr(netra.chat.event_log.publisher, "send", lose)
    await scripted.pieces.put("Nobody was told")
    await scripted.pieces.put(None)
    events = await netra.ask(socket, "Does it come?")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["data"]["message"]["content"] == "Nobody was told"


async def test_two_sockets_of_a_user_get_the_same_and_another_users_gets_nothing(netra: Netra) -> None:
    ann, bob = await netra.user("ann"), await netra.user("bob")
    asking, watching, foreign = await netra.connect(ann), await netra.connect(ann), await netra.connect(bob)
    asked = await netra.ask(asking, "What is 6 * 7?")
    watched = [await receive(watching, *{event["type"] for event in asked}) for _ in asked]
    assert watched == asked

    run_id, thread_id = asked[0]["run_id"], asked[0]["thread_id"]
    await send(foreign, type="stop_run", run_id=run_id, ref="1")
    assert (await receive(foreign))["error_code"] == "RUN_NOT_FOUND"
    await send(foreign, type="resume", cursors={run_id: 0}, ref="2")
    assert (await receive(foreign))["gone"] == [run_id]
    await send(foreign, type="user_message", content="Hello", thread_id=thread_id, ref="3")
    assert (await receive(foreign))["error_code"] == "THREAD_NOT_FOUND"
    assert await foreign.receive_nothing()


@pytest.mark.parametrize(
    ("content", "query", "expected"),
    [
        ("short text", "text", "short text"),
        ("x" * 300, "nowhere", "x" * 160 + "…"),
        ("a " * 200 + "needle" + " b" * 200, "needle", None),
    ],
)
def test_an_excerpt_shows_the_place_that_was_found(content: str, query: str, expected: str | None) -> None:
    shown = excerpt(content, query)
    assert len(shown) <= 162
    assert shown == expected if expected is not None else query in shown
