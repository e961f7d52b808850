"""The open connections of this process: where the runs of their users stand, and the end of all of them.

The position check (docs/protocol.md, section 5.4) asks the log every few seconds, in one query for the whole process,
for what no wake-up announced, and whether sessions have ended. It runs only while there are connections.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import time

import structlog

from chat import metrics
from chat.connection import Connection
from chat.event_log import EventLog
from chat.log_reader import Known, known_text
from chat.pool import UNREACHABLE
from chat.protocol import ServerDraining

logger = structlog.get_logger(__name__)

RECONNECT_AFTER_MS = 3000
# A check that keeps the loop busy for long, of very many connections, is made less often: it takes about a
# hundredth of the time at most, of which half is seen here. How long the database takes does not count.
LEAST_PAUSE = 200


class Connections:
    """All connections of one process. Holds nothing of a user."""

    def __init__(self, event_log: EventLog, *, check_seconds: float) -> None:
        self._event_log = event_log
        self._check_seconds = self._pause = check_seconds
        self._open: set[Connection] = set()
        self._checking: asyncio.Task[None] | None = None
        self._check_wanted = asyncio.Event()
        self.draining = False
        self._patience = 0.0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        self._open.add(connection)
        metrics.CONNECTIONS.labels(connection.kind).inc()
        if self._checking is None or self._checking.done():
            self._check_wanted = asyncio.Event()
            # The task outlives the request that starts it, so it must not inherit that request's context.
            self._checking = asyncio.get_running_loop().create_task(
                self._check_regularly(), name="position check", context=contextvars.Context()
            )
        if self.draining:
            self._send_away(connection)

    def remove(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            metrics.CONNECTIONS.labels(connection.kind).dec()
        if not self._open:
            self._check_wanted.set()  # it ends by itself

    def open(self) -> None:
        """Take connections (again)."""
        self.draining = False

    def drain(self, patience: float) -> None:
        """Tell every connection that the server goes away, and close it; also one whose handshake is under way.

        A command that was taken is answered first, if that takes no longer than `patience` seconds.
        """
        self.draining = True
        self._patience = patience
        for connection in list(self._open):
            self._send_away(connection)

    def _send_away(self, connection: Connection) -> None:
        connection.drain(ServerDraining(reconnect_after_ms=RECONNECT_AFTER_MS), patience=self._patience)

    def check_soon(self) -> None:
        """Make the next position check at once."""
        self._check_wanted.set()

    async def _check_regularly(self) -> None:
        """As long as there are connections: it is not cancelled, and whether it goes on is not asked of `cancelling()`.

        That is true of a task whose `asyncio.timeout` has just fired, too, and a cancel may be lost where it comes
        together with what the task waits for: either way there would be a second check beside this one, for ever.
        """
        while self._open:
            try:
                # Spread over time, so that the processes of a cluster do not ask in step.
                async with asyncio.timeout(self._pause * random.uniform(0.8, 1.2)):  # noqa: S311
                    await self._check_wanted.wait()
            except TimeoutError:
                pass
            self._check_wanted.clear()
            try:
                await self.check_positions()
            except UNREACHABLE:  # which the pool has said
                await asyncio.sleep(self._check_seconds)
            except Exception:
                logger.exception("position_check_failed")
                await asyncio.sleep(self._check_seconds)

    async def check_positions(self) -> None:
        """Ask once for all connections, and tell those whom it concerns."""
        began = time.perf_counter()
        checks = [(connection, connection.delivery.check(), connection.credential) for connection in self._open]
        if not checks:
            return
        # One after the other: ten thousand at a time would be searched for cycles.
        known = known_text(
            Known(connection.user_id, check.above, check.run_ids, connection.threads_version, credential)
            for connection, check, credential in checks
        )
        asked = time.perf_counter()
        news = await self._event_log.news(known)
        answered = time.perf_counter()
        for place, (connection, check, credential) in enumerate(checks):
            told = news.get(place)
            # One that was refreshed since the database was asked is for the next check to judge.
            if told is not None and not told.counts and credential == connection.credential:
                connection.end_session()
            elif told is not None:
                connection.positions(check, told.runs, told.threads_version)
            elif check.run_ids or check.heard != check.above:
                connection.positions(check, [], connection.threads_version)
        busy = asked - began + time.perf_counter() - answered
        self._pause = max(self._check_seconds, LEAST_PAUSE * busy)
