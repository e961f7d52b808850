"""The bench's agents in a server with a deliberate slowdown, so that it is seen whether the bench shows one.

`NETRA_AGENTS=bench.slowed:agents` adds a query for each event.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.agents import agents
from chat.claiming import HeldRun
from chat.event_log import EventLog
from chat.run_event import Event

__all__ = ["agents"]

append = EventLog.append


async def append_and_ask(self: EventLog, run: HeldRun, events: Sequence[Event]) -> None:
    await append(self, run, events)
    for _ in events:
        async with self.pool.connection() as connection:
            await connection.execute("SELECT count(*) FROM chat_runevent WHERE run_id = %s", (run.id,))


EventLog.append = append_and_ask  # type: ignore[method-assign]
