"""The account of model requests: who spent what, on what."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import structlog
from django.db import connection

from agents.account import Dimension, ModelRequestRecord, UsageQuery, UsageRow
from agents.plain import plain_text
from chat import metrics
from chat.pool import DatabasePool

logger = structlog.get_logger(__name__)

WRITE_SECONDS = 2.0

# Of somebody who is gone meanwhile, there is no account.
_INSERT: LiteralString = """
    INSERT INTO chat_modelrequest
        (id, user_id, thread_id, run_id, agent, model, provider, outcome, error, input_tokens, output_tokens,
         cache_read_tokens, cache_write_tokens, estimated, cost_usd, first_token_ms, duration_ms, started_at)
    SELECT %(id)s, u.id, (SELECT id FROM chat_thread WHERE id = %(thread)s),
           (SELECT id FROM chat_run WHERE id = %(run)s), %(agent)s, %(model)s, %(provider)s, %(outcome)s, %(error)s,
           %(input_tokens)s, %(output_tokens)s, %(cache_read_tokens)s, %(cache_write_tokens)s, %(estimated)s,
           %(cost_usd)s, %(first_token_ms)s, %(duration_ms)s, %(started_at)s
    FROM auth_user u WHERE u.id = %(user)s FOR KEY SHARE
    ON CONFLICT (id) DO NOTHING
"""
# What makes a group, and what it is called. A name is looked up once for each group that is shown.
_KEYS: dict[Dimension, LiteralString] = {
    "day": "(m.started_at AT TIME ZONE 'UTC')::date",
    "agent": "m.agent",
    "model": "m.model",
    "thread": "m.thread_id",
    "user": "m.user_id",
}
_NAMES: dict[Dimension, LiteralString] = {
    "day": "to_char(s.day, 'YYYY-MM-DD')",
    "agent": "s.agent",
    "model": "s.model",
    "thread": "COALESCE(NULLIF((SELECT t.title FROM chat_thread t WHERE t.id = s.thread), ''), 'a deleted thread')",
    "user": """(SELECT u.username FROM auth_user u WHERE u.id = s."user")""",
}
_SUMS: LiteralString = """
    count(*) AS requests, count(*) FILTER (WHERE m.outcome = 'failed') AS failed,
    count(*) FILTER (WHERE m.cost_usd IS NULL) AS unpriced, count(DISTINCT m.run_id) AS runs,
    COALESCE(sum(m.input_tokens), 0)::bigint AS input_tokens,
    COALESCE(sum(m.output_tokens), 0)::bigint AS output_tokens,
    COALESCE(sum(m.cache_read_tokens), 0)::bigint AS cache_read_tokens, COALESCE(sum(m.cost_usd), 0) AS cost_usd,
    COALESCE(sum(m.duration_ms), 0)::bigint AS duration_ms,
    COALESCE(sum(m.cache_write_tokens), 0)::bigint AS cache_write_tokens,
    COALESCE(sum(m.cost_usd) FILTER (WHERE m.outcome = 'failed'), 0) AS failed_cost_usd
