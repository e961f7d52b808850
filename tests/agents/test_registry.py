from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agents.errors import AgentsError, UnknownAgent
from agents.events import AgentEvent
from agents.registry import AgentRegistry
from agents.request import RunRequest
from tests.agents.fakes import plain_agent


async def silent(_request: RunRequest) -> AsyncIterator[AgentEvent]:
    return
    yield


def test_agents_are_found_by_name_in_the_order_given() -> None:
    one, two = plain_agent(silent, "one"), plain_agent(silent, "two")
    registry = AgentRegistry([one, two])
    assert registry.names == ("one", "two")
    assert registry.get("two") is two
    assert list(registry) == [one, two]
    assert len(registry) == 2
    assert "one" in registry
    assert "three" not in registry


def test_an_unknown_agent_is_a_named_error() -> None:
    with pytest.raises(UnknownAgent) as unknown:
        AgentRegistry([plain_agent(silent, "one")]).get("two")
    assert isinstance(unknown.value, AgentsError)
    assert (unknown.value.name, unknown.value.known) == ("two", ("one",))
    assert str(unknown.value) == "There is no agent named 'two'. Agents: one."
    assert str(UnknownAgent("x", ())) == "There is no agent named 'x'. Agents: none."


def test_names_are_unique() -> None:
    with pytest.raises(ValueError, match="two agents are named 'one'"):
        AgentRegistry([plain_agent(silent, "one"), plain_agent(silent, "one")])
