"""Agents that ask each other: what others see of it, its bounds, and what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest
from pydantic_ai import Tool
from pydantic_ai.models import Model
from pydantic_ai.models.test import TestModel

from agents import delegation
from agents.definition import AgentDefinition, AgentLimits
from agents.errors import ModelError, RunTaken, ToolError, UnknownAgent
from agents.events import (
    AgentCompleted,
    AgentError,
    AgentEvent,
    AgentResponseChunk,
    AgentStarted,
    AgentThinking,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    Usage,
)
from agents.models.choice import ChosenModel
from agents.pydantic_agent import PydanticAgent
from agents.registry import Agent, AgentRegistry
from agents.request import RunRequest, Turn
from agents.supervisor import AgentSupervisor
from agents.tools.context import ToolContext
from tests.agents.fakes import NOW, answer, call, collect, make_request, plain_agent, scripted, shapes


def team(
    models: dict[str, tuple[Model, Sequence[str]]],
    *,
    tools: Sequence[Tool[ToolContext]] = (),
    others: Sequence[Agent] = (),
) -> AgentSupervisor:
    """Agents by name, each with its model and those it may ask. All have the tools."""
    agents = [
        PydanticAgent(
            AgentDefinition(name=name, description=f"Knows {name}.", instructions="", tools=tools, delegates=delegates),
            ChosenModel(name="test-model", model=model, context_tokens=128_000),
            clock=lambda: NOW,
        )
        for name, (model, delegates) in models.items()
    ]
    registry = AgentRegistry([*agents, *others])
    for agent in agents:
        agent.introduce(registry)
    return AgentSupervisor(registry, run_timeout=30.0)


async def double(number: int) -> int:
    """Twice the number.

    Args:
        number: The number.
    """
    return 2 * number


async def test_all_that_the_other_agent_does_is_seen_but_its_text_which_is_the_tools_result() -> None:
    supervisor = team(
        {
            "boss": (scripted([call("ask_data", '{"question": "Twice 4?"}', "a")], ["It is 8."]), ["data"]),
            "data": (scripted(["Let me see. ", call("double", '{"number": 4}', "a")], ["Eight."]), []),
        },
        tools=[Tool(double)],
    )
    events = await collect(supervisor, make_request(agent="boss"))
    assert events == [
        AgentStarted(agent="boss", model="test-model", attempt=1),
        AgentThinking(agent="boss", step=1),
        ToolExecuting(agent="boss", tool_call_id="a", tool="ask_data", arguments={"question": "Twice 4?"}),
        SubagentStarted(agent="boss", subagent="data", parent_tool_call_id="a"),
        AgentThinking(agent="data", step=1, within="a"),
        ToolExecuting(agent="data", tool_call_id="a.2", tool="double", arguments={"number": 4}, within="a"),
        ToolCompleted(agent="data", tool_call_id="a.2", tool="double", duration_ms=0, result=8, within="a"),
        AgentThinking(agent="data", step=2, within="a"),
        SubagentCompleted(agent="boss", subagent="data", parent_tool_call_id="a", result="Let me see. \n\nEight."),
        ToolCompleted(agent="boss", tool_call_id="a", tool="ask_data", duration_ms=0, result="Let me see. \n\nEight."),
        AgentThinking(agent="boss", step=2),
        AgentResponseChunk(agent="boss", message_id="message-1", text="It is 8."),
        events[-1],
    ]
    assert isinstance(events[-1], AgentCompleted)
    assert events[-1].usage.requests == 4, "the run's account has the requests of both"


async def test_two_of_one_name_at_once_name_the_calls_that_asked_them() -> None:
    async def other(request: RunRequest) -> AsyncIterator[AgentEvent]:
        yield AgentThinking(agent="data", step=1, text=request.prompt)
        yield AgentCompleted(agent="data", usage=Usage(model="none"), duration_ms=0)

    both = [call("ask_data", f'{{"question": "{name}?"}}', name, n) for n, name in enumerate("ab")]
    supervisor = team({"boss": (scripted(both, ["Done."]), ["data"])}, others=[plain_agent(other, "data")])
    thoughts = [e for e in await collect(supervisor, make_request(agent="boss")) if isinstance(e, AgentThinking)]
    assert sorted((e.text, e.within) for e in thoughts if e.agent == "data") == [("a?", "a"), ("b?", "b")]
    assert {e.within for e in thoughts if e.agent == "boss"} == {None}


async def test_an_agent_further_in_names_its_own_call() -> None:
    question = '{"question": "?"}'
    supervisor = team(
        {
            "one": (scripted([call("ask_two", question, "a")], ["1"]), ["two"]),
            "two": (scripted([call("ask_three", question, "b")], ["2"]), ["three"]),
            "three": (TestModel(custom_output_text="3"), []),
        }
    )
    events = await collect(supervisor, make_request(agent="one"))
    assert {e.agent: e.within for e in events if isinstance(e, AgentThinking)} == {
        "one": None,
        "two": "a",
        "three": "b",
    }
    assert [(e.subagent, e.within) for e in events if isinstance(e, SubagentStarted)] == [("two", None), ("three", "a")]


async def test_the_other_agent_sees_the_question_alone() -> None:
    asked: list[RunRequest] = []

    async def other(request: RunRequest) -> AsyncIterator[AgentEvent]:
        asked.append(request)
        yield AgentResponseChunk(agent="data", message_id="m", text="here")
        yield AgentCompleted(agent="data", usage=Usage(model="none"), duration_ms=0)

    supervisor = team(
        {"boss": (scripted([call("ask_data", '{"question": "How much?"}', "a")], ["Done."]), ["data"])},
        others=[plain_agent(other, "data")],
    )
    request = make_request("secret plans", agent="boss", history=[Turn(role="user", content="earlier")])
    events = await collect(supervisor, request)
    assert [(r.agent, r.prompt, r.history, r.delegation.depth) for r in asked] == [("data", "How much?", (), 1)]
    assert [event.result for event in events if isinstance(event, ToolCompleted)] == ["here"]


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (ModelError("The model is away.", retryable=True), "The model is away."),
        (ToolError("nothing there"), "it failed unexpectedly"),
        (RuntimeError("secret"), "it failed unexpectedly"),
    ],
)
async def test_an_agent_that_fails_is_an_error_that_the_asker_reads(raised: Exception, text: str) -> None:
    async def other(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        yield AgentThinking(agent="data", step=1)
        raise raised

    supervisor = team(
        {"boss": (scripted([call("ask_data", '{"question": "?"}', "a")], ["Sorry."]), ["data"])},
        others=[plain_agent(other, "data")],
    )
    events = await collect(supervisor, make_request(agent="boss"))
    assert [event.error for event in events if isinstance(event, SubagentCompleted)] == [text]
    assert [bool(event.error) for event in events if isinstance(event, ToolCompleted)] == [True]
    assert "secret" not in str(events)
    assert (answer(events), events[-1].type) == ("Sorry.", "agent_completed")


async def test_an_error_event_and_a_missing_end_are_errors_too() -> None:
    async def failing(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        yield AgentError(agent="data", error_code="X", error_message="It is broken.", retryable=False)

    async def endless(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        yield AgentThinking(agent="mute", step=1)

    both = [call("ask_data", '{"question": "?"}', "a", 0), call("ask_mute", '{"question": "?"}', "b", 1)]
    supervisor = team(
        {"boss": (scripted(both, ["Sorry."]), ["data", "mute"])},
        others=[plain_agent(failing, "data"), plain_agent(endless, "mute")],
    )
    events = await collect(supervisor, make_request(agent="boss"))
    assert sorted(event.error or "" for event in events if isinstance(event, SubagentCompleted)) == [
        "It is broken.",
        "the agent mute ended without an answer",
    ]


async def test_agents_ask_each_other_over_a_bounded_number_of_levels() -> None:
    question = '{"question": "?"}'
    supervisor = team(
        {
            "one": (scripted([call("ask_two", question, "a")], ["1"]), ["two"]),
            "two": (scripted([call("ask_three", question, "a")], ["2"]), ["three"]),
            "three": (scripted([call("ask_one", question, "a")], ["3"]), ["one"]),
        }
    )
    events = await collect(supervisor, make_request(agent="one"))
    assert [event.subagent for event in events if isinstance(event, SubagentStarted)] == ["two", "three"]
    refused = [event.error for event in events if isinstance(event, ToolCompleted) and event.agent == "three"]
    assert refused == [
        f"no agent may be asked from here: agents ask each other over at most {delegation.MAX_DEPTH} levels"
    ]
    assert answer(events) == "1"


async def test_a_run_asks_a_bounded_number_of_times() -> None:
    asks = [call("ask_two", '{"question": "?"}', f"c{n}", n) for n in range(delegation.MAX_DELEGATIONS + 2)]
    supervisor = team({"one": (scripted(asks, ["1"]), ["two"]), "two": (TestModel(custom_output_text="2"), [])})
    events = await collect(supervisor, make_request(agent="one"))
    errors = [event.error for event in events if isinstance(event, ToolCompleted) and event.error]
    assert len(errors) == 2
    assert errors[0] == f"no further agent may be asked: a run may ask at most {delegation.MAX_DELEGATIONS} times"


async def test_a_run_that_was_taken_ends_whoever_notices_it() -> None:
    async def other(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        yield AgentThinking(agent="data", step=1)
        raise RunTaken

    supervisor = team(
        {"boss": (scripted([call("ask_data", '{"question": "?"}', "a")], ["no"]), ["data"])},
        others=[plain_agent(other, "data")],
    )
    with pytest.raises(RunTaken):
        await collect(supervisor, make_request(agent="boss"))


async def test_cancelling_the_run_stops_the_agent_that_was_asked() -> None:
    began, stopped = asyncio.Event(), asyncio.Event()

    async def other(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        try:
            yield AgentThinking(agent="data", step=1)
            began.set()
            await asyncio.Event().wait()
        finally:
            stopped.set()

    supervisor = team(
        {"boss": (scripted([call("ask_data", '{"question": "?"}', "a")], ["no"]), ["data"])},
        others=[plain_agent(other, "data")],
    )

    async def follow() -> None:
        async with aclosing(supervisor.execute(make_request(agent="boss"))) as events:
            async for _ in events:
                pass

    task = asyncio.create_task(follow())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()


async def test_who_is_asked_has_the_time_of_the_run_not_that_of_a_tool() -> None:
    async def other(_request: RunRequest) -> AsyncIterator[AgentEvent]:
        await asyncio.sleep(0.2)
        yield AgentCompleted(agent="data", usage=Usage(model="none"), duration_ms=0)

    boss = PydanticAgent(
        AgentDefinition(
            name="boss",
            description="",
            instructions="",
            delegates=["data"],
            limits=AgentLimits(tool_seconds=0.05),
        ),
        ChosenModel(
            name="test-model",
            model=scripted([call("ask_data", '{"question": "?"}', "a")], ["Done."]),
            context_tokens=128_000,
        ),
    )
    registry = AgentRegistry([boss, plain_agent(other, "data")])
    boss.introduce(registry)
    events = await collect(AgentSupervisor(registry, run_timeout=30.0), make_request(agent="boss"))
    assert [event.error for event in events if isinstance(event, ToolCompleted)] == [None]
    assert shapes(events)[-1] == "agent_completed"


def test_who_may_be_asked_must_be_there() -> None:
    with pytest.raises(UnknownAgent):
        team({"boss": (TestModel(), ["nobody"])})
