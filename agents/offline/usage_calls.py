"""From what is asked of the account to calls of the tools that read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from agents.offline.call import Call
from agents.offline.usage import DEFAULT_PERIOD, Kind, UsageWish

_NEEDS: dict[Kind, str] = {
    "usage": "usage_summary",
    "saving": "savings",
    "comparison": "compare_models",
    "speed": "speedup",
}


def can_grant(wish: UsageWish, tools: Collection[str]) -> bool:
    return _NEEDS[wish.kind] in tools


def specialist(wish: UsageWish) -> str:
    """The agent that answers what another cannot."""
    return "data" if wish.kind == "usage" else "optimization"


def with_periods(wishes: Sequence[UsageWish]) -> list[UsageWish]:
    """Each with a period: its own, else that of what was asked before it, or first after it, else the default."""
    named = [wish.periods for wish in wishes if wish.periods]
    current = named[0] if named else (DEFAULT_PERIOD,)
    complete = []
    for wish in wishes:
        current = wish.periods or current
        complete.append(dataclasses.replace(wish, periods=current))
    return complete


def usage_calls(wishes: Sequence[UsageWish], tools: Collection[str]) -> list[Call]:
    """The calls that the wishes need, of tools that there are."""
    return [
        call
        for wish in with_periods(wishes)
        for period in wish.periods
        for call in _calls(wish, period)
        if call.tool in tools
    ]


def _calls(wish: UsageWish, period: str) -> Iterator[Call]:
    everyone: dict[str, Any] = {"everyone": True} if wish.everyone else {}
    match wish.kind:
        case "usage":
            by: dict[str, Any] = {"by": wish.by} if wish.by else {}
            yield Call.of("usage_summary", wish=wish, period=period, **by, **everyone)
        case "saving":
            yield Call.of("usage_summary", purpose="basis", wish=wish, period=period, by=("agent", "model"), **everyone)
            yield Call.of("savings", wish=wish, period=period, target_percent=wish.target_percent, **everyone)
            yield Call.of("compare_models", purpose="basis", wish=wish, period=period, **everyone)
        case "comparison":
            models: dict[str, Any] = {"models": wish.models} if wish.models else {}
            yield Call.of("compare_models", wish=wish, period=period, **models, **everyone)
        case "speed":
            yield Call.of("speedup", wish=wish, period=period, **everyone)
