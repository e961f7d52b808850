"""What each person may use, how much of it is used, and the refusal of more.

What the settings say holds for everybody, an `Allowance` for one person. Days are UTC's. Runs are counted when they
begin, under the lock of the user's counters; tokens and costs when a request to a model has ended, so that what is
under way then can go beyond.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, LiteralString

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import connection

from chat import metrics
from chat.errors import ChatError, ErrorCode
from chat.models import Allowance, UserCounters
from chat.pool import DatabasePool
from chat.run_event import now

# The part of an allowance from which on people are told how much is left.
NEAR = Decimal("0.8")
RUN_SECONDS = 5.0


Amount = int | Decimal


class Limit(enum.StrEnum):
    """The fields of `Allowance`, as answers name them."""

    RUNS_PER_DAY = "runs_per_day"
    TOKENS_PER_DAY = "tokens_per_day"
    COST_USD_PER_DAY = "cost_usd_per_day"
    OPEN_RUNS = "open_runs"
    MESSAGES_PER_MINUTE = "messages_per_minute"
    CONNECTIONS = "connections"


WORDS_OF_A_DAY: Mapping[Limit, str] = {
    Limit.RUNS_PER_DAY: "questions",
    Limit.TOKENS_PER_DAY: "tokens",
    Limit.COST_USD_PER_DAY: "US dollars",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalLimits:
    """What one person may use. None: as much as they like."""

    runs_per_day: int | None
    tokens_per_day: int | None
    cost_usd_per_day: Decimal | None
    open_runs: int
    messages_per_minute: int
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How much of one limit is used. `allowed` is None when there is none, `resets_in` (seconds) where time does not
    give anything back.
    """

    limit: Limit
    used: Amount
    allowed: Amount | None
    resets_in: int | None = None

    @property
    def is_up(self) -> bool:
        return self.allowed is not None and self.used >= self.allowed

    @property
    def is_near(self) -> bool:
        return self.allowed is not None and self.used >= self.allowed * NEAR

    def json(self) -> dict[str, Any]:
        """As answers tell it, numbers as JSON has them; without what has no value."""
        told = {"limit": self.limit.value, "used": _number(self.used)}
        if self.allowed is not None:
            told["allowed"] = _number(self.allowed)
        return told if self.resets_in is None else {**told, "resets_in": self.resets_in}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a person may use, and has used at a moment. `open_in` has the thread of each open run."""

    limits: PersonalLimits
    runs: int
    tokens: int
    cost_usd: Decimal
    open_in: Sequence[uuid.UUID]
    at: datetime.datetime

    def per_day(self, *, begun: int = 0) -> list[Use]:
        """Of what is allowed for a day. `begun` runs are not counted yet."""
        resets_in = math.ceil((day_of(self.at) + datetime.timedelta(days=1) - self.at).total_seconds())
        used: dict[Limit, Amount] = {
            Limit.RUNS_PER_DAY: self.runs + begun,
            Limit.TOKENS_PER_DAY: self.tokens,
            Limit.COST_USD_PER_DAY: self.cost_usd,
        }
        return [_use(self.limits, limit, amount, resets_in) for limit, amount in used.items()]

    @property
    def uses(self) -> list[Use]:
        """Of what the database knows of."""
        return [*self.per_day(), _use(self.limits, Limit.OPEN_RUNS, len(self.open_in))]


# Of whom nobody limits tokens or costs, they are added up only for who asks for the `whole`.
_STANDING: LiteralString = """
    SELECT u.id AS user_id, a.runs_per_day, a.tokens_per_day, a.cost_usd_per_day, a.open_runs,
           a.messages_per_minute, a.connections,
           CASE WHEN c.runs_counted_on = %(day)s::date THEN c.runs_counted ELSE 0 END AS runs,
           ARRAY(SELECT r.thread_id FROM chat_run r WHERE r.user_id = u.id
                 AND r.status IN ('queued', 'running', 'awaiting_approval')) AS open_in,
           s.tokens, s.cost_usd
    FROM {people} AS u(id)
    LEFT JOIN chat_allowance a ON a.user_id = u.id
    LEFT JOIN chat_usercounters c ON c.user_id = u.id
    LEFT JOIN LATERAL (
        SELECT sum(m.input_tokens + m.output_tokens)::bigint AS tokens, sum(m.cost_usd) AS cost_usd
        FROM chat_modelrequest m WHERE m.user_id = u.id AND m.started_at >= %(since)s
          AND (%(whole)s OR COALESCE(a.tokens_per_day, %(tokens)s::bigint) > 0
                         OR COALESCE(a.cost_usd_per_day, %(cost_usd)s::numeric) > 0)
    ) s ON true
