"""Tools called by their names, offline."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai import Tool

from agents.errors import ToolError
from agents.events import ToolCompleted, ToolExecuting
from agents.offline.model import OfflineModel
from tests.agents.fakes import answer, collect, make_request, model_agent, supervise


def forecast(city: str, days: int = 1, warm: bool = False) -> dict[str, Any]:
    """A forecast."""
    if city == "Atlantis":
        raise ToolError("there is no such city")
    return {"city": city, "days": days, "warm": warm}


def weather() -> str:
    """All there is to say."""
    return "Mild."


def table() -> list[dict[str, int]]:
    """Numbers."""
    return [{"a": 1}]


TOOLS = [Tool(forecast), Tool(weather), Tool(table)]


async def asked(question: str) -> tuple[list[tuple[str, dict[str, Any]]], str]:
    """The calls that were made, and the answer."""
    events = await collect(supervise(model_agent(OfflineModel(), tools=TOOLS)), make_request(question))
    return [(event.tool, event.arguments) for event in events if isinstance(event, ToolExecuting)], answer(events)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("/forecast Paris", {"city": "Paris"}),
        (" /forecast  New York, NY \n", {"city": "New York, NY"}),
        ("/forecast city=Paris days=2", {"city": "Paris", "days": 2}),
        ("/forecast days=2, city=New York, warm=true", {"days": 2, "city": "New York", "warm": True}),
        ('/forecast city="a=b c" days=3', {"city": "a=b c", "days": 3}),
        ('/forecast {"city": "Paris", "days": 2}', {"city": "Paris", "days": 2}),
        ("/forecast {Paris", {"city": "{Paris"}),
    ],
)
async def test_a_command_calls_the_tool_with_what_stands_after_it(command: str, arguments: dict[str, Any]) -> None:
    calls, said = await asked(command)
    assert calls == [("forecast", arguments)]
    result = {"days": 1, "warm": False} | arguments
    assert said == "`forecast` answers:\n\n" + "\n".join(
        f"- {name}: {result[name]}" for name in ("city", "days", "warm")
    )


async def test_results_of_every_kind_are_worded() -> None:
    assert await asked("/weather") == ([("weather", {})], "`weather` answers:\n\nMild.")
    assert (await asked("/weather now"))[0] == [("weather", {})]
    assert (await asked("/table"))[1] == '`table` answers:\n\n```json\n[\n  {\n    "a": 1\n  }\n]\n```'


async def test_what_the_tool_refuses_is_told() -> None:
    assert (await asked("/forecast Atlantis"))[1] == "`forecast` did not do that: there is no such city"
    calls, said = await asked("/forecast city=Paris days=many")
    assert calls == [("forecast", {"city": "Paris", "days": "many"})]
    assert said.startswith("`forecast` did not do that: ")
    assert "valid integer" in said


@pytest.mark.parametrize("question", ["/nothing Paris", "/ forecast", "I said /forecast Paris", "/", "//forecast x"])
async def test_what_names_no_tool_is_a_question_as_any_other(question: str) -> None:
    events = await collect(supervise(model_agent(OfflineModel(), tools=TOOLS)), make_request(question))
    assert not any(isinstance(event, ToolCompleted) for event in events)
    assert answer(events)
