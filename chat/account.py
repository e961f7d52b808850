"""The account of model requests: who spent what, on what."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, LiteralString

import structlog
from django.db import connection

from agents.account import Dimension, ModelRequestRecord, UsageQuery, UsageRow
from agents.plain import plain_text
from chat.pool import DatabasePool

logger = structlog.get_logger(__name__)

WRITE_SECONDS = 2.0

_INSERT: LiteralString = """
    INSERT INTO chat_modelrequest
        (id, user_id, thread_id, run_id, agent, model, provider, outcome, error, input_tokens, output_tokens,
         cache_read_tokens, cache_write_tokens, estimated, cost_usd, first_token_ms, duration_ms, started_at)
    SELECT %(id)s, %(user)s, (SELECT id FROM chat_thread WHERE id = %(thread)s),
           (SELECT id FROM chat_run WHERE id = %(run)s), %(agent)s, %(model)s, %(provider)s, %(outcome)s, %(error)s,
           %(input_tokens)s, %(output_tokens)s, %(cache_read_tokens)s, %(cache_write_tokens)s, %(estimated)s,
           %(cost_usd)s, %(first_token_ms)s, %(duration_ms)s, %(started_at)s
    ON CONFLICT (id) DO NOTHING
"""
_GROUPS: dict[Dimension, LiteralString] = {
    "day": "to_char(m.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "agent": "m.agent",
    "model": "m.model",
    "thread": "COALESCE(NULLIF((SELECT t.title FROM chat_thread t WHERE t.id = m.thread_id), ''), 'a deleted thread')",
    "user": "(SELECT u.username FROM auth_user u WHERE u.id = m.user_id)",
}
# What makes a group, where that is not its name: threads of the same title are several.
_KEYS: dict[Dimension, LiteralString] = {"thread": "m.thread_id"}
_SUMS: LiteralString = """
    count(*), count(*) FILTER (WHERE m.outcome = 'failed'), count(*) FILTER (WHERE m.cost_usd IS NULL),
    count(DISTINCT m.run_id), COALESCE(sum(m.input_tokens), 0)::bigint, COALESCE(sum(m.output_tokens), 0)::bigint,
    COALESCE(sum(m.cache_read_tokens), 0)::bigint, COALESCE(sum(m.cost_usd), 0),
    COALESCE(sum(m.duration_ms), 0)::bigint, COALESCE(sum(m.cache_write_tokens), 0)::bigint,
    COALESCE(sum(m.cost_usd) FILTER (WHERE m.outcome = 'failed'), 0)
"""


class Account:
    """Writes records, also those of a run that is being cancelled: a write that began is not cancelled with it."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool
        self._writing: set[asyncio.Task[None]] = set()

    async def record(
        self, record: ModelRequestRecord, *, user_id: Any, thread_id: uuid.UUID, run_id: uuid.UUID
    ) -> None:
        """Returns when it is stored; while the database is away, after WRITE_SECONDS, and goes on trying."""
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
    groups: Sequence[LiteralString] = [_GROUPS[dimension] for dimension in query.by]
    columns = "".join(group + ", " for group in groups)
    keys: Sequence[LiteralString] = [_KEYS.get(dimension, _GROUPS[dimension]) for dimension in query.by]
    grouping = "GROUP BY " + ", ".join(keys) if groups else ""
    statement = (
        f"SELECT {columns}{_SUMS} FROM chat_modelrequest m"
        " WHERE m.started_at >= %(since)s AND m.started_at < %(until)s"
        f" AND (%(everyone)s OR m.user_id = %(user)s) {grouping}"
        f" ORDER BY COALESCE(sum(m.cost_usd), 0) DESC, sum(m.input_tokens + m.output_tokens) DESC NULLS LAST"
        f"{''.join(', ' + str(place) for place in range(1, len(groups) + 1))} LIMIT %(limit)s"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            {
                "since": query.since,
                "until": query.until,
                "everyone": query.everyone,
                "user": user_id,
                "limit": query.limit,
            },
        )
        rows = cursor.fetchall()
    return [_row(query.by, row) for row in rows]


def _row(by: Sequence[Dimension], row: Sequence[Any]) -> UsageRow:
    names, sums = row[: len(by)], row[len(by) :]
    requests, failed, unpriced, runs, input_tokens, output_tokens, cached, cost, duration, written, failed_cost = sums
    return UsageRow(
        group={dimension: str(name) for dimension, name in zip(by, names, strict=True)},
        requests=requests,
        failed=failed,
        unpriced=unpriced,
        runs=runs,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cached,
        cost_usd=Decimal(cost),
        duration_ms=duration,
        cache_write_tokens=written,
        failed_cost_usd=Decimal(failed_cost),
    )
