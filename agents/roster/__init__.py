"""The agents that Netra comes with. The first is the default one."""

from __future__ import annotations

from collections.abc import Sequence

from agents.definition import AgentDefinition
from agents.model import Models
from agents.pydantic_agent import PydanticAgent
from agents.registry import AgentRegistry
from agents.roster.assistant import ASSISTANT

ROSTER: tuple[AgentDefinition, ...] = (ASSISTANT,)


def build_registry(definitions: Sequence[AgentDefinition], models: Models) -> AgentRegistry:
    """The agents of these definitions, each on its model. Raises ModelUnusable."""
    return AgentRegistry(
        PydanticAgent(definition, models.choose(definition.name, definition.model)) for definition in definitions
    )
