from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from structlog.testing import capture_logs

from agents.errors import ModelError, ToolError
from agents.events import (
    AgentCompleted,
    AgentError,
    AgentEvent,
    AgentResponseChunk,
    AgentStarted,
    AgentThinking,
    ToolCompleted,
    ToolExecuting,
    Usage,
)
from agents.registry import Agent
from agents.request import RunRequest
from agents.supervisor import AgentSummary, SupervisorStatus
from tests.agents.fakes import collect, make_request, plain_agent, shapes, supervise

STARTED = AgentStarted(agent="tested", model="none", attempt=1)
CHUNK = AgentResponseChunk(agent="tested", message_id="message-1", text="Hi")
COMPLETED = AgentCompleted(agent="tested", usage=Usage(model="none"), duration_ms=0)
EXECUTING = ToolExecuting(agent="tested", tool_call_id="c1", tool="look", arguments={"at": "it"})


def yielding(*events: object, then: BaseException | None = None) -> Agent:
    """An agent that yields these, then raises."""

    async def run(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        for event in events:
            yield event  # type: ignore[misc]
        if then is not None:
            raise then

    return plain_agent(run)


async def outcome(agent: Agent, **settings: float) -> list[AgentEvent]:
    return await collect(supervise(agent, **settings), make_request())


async def test_a_run_begins_with_started_and_ends_with_completed() -> None:
    assert await outcome(yielding(CHUNK, COMPLETED)) == [STARTED, CHUNK, COMPLETED]


async def test_started_carries_the_attempt() -> None:
    events = await collect(supervise(yielding(COMPLETED)), make_request(attempt=3))
    assert events[0] == AgentStarted(agent="tested", model="none", attempt=3)


async def test_the_supervisor_measures_the_duration() -> None:
    claim = AgentCompleted(agent="tested", usage=Usage(model="none"), duration_ms=10**9)
    async with aclosing(supervise(yielding(claim)).execute(make_request())) as events:
        [_, completed] = [event async for event in events]
    assert isinstance(completed, AgentCompleted)
    assert 0 <= completed.duration_ms < 10**6


async def test_an_agents_own_error_ends_the_run() -> None:
    own = AgentError(agent="tested", error_code="APPROVAL_EXPIRED", error_message="Too late.", retryable=False)
    with capture_logs() as logs:
        assert await outcome(yielding(CHUNK, own)) == [STARTED, CHUNK, own]
    assert [(line["event"], line["error_code"]) for line in logs] == [("agent_run_failed", "APPROVAL_EXPIRED")]


async def test_nothing_follows_the_terminal_event() -> None:
    assert await outcome(yielding(COMPLETED, CHUNK, COMPLETED)) == [STARTED, COMPLETED]
    assert await outcome(yielding(COMPLETED, then=RuntimeError("late"))) == [STARTED, COMPLETED]


WRONG: list[tuple[str, Agent, str]] = [
    ("yields nothing", yielding(), "it ended without a terminal event"),
    ("ends early", yielding(CHUNK), "it ended without a terminal event"),
    ("raises at once", yielding(then=ValueError("broken")), "ValueError: broken"),
    ("raises later", yielding(CHUNK, then=KeyError("gone")), "KeyError: 'gone'"),
    ("raises a tool's error", yielding(then=ToolError("no")), "ToolError: no"),
    ("raises a cancellation nobody asked for", yielding(then=asyncio.CancelledError()), "CancelledError"),
    ("raises a time-out of its own", yielding(then=TimeoutError("own")), "TimeoutError: own"),
    ("yields AgentStarted", yielding(STARTED, COMPLETED), "it yielded AgentStarted"),
    ("yields something else", yielding("text", COMPLETED), "it yielded str"),
    ("yields None", yielding(None), "it yielded NoneType"),
]


@pytest.mark.parametrize(("agent", "cause"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
async def test_what_an_agent_does_wrong_is_one_internal_error(agent: Agent, cause: str) -> None:
    with capture_logs() as logs:
        events = await outcome(agent)
    error = events[-1]
    assert isinstance(error, AgentError)
    assert [type(event) for event in events[:-1]] in ([AgentStarted], [AgentStarted, AgentResponseChunk])
    assert error.correlation_id is not None
    assert error == AgentError(
        agent="tested",
        error_code="INTERNAL_ERROR",
        error_message=f"Something went wrong while answering (reference {error.correlation_id}).",
        retryable=True,
        correlation_id=error.correlation_id,
    )
    [line] = logs
    assert (line["event"], line["log_level"], line["run_id"]) == ("agent_run_failed", "error", "run-1")
    assert (line["agent"], line["attempt"], line["correlation_id"]) == ("tested", 1, error.correlation_id)
    assert cause in line["exception"]


async def test_run_that_is_no_generator_is_an_internal_error() -> None:
    async def coroutine(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        raise AssertionError

    def raising(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        raise LookupError("no")

    def listing(_request: RunRequest) -> Any:
        return [COMPLETED]

    wrong: list[Any] = [coroutine, raising, listing]
    for function in wrong:
        assert shapes(await outcome(plain_agent(function))) == ["agent_started", "agent_error"]


async def test_a_secret_in_an_exception_is_neither_shown_nor_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")
    agent = yielding(then=RuntimeError("rejected correct-horse-battery and Bearer abcdef and sk-proj-1234567890"))
    with capture_logs() as logs:
        events = await outcome(agent)
    for text in (repr(events), repr(logs)):
        assert not re.search(r"correct-horse|abcdef|1234567890", text)
    assert "rejected [removed] and Bearer [removed] and [removed]" in logs[0]["exception"]


async def test_a_model_error_is_told_as_it_is() -> None:
    for retryable in (True, False):
        assert await outcome(yielding(CHUNK, then=ModelError("Busy.", retryable=retryable))) == [
            STARTED,
            CHUNK,
            AgentError(agent="tested", error_code="MODEL_ERROR", error_message="Busy.", retryable=retryable),
        ]


async def test_open_tool_calls_end_before_the_run_does() -> None:
    second = ToolExecuting(agent="tested", tool_call_id="c2", tool="hear", arguments={})
    done = ToolCompleted(agent="tested", tool_call_id="c1", tool="look", duration_ms=0, result=1)
    cut = ToolCompleted(
        agent="tested", tool_call_id="c2", tool="hear", duration_ms=0, error="the run ended before the tool did"
    )
    events = await outcome(yielding(EXECUTING, second, done, then=ModelError("Busy.", retryable=True)))
    assert events[:-1] == [STARTED, EXECUTING, second, done, cut]
    assert isinstance(events[-1], AgentError)
    assert await outcome(yielding(second, COMPLETED)) == [STARTED, second, cut, COMPLETED]


async def test_an_unknown_agent_is_an_error_that_lists_the_known_ones() -> None:
    events = await collect(supervise(yielding(COMPLETED)), make_request(agent="poet"))
    assert events == [
        AgentStarted(agent="poet", model="", attempt=1),
        AgentError(
            agent="poet",
            error_code="AGENT_NOT_FOUND",
            error_message="There is no agent named 'poet'. Agents: tested.",
            retryable=False,
        ),
    ]


class Hanging:
    """An agent that yields a chunk and waits for ever; it knows how it ended."""

    name, description, model_name = "tested", "", "none"

    def __init__(self, *, stubborn: bool = False) -> None:
        self.waiting = asyncio.Event()
        self.ending: str | None = None
        self.stubborn = stubborn

    async def run(self, _request: RunRequest) -> AsyncIterator[AgentEvent]:
        try:
            yield CHUNK
            self.waiting.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ending = "cancelled"
            if not self.stubborn:
                raise
            yield CHUNK
            yield COMPLETED
        except GeneratorExit:
            self.ending = "closed"
            raise


TIMED_OUT = AgentError(
    agent="tested",
    error_code="RUN_TIMEOUT",
    error_message="The run did not finish within 0.01 seconds.",
    retryable=True,
)


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_hanging_agent_times_out(stubborn: bool) -> None:
    agent = Hanging(stubborn=stubborn)
    assert await outcome(agent, run_timeout=0.01) == [STARTED, CHUNK, TIMED_OUT]
    assert agent.ending == "cancelled"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_time_that_passes_in_the_consumer_counts_but_never_interrupts_it() -> None:
    supervisor = supervise(Hanging(), run_timeout=0.01)
    async with aclosing(supervisor.execute(make_request())) as events:
        assert [await anext(events), await anext(events)] == [STARTED, CHUNK]
        # Longer than the run may take; a time-out that hit the consumer would raise here.
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(0.03, passed.set)
        await passed.wait()
        assert [event async for event in events] == [TIMED_OUT]


async def test_cancelling_the_consumer_stops_a_hanging_agent_at_once() -> None:
    agent = Hanging()
    supervisor = supervise(agent)
    seen: list[AgentEvent] = []
    record = seen.append

    async def consume() -> None:
        async with aclosing(supervisor.execute(make_request())) as events:
            async for event in events:
                record(event)

    task = asyncio.create_task(consume())
    await agent.waiting.wait()
    assert supervisor.status().active_runs == 1
    task.cancel("stopped")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (agent.ending, seen) == ("cancelled", [STARTED, CHUNK])
    assert supervisor.status().active_runs == 0


async def test_a_consumer_that_stops_listening_closes_the_agent() -> None:
    agent = Hanging()
    supervisor = supervise(agent)
    async with aclosing(supervisor.execute(make_request())) as events:
        assert await anext(events) == STARTED
        assert await anext(events) == CHUNK
    assert agent.ending == "closed"
    assert supervisor.status().active_runs == 0


async def test_a_cleanup_that_fails_changes_nothing_but_the_log() -> None:
    async def run(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        try:
            yield COMPLETED
        finally:
            raise OSError("cannot close")

    with capture_logs() as logs:
        assert await outcome(plain_agent(run)) == [STARTED, COMPLETED]
    assert [line["event"] for line in logs] == ["agent_cleanup_failed", "agent_run_completed"]


async def test_a_cleanup_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.supervisor.CLOSE_SECONDS", 0.01)

    async def run(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        try:
            yield COMPLETED
        finally:
            await asyncio.Event().wait()

    with capture_logs() as logs:
        assert await outcome(plain_agent(run)) == [STARTED, COMPLETED]
    assert logs[0]["cause"] == "TimeoutError"


async def test_runs_do_not_disturb_each_other() -> None:
    everyone = asyncio.Barrier(51)

    async def run(request: RunRequest) -> AsyncIterator[AgentEvent]:
        await everyone.wait()
        if request.prompt == "0":
            raise RuntimeError("one of them fails")
        yield AgentResponseChunk(agent="tested", message_id=request.message_id, text=request.prompt)
        yield COMPLETED

    supervisor = supervise(plain_agent(run))
    runs = [asyncio.create_task(collect(supervisor, make_request(str(number)))) for number in range(50)]
    await everyone.wait()
    failed, *others = await asyncio.gather(*runs)
    assert shapes(failed) == ["agent_started", "agent_error"]
    for number, events in enumerate(others, start=1):
        assert events[1] == AgentResponseChunk(agent="tested", message_id="message-1", text=str(number))
    assert supervisor.status().active_runs == 0


async def test_status_names_agents_and_counts_runs() -> None:
    second = plain_agent(lambda _request: aiter_of(COMPLETED), name="second")
    supervisor = supervise(yielding(), second)
    assert supervisor.agent_names == ("tested", "second")
    assert supervisor.status() == SupervisorStatus(
        agents=(
            AgentSummary(name="tested", description="An agent of the tests.", model="none"),
            AgentSummary(name="second", description="An agent of the tests.", model="none"),
        ),
        active_runs=0,
    )


async def aiter_of(*events: AgentEvent) -> AsyncIterator[AgentEvent]:
    for event in events:
        yield event


async def test_a_completed_run_is_one_log_line() -> None:
    usage = Usage(model="m", input_tokens=3, output_tokens=5, requests=1)
    agent = yielding(AgentThinking(agent="tested", step=1), AgentCompleted(agent="tested", usage=usage, duration_ms=0))
    with capture_logs() as logs:
        await outcome(agent)
    [line] = logs
    assert line["event"] == "agent_run_completed"
    assert (line["run_id"], line["input_tokens"], line["output_tokens"]) == ("run-1", 3, 5)
