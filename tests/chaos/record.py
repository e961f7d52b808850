"""What is compared after the chaos: what each client received, and what PostgreSQL holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from chat.protocol import timestamp

TERMINAL = frozenset({"agent_completed", "agent_error", "agent_cancelled"})


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """One run event as it arrived."""

    run_id: str
    seq: int
    digest: str


@dataclass(slots=True)
class ConnectionRecord:
    """One connection: the cursors that it resumed from, the events in the order of their arrival, how it ended."""

    resumed_from: dict[str, int] = field(default_factory=dict)
    events: list[ReceivedEvent] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    close_code: int | None = None  # None: this client dropped it


@dataclass(slots=True)
class ClientRecord:
    """One client over all its connections. Runs above `baseline`, and those `open_at_first`, concern it."""

    user_id: int
    baseline: int | None = None
    open_at_first: set[str] = field(default_factory=set)
    connections: list[ConnectionRecord] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)  # message_id: run_id
    unanswered: set[str] = field(default_factory=set)  # message_ids sent and never accepted or refused
    stopped: set[str] = field(default_factory=set)  # runs that a `run_stopped` called cancelled
    decided: dict[tuple[str, str], bool] = field(default_factory=dict)  # answers that were accepted, by run and call
    state: dict[str, Any] = field(default_factory=dict)  # chat.fold.ClientState.to_json() at the end


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    seq: int
    type: str
    digest: str
    data: dict[str, Any]


@dataclass(slots=True)
class LoggedRun:
    """One run as PostgreSQL has it."""

    run_id: str
    user_id: int
    run_number: int
    status: str
    last_seq: int
    attempt: int
    message_id: str
    answer: str | None
    events: list[LoggedEvent] = field(default_factory=list)

    def decisions(self) -> dict[str, bool]:
        """What was answered to each request for approval."""
        return {e.data["tool_call_id"]: e.data["approved"] for e in self.events if e.type == "approval_resolved"}

    @property
    def was_interrupted(self) -> bool:
        """Ended for good, since a tool had begun that must not be repeated."""
        last = self.events[-1].data if self.events else {}
        return last.get("error_code") == "WORKER_LOST" and not last["retryable"]


def digest(event: Mapping[str, Any]) -> str:
    """Of a whole run event as it stands on the wire."""
    return hashlib.blake2b(json.dumps(event, sort_keys=True).encode(), digest_size=12).hexdigest()


def read_log(connection: psycopg.Connection[Any], users: list[int]) -> dict[str, LoggedRun]:
    """All runs of these users with their events."""
    cursor = connection.cursor(row_factory=dict_row)
    rows = cursor.execute(
        """SELECT r.id::text AS run_id, r.user_id, r.run_number, r.status, r.last_seq, r.attempt,
                  q.message_id::text AS message_id, a.content AS answer
           FROM chat_run r JOIN chat_message q ON q.id = r.input_message_id
           LEFT JOIN chat_message a ON a.id = r.output_message_id WHERE r.user_id = ANY(%s)""",
        (users,),
    ).fetchall()
    runs = {row["run_id"]: LoggedRun(**row) for row in rows}
    events = cursor.execute(
        """SELECT e.run_id::text, e.seq, e.type, e.agent, e.data, e.created_at, r.thread_id::text, r.run_number
           FROM chat_runevent e JOIN chat_run r ON r.id = e.run_id WHERE r.user_id = ANY(%s)
           ORDER BY e.run_id, e.seq""",
        (users,),
    )
    for row in events:
        frame = {**row, "timestamp": timestamp(row["created_at"])}
        del frame["created_at"]
        logged = LoggedEvent(row["seq"], row["type"], digest(frame), row["data"])
        runs[row["run_id"]].events.append(logged)
    return runs
