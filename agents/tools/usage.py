"""What the account says: sums over the person's own model requests; for staff over everyone's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated

from pydantic import Field
from pydantic_ai import RunContext, Tool

# On Python 3.11 pydantic makes schemas of this TypedDict only.
from typing_extensions import TypedDict

from agents.account import Dimension, UsageQuery, UsageRow
from agents.errors import ToolError
from agents.tools.context import ToolContext
from agents.tools.periods import Period, find_period
from agents.tools.prices import usd

MOST_ROWS = 30
LONGEST_NAME = 80
READINGS = 3
ACCOUNT_LIMITS = {"timeout": 20.0, "result_limit": 20_000}
MONEY = "US dollars, exact"


class Sums(TypedDict):
    requests: int
    failed_requests: int
    unpriced_requests: int
    runs: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_usd: str
    average_seconds: str


class GroupSums(Sums):
    group: dict[str, str]


class Rest(TypedDict):
    """What the rows leave of the total."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: str


class UsageSummary(TypedDict):
    period: str
    first_day: str
    last_day: str
    everyone: bool
    by: list[Dimension]
    money: str
    total: Sums
    rows: list[GroupSums]
    not_listed: Rest | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the account says of a period: its rows, the most expensive first, and all of it."""

    total: UsageRow
    rows: Sequence[UsageRow]


async def read_account(
    ctx: RunContext[ToolContext], period: Period, *, by: Sequence[Dimension], everyone: bool = False, limit: int = 200
) -> Reading:
    """Rows and total are two queries; both are asked again when a request ended in between."""
    services = ctx.deps.services
    whole = UsageQuery(since=period.since, until=period.until, everyone=everyone, limit=1)
    grouped = UsageQuery(since=period.since, until=period.until, by=tuple(by), everyone=everyone, limit=limit)
    [total] = await services.usage(whole)
    for _ in range(READINGS):
        rows = await services.usage(grouped) if by else []
        if not by or (len(rows) < limit and sum(row.requests for row in rows) == total.requests):
            return Reading(total, rows)
        before = total
        [total] = await services.usage(whole)
        if len(rows) == limit and total == before:
            return Reading(total, rows)
    raise ToolError("the account changes too fast to be read now; try again")


async def usage_summary(
    ctx: RunContext[ToolContext],
    period: str,
    by: Annotated[list[Dimension], Field(max_length=5)] | None = None,
    everyone: bool = False,
) -> UsageSummary:
    """What the user's requests to language models consumed and cost: numbers of the account, exact. Days are UTC's.

    `total` is all of the period, whatever it is split by. Rows are sorted by cost, the highest first; by day alone
    they are in the order of the days. Failed requests are among the requests; of unpriced ones no price is known.

    Args:
        period: today, yesterday, this_week (since Monday), last_week, this_month, last_month, this_year, last_year,
            last_7_days, last_30_days (any number), all; or a month "2026-03", a day "2026-03-04", or days
            "2026-03-01..2026-03-04". Never work out dates yourself: name the period.
        by: What to split the sums by, any of day, agent, model, thread; user only for staff. Empty for the total.
        everyone: Sum up the requests of all users. Only staff may ask for it, and only when they mean it.
    """
    days = find_period(period, ctx.deps.clock())
    dimensions = list(dict.fromkeys(by or ()))
    everyone = everyone or "user" in dimensions
    reading = await read_account(ctx, days, by=dimensions, everyone=everyone, limit=MOST_ROWS + 1)
    rows = reading.rows[:MOST_ROWS]
    listed = sorted(rows, key=lambda row: row.group["day"]) if dimensions == ["day"] else rows
    return {
        "period": days.name,
        "first_day": days.first.isoformat(),
        "last_day": days.last.isoformat(),
        "everyone": everyone,
        "by": dimensions,
        "money": MONEY,
        "total": _sums(reading.total),
        "rows": [{"group": _names(row), **_sums(row)} for row in listed],
        "not_listed": _rest(reading.total, rows) if len(reading.rows) > MOST_ROWS else None,
    }


def _names(row: UsageRow) -> dict[str, str]:
    return {dimension: name[:LONGEST_NAME] for dimension, name in row.group.items()}


def _sums(row: UsageRow) -> Sums:
    return {
        "requests": row.requests,
        "failed_requests": row.failed,
        "unpriced_requests": row.unpriced,
        "runs": row.runs,
        "input_tokens": row.input_tokens,
        "cached_input_tokens": row.cache_read_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": usd(row.cost_usd),
        "average_seconds": seconds(row.duration_ms, row.requests),
    }


def _rest(total: UsageRow, rows: Sequence[UsageRow]) -> Rest:
    return {
        "requests": total.requests - sum(row.requests for row in rows),
        "input_tokens": total.input_tokens - sum(row.input_tokens for row in rows),
        "output_tokens": total.output_tokens - sum(row.output_tokens for row in rows),
        "cost_usd": usd(total.cost_usd - sum((row.cost_usd for row in rows), Decimal(0))),
    }


def seconds(duration_ms: int, requests: int) -> str:
    """The average, to hundredths."""
    average = Decimal(duration_ms) / 1000 / max(1, requests)
    return f"{average.quantize(Decimal('0.01'), ROUND_HALF_UP):f}"


def usage_tools() -> Sequence[Tool[ToolContext]]:
    return [Tool(usage_summary, takes_ctx=True, require_parameter_descriptions=True, metadata=ACCOUNT_LIMITS)]
