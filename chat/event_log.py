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
from agents.events import AgentPaused, Usage
from chat import claiming, metrics
from chat.branches import ADOPT_WAITING
from chat.claiming import HeldRun
from chat.delivery import Frame
from chat.grouped_appends import GroupedAppends, SharedWindow, append_alone
from chat.jobs import defer_run_on, defer_title_on
from chat.log_reader import LogReader
from chat.models import RunStatus, TitleOrigin
from chat.pool import Connection, DatabasePool
from chat.publisher import Publisher
from chat.run_event import (
    MAX_AGENT_NAME,
    Event,
    answer_json,
    approval_required,
    bounded_name,
    now,
)
from chat.wake_ups import wake_up


class RunFenced(RunTaken):
    """The run was taken from this holder: it was stopped, deleted, or recovered by somebody else."""


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
    return _failure("WORKER_LOST", message, retryable=False)


def attempts_used_up(attempts: int) -> Ending:
    """The end of a run that lost its worker too often."""
    message = f"The server that ran this was lost {attempts} times. You can send the message again."
    return _failure("WORKER_LOST", message, retryable=True)


def approval_expired() -> Ending:
    """The end of a run that waited for a person too long."""
    message = "Nobody answered the request for approval in time. You can send the message again."
    return _failure("APPROVAL_EXPIRED", message, retryable=True)


def _failure(code: str, message: str, *, retryable: bool) -> Ending:
    data = {"error_code": code, "error_message": message, "retryable": retryable}
    return Ending(RunStatus.FAILED, "agent_error", data, error_code=code, error_message=message)


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
_BEGIN_UNREPEATABLE: LiteralString = """
    UPDATE chat_run SET unrepeatable_tools = CASE
        WHEN %(tool)s = ANY(string_to_array(unrepeatable_tools, ', ')) THEN unrepeatable_tools
        ELSE left(concat_ws(', ', NULLIF(unrepeatable_tools, ''), %(tool)s), 1000) END
    WHERE id = %(run)s AND claim = %(claim)s AND status = 'running'
"""
_PAUSE: LiteralString = """
    UPDATE chat_run SET status = 'awaiting_approval', last_seq = %(last)s, paused_seq = %(last)s,
           paused_state = %(state)s, job_id = NULL, unrepeatable_tools = ''
    WHERE id = %(run)s AND claim = %(claim)s AND last_seq = %(expected)s AND status = 'running'
"""
_INSERT_APPROVALS: LiteralString = """
    INSERT INTO chat_approval (run_id, tool_call_id, agent, tool, arguments, created_at, expires_at, "by", reason)
    SELECT %(run)s, a.tool_call_id, a.agent, a.tool, a.arguments, %(now)s, %(expires)s, '', ''
    FROM unnest(%(ids)s::text[], %(agents)s::text[], %(tools)s::text[], %(arguments)s::jsonb[])
         AS a(tool_call_id, agent, tool, arguments)
"""


