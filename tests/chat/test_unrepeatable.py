"""A run in which an unrepeatable tool has begun is never begun again, whatever takes it from its worker, and when."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.db import connection
from django.db.models import F
from pydantic_ai import Tool

from agents.events import AgentCompleted, AgentEvent, AgentResponseChunk, Usage
from agents.registry import FunctionAgent
from agents.request import RunRequest
from agents.toolset import UNREPEATABLE
from chat import runs
from chat.claiming import HeldRun
from chat.event_log import EventLog, RunFenced
from chat.models import Run, RunStatus
from chat.sweep import sweep_runs
from chat.threads import ThreadService
from netra.testing import Netra, eventually, receive, send
from tests.agents.fakes import call, model_agent, scripted
from tests.chat.holding import chunk, claimed, events, fresh, jobs, posted

pytestmark = pytest.mark.usefixtures("transactional_db")


@database_sync_to_async
def recover(log: EventLog, held: HeldRun, max_attempts: int = 3) -> RunStatus | None:
    return runs.recover(held.id, seen_claim=held.claim, max_attempts=max_attempts, stalled=12, publisher=log.publisher)


async def holding(service: ThreadService, ann: Any, **fields: Any) -> HeldRun:
    return await claimed(service.event_log, (await posted(service, ann, **fields)).run_id)


async def ended_with(log: EventLog, held: HeldRun) -> dict[str, Any]:
    """The last event of the run."""
    frames = await log.read_after(str(held.id), 0, limit=100)
    assert [frame.terminal for frame in frames].index(True) == len(frames) - 1
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    last: dict[str, Any] = json.loads(frames[-1].text)
    return last


async def lose(log: EventLog, held: HeldRun) -> None:
    assert await recover(log, held) is RunStatus.FAILED


async def shut_down(log: EventLog, held: HeldRun) -> None:
    assert await log.hand_back(held, reason="handed_back") is RunStatus.FAILED


Taking = Callable[[EventLog, HeldRun], Awaitable[None]]


@pytest.mark.parametrize("take", [lose, shut_down])
async def test_it_fails_keeps_what_was_said_and_lets_the_thread_go_on(
    service: ThreadService, ann: Any, take: Taking
) -> None:
    log = service.event_log
    held = await holding(service, ann)
    waiting = await posted(service, ann, thread_id=str(held.thread_id))
    await log.append(held, [chunk("Sending now. ")])
    await log.begin_unrepeatable(held, "send_mail")
    await log.begin_unrepeatable(held, "pay")
    await log.begin_unrepeatable(held, "send_mail")
    await take(log, held)

    run = await fresh(held.id)
    assert (run.status, run.error_code, run.attempt) == ("failed", "WORKER_LOST", 1)
    assert run.output_message is not None
    assert (run.output_message.content, run.output_message.partial) == ("Sending now. ", True)
    last = await ended_with(log, held)
    assert last["type"] == "agent_error"
    assert last["data"] == {
        "error_code": "WORKER_LOST",
        "error_message": (
            "The run was interrupted after send_mail, pay had begun. It may have taken effect, so it is not repeated."
        ),
        "retryable": False,
        "message": {"id": str(run.output_message.message_id), "role": "assistant", "content": "Sending now. "},
    }
    assert run.error_message == last["data"]["error_message"]
    assert (await database_sync_to_async(jobs)())[-1] == ("todo", waiting.run_id)
    assert await log.claim(str(held.id)) is None
    assert await log.claim(waiting.run_id) is not None


@pytest.mark.parametrize("take", [lose, shut_down])
async def test_it_fails_also_in_a_later_attempt(service: ThreadService, ann: Any, take: Taking) -> None:
    log = service.event_log
    held = await holding(service, ann)
    assert await recover(log, held) is RunStatus.QUEUED
    held = await claimed(log, str(held.id))
    assert await log.hand_back(held, reason="handed_back") is RunStatus.QUEUED
    held = await claimed(log, str(held.id))
    await log.begin_unrepeatable(held, "pay")
    await take(log, held)
    assert (await fresh(held.id)).status == "failed"


async def by_recovery(service: ThreadService, held: HeldRun) -> None:
    await recover(service.event_log, held)


async def by_recovery_and_another_claim(service: ThreadService, held: HeldRun) -> None:
    await recover(service.event_log, held)
    await claimed(service.event_log, str(held.id))


async def by_stopping(service: ThreadService, held: HeldRun) -> None:
    await database_sync_to_async(service.stop_run)(held.user_id, held.id)


async def by_handing_back(service: ThreadService, held: HeldRun) -> None:
    await service.event_log.hand_back(held, reason="handed_back")


async def by_removal(service: ThreadService, held: HeldRun) -> None:
    await database_sync_to_async(lambda: Run.objects.filter(id=held.id).delete())()


@pytest.mark.parametrize(
    "taken", [by_recovery, by_recovery_and_another_claim, by_stopping, by_handing_back, by_removal]
)
async def test_whoever_lost_the_run_cannot_begin_a_tool(service: ThreadService, ann: Any, taken: Any) -> None:
    held = await holding(service, ann)
    await taken(service, held)
    with pytest.raises(RunFenced):
        await service.event_log.begin_unrepeatable(held, "pay")
    assert await database_sync_to_async(lambda: Run.objects.exclude(unrepeatable_tools="").count())() == 0


# At the same moment


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(cursor.fetchone()[0])


async def behind_a_lock(log: EventLog, held: HeldRun, first: Awaitable[Any], second: Awaitable[Any]) -> list[Any]:
    """Begin both while the run's row is locked, the second when the first waits for the lock; then let both go."""
    waits = sync_to_async(waiting_for_locks, thread_sensitive=False)
    async with log.pool.connection() as blocker, blocker.transaction():
        await blocker.execute("SELECT 1 FROM chat_run WHERE id = %s FOR UPDATE", (held.id,))
        tasks = []
        for number, work in enumerate((first, second), start=1):
            tasks.append(asyncio.ensure_future(work))

            async def both_wait(wanted: int = number) -> bool:
                return await waits() >= wanted

            await eventually(both_wait)
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("mark_first", [True, False])
@pytest.mark.parametrize("take", ["lost", "stopped", "handed back"])
async def test_a_tool_begins_or_the_run_is_taken_never_both(
    service: ThreadService, ann: Any, take: str, mark_first: bool
) -> None:
    log = service.event_log
    held = await holding(service, ann)
    ways: dict[str, Callable[[], Awaitable[Any]]] = {
        "lost": lambda: recover(log, held),
        "stopped": lambda: database_sync_to_async(service.stop_run)(ann.pk, held.id),
        "handed back": lambda: log.hand_back(held, reason="handed_back"),
    }
    taking = ways[take]()
    marking = log.begin_unrepeatable(held, "pay")
    pair = (marking, taking) if mark_first else (taking, marking)
    results = await behind_a_lock(log, held, *pair)
    marked: Any = results[0 if mark_first else 1]
    taken: Any = results[1 if mark_first else 0]

    run = await fresh(held.id)
    assert not isinstance(taken, BaseException)
    if mark_first:
        assert marked is None
        assert (run.status, run.unrepeatable_tools) == ("cancelled" if take == "stopped" else "failed", "pay")
    else:
        assert isinstance(marked, RunFenced), "the tool must not begin"
        assert (run.status, run.unrepeatable_tools) == ("cancelled" if take == "stopped" else "queued", "")


