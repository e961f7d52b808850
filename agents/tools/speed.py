"""How fast models answered, and what moving an agent to the fastest would save: arithmetic on the account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from pydantic_ai import RunContext, Tool

# On Python 3.11 pydantic makes schemas of this TypedDict only.
from typing_extensions import TypedDict

from agents.account import UsageRow
from agents.errors import ToolError
from agents.tools.context import ToolContext
from agents.tools.periods import find_period
from agents.tools.prices import provider_of
from agents.tools.usage import ACCOUNT_LIMITS, LONGEST_NAME, read_account

FEWEST_REQUESTS = 3
ASSUMPTIONS = (
    "the same output at the average rate of the other model, requests that failed or waited included; a model counts "
    f"from {FEWEST_REQUESTS} requests on"
)

_HUNDREDTH = Decimal("0.01")


class ModelSpeed(TypedDict):
    model: str
    requests: int
    seconds: str
    output_tokens: int
    output_tokens_per_second: str


class SpeedMeasure(TypedDict):
    agent: str
    from_model: str
    to_model: str
    setting: str
    seconds: str
    would_take_seconds: str
    saves_seconds: str
    arithmetic: str


class Speedup(TypedDict):
    period: str
    first_day: str
    last_day: str
    assumptions: str
    models: list[ModelSpeed]
    measures: list[SpeedMeasure]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """What a model wrote in what time."""

    model: str
    requests: int
    output_tokens: int
    seconds: Decimal

    @property
    def rate(self) -> Decimal:
        """Output tokens a second, to hundredths: what is shown is what is calculated with."""
        return _hundredths(Decimal(self.output_tokens) / self.seconds)


async def speedup(ctx: RunContext[ToolContext], period: str, everyone: bool = False) -> Speedup:
    """How fast each model wrote in a period, the fastest first, and how much time moving agents to it would save.

    Args:
        period: A period by its name, as for `usage_summary`.
        everyone: Look at the requests of all users. Only staff may ask for it, and only when they mean it.
    """
    days = find_period(period, ctx.deps.clock())
    reading = await read_account(ctx, days, by=["agent", "model"], everyone=everyone)
    # What has no provider, like the offline model, is not asked over a network.
    rows = [row for row in reading.rows if provider_of(row.group["model"]) and row.output_tokens and row.duration_ms]
    paces = _paces(rows)
    if not paces:
        raise ToolError(f"no model answered {FEWEST_REQUESTS} requests in this period, so there is nothing to compare")
    return {
        "period": days.name,
        "first_day": days.first.isoformat(),
        "last_day": days.last.isoformat(),
        "assumptions": ASSUMPTIONS,
        "models": [
            {
                "model": pace.model[:LONGEST_NAME],
                "requests": pace.requests,
                "seconds": str(_hundredths(pace.seconds)),
                "output_tokens": pace.output_tokens,
                "output_tokens_per_second": str(pace.rate),
            }
            for pace in paces
        ],
        "measures": _measures(rows, paces[0]),
    }


def _paces(rows: Sequence[UsageRow]) -> list[Pace]:
    """The models, the fastest first."""
    names = dict.fromkeys(row.group["model"] for row in rows)
    together = ([row for row in rows if row.group["model"] == name] for name in names)
    paces = [
        Pace(
            model=same[0].group["model"],
            requests=sum(row.requests for row in same),
            output_tokens=sum(row.output_tokens for row in same),
            seconds=Decimal(sum(row.duration_ms for row in same)) / 1000,
        )
        for same in together
    ]
    counting = (pace for pace in paces if pace.requests >= FEWEST_REQUESTS and pace.rate)
    return sorted(counting, key=lambda pace: (-pace.rate, pace.model))


def _measures(rows: Sequence[UsageRow], fastest: Pace) -> list[SpeedMeasure]:
    """The moves to the fastest model, the one that saves most first."""
    measures = list[tuple[Decimal, SpeedMeasure]]()
    for row in rows:
        took = _hundredths(Decimal(row.duration_ms) / 1000)
        would_take = _hundredths(row.output_tokens / fastest.rate)
        if row.group["model"] == fastest.model or would_take >= took:
            continue
        measure: SpeedMeasure = {
            "agent": row.group["agent"],
            "from_model": row.group["model"][:LONGEST_NAME],
            "to_model": fastest.model[:LONGEST_NAME],
            "setting": f"NETRA_MODEL_{row.group['agent'].upper()}={fastest.model}",
            "seconds": str(took),
            "would_take_seconds": str(would_take),
            "saves_seconds": str(took - would_take),
            "arithmetic": f"{took} s - {row.output_tokens:,} output tokens / {fastest.rate} a second = "
            f"{took - would_take} s",
        }
        measures.append((took - would_take, measure))
    return [measure for _, measure in sorted(measures, key=lambda each: -each[0])]


def _hundredths(value: Decimal) -> Decimal:
    return value.quantize(_HUNDREDTH, ROUND_HALF_UP)


def speed_tools() -> Sequence[Tool[ToolContext]]:
    return [Tool(speedup, takes_ctx=True, require_parameter_descriptions=True, metadata=ACCOUNT_LIMITS)]
