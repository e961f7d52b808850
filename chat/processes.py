"""Which processes there are: each web process and worker says every few seconds that it lives and what it holds."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass
from typing import LiteralString

from django.db import connection
from django.db.models.functions import Now

from chat.models import ProcessKind, ServerProcess
from chat.pool import DatabasePool

HEARTBEAT_SECONDS = 10.0
# One that has missed three is not counted any more, and one that was silent for long is forgotten.
LIVE_SECONDS = 35.0
FORGET_SECONDS = 300.0

_UPSERT: LiteralString = """
    INSERT INTO chat_serverprocess (id, kind, version, started_at, seen_at, connections, runs, loop_lag)
    VALUES (%(id)s, %(kind)s, %(version)s, %(started_at)s, now(), %(connections)s, %(runs)s, %(loop_lag)s)
    ON CONFLICT (id) DO UPDATE SET
        seen_at = excluded.seen_at, connections = excluded.connections, runs = excluded.runs,
        loop_lag = excluded.loop_lag
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveProcess:
    """What a process says of itself. `loop_lag`: seconds that its event loop was late at most, since it last spoke.

    `seen_at` is by the clock of the database, and None before the first time.
    """

    id: uuid.UUID
    kind: ProcessKind
    version: str
    started_at: datetime.datetime
    connections: int
    runs: int
    loop_lag: float
    seen_at: datetime.datetime | None = None


async def say_alive(pool: DatabasePool, process: LiveProcess) -> None:
    """Raises psycopg.OperationalError when the database cannot be reached."""
    values = {
        "id": process.id,
        "kind": process.kind.value,
        "version": process.version[:32],
        "started_at": process.started_at,
        "connections": process.connections,
        "runs": process.runs,
        "loop_lag": process.loop_lag,
    }
    async with pool.connection() as pooled:
        await pooled.execute(_UPSERT, values)


async def say_ended(pool: DatabasePool, process_id: uuid.UUID) -> None:
    """Raises psycopg.OperationalError when the database cannot be reached."""
    async with pool.connection() as pooled:
        await pooled.execute("DELETE FROM chat_serverprocess WHERE id = %s", (process_id,))


def live_processes() -> list[LiveProcess]:
    """The processes that spoke lately, web processes first, each kind in the order in which they started.

    One that was killed is among them for LIVE_SECONDS more. One query, whatever there is.
    """
    since = Now() - datetime.timedelta(seconds=LIVE_SECONDS)
    found = ServerProcess.objects.filter(seen_at__gt=since).order_by("kind", "started_at", "id")
    return [
        LiveProcess(
            id=row.id,
            kind=ProcessKind(row.kind),
            version=row.version,
            started_at=row.started_at,
            connections=row.connections,
            runs=row.runs,
            loop_lag=row.loop_lag,
            seen_at=row.seen_at,
        )
        for row in found
    ]


def forget_lost(*, limit: int) -> int:
    """Remove processes that did not remove themselves. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            """DELETE FROM chat_serverprocess WHERE id IN (
                   SELECT id FROM chat_serverprocess WHERE seen_at < now() - make_interval(secs => %s)
                   LIMIT %s FOR UPDATE SKIP LOCKED)""",
            [FORGET_SECONDS, limit],
        )
        return int(cursor.rowcount)