async def test_whatever_the_order_a_run_that_is_queued_again_has_begun_no_tool(
    service: ThreadService, ann: Any
) -> None:
    log = service.event_log
    for _ in range(25):
        held = await holding(service, ann)
        works = (log.begin_unrepeatable(held, "pay"), recover(log, held))
        results: list[Any] = list(await asyncio.gather(*works, return_exceptions=True))
        run = await fresh(held.id)
        begun = results[0] is None
        assert begun or isinstance(results[0], RunFenced)
        assert (run.status == "failed") == begun == (run.unrepeatable_tools == "pay")
        await database_sync_to_async(service.delete_thread)(ann.pk, held.thread_id)


async def test_a_mark_whose_answer_was_lost_is_repeated(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    held = await holding(service, ann)
    await log._begin_unrepeatable(held, "pay")
    await log.begin_unrepeatable(held, "pay")
    assert (await fresh(held.id)).unrepeatable_tools == "pay"


async def test_marks_and_appends_of_a_run_do_not_disturb_each_other(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    held = await holding(service, ann)

    async def append() -> None:
        for place in range(20):
            await log.append(held, [chunk(str(place))])

    await asyncio.gather(append(), *(log.begin_unrepeatable(held, f"tool {place}") for place in range(20)))
    run = await fresh(held.id)
    assert run.last_seq == 21
    assert set(run.unrepeatable_tools.split(", ")) == {f"tool {place}" for place in range(20)}


async def test_a_tool_of_any_name_can_be_marked(service: ThreadService, ann: Any) -> None:
    held = await holding(service, ann)
    for place in range(20):
        await service.event_log.begin_unrepeatable(held, f"{place}\x00\ud800" + "x" * 100_000)
    assert len((await fresh(held.id)).unrepeatable_tools) == 1000


# With a worker


class Paying:
    """An agent that pays and then waits."""

    def __init__(self) -> None:
        self.paid = 0
        self.go_on = asyncio.Event()
        self.agent = FunctionAgent("paying", "Pays", "none", self.run)

    async def run(self, request: RunRequest) -> AsyncIterator[AgentEvent]:
        if request.prompt == "Pay":
            yield AgentResponseChunk(agent="paying", message_id=request.message_id, text="Paying. ")
            await request.services.begin_unrepeatable("pay")
            self.paid += 1
            yield AgentResponseChunk(agent="paying", message_id=request.message_id, text="Paid. ")
            await self.go_on.wait()
        yield AgentResponseChunk(agent="paying", message_id=request.message_id, text="Done.")
        yield AgentCompleted(agent="paying", usage=Usage(model="none"), duration_ms=1)


async def begin_paying(netra: Netra, paying: Paying) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """A run that has paid, and one that waits behind it."""
    netra.use_agents(paying.agent)
    socket = await netra.connect(await netra.user("ann"))
    await send(socket, type="user_message", content="Pay")
    accepted = await receive(socket, "message_accepted")
    await send(socket, type="user_message", content="Next", thread_id=accepted["thread_id"])
    waiting = await receive(socket, "message_accepted")

    async def paid() -> bool:
        run = await fresh(accepted["run_id"])
        return "Paid. " in await database_sync_to_async(runs.answer_so_far)(run)

    await eventually(paid)
    return socket, accepted, waiting


async def test_a_lost_worker_is_not_paid_for_twice(netra: Netra) -> None:
    paying = Paying()
    socket, accepted, waiting = await begin_paying(netra, paying)

    def lose_worker() -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM procrastinate_workers")

    await database_sync_to_async(lose_worker)()
    await database_sync_to_async(sweep_runs)()
    error = await receive(socket, "agent_error")
    assert (error["run_id"], error["data"]["error_code"]) == (accepted["run_id"], "WORKER_LOST")
    assert error["data"]["message"]["content"] == "Paying. Paid. "
    paying.go_on.set()
    assert (await receive(socket, "agent_completed"))["run_id"] == waiting["run_id"]
    assert paying.paid == 1
    assert (await events(accepted["run_id"]))[-1][1] == "agent_error"


async def test_a_shutdown_does_not_pay_twice_and_the_thread_goes_on(netra: Netra) -> None:
    paying = Paying()
    socket, accepted, waiting = await begin_paying(netra, paying)
    engine, running = netra.application._engine, netra.application._running
    engine._worker.shutdown_graceful_timeout = 0.0
    engine.stop()
    await asyncio.wait([running])
    netra.application._running = None
    assert (await receive(socket, "agent_error"))["run_id"] == accepted["run_id"]
    assert await database_sync_to_async(jobs)() == [("succeeded", accepted["run_id"]), ("todo", waiting["run_id"])]

    netra.application.start()
    assert (await receive(socket, "agent_completed"))["run_id"] == waiting["run_id"]
    assert paying.paid == 1


async def test_a_run_taken_while_the_model_speaks_calls_no_tool(netra: Netra) -> None:
    """Fenced between the claim and the tool: the holder does not know it yet, the mark tells it."""
    called: list[str] = []
    asked, answer = asyncio.Event(), asyncio.Event()

    async def pay() -> str:
        called.append("pay")
        return "paid"

    scripted_model = scripted([call("pay", "{}", "c1")], ["done"])
    stream = scripted_model.stream_function

    async def slow(*arguments: Any) -> AsyncIterator[Any]:
        asked.set()
        await answer.wait()
        assert stream is not None
        async for piece in stream(*arguments):
            yield piece

    scripted_model.stream_function = slow
    netra.use_agents(model_agent(scripted_model, tools=[Tool(pay, metadata=UNREPEATABLE)]))
    socket = await netra.connect(await netra.user("ann"))
    await send(socket, type="user_message", content="Pay")
    accepted = await receive(socket, "message_accepted")
    async with asyncio.timeout(10):
        await asked.wait()
    run_id = uuid.UUID(accepted["run_id"])
    await database_sync_to_async(lambda: Run.objects.filter(id=run_id).update(claim=F("claim") + 1))()
    answer.set()

    async def job_ended() -> bool:
        return (await database_sync_to_async(jobs)())[0][0] != "doing"

    await eventually(job_ended)
    assert called == []
    run = await fresh(run_id)
    assert (run.status, run.unrepeatable_tools) == ("running", "")
