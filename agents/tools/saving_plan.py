"""The plan to spend less, computed from the account and a price list."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

from pydantic import Field
from pydantic_ai import RunContext, Tool

# On Python 3.11 pydantic makes schemas of this TypedDict only.
from typing_extensions import TypedDict

from agents.errors import ToolError
from agents.tools.context import ToolContext
from agents.tools.periods import find_period
from agents.tools.price_comparison import ASSUMPTIONS
from agents.tools.prices import CANDIDATES, Rates, find_rates, percent, rounded, tokens_of, usd
from agents.tools.savings import TENTH, Move, Remaining, plan_moves, remaining, uses_by_agent
from agents.tools.usage import ACCOUNT_LIMITS, LONGEST_NAME, read_account

MOST_MEASURES = 10


class Measure(TypedDict):
    """`setting` is the variable of the server's environment that makes the move."""

    agent: str
    from_models: list[str]
    to_model: str
    setting: str
    requests: int
    before_usd: str
    after_usd: str
    saves_usd: str
    arithmetic: str


class Further(TypedDict):
    measure: str
    saves_usd: str
    arithmetic: str


class Savings(TypedDict):
    period: str
    first_day: str
    last_day: str
    assumptions: str
    cost_usd: str
    target_percent: int
    target_usd: str
    measures: list[Measure]
    saves_usd: str
    saves_percent: str
    remaining_usd: str
    target_reached: bool
    further: list[Further]
    unpriced_requests: int


async def savings(
    ctx: RunContext[ToolContext],
    period: str,
    target_percent: Annotated[int, Field(ge=1, le=99)] = 50,
    everyone: bool = False,
) -> Savings:
    """A plan that would have saved a share of what a period cost: which agent to move to which model.

    `measures` add up to `saves_usd`. `further` measures come on top of them, each for itself: they are not in the sum.
    A cheaper model may answer less well: say so.

    Args:
        period: A period by its name, as for `usage_summary`.
        target_percent: How much of the cost to save; 50 halves it.
        everyone: Plan for the requests of all users. Only staff may ask for it, and only when they mean it.
    """
    now = ctx.deps.clock()
    days = find_period(period, now)
    reading = await read_account(ctx, days, by=["agent", "model"], everyone=everyone)
    total = reading.total.cost_usd
    if not total:
        raise ToolError("nothing was spent in this period, so there is nothing to save")

    def rates(model: str, input_per_request: int) -> Rates | None:
        return find_rates(model, at=now, input_per_request=input_per_request)

    share = Decimal(target_percent) / 100
    target = rounded(total * share)
    uses = uses_by_agent(reading.rows)
    moves = plan_moves(uses, target=target, share=share, candidates=CANDIDATES, find_rates=rates)[:MOST_MEASURES]
    saved = sum((move.saves for move in moves), Decimal(0))
    return {
        "period": days.name,
        "first_day": days.first.isoformat(),
        "last_day": days.last.isoformat(),
        "assumptions": ASSUMPTIONS,
        "cost_usd": usd(total),
        "target_percent": target_percent,
        "target_usd": usd(target),
        "measures": [_measure(move) for move in moves],
        "saves_usd": usd(saved),
        "saves_percent": percent(saved, total),
        "remaining_usd": usd(total - saved),
        "target_reached": saved >= target,
        "further": _further(remaining(uses, moves, rates)),
        "unpriced_requests": reading.total.unpriced,
    }


def _measure(move: Move) -> Measure:
    use, option = move.use, move.option
    steps = [
        f"{row.group['model'][:LONGEST_NAME]}: {rate.arithmetic(tokens_of(row))}"
        for row, rate in zip(use.rows, option.rates, strict=True)
        if rate is not None
    ]
    steps.append(f"saves ${usd(use.cost)} - ${usd(option.cost)} = ${usd(move.saves)}")
    return {
        "agent": use.agent,
        "from_models": [model[:LONGEST_NAME] for model in use.models],
        "to_model": option.model,
        "setting": f"NETRA_MODEL_{use.agent.upper()}={option.model}",
        "requests": sum(row.requests for row in use.rows),
        "before_usd": usd(use.cost),
        "after_usd": usd(option.cost),
        "saves_usd": usd(move.saves),
        "arithmetic": "; ".join(steps),
    }


def _further(parts: Remaining) -> list[Further]:
    """What a tenth less of each part would save, and failures, on top of the moves."""
    shorter = rounded(parts.plain_input * TENTH)
    cached = rounded((parts.plain_input - parts.from_cache_instead) * TENTH)
    briefer = rounded(parts.output * TENTH)
    tokens = parts.input_tokens + parts.output_tokens
    share = percent(Decimal(parts.input_tokens), Decimal(tokens))
    average = parts.input_tokens // max(1, parts.requests)
    measures: list[tuple[str, Decimal, str]] = [
        (
            f"10 % less input: it is {share} % of the tokens, {average:,} a request on average",
            shorter,
            f"10 % of ${usd(parts.plain_input)} for {parts.plain_input_tokens:,} uncached input tokens",
        ),
        (
            "10 % of the uncached input read from the provider's cache",
            cached,
            f"10 % of (${usd(parts.plain_input)} uncached - ${usd(parts.from_cache_instead)} from cache)",
        ),
        (
            "10 % less output",
            briefer,
            f"10 % of ${usd(parts.output)} for {parts.output_tokens:,} output tokens",
        ),
        (
            f"no failed requests: there were {parts.failed_requests}",
            parts.failed,
            "what they cost, at the cost after the measures",
        ),
    ]
    return [
        {"measure": measure, "saves_usd": usd(saves), "arithmetic": f"{arithmetic} = ${usd(saves)}"}
        for measure, saves, arithmetic in sorted(measures, key=lambda each: -each[1])
        if saves > 0
    ]


def saving_tools() -> Sequence[Tool[ToolContext]]:
    return [Tool(savings, takes_ctx=True, require_parameter_descriptions=True, metadata=ACCOUNT_LIMITS)]
