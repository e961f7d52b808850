"""What is right, by SQL and the price list: nothing here goes through the code that is evaluated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext

from django.db import connection
from genai_prices import Usage, calc_price

from tests.evals.history import NOW, History

EIGHT_PLACES = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Days:
    """From `first` to `last`, both included."""

    first: date
    last: date

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        begin, end = (datetime.combine(day, time(), tzinfo=UTC) for day in (self.first, self.last + timedelta(days=1)))
        return begin, end


@dataclass(frozen=True, slots=True)
class Sum:
    requests: int
    failed: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost: Decimal
    failed_cost: Decimal
    duration_ms: int


_SUMS = """count(*), count(*) FILTER (WHERE outcome = 'failed'), coalesce(sum(input_tokens), 0)::bigint,
    coalesce(sum(cache_read_tokens), 0)::bigint, coalesce(sum(cache_write_tokens), 0)::bigint,
    coalesce(sum(output_tokens), 0)::bigint, coalesce(sum(cost_usd), 0),
    coalesce(sum(cost_usd) FILTER (WHERE outcome = 'failed'), 0), coalesce(sum(duration_ms), 0)::bigint"""
_COLUMNS = {
    "agent": "agent",
    "model": "model",
    "day": "(started_at AT TIME ZONE 'UTC')::date::text",
    "thread": "coalesce((SELECT title FROM chat_thread t WHERE t.id = thread_id), 'a deleted thread') || '#' || "
    "coalesce(thread_id::text, '')",
    "user": "(SELECT username FROM auth_user u WHERE u.id = user_id)",
}


class Ledger:
    """The account of one person of the history, or of everyone."""

    def __init__(self, history: History, user: str | None) -> None:
        self._user_id = None if user is None else history.user(user).pk

    def total(self, days: Days) -> Sum:
        [(_, total)] = self._rows("''", days, grouped=False)
        return total

    def by(self, days: Days, *dimensions: str) -> dict[tuple[str, ...], Sum]:
        """The groups, named by their values; threads are told apart by more than their title."""
        columns = ", ".join(_COLUMNS[dimension] for dimension in dimensions)
        return dict(self._rows(f"ARRAY[{columns}]::text[]", days, grouped=True))

    def _rows(self, group: str, days: Days, *, grouped: bool) -> Iterable[tuple[tuple[str, ...], Sum]]:
        since, until = days.bounds
        with connection.cursor() as cursor:
            cursor.execute(
                f"""SELECT {group}, {_SUMS} FROM chat_modelrequest
                    WHERE (%s::bigint IS NULL OR user_id = %s) AND started_at >= %s AND started_at < %s
                    {"GROUP BY 1" if grouped else ""}""",
                [self._user_id, self._user_id, since, until],
            )
            return [(tuple(name), Sum(*sums)) for name, *sums in cursor.fetchall()]


def price(model: str, tokens: Sum) -> Decimal:
    """What these tokens cost on a model: the library's own price of the average request, as often as there were any."""
    provider, _, name = model.partition(":")
    with localcontext(prec=80):
        usage = Usage(
            input_tokens=Decimal(tokens.input_tokens) / tokens.requests,
            cache_read_tokens=Decimal(tokens.cache_read_tokens) / tokens.requests,
            cache_write_tokens=Decimal(tokens.cache_write_tokens) / tokens.requests,
            output_tokens=Decimal(tokens.output_tokens) / tokens.requests,
        )
        calculated = calc_price(usage, name, provider_id=provider, genai_request_timestamp=NOW)
        # What an average with endless places lacks is made good before the one rounding that counts.
        exact = (calculated.total_price * tokens.requests).quantize(Decimal("1e-30"))
        return exact.quantize(EIGHT_PLACES, ROUND_HALF_UP)
