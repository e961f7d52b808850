"""The log of run events as connections read it."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

from chat.credential import Credential
from chat.delivery import Frame, RunPosition
from chat.pool import DatabasePool
from chat.run_event import Event, event_frame

_POSITIONS: LiteralString = """
    SELECT r.id::text AS run_id, r.run_number, r.status, r.last_seq,
           COALESCE((SELECT min(e.seq) FROM chat_runevent e WHERE e.run_id = r.id), r.last_seq + 1) AS first_seq
    FROM chat_run r JOIN chat_thread t ON t.id = r.thread_id AND t.deleted_at IS NULL WHERE true
"""
# One event after the other, so that what lies beyond the bound is not even read: a page of 500 may be 500 MB.
_PAGE: LiteralString = """
    WITH RECURSIVE page AS (
        (SELECT e.seq, e.type, e.agent, e.data, e.created_at,
                octet_length(e.data::text)::bigint AS bytes, 1 AS events
         FROM chat_runevent e WHERE e.run_id = %(run)s AND e.seq > %(after)s ORDER BY e.seq LIMIT 1)
        UNION ALL
        SELECT e.seq, e.type, e.agent, e.data, e.created_at, p.bytes + octet_length(e.data::text), p.events + 1
        FROM page p JOIN chat_runevent e ON e.run_id = %(run)s AND e.seq = p.seq + 1
        WHERE p.bytes < %(bytes)s AND p.events < %(limit)s
    )
    SELECT p.seq, p.type, p.agent, p.data, p.created_at, r.run_number, r.thread_id
    FROM page p JOIN chat_run r ON r.id = %(run)s ORDER BY p.seq
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a user stands: the version of the thread list, runs, and on what tokens count.

    `password` is None when none counts; `sessions` are those that live, of which were asked for.
    """

    threads_version: int = 0
    epoch: int = 0
    password: str | None = None
    sessions: frozenset[uuid.UUID] = frozenset()
    runs: list[RunPosition] = field(default_factory=list)

    def has(self, credential: Credential) -> bool:
        """Whether tokens that were issued on it count."""
        lives = credential.session is None or credential.session in self.sessions
        return lives and (credential.epoch, credential.password) == (self.epoch, self.password)


class LogReader:
    """Reads events, and where the runs of people stand."""

    def __init__(self, pool: DatabasePool) -> None:
        self.pool = pool

    async def read_after(self, run_id: str, after_seq: int, *, limit: int, max_bytes: int = sys.maxsize) -> list[Frame]:
        """The next events of a run, in order: at most `limit`, and none after those that together reach `max_bytes`."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                _PAGE, {"run": run_id, "after": after_seq, "limit": limit, "bytes": max_bytes}
            )
            rows = await cursor.fetchall()
        return [
            event_frame(
                run_id,
                row["run_number"],
                row["thread_id"],
                row["seq"],
                Event(row["type"], row["agent"], row["data"], row["created_at"]),
            )
            for row in rows
        ]

    async def positions(self, user_id: int, *, run_ids: Sequence[str]) -> list[RunPosition]:
        """Where the named runs stand; runs of others, hidden and unknown ones are left out."""
        return await self._positions("r.user_id = %s AND r.id = ANY(%s::uuid[])", (user_id, list(run_ids)))

    async def positions_numbered(self, user_id: int, *, run_numbers: Sequence[int]) -> list[RunPosition]:
        """As `positions`, by the numbers of the runs."""
        return await self._positions(
            "r.user_id = %s AND r.run_number = ANY(%s::bigint[])", (user_id, list(run_numbers))
        )

    async def positions_above(self, user_id: int, *, run_number: int, limit: int) -> list[RunPosition]:
        """The first `limit` runs of the user with a higher number, in their order."""
        return await self._positions(
            "r.user_id = %s AND r.run_number > %s",
            (user_id, run_number),
            " ORDER BY r.run_number LIMIT %s",
            (limit,),
        )

    async def standing(
        self, *, run_ids: Collection[str], above: Mapping[Any, int], sessions: Collection[uuid.UUID] = ()
    ) -> dict[Any, Standing]:
        """For the position check, in one snapshot: of each user in `above` the version of the thread list, on what
        tokens count, which of `sessions` live, the runs above that number, and those of `run_ids`.
        """
        users = list(above)
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                """WITH living AS (
                       SELECT user_id, array_agg(id) AS sessions FROM chat_session
                       WHERE id = ANY(%s) AND ended_at IS NULL GROUP BY user_id)
                   SELECT u.user_id AS asked, COALESCE(c.threads_version, 0) AS threads_version,
                          COALESCE(c.sessions_epoch, 0) AS epoch,
                          CASE WHEN a.is_active THEN upper(md5(a.password)) END AS password,
                          l.sessions, p.*
                   FROM unnest(%s, %s::bigint[]) AS u(user_id, above)
                   LEFT JOIN auth_user a ON a.id = u.user_id
                   LEFT JOIN chat_usercounters c ON c.user_id = u.user_id
                   LEFT JOIN living l ON l.user_id = u.user_id
                   LEFT JOIN LATERAL ("""
                + _POSITIONS
                + " AND r.user_id = u.user_id AND r.run_number > u.above UNION "
                + _POSITIONS
                + " AND r.user_id = u.user_id AND r.id = ANY(%s::uuid[])) p ON true",
                (list(sessions), users, list(above.values()), list(run_ids)),
            )
            rows = await cursor.fetchall()
        standing: dict[Any, Standing] = {}
        for row in rows:
            user_id, version, epoch, password, living = (
                row.pop(name) for name in ("asked", "threads_version", "epoch", "password", "sessions")
            )
            found = standing.setdefault(user_id, Standing(version, epoch, password, frozenset(living or ())))
            if row["run_id"] is not None:
                found.runs.append(RunPosition(**row))
        return standing

    async def _positions(
        self,
        where: LiteralString,
        parameters: tuple[Any, ...],
        order: LiteralString = "",
        extra: tuple[Any, ...] = (),
    ) -> list[RunPosition]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_POSITIONS + " AND " + where + order, parameters + extra)
            return [RunPosition(**row) for row in await cursor.fetchall()]
