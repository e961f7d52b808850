"""What a connection has to know of its user, read in one statement for all that open at the same time."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from django.conf import settings
from psycopg.rows import DictRow

from chat.allowances import PersonalLimits, personal_limits, server_limits
from chat.credential import Credential
from chat.models import OPEN_STATUSES
from chat.pool import DatabasePool
from chat.protocol import OpenRun
from chat.together import Together

_ARRIVALS: LiteralString = """
    SELECT a.place, u.id, u.username, u.password, u.is_active,
           COALESCE(c.sessions_epoch, 0) AS epoch,
           COALESCE(c.last_run_number, 0) AS last_run_number, COALESCE(c.threads_version, 0) AS threads_version,
           l.runs_per_day, l.tokens_per_day, l.cost_usd_per_day, l.open_runs, l.messages_per_minute, l.connections,
           a.session IS NULL OR EXISTS (
               SELECT 1 FROM chat_session s WHERE s.id = a.session AND s.user_id = u.id AND s.ended_at IS NULL
           ) AS has_session,
           (SELECT json_agg(json_build_array(r.id, r.run_number, r.thread_id, r.status, r.last_seq)
                            ORDER BY r.run_number)
            FROM chat_run r JOIN chat_thread t ON t.id = r.thread_id AND t.deleted_at IS NULL
            WHERE r.user_id = u.id AND r.status = ANY(%(open)s)) AS runs,
           EXISTS (SELECT 1 FROM procrastinate_workers
                   WHERE last_heartbeat > now() - make_interval(secs => %(stalled)s)) AS has_worker
    FROM unnest(%(users)s::bigint[], %(sessions)s::uuid[]) WITH ORDINALITY AS a(user_id, session, place)
    JOIN auth_user u ON u.id = a.user_id
    LEFT JOIN chat_usercounters c ON c.user_id = u.id
    LEFT JOIN chat_allowance l ON l.user_id = u.id
"""


@dataclass(frozen=True, slots=True)
class UserSnapshot:
    """What a connection announces of its user: counters and open runs, read in one transaction."""

    last_run_number: int
    threads_version: int
    open_runs: list[OpenRun]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A user, what their tokens have to say to count, and where they stand. `password` is the stored hash."""

    user_id: int
    username: str
    is_active: bool
    password: str
    epoch: int
    has_session: bool
    limits: PersonalLimits
    snapshot: UserSnapshot
    has_worker: bool


class Arrivals:
    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool
        self._together = Together(self._read, name="read arrivals", gathers=True)

    async def find(self, user_id: int, credential: Credential) -> Arrival | None:
        """None: there is no such user. `has_session` is of the credential's session, True when it has none.

        Raises psycopg.OperationalError when the database cannot be reached.
        """
        return await self._together.ask((user_id, credential.session))

    async def _read(self, asked: Sequence[tuple[int, uuid.UUID | None]]) -> Sequence[Arrival | None]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                _ARRIVALS,
                {
                    "users": [user_id for user_id, _ in asked],
                    "sessions": [session for _, session in asked],
                    "open": list(OPEN_STATUSES),
                    "stalled": settings.NETRA.worker_stalled_seconds,
                },
            )
            rows = await cursor.fetchall()
        everybodys = server_limits()
        found = {row["place"]: _arrival(row, everybodys) for row in rows}
        return [found.get(place) for place in range(1, len(asked) + 1)]


def _arrival(row: DictRow, everybodys: PersonalLimits) -> Arrival:
    runs: list[list[Any]] = row["runs"] or []
    return Arrival(
        user_id=row["id"],
        username=row["username"],
        is_active=row["is_active"],
        password=row["password"],
        epoch=row["epoch"],
        has_session=row["has_session"],
        limits=personal_limits(everybodys, row),
        snapshot=UserSnapshot(
            last_run_number=row["last_run_number"],
            threads_version=row["threads_version"],
            open_runs=[
                OpenRun(run_id=run_id, run_number=number, thread_id=thread_id, status=status, last_seq=last_seq)
                for run_id, number, thread_id, status, last_seq in runs
            ],
        ),
        has_worker=row["has_worker"],
    )
