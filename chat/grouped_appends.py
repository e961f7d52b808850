"""Events are appended for all runs of a process together, and their text is gathered in one window.

One statement at a time (`chat.together`), so that the more runs there are, the fewer statements each of them takes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

import pydantic_core

from chat.claiming import HeldRun
from chat.pool import UNREACHABLE, Connection, DatabasePool
from chat.run_event import Event
from chat.together import Together

MOST_RUNS = 200
MOST_EVENTS = 1000

# Rows are locked in the order of their ids.
_APPEND: LiteralString = """
    WITH given AS (
        SELECT * FROM json_to_recordset(%(appends)s::json) AS g(run uuid, claim int, expected int, events int)
    ), held AS (
        SELECT r.id, g.expected + g.events AS last_seq FROM given g
        JOIN chat_run r ON r.id = g.run AND r.claim = g.claim AND r.last_seq = g.expected AND r.status = 'running'
        ORDER BY r.id FOR NO KEY UPDATE OF r {locked}
    ), fence AS (
        UPDATE chat_run r SET last_seq = h.last_seq FROM held h WHERE r.id = h.id RETURNING r.id
    ), written AS (
        INSERT INTO chat_runevent (run_id, seq, type, agent, data, created_at, whole_result)
        SELECT f.id, e.seq, e.type, e.agent, e.data, e.created_at, e.whole_result::jsonb
        FROM json_to_recordset(%(events)s::json)
             AS e(run uuid, seq int, type text, agent text, data jsonb, created_at timestamptz, whole_result text)
        JOIN fence f ON f.id = e.run
    )
    SELECT id FROM fence
"""
# A row that somebody else has locked is left out, so that nobody's append waits for another run's; alone it is waited
# for.
_APPEND_TOGETHER: LiteralString = _APPEND.replace("{locked}", "SKIP LOCKED")
_APPEND_ALONE: LiteralString = _APPEND.replace("{locked}", "")


class SharedWindow:
    """One timer for all that gather text, so that what they have gathered is appended together.

    Who comes while it runs waits for what is left of it.
    """

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, over: asyncio.Event, seconds: float) -> None:
        """Until the window is over, which sets `over`, or somebody else sets it."""
        if over.is_set():
            return
        self._waiting.add(over)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._end)
        try:
            await over.wait()
        finally:
            self._waiting.discard(over)
            if not self._waiting and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _end(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, set()
        for over in waiting:
            over.set()


@dataclass(frozen=True, slots=True, eq=False)
class _Append:
    run: HeldRun
    events: Sequence[Event]


class _Room:
    """For the measure of a group (`chat.together`): it is asked for each append, and adds nothing up again."""

    def __init__(self) -> None:
        self._runs: set[uuid.UUID] = set()
        self._events = 0

    def __call__(self, append: _Append) -> bool:
        has_room = len(self._runs) < MOST_RUNS and append.run.id not in self._runs
        self._runs.add(append.run.id)
        self._events += len(append.events)
        return has_room and self._events <= MOST_EVENTS


class GroupedAppends:
    """Appends to running runs. A run has one append under way at a time."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool
        self._together = Together(self._written, name="append events", room=_Room)

    async def append(self, run: HeldRun, events: Sequence[Event]) -> bool:
        """True: they are committed, from `run.last_seq + 1` on. False: not with the others; alone it may be possible.

        Raises psycopg.OperationalError when the database cannot be reached: then they may be committed or not. So they
        may be when the caller is cancelled.
        """
        return await self._together.ask(_Append(run, events))

    async def _written(self, group: Sequence[_Append]) -> Sequence[bool]:
        try:
            runs = await self._committed(group)
        except UNREACHABLE:
            raise
        except Exception:  # noqa: BLE001 - alone it is the failure of the one that caused it
            runs = frozenset()
        return [append.run.id in runs for append in group]

    async def _committed(self, group: Sequence[_Append]) -> frozenset[uuid.UUID]:
        """The runs whose events are."""
        parameters = _parameters(group)
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_APPEND_TOGETHER, parameters)
            return frozenset(row["id"] for row in await cursor.fetchall())


async def append_alone(connection: Connection, run: HeldRun, events: Sequence[Event]) -> bool:
    """What could not be appended with others. False: the run is not held so (any more)."""
    cursor = await connection.execute(_APPEND_ALONE, _parameters([_Append(run, events)]))
    return await cursor.fetchone() is not None


def _parameters(group: Sequence[_Append]) -> dict[str, str]:
    """As JSON: psycopg writes the elements of an array one by one, in Python."""
    appends = [
        {
            "run": append.run.id,
            "claim": append.run.claim,
            "expected": append.run.last_seq,
            "events": len(append.events),
        }
        for append in group
    ]
    events = [
        {
            "run": append.run.id,
            "seq": seq,
            "type": event.type,
            "agent": event.agent,
            "data": event.data,
            "created_at": event.created_at,
            "whole_result": event.whole_result,
        }
        for append in group
        for seq, event in enumerate(append.events, append.run.last_seq + 1)
    ]
    return {"appends": pydantic_core.to_json(appends).decode(), "events": pydantic_core.to_json(events).decode()}
