"""The agents that come with Netra, and what is written of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.definition import AgentDefinition
from agents.models.choice import Models
from agents.roster import ROSTER, build_registry

PAGE = Path(__file__).parents[2] / "docs" / "roster.md"


def tools_of(definition: AgentDefinition) -> list[str]:
    return [*(tool.name for tool in definition.tools), *(f"ask_{name}" for name in definition.delegates)]


def test_the_assistant_is_the_default_agent() -> None:
    assert build_registry(ROSTER, Models()).names == ("assistant", "triage", "data", "optimization")


@pytest.mark.parametrize("definition", ROSTER, ids=[definition.name for definition in ROSTER])
def test_an_agent_is_described_and_told_of_its_tools(definition: AgentDefinition) -> None:
    [row] = re.findall(rf"^\| `{definition.name}` \|.*\| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == tools_of(definition)
    told = re.findall(r"`(\w+)`", definition.instructions)
    # What the time is needs no telling.
    assert set(tools_of(definition)) - set(told) <= {"current_time"}
    assert definition.description


@pytest.mark.parametrize("definition", ROSTER, ids=[definition.name for definition in ROSTER])
def test_every_parameter_of_its_tools_is_described(definition: AgentDefinition) -> None:
    for tool in definition.tools:
        assert tool.description
        properties = tool.tool_def.parameters_json_schema.get("properties", {})
        assert all(schema.get("description") for schema in properties.values()), tool.name


def test_only_reading_a_page_needs_approval() -> None:
    needing = {tool.name for definition in ROSTER for tool in definition.tools if tool.requires_approval}
    assert needing == {"fetch_page"}


def test_nobody_is_asked_who_asks_others() -> None:
    asking = {definition.name for definition in ROSTER if definition.delegates}
    asked = {name for definition in ROSTER for name in definition.delegates}
    assert asked <= {definition.name for definition in ROSTER}
    assert not asking & asked
