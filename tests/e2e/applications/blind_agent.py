"""An agent whose model reads no images, for the tests of the page: NETRA_AGENTS names it."""

from __future__ import annotations

from pydantic_ai.models.test import TestModel

from agents.definition import AgentDefinition
from agents.models.choice import ChosenModel
from agents.pydantic_agent import PydanticAgent

blind = PydanticAgent(
    AgentDefinition(name="blind", description="Reads text only.", instructions=""),
    ChosenModel(name="script", model=TestModel(), context_tokens=100_000, takes_images=False),
)
