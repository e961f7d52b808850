"""What the same tokens would cost on other models: arithmetic on the account and a price list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field
from pydantic_ai import RunContext, Tool

# On Python 3.11 pydantic makes schemas of this TypedDict only.
from typing_extensions import TypedDict

from agents.account import UsageRow
from agents.errors import ToolError
from agents.tools.context import ToolContext
from agents.tools.periods import find_period
from agents.tools.prices import CANDIDATES, find_rates, percent, tokens_of, usd
from agents.tools.usage import ACCOUNT_LIMITS, LONGEST_NAME, read_account

MOST_DETAILED = 4
MOST_NAMED = 12
ASSUMPTIONS = (
    "the same tokens, at today's prices of the list of genai-prices, in US dollars rounded to 8 places; input from a "
    "cache counts as read from a cache there, too; long-request prices by the length of an average request"
)


class Alternative(TypedDict):
    model: str
    cost_usd: str
    saves_usd: str
    arithmetic: str


class ComparedModel(TypedDict):
    model: str
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_usd: str
    alternatives: list[Alternative]


class Altogether(TypedDict):
    model: str
    cost_usd: str
    saves_usd: str
    saves_percent: str


class Comparison(TypedDict):
    period: str
    first_day: str
    last_day: str
    assumptions: str
    cost_usd: str
    altogether: list[Altogether]
    models: list[ComparedModel]
    without_price: list[str]


async def compare_models(
    ctx: RunContext[ToolContext],
    period: str,
    models: Annotated[list[str], Field(max_length=MOST_NAMED)] | None = None,
    everyone: bool = False,
) -> Comparison:
    """What the very tokens that the user consumed in a period would have cost on other models, the cheapest first.

    `altogether` is everything moved to one model; `models` has the alternatives of each of the models that cost most,
    with the arithmetic. Negative savings are extra costs.

    Args:
        period: A period by its name, as for `usage_summary`.
        models: The models to compare with, "provider:model" or bare names; without them well-known current ones.
        everyone: Compare for the requests of all users. Only staff may ask for it, and only when they mean it.
    """
    now = ctx.deps.clock()
    days = find_period(period, now)
    reading = await read_account(ctx, days, by=["model"], everyone=everyone)
    used = [row for row in reading.rows if row.cost_usd and not row.unpriced]
    if not used:
        raise ToolError("no requests with a price were made in this period, so there is nothing to compare")
    named = list(dict.fromkeys(name.strip()[:LONGEST_NAME] for name in models or CANDIDATES))
    priced = [name for name in named if find_rates(name, at=now, input_per_request=0)]
    if not priced:
        raise ToolError(f"the price list has no such model: {', '.join(named)}")
    paid = sum((row.cost_usd for row in used), Decimal(0))
    alternatives = {row.group["model"]: _alternatives(row, priced, now) for row in used}
    return {
        "period": days.name,
        "first_day": days.first.isoformat(),
        "last_day": days.last.isoformat(),
        "assumptions": ASSUMPTIONS,
        "cost_usd": usd(paid),
        "altogether": _altogether(list(alternatives.values()), paid),
        "models": [_compared(row, alternatives[row.group["model"]]) for row in used[:MOST_DETAILED]],
        "without_price": [name for name in named if name not in priced]
        + [row.group["model"][:LONGEST_NAME] for row in reading.rows if row.unpriced],
    }


def _alternatives(row: UsageRow, models: Sequence[str], now: datetime) -> list[tuple[Decimal, str, str]]:
    """Cost, model and arithmetic of the row's tokens on each of the models."""
    tokens = tokens_of(row)
    rates = [find_rates(name, at=now, input_per_request=tokens.input_per_request) for name in models]
    return [(rate.cost(tokens), rate.model, rate.arithmetic(tokens)) for rate in rates if rate is not None]


def _altogether(columns: Sequence[Sequence[tuple[Decimal, str, str]]], paid: Decimal) -> list[Altogether]:
    """For each model the sum over what was used: every column has the same models in the same order."""
    sums = sorted((sum((cost for cost, _, _ in same), Decimal(0)), same[0][1]) for same in zip(*columns, strict=True))
    return [
        {
            "model": model,
            "cost_usd": usd(cost),
            "saves_usd": usd(paid - cost),
            "saves_percent": percent(paid - cost, paid),
        }
        for cost, model in sums
    ]


def _compared(row: UsageRow, alternatives: Sequence[tuple[Decimal, str, str]]) -> ComparedModel:
    return {
        "model": row.group["model"][:LONGEST_NAME],
        "requests": row.requests,
        "input_tokens": row.input_tokens,
        "cached_input_tokens": row.cache_read_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": usd(row.cost_usd),
        "alternatives": [
            {"model": model, "cost_usd": usd(cost), "saves_usd": usd(row.cost_usd - cost), "arithmetic": arithmetic}
            for cost, model, arithmetic in sorted(alternatives)
            if model != row.group["model"]
        ],
    }


def price_tools() -> Sequence[Tool[ToolContext]]:
    return [Tool(compare_models, takes_ctx=True, require_parameter_descriptions=True, metadata=ACCOUNT_LIMITS)]
