"""A run whose conversation is longer than its model's context: what the model gets, and what people see of it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest
from pydantic_ai import Tool
from pydantic_ai.messages import ModelMessage, ModelRequest, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agents.definition import AgentDefinition
from agents.events import AgentPaused, ContextReduced
from agents.models.choice import ChosenModel
from agents.models.context import estimate_messages
from agents.pydantic_agent import PydanticAgent
from agents.request import Decision, Resumption, Turn
from agents.tools.context import ToolContext
from tests.agents.fakes import Piece, call, collect, make_request, supervise

LIMIT = 2000
LONG = [Turn(role="user" if n % 2 == 0 else "assistant", content=f"turn {n} {'words ' * 20}") for n in range(600)]


class Reader:
    """A model that keeps what it is sent, and answers with one response after the other."""

    def __init__(self, *responses: list[Piece]) -> None:
        self.seen: list[list[ModelMessage]] = []
        self._responses = iter(responses)

    async def respond(self, messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Piece]:
        self.seen.append(list(messages))
        for piece in next(self._responses):
            yield piece

    def agent(self, *tools: Tool[ToolContext]) -> PydanticAgent:
        definition = AgentDefinition(name="tested", description="", instructions="Be brief.", tools=tools)
        model = FunctionModel(stream_function=self.respond)
        return PydanticAgent(definition, ChosenModel(name="reader", model=model, context_tokens=LIMIT))


def texts(messages: list[ModelMessage]) -> list[str]:
    parts = [part for message in messages for part in message.parts]
    return [str(part.content) for part in parts if isinstance(part, UserPromptPart | TextPart)]


async def test_a_long_thread_is_answered_within_the_limit_and_says_how() -> None:
    reader = Reader(["Hello."])
    events = await collect(supervise(reader.agent()), make_request("And now?", history=LONG))
    [told] = [event for event in events if isinstance(event, ContextReduced)]
    assert (told.agent, told.limit_tokens) == ("tested", LIMIT)
    assert told.kept_messages + told.dropped_messages == 601
    [sent] = reader.seen
    assert estimate_messages(sent) <= told.estimated_tokens <= LIMIT
    assert texts(sent)[-2:] == [LONG[-1].content, "And now?"]
    assert events[-1].type == "agent_completed"


async def test_a_short_thread_is_sent_whole_and_nothing_is_said() -> None:
    reader = Reader(["Hello."])
    events = await collect(supervise(reader.agent()), make_request("And now?", history=LONG[-4:]))
    assert not [event for event in events if isinstance(event, ContextReduced)]
    assert len(texts(reader.seen[0])) == 5


async def test_what_was_said_once_is_not_said_again_at_each_request() -> None:
    async def small() -> str:
        """Say little."""
        return "little"

    async def large() -> str:
        """Say much."""
        return "much " * 2000

    reader = Reader([call("small", "{}", "a")], [call("large", "{}", "b")], [call("large", "{}", "c")], ["Done."])
    agent = reader.agent(Tool(small), Tool(large))
    events = await collect(supervise(agent), make_request("Go", history=LONG))
    told = [event for event in events if isinstance(event, ContextReduced)]
    assert len(told) < 4
    dropped = [(event.dropped_messages, event.shortened_results) for event in told]
    assert dropped == sorted(set(dropped)), "each says more than the one before"
    assert all(estimate_messages(sent) <= LIMIT for sent in reader.seen[:2])


@pytest.mark.parametrize("approved", [True, False])
async def test_a_run_goes_on_whole_after_a_pause_in_which_its_request_was_cut(*, approved: bool) -> None:
    async def delete() -> str:
        """Delete it."""
        return "gone"

    reader = Reader([call("delete", "{}", "a")], ["Done."])
    agent = reader.agent(Tool(delete, requires_approval=True))
    events = await collect(supervise(agent), make_request("Delete it", history=LONG))
    paused = events[-1]
    assert isinstance(paused, AgentPaused)
    assert len(paused.state["messages"]) == 2, "the question and the call: the history is not stored again"
    request = make_request("Delete it", history=LONG)
    resumption = Resumption(state=paused.state, decisions={"a": Decision(approved=approved)})
    events = await collect(supervise(agent), dataclasses.replace(request, resumption=resumption))
    assert events[-1].type == "agent_completed"
    assert "Delete it" in texts(reader.seen[-1])
    last = reader.seen[-1][-1]
    assert isinstance(last, ModelRequest)
    assert [part.part_kind for part in last.parts] == ["tool-return"]
