"""What the tests of the agents share: a request, its services, and ways to collect a run."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from pydantic_ai import Tool
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, DeltaThinkingCalls, DeltaToolCall, DeltaToolCalls, FunctionModel

from agents.account import UsageQuery, UsageRow
from agents.definition import AgentDefinition, AgentLimits
from agents.errors import RunTaken
from agents.events import AgentCompleted, AgentEvent, AgentResponseChunk, ToolCompleted, event_data
from agents.models.choice import ChosenModel
from agents.pydantic_agent import PydanticAgent
from agents.registry import Agent, AgentRegistry, FunctionAgent
from agents.request import FoundMessage, RunRequest, RunUser, Turn
from agents.supervisor import AgentSupervisor
from agents.testing import MemoryServices
from agents.tools.context import ToolContext

NOW = datetime(2026, 3, 4, 12, 30, 15, tzinfo=UTC)
Piece = str | DeltaToolCalls | DeltaThinkingCalls


class FakeServices(MemoryServices):
    """Finds what it was given, whatever is looked for, and remembers what it was asked."""

    def __init__(self, found: Sequence[FoundMessage] = ()) -> None:
        super().__init__(found, clock=lambda: NOW)
        self.queries: list[tuple[str, int]] = []
        self.error: Exception | None = None
        self.taken = False
        self.usage_queries: list[UsageQuery] = []

    async def begin_unrepeatable(self, tool: str) -> None:
        if self.taken:
            raise RunTaken
        await super().begin_unrepeatable(tool)

    async def search_messages(self, query: str, limit: int) -> list[FoundMessage]:
        self.queries.append((query, limit))
        if self.error is not None:
            raise self.error
        return self.found[:limit]

    async def usage(self, query: UsageQuery) -> list[UsageRow]:
        self.usage_queries.append(query)
        return await super().usage(query)


def found(excerpt: str = "The budget is 500.", title: str = "Planning", thread_id: str = "t-1") -> FoundMessage:
    return FoundMessage(
        thread_id=thread_id,
        thread_title=title,
        role="user",
        excerpt=excerpt,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def make_request(
    prompt: str = "hello",
    *,
    agent: str = "tested",
    services: FakeServices | None = None,
    history: Sequence[Turn] = (),
    attempt: int = 1,
) -> RunRequest:
    return RunRequest(
        run_id="run-1",
        attempt=attempt,
        agent=agent,
        message_id="message-1",
        prompt=prompt,
        history=tuple(history),
        user=RunUser(id="7", username="ada"),
        services=services or FakeServices(),
    )


def supervise(*agents: Agent, run_timeout: float = 30.0) -> AgentSupervisor:
    return AgentSupervisor(AgentRegistry(agents), run_timeout=run_timeout)


def plain_agent(function: Callable[[RunRequest], AsyncIterator[AgentEvent]], name: str = "tested") -> FunctionAgent:
    return FunctionAgent(name=name, description="An agent of the tests.", model_name="none", function=function)


def model_agent(
    model: Model,
    *,
    tools: Sequence[Tool[ToolContext]] = (),
    limits: AgentLimits | None = None,
    name: str = "tested",
    model_name: str = "test-model",
) -> PydanticAgent:
    definition = AgentDefinition(
        name=name,
        description="An agent of the tests.",
        instructions="Be brief.",
        tools=tools,
        limits=limits or AgentLimits(),
    )
    chosen = ChosenModel(name=model_name, model=model, context_tokens=128_000)
    return PydanticAgent(definition, chosen, clock=lambda: NOW)


def scripted(*responses: Sequence[Piece]) -> FunctionModel:
    """A model whose n-th request is answered with the n-th response."""
    remaining = iter(responses)

    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Piece]:
        for piece in next(remaining):
            yield piece

    # The library's alias is an iterator of each kind, its documentation one of all of them.
    return FunctionModel(stream_function=stream)


def call(name: str, arguments: str, call_id: str, index: int = 0) -> DeltaToolCalls:
    return {index: DeltaToolCall(name=name, json_args=arguments, tool_call_id=call_id)}


async def collect(supervisor: AgentSupervisor, request: RunRequest) -> list[AgentEvent]:
    async with aclosing(supervisor.execute(request)) as events:
        return [steady(event) async for event in events]


def steady(event: AgentEvent) -> AgentEvent:
    """The event with its duration, which no test can know, as 0."""
    match event:
        case ToolCompleted() | AgentCompleted():
            return dataclasses.replace(event, duration_ms=0)
        case _:
            return event


def shapes(events: Sequence[AgentEvent]) -> list[str]:
    """The events' types, with neighbouring chunks as one."""
    types: list[str] = []
    for event in events:
        if not (types and types[-1] == event.type == "agent_response_chunk"):
            types.append(event.type)
    return types


def answer(events: Sequence[AgentEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, AgentResponseChunk))


def tool_errors(events: Sequence[AgentEvent]) -> list[str | None]:
    return [event.error for event in events if isinstance(event, ToolCompleted)]


def data(event: AgentEvent) -> dict[str, Any]:
    return event_data(event)
