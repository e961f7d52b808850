"""Taking a run: `queued → running`, with all that its agent is to know, in one statement on the holder's connection."""

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


# All is read as it was when the statement began. No run of the thread was active then, so every answer before the
# question was already there. `replay` is what was said between the last restart before the pause, and the pause.
_CLAIM: LiteralString = """
    WITH RECURSIVE held AS (
        UPDATE chat_run r SET status = 'running', claim = claim + 1, started_at = COALESCE(started_at, %(now)s)
        WHERE id = %(run)s AND status = 'queued' AND NOT EXISTS (
            SELECT 1 FROM chat_run o
            WHERE o.thread_id = r.thread_id AND o.status IN ('running', 'awaiting_approval'))
        RETURNING id, run_number, user_id, thread_id, agent, claim, attempt, last_seq, started_at, input_message_id,
                  paused_state, paused_seq, restart_seq
    ), chain AS (
        SELECT m.id, m.parent_id, m.role, m.content, 0 AS depth, 0::bigint AS bytes
        FROM held h JOIN chat_message m ON m.id = h.input_message_id
        UNION ALL
        SELECT p.id, p.parent_id, p.role, p.content, depth + 1, bytes + octet_length(p.content)
        FROM chain c JOIN chat_message p ON p.id = c.parent_id WHERE depth < %(limit)s AND bytes < %(bytes)s
    ), conversation AS (
        SELECT json_agg(json_build_object('role', role, 'content', content, 'attachments', (
            SELECT json_agg(json_build_object('id', a.id, 'name', a.name, 'media_type', a.media_type, 'bytes', a.bytes)
                            ORDER BY a.position)
            FROM chat_attachment a WHERE a.message_id = chain.id)) ORDER BY depth DESC) AS messages
        FROM chain
    ), decisions AS (
        SELECT json_agg(json_build_object('call', tool_call_id, 'approved', approved, 'reason', reason)) AS made
        FROM held h JOIN chat_approval a ON a.run_id = h.id AND a.approved IS NOT NULL
    ), replay AS (
        SELECT json_agg(json_build_object('type', e.type, 'agent', e.agent, 'data', e.data,
                                          'whole_result', e.whole_result::text) ORDER BY e.seq) AS events
        FROM held h JOIN chat_runevent e ON e.run_id = h.id AND e.seq <= h.paused_seq
        WHERE h.restart_seq > h.paused_seq AND e.type NOT IN ('agent_started', 'approval_required', 'approval_resolved')
          AND e.seq > COALESCE((SELECT max(seq) FROM chat_runevent
                                WHERE run_id = h.id AND seq <= h.paused_seq AND type = 'agent_restarted'), 1)
    )
    SELECT h.id, h.run_number, h.user_id, h.thread_id, h.agent, h.claim, h.attempt, h.last_seq, h.started_at,
           u.username, h.paused_state, conversation.messages, decisions.made, replay.events
    FROM held h JOIN auth_user u ON u.id = h.user_id, conversation, decisions, replay
"""


async def claim(connection: Connection, run_id: str) -> tuple[HeldRun, list[DictRow]] | None:
    """Inside a transaction. None when the run is not queued (any more), or not its thread's turn.

    Returns the run and its conversation: rows of `role`, `content` and `attachments`, oldest first, the question
    last; of a very long one the latest part. Raises psycopg.errors.UniqueViolation when another run of the thread is
    claimed meanwhile.
    """
    asked = {"run": run_id, "now": now(), "limit": MAX_HISTORY_MESSAGES, "bytes": MAX_HISTORY_BYTES}
    cursor = await connection.execute(_CLAIM, asked)
    row = await cursor.fetchone()
    if row is None:
        return None
    conversation: list[DictRow] = row.pop("messages")
    stored, decisions, replay = row.pop("paused_state"), row.pop("made") or [], row.pop("events") or []
    run = HeldRun(**row, message_id=uuid.uuid4())
    if stored is not None:
        # The answer goes on under the name that its beginning has.
        run.message_id = uuid.UUID(stored["message_id"])
        run.paused = PausedRun(
            stored["agent"],
            {each["call"]: Decision(approved=each["approved"], reason=each["reason"]) for each in decisions},
            [Event(each["type"], each["agent"], each["data"], now(), each["whole_result"]) for each in replay],
        )
    return run, conversation


def paused_state(run: HeldRun, state: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored of a run that pauses."""
    return {"message_id": str(run.message_id), "agent": state}
