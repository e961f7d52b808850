"""Runs that wait for a person: what they ask, and how they go on from plain JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from pydantic_ai import Tool
from pydantic_ai.messages import ModelMessage, ModelRequest, ToolReturnPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agents.definition import AgentDefinition
from agents.events import (
    AgentCompleted,
    AgentEvent,
    AgentPaused,
    AgentResponseChunk,
    AgentStarted,
    AgentThinking,
    PendingApproval,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
)
from agents.models.choice import ChosenModel
from agents.pydantic_agent import PydanticAgent
from agents.registry import AgentRegistry
from agents.request import Decision, Resumption
from agents.supervisor import AgentSupervisor
from agents.tools.context import ToolContext
from tests.agents.fakes import NOW, Piece, answer, call, collect, make_request, shapes

APPROVED, DENIED = Decision(approved=True), Decision(approved=False, reason="too risky")


class Files:
    """A tool that needs an approval, one that is declared so by its metadata, and one that needs none."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.listed = 0
        self.tools: list[Tool[ToolContext]] = [
            Tool(self.delete, requires_approval=True),
            Tool(self.wipe, metadata={"needs_approval": True}),
            Tool(self.list),
        ]

    async def delete(self, path: str) -> str:
        """Delete a file."""
        self.deleted.append(path)
        return f"{path} is gone"

    async def wipe(self) -> str:
        """Delete all files."""
        self.deleted.append("*")
        return "all gone"

    async def list(self) -> list[str]:
        """List the files."""
        self.listed += 1
        return ["a", "b"]


class Script:
    """A model that answers with one response after the other, over pauses, and keeps what it was sent."""

    def __init__(self, *responses: Sequence[Piece]) -> None:
        self._remaining = iter(responses)
        self.requests: list[list[ModelMessage]] = []

    @property
    def model(self) -> Model:
        return FunctionModel(stream_function=self._stream)

    async def _stream(self, messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Piece]:
        self.requests.append(list(messages))
        for piece in next(self._remaining):
            yield piece

    def returns(self) -> dict[str, tuple[str, Any]]:
        """What the tools of the latest request returned: outcome and content by tool."""
        parts = [part for message in self.requests[-1] if isinstance(message, ModelRequest) for part in message.parts]
        return {p.tool_name: (p.outcome, p.content) for p in parts if isinstance(p, ToolReturnPart)}


def supervisor(files: Files, **scripts: tuple[Script, Sequence[str]]) -> AgentSupervisor:
    agents = [
        PydanticAgent(
            AgentDefinition(name=name, description="", instructions="", tools=files.tools, delegates=delegates),
            ChosenModel(name="test-model", model=script.model, context_tokens=128_000),
            clock=lambda: NOW,
        )
        for name, (script, delegates) in scripts.items()
    ]
    registry = AgentRegistry(agents)
    for agent in agents:
        agent.introduce(registry)
    return AgentSupervisor(registry, run_timeout=30.0)


async def paused(supervisor: AgentSupervisor, agent: str) -> tuple[list[AgentEvent], AgentPaused]:
    events = await collect(supervisor, make_request(agent=agent))
    assert isinstance(events[-1], AgentPaused)
    return events[:-1], events[-1]


async def resumed(
    supervisor: AgentSupervisor, pause: AgentPaused, decisions: dict[str, Decision], agent: str
) -> list[AgentEvent]:
    """As after a restart: of the pause there is only its JSON."""
    state = json.loads(json.dumps(pause.state))
    request = make_request(agent=agent)
    resumption = Resumption(state=state, decisions=decisions)
    return await collect(supervisor, dataclasses.replace(request, resumption=resumption))


async def test_a_call_that_needs_an_approval_begins_only_when_it_is_there() -> None:
    files = Files()
    script = Script(["I will look. ", call("delete", '{"path": "a"}', "c1", 1), call("list", "{}", "c2", 2)], ["Done."])
    chat = supervisor(files, boss=(script, []))
    events, pause = await paused(chat, "boss")
    assert events == [
        AgentStarted(agent="boss", model="test-model", attempt=1),
        AgentThinking(agent="boss", step=1),
        AgentResponseChunk(agent="boss", message_id="message-1", text="I will look. "),
        ToolExecuting(agent="boss", tool_call_id="c2", tool="list", arguments={}),
        ToolCompleted(agent="boss", tool_call_id="c2", tool="list", duration_ms=0, result=["a", "b"]),
    ]
    assert pause.approvals == (
        PendingApproval(agent="boss", tool_call_id="c1", tool="delete", arguments={"path": "a"}),
    )
    assert files.deleted == []

    events = await resumed(chat, pause, {"c1": APPROVED}, "boss")
    assert events[:-1] == [
        AgentStarted(agent="boss", model="test-model", attempt=1),
        ToolExecuting(agent="boss", tool_call_id="c1", tool="delete", arguments={"path": "a"}),
        ToolCompleted(agent="boss", tool_call_id="c1", tool="delete", duration_ms=0, result="a is gone"),
        AgentThinking(agent="boss", step=2),
        AgentResponseChunk(agent="boss", message_id="message-1", text="\n\nDone."),
    ]
    assert isinstance(events[-1], AgentCompleted)
    assert events[-1].usage.requests == 2
    assert (files.deleted, files.listed) == (["a"], 1)


