"""Taking a run: `queued → running`, with all that its agent is to know. Plain SQL on the holder's connection."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg.rows import DictRow

from agents.request import Decision
from chat.delivery import Frame
from chat.pool import Connection
from chat.run_event import Event, event_frame, now

MAX_HISTORY_MESSAGES = 2000
MAX_HISTORY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PausedRun:
    """What a run goes on from that waited for a person.

    `replay` are the events before the pause, when a restart has made them void: the run tells them again.
    """

    state: Mapping[str, Any]
    decisions: Mapping[str, Decision]
    replay: Sequence[Event]


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
    username: str = ""
    paused: PausedRun | None = None

    def frames(self, first_seq: int, events: Sequence[Event]) -> list[Frame]:
        return [
            event_frame(self.id, self.run_number, self.thread_id, seq, event)
            for seq, event in enumerate(events, first_seq)
        ]


_CLAIM: LiteralString = """
    UPDATE chat_run r SET status = 'running', claim = claim + 1, started_at = COALESCE(started_at, %(now)s)
    WHERE id = %(run)s AND status = 'queued' AND NOT EXISTS (
        SELECT 1 FROM chat_run o
        WHERE o.thread_id = r.thread_id AND o.status IN ('running', 'awaiting_approval'))
    RETURNING id, run_number, user_id, thread_id, agent, claim, attempt, last_seq, started_at, input_message_id,
              paused_state, paused_seq, restart_seq,
              (SELECT u.username FROM auth_user u WHERE u.id = r.user_id) AS username
"""
_HISTORY: LiteralString = """
    WITH RECURSIVE chain AS (
        SELECT m.id, m.parent_id, m.role, m.content, 0 AS depth, 0::bigint AS bytes
        FROM chat_message m WHERE m.id = %(message)s
        UNION ALL
        SELECT p.id, p.parent_id, p.role, p.content, depth + 1, bytes + octet_length(p.content)
        FROM chain c JOIN chat_message p ON p.id = c.parent_id WHERE depth < %(limit)s AND bytes < %(bytes)s
    ) SELECT role, content, (
        SELECT json_agg(json_build_object('id', a.id, 'name', a.name, 'media_type', a.media_type, 'bytes', a.bytes)
                        ORDER BY a.position)
        FROM chat_attachment a WHERE a.message_id = chain.id) AS attachments
    FROM chain ORDER BY depth DESC
"""
_DECISIONS: LiteralString = """
    SELECT tool_call_id, approved, reason FROM chat_approval WHERE run_id = %(run)s AND approved IS NOT NULL
"""
# What was said between the last restart before the pause, and the pause.
_REPLAY: LiteralString = """
    SELECT type, agent, data, whole_result::text AS whole_result FROM chat_runevent
    WHERE run_id = %(run)s AND seq <= %(paused_seq)s
      AND seq > COALESCE((SELECT max(seq) FROM chat_runevent
                          WHERE run_id = %(run)s AND seq <= %(paused_seq)s AND type = 'agent_restarted'), 1)
      AND type NOT IN ('agent_started', 'approval_required', 'approval_resolved')
    ORDER BY seq
"""


async def claim(connection: Connection, run_id: str) -> tuple[HeldRun, list[DictRow]] | None:
    """Inside a transaction. None when the run is not queued (any more), or not its thread's turn.

    Returns the run and its conversation: rows of `role`, `content` and `attachments`, oldest first, the question
    last; of a very long one the latest part. Raises psycopg.errors.UniqueViolation when another run of the thread is
    claimed meanwhile.
    """
    cursor = await connection.execute(_CLAIM, {"run": run_id, "now": now()})
    row = await cursor.fetchone()
    if row is None:
        return None
    message = row.pop("input_message_id")
    cursor = await connection.execute(
        _HISTORY, {"message": message, "limit": MAX_HISTORY_MESSAGES, "bytes": MAX_HISTORY_BYTES}
    )
    conversation = await cursor.fetchall()
    stored, paused_seq, restart_seq = row.pop("paused_state"), row.pop("paused_seq"), row.pop("restart_seq")
    run = HeldRun(**row, message_id=uuid.uuid4())
    if stored is not None:
        # The answer goes on under the name that its beginning has.
        run.message_id = uuid.UUID(stored["message_id"])
        run.paused = await _paused(connection, run, stored["agent"], paused_seq if restart_seq > paused_seq else 0)
    return run, conversation


async def _paused(connection: Connection, run: HeldRun, state: Mapping[str, Any], void_up_to: int) -> PausedRun:
    cursor = await connection.execute(_DECISIONS, {"run": run.id})
    decisions = {
        row["tool_call_id"]: Decision(approved=row["approved"], reason=row["reason"]) for row in await cursor.fetchall()
    }
    cursor = await connection.execute(_REPLAY, {"run": run.id, "paused_seq": void_up_to})
    replay = [
        Event(row["type"], row["agent"], row["data"], now(), row["whole_result"]) for row in await cursor.fetchall()
    ]
    return PausedRun(state, decisions, replay)


def paused_state(run: HeldRun, state: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored of a run that pauses."""
    return {"message_id": str(run.message_id), "agent": state}
