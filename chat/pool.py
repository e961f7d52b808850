"""The asynchronous connection pool beside the ORM, for what is written and read while runs stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import psycopg
import structlog
from asgiref.sync import sync_to_async
from django.db import connection as django_connection
from django.db import connections
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from chat.backoff import delays

logger = structlog.get_logger(__name__)
T = TypeVar("T")
Connection = psycopg.AsyncConnection[DictRow]

CHECKOUT_TIMEOUT = 3.0
# How long one attempt to reconnect goes on. Each use begins another, so that a database that is back is used at once:
# the pool's own attempts come at ever longer intervals.
RECONNECT_TIMEOUT = 2.0
MAX_SIZE = 8
UNREACHABLE = (psycopg.OperationalError, PoolTimeout)


async def on_any_thread(work: Callable[[], T]) -> T:
    """Run code of the ORM beside the one thread of `database_sync_to_async`, for what must not wait behind commands.

    Each thread has a connection of its own: it goes back to the ORM's pool at once.
    """

    def work_and_release() -> T:
        try:
            return work()
        finally:
            connections.close_all()

    return await sync_to_async(work_and_release, thread_sensitive=False)()


class DatabasePool:
    """Opened lazily on the running loop, closed with `close()`. Connections are in autocommit mode."""

    def __init__(self) -> None:
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._opening = asyncio.Lock()
        self._reachable = True

    async def _open(self) -> AsyncConnectionPool[Connection]:
        async with self._opening:
            if self._pool is None:
                parameters = django_connection.get_connection_params()
                parameters.pop("cursor_factory", None)
                parameters.pop("context", None)
                pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
                    kwargs={**parameters, "autocommit": True, "row_factory": dict_row},
                    min_size=1,
                    max_size=MAX_SIZE,
                    timeout=CHECKOUT_TIMEOUT,
                    reconnect_timeout=RECONNECT_TIMEOUT,
                    open=False,
                    name="netra",
                )
                await pool.open()
                self._pool = pool
        return self._pool

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Raises psycopg.OperationalError when the database cannot be reached."""
        pool = self._pool or await self._open()
        async with pool.connection() as connection:
            yield connection

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        self._opening = asyncio.Lock()
        if pool is not None:
            await pool.close()

    async def until_reached(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeat `work` with backoff until the database answers. `work` must be safe to repeat after a lost answer."""
        for delay in delays(first=0.05, longest=2.0):
            try:
                result = await work()
            except UNREACHABLE as error:
                await self._note_loss(error)
                await asyncio.sleep(delay)
            else:
                if not self._reachable:
                    self._reachable = True
                    logger.info("database_back")
                return result
        raise AssertionError("delays() never ends")

    async def _note_loss(self, error: Exception) -> None:
        if self._reachable:
            self._reachable = False
            logger.warning("database_lost", cause=str(error).strip().partition("\n")[0])
        if self._pool is not None:
            # After a restart every idle connection is dead: replace them all rather than meet them one by one.
            with contextlib.suppress(*UNREACHABLE):
                await self._pool.check()