async def test_metadata_makes_a_tool_need_an_approval_too() -> None:
    files, script = Files(), Script([call("wipe", "{}", "c1")], ["Done."])
    chat = supervisor(files, boss=(script, []))
    events, pause = await paused(chat, "boss")
    assert shapes(events) == ["agent_started", "agent_thinking"]
    assert [approval.tool for approval in pause.approvals] == ["wipe"]
    await resumed(chat, pause, {"c1": APPROVED}, "boss")
    assert files.deleted == ["*"]


async def test_the_model_is_told_what_the_person_denied_and_why() -> None:
    files, script = Files(), Script([call("delete", '{"path": "a"}', "c1")], ["Then not."])
    chat = supervisor(files, boss=(script, []))
    _, pause = await paused(chat, "boss")
    events = await resumed(chat, pause, {"c1": DENIED}, "boss")
    assert shapes(events) == ["agent_started", "agent_thinking", "agent_response_chunk", "agent_completed"]
    assert answer(events) == "Then not."
    outcome, text = script.returns()["delete"]
    assert outcome == "denied"
    assert "too risky" in text
    assert files.deleted == []


async def test_what_nobody_answered_is_denied() -> None:
    files, script = Files(), Script([call("delete", '{"path": "a"}', "c1")], ["Then not."])
    chat = supervisor(files, boss=(script, []))
    _, pause = await paused(chat, "boss")
    await resumed(chat, pause, {"another": APPROVED}, "boss")
    assert files.deleted == []


async def test_each_of_several_calls_gets_its_own_answer() -> None:
    files = Files()
    both = [call("delete", '{"path": "a"}', "c1", 0), call("delete", '{"path": "b"}', "c2", 1)]
    chat = supervisor(files, boss=(Script(both, ["Done."]), []))
    _, pause = await paused(chat, "boss")
    assert [approval.tool_call_id for approval in pause.approvals] == ["c1", "c2"]
    await resumed(chat, pause, {"c1": DENIED, "c2": APPROVED}, "boss")
    assert files.deleted == ["b"]


async def test_a_run_may_wait_several_times_and_ids_of_the_model_may_repeat() -> None:
    files = Files()
    script = Script(
        [call("delete", '{"path": "a"}', "0")],
        [call("delete", '{"path": "b"}', "0")],
        [call("list", "{}", "0")],
        ["Ok."],
    )
    chat = supervisor(files, boss=(script, []))
    _, first = await paused(chat, "boss")
    events = await resumed(chat, first, {"0": APPROVED}, "boss")
    second = events[-1]
    assert isinstance(second, AgentPaused)
    assert [approval.tool_call_id for approval in second.approvals] == ["0.2"]
    events = await resumed(chat, second, {"0": APPROVED, "0.2": APPROVED}, "boss")
    assert [e.tool_call_id for e in events if isinstance(e, ToolExecuting)] == ["0.2", "0.3"]
    assert (files.deleted, answer(events)) == (["a", "b"], "Ok.")
    assert isinstance(events[-1], AgentCompleted)
    assert events[-1].usage.requests == 4


async def test_a_call_with_wrong_arguments_is_not_asked_for() -> None:
    files, script = Files(), Script([call("delete", "{}", "c1")], ["My mistake."])
    chat = supervisor(files, boss=(script, []))
    events = await collect(chat, make_request(agent="boss"))
    assert shapes(events)[2:] == [
        "tool_executing",
        "tool_completed",
        "agent_thinking",
        "agent_response_chunk",
        "agent_completed",
    ]


