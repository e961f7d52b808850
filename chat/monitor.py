"""What a process watches of itself: how late its event loop is, its pools and Redis; and that it says it is alive."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import connection

from chat import metrics
from chat.models import ProcessKind
from chat.pool import UNREACHABLE, DatabasePool
from chat.processes import HEARTBEAT_SECONDS, LiveProcess, say_alive, say_ended
from chat.reachability import first_line
from chat.redis_layer import RedisLayer
from chat.run_event import now

logger = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
# From here on a loop that is late is a line of the log: nobody has been answered meanwhile.
LATE_SECONDS = 1.0
LAYER_SECONDS = 2.0
ENDING_SECONDS = 1.0


class Monitor:
    """Of one process. `connections` and `runs` tell how many it has. Runs from `start` to `stop`."""

    def __init__(self, pool: DatabasePool, *, connections: Callable[[], int], runs: Callable[[], int]) -> None:
        self._pool = pool
        self._connections = connections
        self._runs = runs
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._latest = 0.0
        self._failed_before = False
        self.id = uuid.uuid4()
        self.kind = ProcessKind.WEB
        self.started_at = now()

    def start(self, kind: ProcessKind) -> None:
        """Begin on the running loop, if it has not begun."""
        if self._tasks:
            return
        self.id, self.kind, self.started_at = uuid.uuid4(), kind, now()
        self._stopping = asyncio.Event()
        metrics.PROCESS_STARTED.labels(kind).set(self.started_at.timestamp())
        metrics.INFO.labels(kind, settings.VERSION).set(1)
        self._tasks = {
            self._task(self._watch(), "watch this process"),
            self._task(self._say_alive_regularly(), "say that this process lives"),
        }

    async def stop(self) -> None:
        """End, and say so: while the database is away, others find out by themselves."""
        tasks, self._tasks = self._tasks, set()
        if not tasks:
            return
        # A task is cancelled only when it must be: what waits for a connection may swallow that.
        self._stopping.set()
        _, late = await asyncio.wait(tasks, timeout=ENDING_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=ENDING_SECONDS)
        if self._pool.reachability.available:
            with contextlib.suppress(*UNREACHABLE, TimeoutError):
                async with asyncio.timeout(ENDING_SECONDS):
                    await say_ended(self._pool, self.id)

    def sample(self) -> None:
        """Measure the pools of this process."""
        for name, stats in (("django", connection.pool.get_stats()), ("events", self._pool.stats())):  # type: ignore[attr-defined]
            size, available = stats.get("pool_size", 0), stats.get("pool_available", 0)
            metrics.POOL_CONNECTIONS.labels(name, "in_use").set(size - available)
            metrics.POOL_CONNECTIONS.labels(name, "idle").set(available)
            metrics.POOL_WAITING.labels(name).set(stats.get("requests_waiting", 0))
            metrics.POOL_LIMIT.labels(name).set(stats.get("pool_max", 0))

    async def look_at_layer(self) -> None:
        layer = get_channel_layer()
        if isinstance(layer, RedisLayer):
            for server, reached in (await layer.reach(LAYER_SECONDS)).items():
                metrics.REDIS_UP.labels(server).set(reached)

    async def say_alive(self) -> None:
        """Raises psycopg.OperationalError when the database cannot be reached."""
        latest, self._latest = self._latest, 0.0
        process = LiveProcess(
            id=self.id,
            kind=self.kind,
            version=settings.VERSION,
            started_at=self.started_at,
            connections=self._connections(),
            runs=self._runs(),
            loop_lag=latest,
        )
        await say_alive(self._pool, process)

    def _task(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        # It outlives the request that may have started it, so it must not inherit that request's context.
        return asyncio.get_running_loop().create_task(work, name=name, context=contextvars.Context())

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        wanted = loop.time() + TICK_SECONDS
        while not await self._stops_within(TICK_SECONDS):
            late = max(0.0, loop.time() - wanted)
            metrics.LOOP_LAG.observe(late)
            self._latest = max(self._latest, late)
            if late > LATE_SECONDS:
                logger.warning("event_loop_late", seconds=round(late, 3))
            self.sample()
            metrics.flush()
            wanted = loop.time() + TICK_SECONDS

    async def _say_alive_regularly(self) -> None:
        stops = False
        while not stops:
            metrics.LOOP_TASKS.set(len(asyncio.all_tasks()))
            try:
                await self.say_alive()
                await self.look_at_layer()
            except UNREACHABLE:  # which the pool has said
                pass
            except Exception as error:  # noqa: BLE001 - a process that cannot say that it lives, still lives
                if not self._failed_before:
                    logger.warning("heartbeat_failed", cause=first_line(error))
                self._failed_before = True
            else:
                self._failed_before = False
            stops = await self._stops_within(HEARTBEAT_SECONDS)

    async def _stops_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()
