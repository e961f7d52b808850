"""The agents, by name, and those that are made of a function."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, cast

from agents.errors import UnknownAgent
from agents.events import AgentCompleted, AgentEvent, AgentResponseChunk, Usage
from agents.plain import plain_text
from agents.request import RunRequest

Piece = str | AgentEvent


class Agent(Protocol):
    """Answers a request with events.

    `run` yields any events but AgentStarted and ends with one AgentCompleted or AgentError. It may also
    raise: `ModelError` ends the run with MODEL_ERROR, anything else with INTERNAL_ERROR.
    """

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def model_name(self) -> str: ...

    def run(self, request: RunRequest) -> AsyncIterator[AgentEvent]: ...


@dataclass(frozen=True, slots=True)
class FunctionAgent:
    """An agent made of an async generator function."""

    name: str
    description: str
    model_name: str
    function: Callable[[RunRequest], AsyncIterator[AgentEvent]]
    examples: Sequence[str] = ()

    def run(self, request: RunRequest) -> AsyncIterator[AgentEvent]:
        return self.function(request)


def agent(
    *, name: str, description: str, model_name: str = "none", examples: Sequence[str] = ()
) -> Callable[[Callable[[RunRequest], AsyncIterator[Piece]]], FunctionAgent]:
    """Make an agent of an async generator function that yields its answer as text, and any events beside it.

    Its end is the run's success; what it raises is the run's failure.

        @agent(name="echo", description="Says what it hears.")
        async def echo(request: RunRequest) -> AsyncIterator[str]:
            yield request.prompt
    """

    def decorate(function: Callable[[RunRequest], AsyncIterator[Piece]]) -> FunctionAgent:
        if not inspect.isasyncgenfunction(function):
            raise TypeError(f"the agent {name!r} must be made of an async generator function: `async def` with `yield`")
        begin = cast("Callable[[RunRequest], AsyncGenerator[Piece]]", function)
        return FunctionAgent(
            name=name,
            description=description,
            model_name=model_name,
            function=lambda request: _as_events(begin(request), request, model_name),
            examples=examples,
        )

    return decorate


async def _as_events(pieces: AsyncGenerator[Piece], request: RunRequest, model_name: str) -> AsyncIterator[AgentEvent]:
    """What the function yields, its text as chunks of the answer, and the completion when it just ends."""
    name, message_id = request.agent, request.message_id
    async with aclosing(pieces):
        async for piece in pieces:
            if not isinstance(piece, str):
                yield piece
            elif piece:
                yield AgentResponseChunk(agent=name, message_id=message_id, text=plain_text(piece))
    yield AgentCompleted(agent=name, usage=Usage(model=model_name), duration_ms=0)


# Paths of the API stand beside the agents' names there.
RESERVED_NAMES = frozenset({"execute"})


class AgentRegistry:
    """Agents in the order they were given; the first is the default one. Names are unique."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        self._agents: dict[str, Agent] = {}
        for agent in agents:
            if agent.name in RESERVED_NAMES:
                raise ValueError(f"an agent cannot be named {agent.name!r}: the API has a path of that name")
            if agent.name in self._agents:
                raise ValueError(f"two agents are named {agent.name!r}")
            self._agents[agent.name] = agent

    def get(self, name: str) -> Agent:
        """The agent of this name. Raises UnknownAgent."""
        try:
            return self._agents[name]
        except KeyError:
            raise UnknownAgent(name, self.names) from None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._agents)

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._agents.values())

    def __contains__(self, name: object) -> bool:
        return name in self._agents

    def __len__(self) -> int:
        return len(self._agents)
