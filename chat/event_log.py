"""The log of run events, and the edges of a run that its holder writes.

A holder is who claimed the run. It writes through `DatabasePool` in plain SQL, here and nowhere else. One statement
allocates the sequence numbers, checks the fence (`claim`) and commits; only what is committed is published.
Each write names the `last_seq` it expects, so that it can be repeated after a lost answer without writing twice.
"""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import pydantic_core
from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from agents.errors import RunTaken
from agents.events import Usage
from chat.delivery import Frame
from chat.jobs import defer_run_on
from chat.log_reader import LogReader
from chat.models import RunStatus
from chat.pool import Connection, DatabasePool
from chat.publisher import Publisher, wake_up
from chat.run_event import Event, answer_json, bounded_name, event_frame, now


class RunFenced(RunTaken):
    """The run was taken from this holder: it was stopped, deleted, or recovered by somebody else."""


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


def interrupted(tools: str) -> Ending:
    """The end of a run that lost its worker after unrepeatable tools had begun."""
    message = f"The run was interrupted after {tools} had begun. It may have taken effect, so it is not repeated."
    return _worker_lost(message, retryable=False)


def attempts_used_up(attempts: int) -> Ending:
    """The end of a run that lost its worker too often."""
    message = f"The server that ran this was lost {attempts} times. You can send the message again."
    return _worker_lost(message, retryable=True)


def _worker_lost(message: str, *, retryable: bool) -> Ending:
    data = {"error_code": "WORKER_LOST", "error_message": message, "retryable": retryable}
    return Ending(RunStatus.FAILED, "agent_error", data, error_code="WORKER_LOST", error_message=message)


# The text of a run's answer so far: the chunks of its last attempt (docs/protocol.md, section 3).
ANSWER_SQL: LiteralString = """
    SELECT string_agg(data->>'text', '' ORDER BY seq) AS content FROM chat_runevent
    WHERE run_id = %(run)s AND type = 'agent_response_chunk'
      AND seq > (SELECT restart_seq FROM chat_run WHERE id = %(run)s)
"""
_INSERT_EVENTS: LiteralString = """
    INSERT INTO chat_runevent (run_id, seq, type, agent, data, created_at, whole_result)
    SELECT %(run)s, %(first)s + e.ord - 1, e.type, e.agent, e.data, e.created_at, e.whole_result
    FROM unnest(%(types)s::text[], %(agents)s::text[], %(datas)s::jsonb[], %(times)s::timestamptz[],
                %(whole_results)s::text[]::jsonb[])
         WITH ORDINALITY AS e(type, agent, data, created_at, whole_result, ord)
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
_BEGIN_UNREPEATABLE: LiteralString = """
    UPDATE chat_run SET unrepeatable_tools = CASE
        WHEN %(tool)s = ANY(string_to_array(unrepeatable_tools, ', ')) THEN unrepeatable_tools
        ELSE left(concat_ws(', ', NULLIF(unrepeatable_tools, ''), %(tool)s), 1000) END
    WHERE id = %(run)s AND claim = %(claim)s AND status = 'running'
"""
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


class EventLog(LogReader):
    """Appends, reads and publishes run events."""

    def __init__(self, pool: DatabasePool, publisher: Publisher) -> None:
        super().__init__(pool)
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
            await _lock_thread(connection, run)
            frames = await self._end(connection, run, ending, pending)
            if frames is None and not await self._already_written(connection, run, len(pending) + 1):
                raise RunFenced
        return frames or []

    async def _end(
        self, connection: Connection, run: HeldRun, ending: Ending, pending: Sequence[Event]
    ) -> list[Frame] | None:
        """The frames of the last events, or None when the run was taken. The thread's row is locked."""
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
            return None
        first = run.last_seq + 1
        if pending:
            await connection.execute(_INSERT_EVENTS, _event_parameters(run.id, first, pending))
        message = await self._store_answer(connection, run, ending, parent=row["input_message_id"])
        terminal = Event(ending.type, run.agent, {**ending.data, **({"message": message} if message else {})}, now())
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
        return answer_json(run.message_id, content)

    async def begin_unrepeatable(self, run: HeldRun, tool: str) -> None:
        """Commit that a tool begins that must not be repeated. Waits while the database is away. Raises RunFenced."""
        await self.pool.until_reached(lambda: self._begin_unrepeatable(run, tool))

    async def _begin_unrepeatable(self, run: HeldRun, tool: str) -> None:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                _BEGIN_UNREPEATABLE, {"run": run.id, "claim": run.claim, "tool": bounded_name(tool)}
            )
            if cursor.rowcount == 0:
                raise RunFenced

    async def hand_back(self, run: HeldRun, *, reason: str) -> RunStatus | None:
        """`running → queued`, same attempt: what was said so far is void. None when the run was taken already.

        A run in which an unrepeatable tool began is not repeated: `running → failed`.
        """
        async with self.pool.connection() as connection, connection.transaction():
            await _lock_thread(connection, run)
            cursor = await connection.execute(
                """SELECT last_seq, unrepeatable_tools FROM chat_run
                   WHERE id = %s AND claim = %s AND status = 'running' FOR NO KEY UPDATE""",
                (run.id, run.claim),
            )
            row = await cursor.fetchone()
            if row is None:
                return None
            run.last_seq = row["last_seq"]
            if row["unrepeatable_tools"]:
                status = RunStatus.FAILED
                frames = await self._end(connection, run, interrupted(row["unrepeatable_tools"]), []) or []
            else:
                status = RunStatus.QUEUED
                frames = await self._requeue(connection, run, reason)
        await self.publisher.send(run.user_id, wake_up(str(run.id), run.run_number, frames))
        return status

    async def _requeue(self, connection: Connection, run: HeldRun, reason: str) -> list[Frame]:
        event = Event("agent_restarted", run.agent, {"attempt": run.attempt, "reason": reason}, now())
        seq = run.last_seq + 1
        await connection.execute(
            """UPDATE chat_run SET status = 'queued', claim = claim + 1, last_seq = %(seq)s, restart_seq = %(seq)s
               WHERE id = %(run)s""",
            {"run": run.id, "seq": seq},
        )
        await connection.execute(_INSERT_EVENTS, _event_parameters(run.id, seq, [event]))
        return run.frames(seq, [event])


async def _lock_thread(connection: Connection, run: HeldRun) -> None:
    """Lock order everywhere: user counters, thread, run."""
    await connection.execute("SELECT 1 FROM chat_thread WHERE id = %s FOR NO KEY UPDATE", (run.thread_id,))


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
        "whole_results": [event.whole_result for event in events],
    }