"""
_STANDING_OF_MANY: LiteralString = _STANDING.replace("{people}", "unnest(%(users)s::bigint[])")
# Asked before each run. A plan is kept only if it does not depend on the number of people in a value.
_STANDING_OF_ONE: LiteralString = _STANDING.replace("{people}", "(VALUES (%(user)s::bigint))")


def standing(user_ids: Iterable[Any]) -> dict[Any, Standing]:
    """Where people stand, also those without limits. One query."""
    return _read(user_ids, server_limits(), whole=True)


def check(user_id: Any, *, max_open_runs: int) -> Standing:
    """Whether another run may begin. One query. The caller holds the lock of the user's counters.

    `max_open_runs` is for whom has no number of their own. Raises ChatError with TOO_MANY_RUNS or ALLOWANCE_USED.
    """
    found = _read([user_id], dataclasses.replace(server_limits(), open_runs=max_open_runs), whole=False)[user_id]
    if len(found.open_in) >= found.limits.open_runs:
        metrics.limited("open_runs")
        raise ChatError(
            ErrorCode.TOO_MANY_RUNS,
            f"At most {found.limits.open_runs} runs may be open at the same time",
            details={"max_open_runs": found.limits.open_runs},
            retry_after=RUN_SECONDS,
        )
    if (use := next((use for use in found.per_day() if use.is_up), None)) is not None:
        raise used_up(use)
    return found


async def spent(pool: DatabasePool, user_id: Any) -> Use | None:
    """What of tokens and costs is used up, if anything. One query. Raises psycopg.OperationalError."""
    at, limits = now(), server_limits()
    async with pool.connection() as pooled:
        cursor = await pooled.execute(_STANDING_OF_ONE, _asked([user_id], at, limits, whole=False))
        [row] = await cursor.fetchall()
    _, *of_models = _standing(row, at, limits).per_day()
    return next((use for use in of_models if use.is_up), None)


def used_up(use: Use) -> ChatError:
    """The refusal of more for today."""
    metrics.limited(use.limit)
    return ChatError(ErrorCode.ALLOWANCE_USED, in_words(use), details=use.json(), retry_after=use.resets_in)


def in_words(use: Use) -> str:
    return f"What you may use in a day is used up: {_number(use.allowed or 0)} {WORDS_OF_A_DAY[use.limit]}"


def count_run(counters: UserCounters, at: datetime.datetime) -> None:
    """A run begins. The caller holds the lock, and saves the counters."""
    today = day_of(at).date()
    if counters.runs_counted_on != today:
        counters.runs_counted_on, counters.runs_counted = today, 0
    counters.runs_counted += 1


def server_limits() -> PersonalLimits:
    """What everybody may use of whom nothing else is said."""
    config = settings.NETRA
    return PersonalLimits(
        runs_per_day=config.runs_per_day or None,
        tokens_per_day=config.tokens_per_day or None,
        cost_usd_per_day=Decimal(str(config.cost_usd_per_day)) or None,
        open_runs=config.max_open_runs,
        messages_per_minute=config.user_messages_per_minute,
        connections=config.max_connections,
    )


def limits_of(user: Any) -> PersonalLimits:
    """Of a user who was read together with `chat_allowance`."""
    try:
        own = user.chat_allowance
    except ObjectDoesNotExist:
        return server_limits()
    return personal_limits(server_limits(), {name: getattr(own, name) for name in Limit})


def own_numbers(user_id: Any) -> dict[str, Any]:
    """What the person in particular was allowed; costs as decimal text."""
    row = Allowance.objects.filter(user_id=user_id).values(*Limit).first() or {}
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in row.items()}


def day_of(at: datetime.datetime) -> datetime.datetime:
    """When its day began."""
    return at.astimezone(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _read(user_ids: Iterable[Any], limits: PersonalLimits, *, whole: bool) -> dict[Any, Standing]:
    at, people = now(), list(user_ids)
    with connection.cursor() as cursor:
        statement = _STANDING_OF_ONE if len(people) == 1 else _STANDING_OF_MANY
        cursor.execute(statement, _asked(people, at, limits, whole=whole))
        columns = [column.name for column in cursor.description]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return {row["user_id"]: _standing(row, at, limits) for row in rows}


def _asked(user_ids: list[Any], at: datetime.datetime, limits: PersonalLimits, *, whole: bool) -> dict[str, Any]:
    since = day_of(at)
    return {
        "users": user_ids,
        "user": user_ids[0] if user_ids else None,
        "day": since.date(),
        "since": since,
        "whole": whole,
        "tokens": limits.tokens_per_day or 0,
        "cost_usd": limits.cost_usd_per_day or Decimal(0),
    }


def _standing(row: Mapping[str, Any], at: datetime.datetime, limits: PersonalLimits) -> Standing:
    return Standing(
        limits=personal_limits(limits, row),
        runs=row["runs"],
        tokens=row["tokens"] or 0,
        cost_usd=row["cost_usd"] or Decimal(0),
        open_in=row["open_in"],
        at=at,
    )


def personal_limits(limits: PersonalLimits, own: Mapping[str, Any]) -> PersonalLimits:
    """The server's limits, but for those of which a person has a number. There 0 is no limit."""
    given: dict[str, Any] = {name.value: own[name] or None for name in Limit if own[name] is not None}
    return dataclasses.replace(limits, **given)


def _use(limits: PersonalLimits, limit: Limit, used: Amount, resets_in: int | None = None) -> Use:
    return Use(limit=limit, used=used, allowed=getattr(limits, limit), resets_in=resets_in)


def _number(amount: Amount) -> int | float:
    return amount if isinstance(amount, int) else float(round(amount, 6))