"""
_SUMMED = [field.name for field in dataclasses.fields(UsageRow) if field.name != "group"]


class Account:
    """Writes records, also those of a run that is being cancelled: a write that began is not cancelled with it."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool
        self._writing: set[asyncio.Task[None]] = set()

    async def record(
        self, record: ModelRequestRecord, *, user_id: Any, thread_id: uuid.UUID, run_id: uuid.UUID
    ) -> None:
        """Returns when it is stored; while the database is away, after WRITE_SECONDS, and goes on trying."""
        metrics.model_request(record)
        values = {
            "id": record.id,
            "user": user_id,
            "thread": thread_id,
            "run": run_id,
            "agent": plain_text(record.agent)[:64],
            "model": plain_text(record.model)[:200],
            "provider": plain_text(record.provider)[:64],
            "outcome": record.outcome,
            "error": plain_text(record.error)[:200],
            "input_tokens": record.input_tokens,
            "output_tokens": record.output_tokens,
            "cache_read_tokens": record.cache_read_tokens,
            "cache_write_tokens": record.cache_write_tokens,
            "estimated": record.estimated,
            "cost_usd": record.cost_usd,
            "first_token_ms": record.first_token_ms,
            "duration_ms": record.duration_ms,
            "started_at": record.started_at,
        }
        writing = asyncio.create_task(
            self._pool.until_reached(lambda: self._insert(values)), name=f"record model request {record.id}"
        )
        self._writing.add(writing)
        writing.add_done_callback(self._written)
        await asyncio.wait([writing], timeout=WRITE_SECONDS)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("model_request_not_recorded", exc_info=error)

    async def close(self) -> None:
        """What was recorded is stored; while the database is away, what cannot be within WRITE_SECONDS is lost."""
        if self._writing:
            _, late = await asyncio.wait(self._writing, timeout=WRITE_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=WRITE_SECONDS)
            logger.log(logging.WARNING if late else logging.DEBUG, "account_closed", lost=len(late))

    async def _insert(self, values: dict[str, Any]) -> None:
        async with self._pool.connection() as pooled:
            await pooled.execute(_INSERT, values)


def usage(user_id: Any, query: UsageQuery) -> list[UsageRow]:
    """Sums over a user's requests, or everyone's, the most expensive group first. The caller has asked who may."""
    return _sums(user_id, query, with_total=not query.by)


def usage_and_total(user_id: Any, query: UsageQuery) -> tuple[list[UsageRow], UsageRow]:
    """As `usage`, none without `by`; and the sums over all requests, of the same moment."""
    total, *rows = _sums(user_id, query, with_total=True)
    return rows, total


def _sums(user_id: Any, query: UsageQuery, *, with_total: bool) -> list[UsageRow]:
    with connection.cursor() as cursor:
        cursor.execute(
            _statement(query.by, with_total=with_total, of_thread=query.thread_id is not None),
            {
                "since": query.since,
                "until": query.until,
                "everyone": query.everyone,
                "user": user_id,
                "thread": query.thread_id,
                "limit": query.limit + with_total,
            },
        )
        columns = [column[0] for column in cursor.description]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return [_row(() if row["is_total"] else query.by, row) for row in rows]


def _statement(by: Sequence[Dimension], *, with_total: bool, of_thread: bool) -> str:
    """The requests are read once. The total comes first, then the groups; ties are in the order of their names."""
    keys = [_KEYS[dimension] for dimension in by]
    sets = [*([f"({', '.join(keys)})"] if by else []), *(["()"] if with_total else [])]
    is_total = f"grouping({keys[0]})" if by else "1"
    named = "".join(f', {_NAMES[dimension]} AS "name of {dimension}"' for dimension in by)
    by_name = "".join(f', "name of {dimension}"' for dimension in by)
    keyed = "".join(f', {key} AS "{dimension}"' for dimension, key in zip(by, keys, strict=True))
    order = "is_total DESC, cost_usd DESC, tokens DESC"
    return (
        f"SELECT s.*{named} FROM ("
        f"SELECT {is_total} AS is_total{keyed}, {_SUMS}, COALESCE(sum(m.input_tokens + m.output_tokens), 0) AS tokens"
        " FROM chat_modelrequest m WHERE m.started_at >= %(since)s AND m.started_at < %(until)s"
        f" AND (%(everyone)s OR m.user_id = %(user)s){' AND m.thread_id = %(thread)s' if of_thread else ''}"
        f" GROUP BY GROUPING SETS ({', '.join(sets)}) ORDER BY {order} LIMIT %(limit)s"
        f") s ORDER BY {order}{by_name}"
    )


def _row(by: Sequence[Dimension], row: Mapping[str, Any]) -> UsageRow:
    sums = {name: row[name] for name in _SUMMED}
    return UsageRow(group={dimension: str(row[f"name of {dimension}"]) for dimension in by}, **sums)
