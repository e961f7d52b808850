"""Connections to PostgreSQL on which no statement waits for ever.

A peer that is gone is noticed by the kernel (keepalive and user timeout of TCP: netra/settings.py). One that keeps the
connection and is silent, such as a proxy that hangs, is noticed here only: PostgreSQL's own time limits are kept by
the server, which does not answer then.

Nor does one keep statements that were prepared before a migration changed what they return (a longer varchar, say):
PostgreSQL refuses them for as long as the connection lasts, so it ends.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import AsyncGenerator, Iterator
from typing import TypeVar

import psycopg
from django.conf import settings
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout
from psycopg.pq.abc import PGconn
from psycopg.rows import Row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

V = TypeVar("V")

WAKE_UP_SECONDS = 0.1
CANCEL_SECONDS = 1.0

_unhurried = contextvars.ContextVar("unhurried", default=False)


@contextlib.contextmanager
def unhurried() -> Iterator[None]:
    """For statements that may take hours, such as those of a migration."""
    token = _unhurried.set(True)
    try:
        yield
    finally:
        _unhurried.reset(token)


def _not_answered(seconds: float) -> psycopg.OperationalError:
    return psycopg.OperationalError(f"the database did not answer within {seconds:g} seconds")


def _prepared_for_another_schema(error: psycopg.errors.FeatureNotSupported) -> bool:
    """Whether it is "cached plan must not change result type", in whatever language."""
    return error.diag.source_function == "RevalidateCachedQuery"


_SCHEMA_CHANGED = "the schema was changed under a prepared statement"


class BoundedConnection(psycopg.Connection[Row]):
    """Gives up, and closes itself, when a statement gets no answer in `database_timeout` seconds: it may or may not
    have been executed. Closes itself, too, when a statement was prepared for another schema, and was not executed.
    Raises psycopg.OperationalError.
    """

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self._limit: float = settings.NETRA.database_timeout

    def wait(self, gen: PQGen[V], interval: float = WAKE_UP_SECONDS, timeout: float | None = None) -> V:
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        limit = math.inf if _unhurried.get() else self._limit
        try:
            return super().wait(gen, interval, limit)
        except _WaitTimeout:
            with contextlib.suppress(psycopg.Error):
                self.cancel_safe(timeout=CANCEL_SECONDS)  # lest a server that is only slow goes on for nobody
            self._end()
            raise _not_answered(limit) from None
        except psycopg.errors.FeatureNotSupported as error:
            if not _prepared_for_another_schema(error):
                raise
            self._end()
            raise psycopg.OperationalError(_SCHEMA_CHANGED) from error

    def _end(self) -> None:
        self.pgconn.finish()
        pool = getattr(self, "_pool", None)
        if isinstance(pool, ConnectionPool):
            # The other connections are likely to end in the same way.
            pool.drain()


class BoundedAsyncConnection(psycopg.AsyncConnection[Row]):
    """The same for asyncio. A listener may wait for ever: silence is no fault of its peer."""

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self._limit: float = settings.NETRA.database_timeout

    async def wait(
        self,
        gen: PQGen[V],
        interval: float = WAKE_UP_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's signature
    ) -> V:
        if timeout is not None:
            return await super().wait(gen, interval, timeout)
        limit = math.inf if _unhurried.get() else self._limit
        try:
            return await super().wait(gen, interval, limit)
        except _WaitTimeout:
            with contextlib.suppress(psycopg.Error):
                await self.cancel_safe(timeout=CANCEL_SECONDS)
            await self._end()
            raise _not_answered(limit) from None
        except psycopg.errors.FeatureNotSupported as error:
            if not _prepared_for_another_schema(error):
                raise
            await self._end()
            raise psycopg.OperationalError(_SCHEMA_CHANGED) from error

    async def _end(self) -> None:
        self.pgconn.finish()
        pool = getattr(self, "_pool", None)
        if isinstance(pool, AsyncConnectionPool):
            await pool.drain()

    def notifies(
        self, *, timeout: float | None = None, stop_after: int | None = None
    ) -> AsyncGenerator[psycopg.Notify, None]:
        return super().notifies(timeout=math.inf if timeout is None else timeout, stop_after=stop_after)
