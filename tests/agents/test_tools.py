from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai import Tool, ToolReturn

from agents.events import ToolCompleted
from agents.tools.context import utc_now
from agents.tools.standard import LONGEST_QUERY, SEARCH_LIMIT, standard_tools
from tests.agents.fakes import FakeServices, call, collect, found, make_request, model_agent, scripted, supervise


async def use(tool: str, arguments: str, *, services: FakeServices | None = None, tools: Any = None) -> ToolCompleted:
    """What one call of a tool gives, through the supervisor."""
    agent = model_agent(scripted([call(tool, arguments, "c1")], ["done"]), tools=tools or list(standard_tools()))
    events = await collect(supervise(agent), make_request(services=services))
    [completed] = [event for event in events if isinstance(event, ToolCompleted)]
    return completed


async def test_calculate_gives_the_expression_and_its_value() -> None:
    completed = await use("calculate", '{"expression": " 17.5 % of 2480 "}')
    assert completed.result == {"expression": "17.5 % of 2480", "result": "434", "exact": True}


async def test_calculate_says_why_it_cannot() -> None:
    assert (await use("calculate", '{"expression": "2 + cats"}')).error == (
        "'cats' is not part of an arithmetic expression"
    )


async def test_current_time_is_the_clock_of_the_place() -> None:
    assert (await use("current_time", '{"zone": "tokyo"}')).result == {
        "place": "tokyo",
        "zone": "Asia/Tokyo",
        "time": "2026-03-04T21:30:15+09:00",
        "weekday": "Wednesday",
        "utc_offset": "+09:00",
    }
    assert (await use("current_time", '{"zone": "Kathmandu"}')).result["utc_offset"] == "+05:45"
    assert (await use("current_time", '{"zone": "UTC"}')).result["utc_offset"] == "+00:00"


async def test_current_time_lists_near_matches() -> None:
    assert (await use("current_time", '{"zone": "Tokio"}')).error == (
        "'Tokio' is not a known time zone or city; near matches: Asia/Tokyo"
    )


def test_the_clock_is_aware() -> None:
    assert utc_now().utcoffset() is not None


async def test_search_goes_to_the_runs_services() -> None:
    services = FakeServices([found()])
    completed = await use("search_threads", '{"query": " the\\u0000\\n budget "}', services=services)
    assert services.queries == [("the budget", SEARCH_LIMIT)]
    assert completed.result == {
        "query": "the budget",
        "count": 1,
        "messages": [
            {
                "thread_id": "t-1",
                "thread": "Planning",
                "role": "user",
                "date": "2026-01-02",
                "excerpt": "The budget is 500.",
            }
        ],
    }


async def test_search_bounds_what_it_passes_on() -> None:
    services = FakeServices()
    await use("search_threads", f'{{"query": "{"x" * 1000}"}}', services=services)
    assert services.queries == [("x" * LONGEST_QUERY, SEARCH_LIMIT)]


@pytest.mark.parametrize("query", ["", "  ", "\\n\\u0000"])
async def test_search_for_nothing_is_an_error(query: str) -> None:
    services = FakeServices()
    completed = await use("search_threads", f'{{"query": "{query}"}}', services=services)
    assert (completed.error, services.queries) == ("there is nothing to search for", [])


async def test_of_a_rich_return_value_the_value_counts() -> None:
    async def rich() -> ToolReturn[Any]:
        return ToolReturn(return_value={"a": 1}, metadata={"private": True})

    assert (await use("rich", "{}", tools=[Tool(rich)])).result == {"a": 1}
