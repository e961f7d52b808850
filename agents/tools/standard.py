"""The tools that agents call. What they need from outside comes in the run's `ToolContext`.

A tool raises ToolError to say why it cannot answer; the model reads that and can react.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from pydantic_ai import RunContext, Tool

# On Python 3.11 pydantic makes schemas of this TypedDict only.
from typing_extensions import TypedDict

from agents.errors import ToolError
from agents.tools import arithmetic
from agents.tools.context import ToolContext
from agents.tools.zones import find_zone

SEARCH_LIMIT = 8
LONGEST_QUERY = 200


class CalculationResult(TypedDict):
    expression: str
    result: str
    exact: bool


class TimeResult(TypedDict):
    place: str
    zone: str
    time: str
    weekday: str
    utc_offset: str


class SearchedMessage(TypedDict):
    thread_id: str
    thread: str
    role: str
    date: str
    excerpt: str


class SearchResult(TypedDict):
    query: str
    count: int
    messages: list[SearchedMessage]


async def calculate(expression: str) -> CalculationResult:
    """Evaluate an arithmetic expression exactly.

    Supports + - * / // % ** and parentheses; percentages ("17.5 % of 2480", "200 + 10 %"); the functions
    sqrt, cbrt, abs, round, floor, ceil, factorial, ln, log (base 10), log2, exp, sin, cos, tan (radians), min, max,
    sum, avg; the constants pi and e. Always use it instead of calculating yourself.

    Args:
        expression: The expression, e.g. "(3 + 4) * 2" or "17.5 % of 2480".
    """
    value = arithmetic.calculate(expression)
    return {"expression": expression.strip(), "result": value.result, "exact": value.exact}


async def current_time(ctx: RunContext[ToolContext], zone: str) -> TimeResult:
    """The current date and time in a place.

    Args:
        zone: An IANA time zone ("Asia/Tokyo"), a large city ("Tokyo"), or "UTC".
    """
    found = find_zone(zone)
    now = ctx.deps.clock().astimezone(found)
    offset = now.strftime("%z")
    return {
        "place": zone.strip(),
        "zone": found.key,
        "time": now.isoformat(timespec="seconds"),
        "weekday": now.strftime("%A"),
        "utc_offset": f"{offset[:3]}:{offset[3:5]}",
    }


async def search_threads(ctx: RunContext[ToolContext], query: str) -> SearchResult:
    """Search the user's own earlier messages and the answers to them, in all of their threads.

    Args:
        query: A few words to look for.
    """
    words = " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in query).split())
    if not words:
        raise ToolError("there is nothing to search for")
    found = await ctx.deps.services.search_messages(words[:LONGEST_QUERY], SEARCH_LIMIT)
    return {
        "query": words[:LONGEST_QUERY],
        "count": len(found),
        "messages": [
            {
                "thread_id": message.thread_id,
                "thread": message.thread_title,
                "role": message.role,
                "date": message.created_at.date().isoformat(),
                "excerpt": message.excerpt,
            }
            for message in found
        ],
    }


def calculate_tool() -> Tool[ToolContext]:
    return Tool(calculate, takes_ctx=False, require_parameter_descriptions=True, metadata={"timeout": 5.0})


def current_time_tool() -> Tool[ToolContext]:
    return Tool(current_time, takes_ctx=True, require_parameter_descriptions=True, metadata={"timeout": 5.0})


def search_tool() -> Tool[ToolContext]:
    limits = {"timeout": 20.0, "result_limit": 12_000}
    return Tool(search_threads, takes_ctx=True, require_parameter_descriptions=True, metadata=limits)


def standard_tools() -> Sequence[Tool[ToolContext]]:
    """The tools every agent may have."""
    return [calculate_tool(), current_time_tool(), search_tool()]