async def test_an_agent_that_was_asked_waits_and_who_asked_waits_with_it() -> None:
    files = Files()
    boss = Script(
        [call("ask_data", '{"question": "clean up"}', "c1", 0), call("delete", '{"path": "x"}', "c2", 1)], ["All done."]
    )
    data = Script(["First. ", call("delete", '{"path": "a"}', "c1", 1)], ["Then."])
    chat = supervisor(files, boss=(boss, ["data"]), data=(data, []))
    events, pause = await paused(chat, "boss")
    assert [(a.agent, a.tool_call_id, a.arguments, a.within) for a in pause.approvals] == [
        ("boss", "c2", {"path": "x"}, None),
        ("data", "c1.2", {"path": "a"}, "c1"),
    ]
    assert not [event for event in events if isinstance(event, SubagentCompleted | ToolCompleted)]

    events = await resumed(chat, pause, {"c1.2": APPROVED, "c2": DENIED}, "boss")
    assert events[1:-1] == [
        ToolExecuting(agent="data", tool_call_id="c1.2", tool="delete", arguments={"path": "a"}, within="c1"),
        ToolCompleted(agent="data", tool_call_id="c1.2", tool="delete", duration_ms=0, result="a is gone", within="c1"),
        AgentThinking(agent="data", step=2, within="c1"),
        SubagentCompleted(agent="boss", subagent="data", parent_tool_call_id="c1", result="First. \n\nThen."),
        ToolCompleted(agent="boss", tool_call_id="c1", tool="ask_data", duration_ms=0, result="First. \n\nThen."),
        AgentThinking(agent="boss", step=2),
        AgentResponseChunk(agent="boss", message_id="message-1", text="All done."),
    ]
    assert isinstance(events[-1], AgentCompleted)
    assert events[-1].usage.requests == 4
    assert files.deleted == ["a"]
    assert boss.returns()["delete"][0] == "denied"


async def test_an_agent_that_was_asked_may_wait_again() -> None:
    files = Files()
    boss = Script([call("ask_data", '{"question": "clean up"}', "c1")], ["All done."])
    data = Script(
        [call("delete", '{"path": "a"}', "c1")], ["One. ", call("delete", '{"path": "b"}', "c1", 1)], ["Two."]
    )
    chat = supervisor(files, boss=(boss, ["data"]), data=(data, []))
    events, first = await paused(chat, "boss")
    assert [event.subagent for event in events if isinstance(event, SubagentStarted)] == ["data"]
    events = await resumed(chat, first, {"c1.2": APPROVED}, "boss")
    second = events[-1]
    assert isinstance(second, AgentPaused)
    assert [(a.agent, a.tool_call_id, a.within) for a in second.approvals] == [("data", "c1.3", "c1")]
    events = await resumed(chat, second, {"c1.2": APPROVED, "c1.3": APPROVED}, "boss")
    assert files.deleted == ["a", "b"]
    assert [e.result for e in events if isinstance(e, SubagentCompleted)] == ["One. \n\nTwo."]
    assert answer(events) == "All done."


async def test_a_run_that_goes_on_begins_nothing_anew_that_is_done() -> None:
    files = Files()
    boss = Script(
        [call("ask_data", '{"question": "1"}', "c1", 0), call("ask_other", '{"question": "2"}', "c2", 1)], ["All done."]
    )
    data = Script([call("delete", '{"path": "a"}', "d1")], ["Data."])
    other = Script([call("delete", '{"path": "b"}', "o1")], [call("delete", '{"path": "c"}', "o2")], ["Other."])
    chat = supervisor(files, boss=(boss, ["data", "other"]), data=(data, []), other=(other, []))
    _, first = await paused(chat, "boss")
    decisions = {"d1": APPROVED, "o1": APPROVED}
    events = await resumed(chat, first, decisions, "boss")
    second = events[-1]
    assert isinstance(second, AgentPaused)
    assert [e.subagent for e in events if isinstance(e, SubagentCompleted)] == ["data"]
    events = await resumed(chat, second, {**decisions, "o2": APPROVED}, "boss")
    assert [e.subagent for e in events if isinstance(e, SubagentCompleted)] == ["other"]
    assert sorted(files.deleted) == ["a", "b", "c"]
    assert {name: content for name, (_, content) in boss.returns().items()} == {
        "ask_data": "Data.",
        "ask_other": "Other.",
    }


async def test_the_time_that_an_agent_works_counts_over_its_pauses_and_waiting_does_not() -> None:
    files, script = Files(), Script([call("delete", '{"path": "a"}', "c1")], ["Done."])
    chat = supervisor(files, boss=(script, []))
    _, pause = await paused(chat, "boss")
    pause.state["worked_ms"] = 60_000
    state = json.loads(json.dumps(pause.state))
    request = dataclasses.replace(
        make_request(agent="boss"), resumption=Resumption(state=state, decisions={"c1": APPROVED})
    )
    async with aclosing(chat.execute(request)) as events:
        [ended] = [event async for event in events if isinstance(event, AgentCompleted)]
    assert 60_000 <= ended.duration_ms < 120_000
