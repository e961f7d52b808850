"""What people do and spend, for a page of them at once; and what somebody's account holds."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, LiteralString

from django.db import connection

from chat.allowances import Standing, standing
from chat.run_event import now

DAYS = 30
MOST_COUNTED = 10_000

_ACTIVITY: LiteralString = """
    SELECT u.id,
        GREATEST(s.used, (SELECT created_at FROM chat_run WHERE user_id = u.id ORDER BY run_number DESC LIMIT 1)),
        COALESCE(s.living, 0), COALESCE(m.tokens, 0), COALESCE(m.cost, 0)
    FROM unnest(%(users)s::bigint[]) u(id)
    LEFT JOIN (SELECT user_id, max(last_used_at) AS used,
                      count(*) FILTER (WHERE ended_at IS NULL AND expires_at > %(now)s) AS living
               FROM chat_session WHERE user_id = ANY(%(users)s) GROUP BY user_id) s ON s.user_id = u.id
    LEFT JOIN (SELECT user_id, sum(input_tokens + output_tokens)::bigint AS tokens, sum(cost_usd) AS cost
               FROM chat_modelrequest WHERE user_id = ANY(%(users)s) AND started_at >= %(since)s GROUP BY user_id) m
        ON m.user_id = u.id
"""


@dataclass(frozen=True, slots=True)
class Activity:
    """`standing` is today's, with what is allowed; `last` is when the person, or a program of theirs, was last here;
    `tokens` and `cost_usd` are of DAYS; `sessions` are those that live.
    """

    standing: Standing
    last: datetime.datetime | None
    sessions: int
    tokens: int
    cost_usd: Decimal


def activity_of(user_ids: Sequence[int]) -> dict[int, Activity]:
    """Two queries, however many people."""
    at, stand = now(), standing(user_ids)
    with connection.cursor() as cursor:
        cursor.execute(_ACTIVITY, {"users": list(user_ids), "now": at, "since": at - datetime.timedelta(days=DAYS)})
        return {user_id: Activity(stand[user_id], *row) for user_id, *row in cursor.fetchall()}


_HELD: tuple[tuple[str, LiteralString], ...] = (
    ("threads", "SELECT FROM chat_thread WHERE user_id = %(user)s"),
    ("messages", "SELECT FROM chat_message WHERE user_id = %(user)s"),
    ("runs, with all their events", "SELECT FROM chat_run WHERE user_id = %(user)s"),
    ("attached files", "SELECT FROM chat_attachment WHERE user_id = %(user)s AND sent_as IS NULL"),
    ("notes", "SELECT FROM chat_note WHERE user_id = %(user)s"),
    ("requests to models, with what they cost", "SELECT FROM chat_modelrequest WHERE user_id = %(user)s"),
    ("sessions", "SELECT FROM chat_session WHERE user_id = %(user)s"),
)


def held_by(user_id: Any) -> list[str]:
    """What an account holds, in words; each counted up to MOST_COUNTED."""
    told = []
    with connection.cursor() as cursor:
        for name, rows in _HELD:
            cursor.execute(
                f"SELECT count(*) FROM ({rows} LIMIT %(limit)s) found", {"user": user_id, "limit": MOST_COUNTED + 1}
            )
            [number] = cursor.fetchone()
            told.append(f"{name}: {'more than ' if number > MOST_COUNTED else ''}{min(number, MOST_COUNTED):,}")
    return told