class EventLog(LogReader):
    """Appends, reads and publishes run events."""

    def __init__(self, pool: DatabasePool, publisher: Publisher) -> None:
        super().__init__(pool)
        self.publisher = publisher
        self.window = SharedWindow()
        self._grouped = GroupedAppends(pool)

    async def claim(self, run_id: str) -> tuple[HeldRun, list[DictRow]] | None:
        """`queued → running`: take the run. None when it is not queued (any more), or not its thread's turn.

        Returns the run and its conversation, as `chat.claiming` says.
        """
        try:
            return await self._claim(run_id)
        except UniqueViolation:
            return None  # another run of the thread was claimed at the same moment

    async def _claim(self, run_id: str) -> tuple[HeldRun, list[DictRow]] | None:
        # Who is interrupted before the run is known here has not claimed it.
        async with self.pool.connection() as connection, connection.transaction():
            return await claiming.claim(connection, run_id)

    async def append(self, run: HeldRun, events: Sequence[Event]) -> None:
        """Commit and publish events of a running run. Waits while the database is away. Raises RunFenced."""
        first = run.last_seq + 1
        await self.pool.until_reached(lambda: self._append(run, events))
        metrics.EVENTS_WRITTEN.inc(len(events))
        await self.publisher.send(run.user_id, wake_up(str(run.id), run.run_number, run.frames(first, events)))

    async def _append(self, run: HeldRun, events: Sequence[Event]) -> None:
        if not await self._grouped.append(run, events):
            async with self.pool.connection() as connection:
                if not (
                    await append_alone(connection, run, events)
                    or await self._already_written(connection, run, len(events))
                ):
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
        job of the thread's next queued run; with that of the thread's title, too, when it has none of an exchange yet.
        Waits while the database is away. Raises RunFenced.
        """
        frames = await self.pool.until_reached(lambda: self._finish(run, ending, pending))
        _ended(run, ending, events=len(pending) + 1)
        if frames:
            await self.publisher.send(run.user_id, wake_up(str(run.id), run.run_number, frames))

    async def _finish(self, run: HeldRun, ending: Ending, pending: Sequence[Event]) -> list[Frame]:
        async with self.pool.connection() as connection, connection.transaction():
            title_origin = await _lock_thread(connection, run)
            frames = await self._end(connection, run, ending, pending)
            if frames is None and not await self._already_written(connection, run, len(pending) + 1):
                raise RunFenced
            if frames and ending.status == RunStatus.COMPLETED and title_origin == TitleOrigin.QUESTION:
                await defer_title_on(connection, run.id)
        return frames or []

    async def _end(
        self, connection: Connection, run: HeldRun, ending: Ending, pending: Sequence[Event]
    ) -> list[Frame] | None:
        """The frames of the last events, or None when the run was taken. The thread's row is locked."""
        cursor = await connection.execute(
            """UPDATE chat_run SET status = %(status)s, finished_at = %(now)s, last_seq = last_seq + %(count)s,
                      error_code = %(error_code)s, error_message = %(error_message)s, usage = %(usage)s,
                      paused_state = NULL
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
        cursor = await connection.execute(
            """WITH answer AS (
                   INSERT INTO chat_message
                       (message_id, user_id, thread_id, parent_id, role, content, run_number, partial, created_at)
                   VALUES (%(message)s, %(user)s, %(thread)s, %(parent)s, 'assistant', %(content)s, %(number)s,
                           %(partial)s, %(now)s) RETURNING id)
               UPDATE chat_run SET output_message_id = (SELECT id FROM answer) WHERE id = %(run)s
               RETURNING output_message_id AS answer, input_message_id AS question, run_number""",
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
        await connection.execute(ADOPT_WAITING, await cursor.fetchone())
        return answer_json(run.message_id, content)

    async def pause(self, run: HeldRun, paused: AgentPaused, *, pending: Sequence[Event], expires_in: float) -> None:
        """`running → awaiting_approval`: with the last events, commit what the run waits for and what it goes on from.

        `expires_in`: seconds that a person has. Waits while the database is away. Raises RunFenced.
        """
        frames = await self.pool.until_reached(lambda: self._pause(run, paused, pending, expires_in))
        metrics.EVENTS_WRITTEN.inc(len(pending) + len(paused.approvals))
        if frames:
            await self.publisher.send(run.user_id, wake_up(str(run.id), run.run_number, frames))

    async def _pause(
        self, run: HeldRun, paused: AgentPaused, pending: Sequence[Event], expires_in: float
    ) -> list[Frame]:
        at = now()
        events = [*pending, *(approval_required(approval, expires_in) for approval in paused.approvals)]
        async with self.pool.connection() as connection, connection.transaction():
            await _lock_thread(connection, run)
            cursor = await connection.execute(
                _PAUSE,
                {
                    "run": run.id,
                    "claim": run.claim,
                    "expected": run.last_seq,
                    "last": run.last_seq + len(events),
                    "state": _jsonb(claiming.paused_state(run, paused.state)),
                },
            )
            if cursor.rowcount == 0:
                if not await self._already_written(connection, run, len(events)):
                    raise RunFenced
                return []
            await connection.execute(_INSERT_EVENTS, _event_parameters(run.id, run.last_seq + 1, events))
            await connection.execute(
                _INSERT_APPROVALS,
                {
                    "run": run.id,
                    "ids": [bounded_name(approval.tool_call_id) for approval in paused.approvals],
                    "agents": [bounded_name(approval.agent, MAX_AGENT_NAME) for approval in paused.approvals],
                    "tools": [bounded_name(approval.tool) for approval in paused.approvals],
                    "arguments": [_jsonb(approval.arguments) for approval in paused.approvals],
                    "now": at,
                    "expires": at + datetime.timedelta(seconds=expires_in),
                },
            )
        return run.frames(run.last_seq + 1, events)

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
            ending = interrupted(row["unrepeatable_tools"]) if row["unrepeatable_tools"] else None
            if ending is not None:
                frames = await self._end(connection, run, ending, []) or []
            else:
                frames = await self._requeue(connection, run, reason)
        if ending is not None:
            _ended(run, ending, events=1)
        else:
            metrics.RUNS_RESTARTED.labels(reason).inc()
            metrics.EVENTS_WRITTEN.inc()
        await self.publisher.send(run.user_id, wake_up(str(run.id), run.run_number, frames))
        return ending.status if ending is not None else RunStatus.QUEUED

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


def _ended(run: HeldRun, ending: Ending, *, events: int) -> None:
    metrics.EVENTS_WRITTEN.inc(events)
    metrics.run_ended(run.agent, ending.status, code=ending.error_code, started_at=run.started_at, ended_at=now())


async def _lock_thread(connection: Connection, run: HeldRun) -> str:
    """Lock order everywhere: user counters, thread, run. Returns where the thread's title is from."""
    cursor = await connection.execute(
        "SELECT title_origin FROM chat_thread WHERE id = %s FOR NO KEY UPDATE", (run.thread_id,)
    )
    row = await cursor.fetchone()
    return str(row["title_origin"]) if row else TitleOrigin.NONE


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
        "datas": [_jsonb(event.data) for event in events],
        "times": [event.created_at for event in events],
        "whole_results": [event.whole_result for event in events],
    }


def _jsonb(value: Any) -> Jsonb:
    return Jsonb(value, dumps=cast("Any", pydantic_core.to_json))
