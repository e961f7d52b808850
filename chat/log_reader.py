"""The log of run events as connections read it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString, NamedTuple

from psycopg.rows import tuple_row
from pydantic_core import to_json

from chat.credential import Credential
from chat.delivery import Frame, RunPosition
from chat.pool import DatabasePool
from chat.run_event import stored_event_frame
from chat.together import Together, at_most

# So many are answered by one statement: each may ask for hundreds of runs, and nobody waits long for those of others.
MOST_ASKING = 50

# No join: without statistics, as in a new database, the planner would look through all threads for each user.
_POSITIONS: LiteralString = """
    SELECT r.id::text AS run_id, r.run_number, r.status, r.last_seq,
           COALESCE((SELECT min(e.seq) FROM chat_runevent e WHERE e.run_id = r.id), r.last_seq + 1) AS first_seq
    FROM chat_run r WHERE (SELECT t.deleted_at IS NULL FROM chat_thread t WHERE t.id = r.thread_id)
"""
# One event after the other, so that what lies beyond the bound is not even read: a page of 500 may be 500 MB. OFFSET 0
# keeps the planner from writing each event's JSON twice. The time is written as `chat.protocol.timestamp` does.
_PAGE: LiteralString = """
    WITH RECURSIVE page AS (
        (SELECT e.seq, e.type, e.agent, e.data::text AS data, e.created_at,
                octet_length(e.data::text)::bigint AS bytes, 1 AS events
         FROM chat_runevent e WHERE e.run_id = %(run)s AND e.seq > %(after)s ORDER BY e.seq LIMIT 1)
        UNION ALL
        SELECT e.seq, e.type, e.agent, e.data, e.created_at, p.bytes + octet_length(e.data), p.events + 1
        FROM page p CROSS JOIN LATERAL (
            SELECT n.seq, n.type, n.agent, n.data::text AS data, n.created_at
            FROM chat_runevent n WHERE n.run_id = %(run)s AND n.seq = p.seq + 1 OFFSET 0) e
        WHERE p.bytes < %(bytes)s AND p.events < %(limit)s
    )
    SELECT r.run_number, r.thread_id::text, p.seq, p.type, p.agent, p.data,
           to_char(p.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at
    FROM page p JOIN chat_run r ON r.id = %(run)s ORDER BY p.seq
"""


# Of each connection one row or several where there is news, none where all is as it knows. What is asked comes as one
# JSON array: for ten thousand connections it is read faster than arrays of each column.
_NEWS: LiteralString = (
    """
    WITH asked AS (
        SELECT place, (of->>0)::bigint AS user_id, (of->>1)::bigint AS above, of->2 AS run_ids,
               (of->>3)::bigint AS threads_version, (of->4->>'epoch')::bigint AS epoch,
               of->4->>'password' AS password, (of->4->>'session')::uuid AS session
        FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS known(of, place))
    SELECT k.place, t.counts, t.threads_version, p.*
    FROM asked k
    LEFT JOIN auth_user u ON u.id = k.user_id
    LEFT JOIN chat_usercounters c ON c.user_id = k.user_id
    LEFT JOIN chat_session s ON s.id = k.session AND s.user_id = k.user_id AND s.ended_at IS NULL
    CROSS JOIN LATERAL (SELECT
        COALESCE(c.threads_version, 0) AS threads_version,
        COALESCE(u.is_active AND upper(md5(u.password)) = k.password, false)
            AND COALESCE(c.sessions_epoch, 0) = k.epoch AND (k.session IS NULL OR s.id IS NOT NULL) AS counts
    ) t
    LEFT JOIN LATERAL ("""
    + _POSITIONS
    + " AND r.user_id = k.user_id AND r.run_number > k.above UNION "
    + _POSITIONS
    + """ AND r.user_id = k.user_id
          AND r.id = ANY(ARRAY(SELECT jsonb_array_elements_text(k.run_ids))::uuid[])) p ON true
    WHERE p.run_id IS NOT NULL OR NOT t.counts OR t.threads_version > k.threads_version"""
)


_ASKED_POSITIONS: LiteralString = (
    """
    WITH asked AS (
        SELECT place, (of->>0)::bigint AS user_id, of->1 AS run_ids, of->2 AS run_numbers, (of->>3)::bigint AS above,
               (of->>4)::int AS most
        FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS asked(of, place))
    SELECT k.place, p.* FROM asked k CROSS JOIN LATERAL ("""
    + _POSITIONS
    + """ AND r.user_id = k.user_id
          AND r.id = ANY(ARRAY(SELECT jsonb_array_elements_text(k.run_ids))::uuid[]) UNION """
    + _POSITIONS
    + """ AND r.user_id = k.user_id
          AND r.run_number = ANY(ARRAY(SELECT jsonb_array_elements_text(k.run_numbers))::bigint[]) UNION ("""
    + _POSITIONS
    + """ AND r.user_id = k.user_id AND r.run_number > k.above ORDER BY r.run_number LIMIT k.most)) p
    ORDER BY k.place, p.run_number"""
)


class _Asked(NamedTuple):
    user_id: int
    run_ids: Sequence[str]
    run_numbers: Sequence[int]
    above: int | None
    limit: int


class Known(NamedTuple):
    """What a connection knows, and asks about: the runs that it follows, and all above a number."""

    user_id: Any
    above: int
    run_ids: Sequence[str]
    threads_version: int
    credential: Credential


def known_text(known: Iterable[Known]) -> str:
    """What `LogReader.news` is asked."""
    return to_json(known).decode()


@dataclass(frozen=True, slots=True)
class News:
    """Of one connection: whether tokens issued on its credential count, the version of the thread list, and where the
    runs stand that it asks about.
    """

    counts: bool
    threads_version: int
    runs: list[RunPosition] = field(default_factory=list)


class LogReader:
    """Reads events, and where the runs of people stand."""

    def __init__(self, pool: DatabasePool) -> None:
        self.pool = pool
        self._together = Together(
            self._read_positions,
            name="read positions",
            room=at_most(MOST_ASKING),
            gathers=True,
        )

    async def read_after(self, run_id: str, after_seq: int, *, limit: int, max_bytes: int = sys.maxsize) -> list[Frame]:
        """The next events of a run, in order: at most `limit`, and none after those that together reach `max_bytes`."""
        async with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute(_PAGE, {"run": run_id, "after": after_seq, "limit": limit, "bytes": max_bytes})
            rows = await cursor.fetchall()
        return [
            stored_event_frame(run_id, number, thread_id, seq, kind=kind, agent=agent, data=data, at=at)
            for number, thread_id, seq, kind, agent, data, at in rows
        ]

    async def positions(
        self,
        user_id: int,
        *,
        run_ids: Sequence[str] = (),
        run_numbers: Sequence[int] = (),
        above: int | None = None,
        limit: int = 0,
    ) -> list[RunPosition]:
        """Where the named runs stand, and the first `limit` runs numbered above `above`, in their order. Runs of
        others, hidden and unknown ones are left out. Who asks at the same time is answered by one statement.
        """
        return await self._together.ask(_Asked(user_id, run_ids, run_numbers, above, limit))

    async def news(self, known: str) -> dict[int, News]:
        """For the position check, in one snapshot: by their places in what `known_text` had, who has any."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_NEWS, (known,))
            rows = await cursor.fetchall()
        found: dict[int, News] = {}
        for row in rows:
            place, counts, version = (row.pop(name) for name in ("place", "counts", "threads_version"))
            news = found.setdefault(place - 1, News(counts, version))  # SQL counts from 1
            if row["run_id"] is not None:
                news.runs.append(RunPosition(**row))
        return found

    async def _read_positions(self, asked: Sequence[_Asked]) -> list[list[RunPosition]]:
        found: list[list[RunPosition]] = [[] for _ in asked]
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_ASKED_POSITIONS, (to_json(asked).decode(),))
            for row in await cursor.fetchall():
                found[row.pop("place") - 1].append(RunPosition(**row))  # SQL counts from 1
        return found
