"""The asynchronous connection pool beside the ORM, for what is written and read while runs stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import psycopg
import pydantic_core
from asgiref.sync import sync_to_async
from django.db import connection as django_connection
from django.db import connections
from django.db.utils import Error as DjangoDatabaseError
from procrastinate.exceptions import ConnectorException
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from chat.backoff import delays
from chat.postgres_connection import BoundedAsyncConnection
from chat.reachability import Reachability

T = TypeVar("T")
Connection = psycopg.AsyncConnection[DictRow]

CHECKOUT_TIMEOUT = 3.0
# How long one attempt to reconnect goes on. Each use begins another, so that a database that is back is used at once:
# the pool's own attempts come at ever longer intervals.
RECONNECT_TIMEOUT = 2.0
MAX_SIZE = 8
UNREACHABLE = (psycopg.OperationalError, PoolTimeout)
# Of SQLSTATE: connection exceptions, insufficient resources, operator intervention, errors of the system.
CLASSES_OF_LOSS = ("08", "53", "57", "58")
QUERY_CANCELED = "57014"


def database_is_away(error: BaseException) -> bool:
    """Whether an error means that the database is not there, however Django or Procrastinate wrapped it."""
    if isinstance(error, ConnectorException | DjangoDatabaseError) and error.__cause__ is not None:
        error = error.__cause__
    if not isinstance(error, psycopg.OperationalError) or isinstance(error, PoolClosed):
        return False
    state = error.sqlstate
    return state is None or (state[:2] in CLASSES_OF_LOSS and state != QUERY_CANCELED)


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


async def _read_json(connection: Connection) -> None:
    """By pydantic's reader: every event that is read again is JSON."""
    set_json_loads(pydantic_core.from_json, connection)


def _cancels() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


class DatabasePool:
    """Opened lazily on the running loop, closed with `close()`. Connections are in autocommit mode.

    `reachability` is what this process knows of its database: who reaches it by another way shares it.
    """

    def __init__(self) -> None:
        self.reachability = Reachability("database", is_loss=database_is_away)
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._opening = asyncio.Lock()
        self._drained_after = float("-inf")

    async def _open(self) -> AsyncConnectionPool[Connection]:
        async with self._opening:
            if self._pool is None:
                parameters = django_connection.get_connection_params()
                parameters.pop("cursor_factory", None)
                parameters.pop("context", None)
                pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
                    kwargs={**parameters, "autocommit": True, "row_factory": dict_row},
                    connection_class=BoundedAsyncConnection,
                    configure=_read_json,
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
        cancels = _cancels()
        try:
            with self.reachability.watching():
                async with pool.connection() as connection:
                    if _cancels() > cancels:
                        # The pool waits by Python's `wait_for`, which until 3.12 loses a cancel that comes together
                        # with what it waits for.
                        raise asyncio.CancelledError
                    yield connection
        except UNREACHABLE:
            await self._drain(pool)
            raise

    def stats(self) -> dict[str, int]:
        """What psycopg_pool tells of itself; before the first use only how many connections there may be."""
        return self._pool.get_stats() if self._pool is not None else {"pool_max": MAX_SIZE}

    async def _drain(self, pool: AsyncConnectionPool[Connection]) -> None:
        """Once for each loss: every idle connection is dead then, and is not to be met one by one."""
        reachability = self.reachability
        if not reachability.available and self._drained_after < reachability.changed_at and not pool.closed:
            self._drained_after = reachability.changed_at
            await pool.drain()

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        self._opening = asyncio.Lock()
        if pool is not None:
            await pool.close()

    async def until_reached(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeat `work` with backoff until the database answers. `work` must be safe to repeat after a lost answer."""
        for delay in delays(first=0.05, longest=2.0):
            try:
                return await work()
            except UNREACHABLE:
                await asyncio.sleep(delay)
            except DjangoDatabaseError as error:
                if not database_is_away(error):
                    raise
                await asyncio.sleep(delay)
        raise AssertionError("delays() never ends")
