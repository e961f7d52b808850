"""The log of run events, and the edges of a run that its holder writes.

A holder is who claimed the run. It writes through `DatabasePool` in plain SQL, here and nowhere else. One statement
allocates the sequence numbers, checks the fence (`claim`) and commits; only what is committed is published.
Each write names the `last_seq` it expects, so that it can be repeated after a lost answer without writing twice.
"""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import pydantic_core
from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from agents.events import Usage
from chat.delivery import Frame, RunPosition
from chat.jobs import defer_run_on
from chat.models import RunStatus
from chat.pool import Connection, DatabasePool
from chat.protocol import encode_event
from chat.publisher import Publisher, wake_up

TERMINAL_TYPES = frozenset({"agent_completed", "agent_error", "agent_cancelled"})


class RunFenced(Exception):
    """The run was taken from this holder: it was stopped, deleted, or recovered by somebody else."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event before it has a number."""

    type: str
    agent: str
    data: dict[str, Any]
    created_at: datetime.datetime


@dataclass(slots=True)
class HeldRun:
    """A claimed run, as its holder knows it. `last_seq` moves with each append."""

    id: uuid.UUID
    run_number: int
    user_id: int
    thread_id: uuid.UUID
    agent: str
    claim: int
    attempt: int
    last_seq: int
    started_at: datetime.datetime
    message_id: uuid.UUID

    def frames(self, first_seq: int, events: Sequence[Event]) -> list[Frame]:
        return [
            event_frame(self.id, self.run_number, self.thread_id, seq, event)
            for seq, event in enumerate(events, first_seq)
        ]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends: its status, terminal event and what the run row keeps of it."""

    status: RunStatus
    type: str
    data: dict[str, Any]
    usage: Usage | None = None
    error_code: str = ""
    error_message: str = ""


def event_frame(run_id: Any, run_number: int, thread_id: Any, seq: int, event: Event) -> Frame:
    """The numbered, encoded form of an event."""
    text = encode_event(
        type=event.type,
        thread_id=str(thread_id),
        run_id=str(run_id),
        run_number=run_number,
        seq=seq,
        created_at=event.created_at,
        agent=event.agent,
        data=event.data,
    )
    return Frame(seq=seq, text=text, terminal=event.type in TERMINAL_TYPES)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


# The text of a run's answer so far: the chunks of its last attempt (docs/protocol.md, section 3).
ANSWER_SQL: LiteralString = """
    SELECT string_agg(data->>'text', '' ORDER BY seq) AS content FROM chat_runevent
    WHERE run_id = %(run)s AND type = 'agent_response_chunk'
      AND seq > (SELECT restart_seq FROM chat_run WHERE id = %(run)s)
"""
_INSERT_EVENTS: LiteralString = """
    INSERT INTO chat_runevent (run_id, seq, type, agent, data, created_at)
    SELECT %(run)s, %(first)s + e.ord - 1, e.type, e.agent, e.data, e.created_at
    FROM unnest(%(types)s::text[], %(agents)s::text[], %(datas)s::jsonb[], %(times)s::timestamptz[])
         WITH ORDINALITY AS e(type, agent, data, created_at, ord)
"""
_APPEND: LiteralString = (
    """
    WITH fence AS (
        UPDATE chat_run SET last_seq = last_seq + %(count)s
        WHERE id = %(run)s AND claim = %(claim)s AND last_seq = %(expected)s AND status = 'running'
        RETURNING id
    )"""
    + _INSERT_EVENTS
    + " WHERE EXISTS (SELECT 1 FROM fence)"
)
_CLAIM: LiteralString = """
    UPDATE chat_run r SET status = 'running', claim = claim + 1, started_at = COALESCE(started_at, %(now)s)
    WHERE id = %(run)s AND status = 'queued' AND NOT EXISTS (
        SELECT 1 FROM chat_run o
        WHERE o.thread_id = r.thread_id AND o.status IN ('running', 'awaiting_approval'))
    RETURNING id, run_number, user_id, thread_id, agent, claim, attempt, last_seq, started_at, input_message_id
"""
# A question that waited in the queue follows the answer that was made meanwhile.
_FOLLOW_ANSWER: LiteralString = """
    UPDATE chat_message m SET parent_id = previous.output_message_id
    FROM chat_run previous
    WHERE m.id = %(message)s AND previous.input_message_id = m.parent_id AND previous.output_message_id IS NOT NULL
"""
_HISTORY: LiteralString = """
    WITH RECURSIVE chain AS (
        SELECT m.id, m.parent_id, m.role, m.content, 0 AS depth FROM chat_message m WHERE m.id = %(message)s
        UNION ALL
        SELECT p.id, p.parent_id, p.role, p.content, depth + 1
        FROM chain c JOIN chat_message p ON p.id = c.parent_id WHERE depth < %(limit)s
    ) SELECT role, content FROM chain ORDER BY depth DESC
