"""The agents that Netra comes with. The first is the default one."""

from __future__ import annotations

from collections.abc import Sequence

from agents.definition import AgentDefinition
from agents.model import Models
from agents.pydantic_agent import PydanticAgent
from agents.registry import Agent, AgentRegistry
from agents.roster.assistant import ASSISTANT

ROSTER: tuple[AgentDefinition, ...] = (ASSISTANT,)


def build_registry(given: Sequence[AgentDefinition | Agent], models: Models) -> AgentRegistry:
    """These agents; those of definitions each on its model. Raises ModelUnusable."""
    registry = AgentRegistry(
        PydanticAgent(each, models.choose(each.name, each.model)) if isinstance(each, AgentDefinition) else each
        for each in given
    )
    for agent in registry:
        if isinstance(agent, PydanticAgent):
            agent.introduce(registry)
    return registry
