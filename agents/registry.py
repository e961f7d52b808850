"""The agents, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from agents.errors import UnknownAgent
from agents.events import AgentEvent
from agents.request import RunRequest


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

    def run(self, request: RunRequest) -> AsyncIterator[AgentEvent]:
        return self.function(request)


class AgentRegistry:
    """Agents in the order they were given; the first is the default one. Names are unique."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        self._agents: dict[str, Agent] = {}
        for agent in agents:
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