"""
_POSITIONS: LiteralString = """
    SELECT r.id::text AS run_id, r.run_number, r.status, r.last_seq,
           COALESCE((SELECT min(e.seq) FROM chat_runevent e WHERE e.run_id = r.id), r.last_seq + 1) AS first_seq
    FROM chat_run r JOIN chat_thread t ON t.id = r.thread_id AND t.deleted_at IS NULL WHERE true
"""


class EventLog:
    """Appends, reads and publishes run events."""

    def __init__(self, pool: DatabasePool, publisher: Publisher) -> None:
        self.pool = pool
        self.publisher = publisher

    async def claim(self, run_id: str) -> tuple[HeldRun, list[DictRow]] | None:
        """`queued → running`: take the run. None when it is not queued (any more), or not its thread's turn.

        Returns the run and its conversation: rows of `role` and `content`, oldest first, the question last.
        """
        try:
            return await self._claim(run_id)
        except UniqueViolation:
            return None  # another run of the thread was claimed at the same moment

    async def _claim(self, run_id: str) -> tuple[HeldRun, list[DictRow]] | None:
        async with self.pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(_CLAIM, {"run": run_id, "now": now()})
            row = await cursor.fetchone()
            if row is None:
                return None
            message = row.pop("input_message_id")
            await connection.execute(_FOLLOW_ANSWER, {"message": message})
            cursor = await connection.execute(_HISTORY, {"message": message, "limit": 200})
            conversation = await cursor.fetchall()
        return HeldRun(**row, message_id=uuid.uuid4()), conversation

    async def append(self, run: HeldRun, events: Sequence[Event]) -> None:
        """Commit and publish events of a running run. Waits while the database is away. Raises RunFenced."""
        first = run.last_seq + 1
        await self.pool.until_reached(lambda: self._append(run, events))
        await self.publisher.send(run.user_id, wake_up(str(run.id), run.run_number, run.frames(first, events)))

    async def _append(self, run: HeldRun, events: Sequence[Event]) -> None:
        parameters = _event_parameters(run.id, run.last_seq + 1, events) | {
            "claim": run.claim,
            "expected": run.last_seq,
            "count": len(events),
        }
        async with self.pool.connection() as connection:
            cursor = await connection.execute(_APPEND, parameters)
            if cursor.rowcount == 0 and not await self._already_written(connection, run, len(events)):
                raise RunFenced
        run.last_seq += len(events)

    async def _already_written(self, connection: Connection, run: HeldRun, count: int) -> bool:
        """Whether an earlier try of the same write was committed, and only its answer was lost."""
        cursor = await connection.execute(
            "SELECT 1 FROM chat_run WHERE id = %s AND claim = %s AND last_seq = %s",
            (run.id, run.claim, run.last_seq + count),
        )
        return await cursor.fetchone() is not None

    async def finish(self, run: HeldRun, ending: Ending, *, pending: Sequence[Event]) -> None:
        """`running → completed` or `failed`, in one transaction with the last events, the answer, the usage and the
        job of the thread's next queued run. Waits while the database is away. Raises RunFenced.
        """
        frames = await self.pool.until_reached(lambda: self._finish(run, ending, pending))
        if frames:
            await self.publisher.send(run.user_id, wake_up(str(run.id), run.run_number, frames))

    async def _finish(self, run: HeldRun, ending: Ending, pending: Sequence[Event]) -> list[Frame]:
        async with self.pool.connection() as connection, connection.transaction():
            # Lock order everywhere: user counters, thread, run.
            await connection.execute("SELECT 1 FROM chat_thread WHERE id = %s FOR NO KEY UPDATE", (run.thread_id,))
            cursor = await connection.execute(
                """UPDATE chat_run SET status = %(status)s, finished_at = %(now)s, last_seq = last_seq + %(count)s,
                          error_code = %(error_code)s, error_message = %(error_message)s, usage = %(usage)s
                   WHERE id = %(run)s AND claim = %(claim)s AND last_seq = %(expected)s AND status = 'running'
                   RETURNING input_message_id""",
                {
                    "status": ending.status,
                    "now": now(),
                    "count": len(pending) + 1,
                    "error_code": ending.error_code,
                    "error_message": ending.error_message,
                    "usage": Jsonb(dataclasses.asdict(ending.usage)) if ending.usage else None,
                    "run": run.id,
                    "claim": run.claim,
                    "expected": run.last_seq,
                },
            )
            row = await cursor.fetchone()
            if row is None:
                if await self._already_written(connection, run, len(pending) + 1):
                    return []
                raise RunFenced
            first = run.last_seq + 1
            if pending:
                await connection.execute(_INSERT_EVENTS, _event_parameters(run.id, first, pending))
            message = await self._store_answer(connection, run, ending, parent=row["input_message_id"])
            terminal = Event(
                ending.type, run.agent, {**ending.data, **({"message": message} if message else {})}, now()
            )
            await connection.execute(_INSERT_EVENTS, _event_parameters(run.id, first + len(pending), [terminal]))
            await _defer_next(connection, run.thread_id)
        return run.frames(first, [*pending, terminal])

    async def _store_answer(
        self, connection: Connection, run: HeldRun, ending: Ending, *, parent: int
    ) -> dict[str, Any] | None:
        """The assistant's message: whole when the run completed, else what there is of it, if anything."""
        cursor = await connection.execute(ANSWER_SQL, {"run": run.id})
        row = await cursor.fetchone()
        content = (row and row["content"]) or ""
        completed = ending.status == RunStatus.COMPLETED
        if not content and not completed:
            return None
        await connection.execute(
            """WITH answer AS (
                   INSERT INTO chat_message
                       (message_id, user_id, thread_id, parent_id, role, content, run_number, partial, created_at)
                   VALUES (%(message)s, %(user)s, %(thread)s, %(parent)s, 'assistant', %(content)s, %(number)s,
                           %(partial)s, %(now)s) RETURNING id)
               UPDATE chat_run SET output_message_id = (SELECT id FROM answer) WHERE id = %(run)s""",
            {
                "message": run.message_id,
                "user": run.user_id,
                "thread": run.thread_id,
                "parent": parent,
                "content": content,
                "number": run.run_number,
                "partial": not completed,
                "now": now(),
                "run": run.id,
            },
        )
        return {"id": str(run.message_id), "role": "assistant", "content": content}

    async def hand_back(self, run: HeldRun, *, reason: str) -> bool:
        """`running → queued`, same attempt: what was said so far is void. False when the run was taken already."""
        event = Event("agent_restarted", run.agent, {"attempt": run.attempt, "reason": reason}, now())
        async with self.pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(
                """UPDATE chat_run SET status = 'queued', claim = claim + 1, last_seq = last_seq + 1,
                          restart_seq = last_seq + 1
                   WHERE id = %s AND claim = %s AND status = 'running' RETURNING last_seq""",
                (run.id, run.claim),
            )
            row = await cursor.fetchone()
            if row is None:
                return False
            seq = row["last_seq"]
            await connection.execute(_INSERT_EVENTS, _event_parameters(run.id, seq, [event]))
        await self.publisher.send(run.user_id, wake_up(str(run.id), run.run_number, run.frames(seq, [event])))
        return True

    async def read_after(self, run_id: str, after_seq: int, *, limit: int) -> list[Frame]:
        """The next events of a run, at most `limit`, in order."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                """SELECT e.seq, e.type, e.agent, e.data, e.created_at, r.run_number, r.thread_id
                   FROM chat_runevent e JOIN chat_run r ON r.id = e.run_id
                   WHERE e.run_id = %s AND e.seq > %s ORDER BY e.seq LIMIT %s""",
                (run_id, after_seq, limit),
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

    async def positions_above(self, user_id: int, *, run_number: int, limit: int) -> list[RunPosition]:
        """The first `limit` runs of the user with a higher number, in their order."""
        return await self._positions(
            "r.user_id = %s AND r.run_number > %s",
            (user_id, run_number),
            " ORDER BY r.run_number LIMIT %s",
            (limit,),
        )

    async def standing(
        self, *, run_ids: Collection[str], above: Mapping[Any, int]
    ) -> dict[Any, tuple[int, list[RunPosition]]]:
        """For the position check, in one snapshot: of each user in `above` the version of the thread list, the runs
        above that number, and those of `run_ids`.
        """
        users = list(above)
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                """SELECT u.user_id AS asked, c.threads_version, p.*
                   FROM unnest(%s, %s::bigint[]) AS u(user_id, above)
                   LEFT JOIN chat_usercounters c ON c.user_id = u.user_id
                   LEFT JOIN LATERAL ("""
                + _POSITIONS
                + " AND r.user_id = u.user_id AND r.run_number > u.above UNION "
                + _POSITIONS
                + " AND r.user_id = u.user_id AND r.id = ANY(%s::uuid[])) p ON true",
                (users, list(above.values()), list(run_ids)),
            )
            rows = await cursor.fetchall()
        standing: dict[Any, tuple[int, list[RunPosition]]] = {}
        for row in rows:
            _, positions = standing.setdefault(row.pop("asked"), (row.pop("threads_version") or 0, []))
            if row["run_id"] is not None:
                positions.append(RunPosition(**row))
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


async def _defer_next(connection: Connection, thread_id: uuid.UUID) -> None:
    """Give the head of the thread's queue its job. The thread's row is locked, so no run is queued meanwhile."""
    cursor = await connection.execute(
        "SELECT id FROM chat_run WHERE thread_id = %s AND status = 'queued' ORDER BY run_number LIMIT 1",
        (thread_id,),
    )
    row = await cursor.fetchone()
    if row is not None:
        job_id = await defer_run_on(connection, row["id"])
        await connection.execute("UPDATE chat_run SET job_id = %s WHERE id = %s", (job_id, row["id"]))


def _event_parameters(run_id: uuid.UUID, first_seq: int, events: Sequence[Event]) -> dict[str, Any]:
    return {
        "run": run_id,
        "first": first_seq,
        "types": [event.type for event in events],
        "agents": [event.agent for event in events],
        "datas": [Jsonb(event.data, dumps=cast("Any", pydantic_core.to_json)) for event in events],
        "times": [event.created_at for event in events],
    }
