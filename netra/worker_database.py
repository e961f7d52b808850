"""How the worker engine reaches the database: its statements about jobs with a fence, and a connector with patience."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, LiteralString

import psycopg
import structlog
from procrastinate import connector, exceptions, jobs, manager, psycopg_connector
from psycopg_pool import AsyncConnectionPool

from chat.backoff import delays
from chat.pool import database_is_away
from chat.postgres_connection import BoundedAsyncConnection
from chat.reachability import Reachability

logger = structlog.get_logger(__name__)

FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 2.0
# How long a listener that hears nothing waits until it asks whether its connection lives.
LISTEN_SECONDS = 10.0

_FINISH: LiteralString = """
    UPDATE procrastinate_jobs
    SET status = %(status)s::procrastinate_job_status, abort_requested = false, attempts = attempts + 1
    WHERE id = %(job)s AND status = 'doing' AND worker_id = %(worker)s AND attempts = %(attempts)s
"""
_RETRY: LiteralString = """
    UPDATE procrastinate_jobs
    SET status = (CASE WHEN abort_requested THEN 'failed' ELSE 'todo' END)::procrastinate_job_status,
        attempts = attempts + 1, scheduled_at = %(retry_at)s
    WHERE id = %(job)s AND status = 'doing' AND worker_id = %(worker)s AND attempts = %(attempts)s
"""
_UNHELD: LiteralString = """
    SELECT id, status, task_name, priority, lock, queueing_lock, args, scheduled_at, queue_name, attempts, worker_id
    FROM procrastinate_jobs WHERE status = 'doing' AND worker_id = %(worker)s AND NOT id = ANY(%(held)s::bigint[])
"""


_HELD: LiteralString = """
    SELECT id FROM procrastinate_jobs
    WHERE status = 'doing' AND worker_id = %(worker)s AND id = ANY(%(claimed)s::bigint[])
"""
_HEARTBEAT: LiteralString = """
    INSERT INTO procrastinate_workers (id, last_heartbeat) OVERRIDING SYSTEM VALUE VALUES (%(worker)s, now())
    ON CONFLICT (id) DO UPDATE SET last_heartbeat = now()
"""
# While the database was away nobody could say that he is alive.
_PRUNE: LiteralString = """
    DELETE FROM procrastinate_workers WHERE last_heartbeat < now() - make_interval(secs => %(seconds)s)
    AND pg_postmaster_start_time() < now() - make_interval(secs => %(seconds)s) RETURNING id
"""


class FencedJobManager(manager.JobManager):
    """A worker ends or returns a job only while it still holds it: same worker, same attempt, still `doing`.

    One that was taken for lost is registered again, under its own id, when it speaks.
    """

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> jobs.Job | None:
        try:
            return await super().fetch_job(queues, worker_id)
        except exceptions.ConnectorException as error:
            if not isinstance(error.__cause__, psycopg.errors.ForeignKeyViolation):
                raise
            logger.warning("worker_registered_again", worker_id=worker_id)
            await self.update_heartbeat(worker_id)
            return await super().fetch_job(queues, worker_id)

    async def update_heartbeat(self, worker_id: int) -> None:
        await self.connector.execute_query_async(_HEARTBEAT, worker=worker_id)

    async def prune_stalled_workers(self, seconds_since_heartbeat: float) -> list[int]:
        rows = await self.connector.execute_query_all_async(_PRUNE, seconds=seconds_since_heartbeat)
        return [row["id"] for row in rows]

    async def held_jobs(self, worker_id: int, claimed: Collection[int]) -> set[int]:
        """Which of these jobs the worker holds in the database."""
        rows = await self.connector.execute_query_all_async(_HELD, worker=worker_id, claimed=list(claimed))
        return {row["id"] for row in rows}

    async def finish_job(self, job: jobs.Job, status: jobs.Status, delete_job: bool) -> None:  # noqa: ARG002
        await self.connector.execute_query_async(_FINISH, status=status.value, **_holding(job))

    async def retry_job(
        self,
        job: jobs.Job,
        retry_at: datetime.datetime | None = None,
        priority: int | None = None,  # noqa: ARG002 - a run's job keeps its place
        queue: str | None = None,  # noqa: ARG002
        lock: str | None = None,  # noqa: ARG002
    ) -> None:
        await self.connector.execute_query_async(_RETRY, retry_at=retry_at, **_holding(job))

    async def unheld_jobs(self, worker_id: int, held: Sequence[int]) -> list[jobs.Job]:
        """The jobs that the database says a worker executes, but for those that it does."""
        rows = await self.connector.execute_query_all_async(_UNHELD, worker=worker_id, held=list(held))
        return [jobs.Job.from_row(row) for row in rows]


def _holding(job: jobs.Job) -> dict[str, Any]:
    return {"job": job.id, "worker": job.worker_id, "attempts": job.attempts}


class PatientConnector(psycopg_connector.PsycopgConnector):
    """Waits, with backoff, while the database is away, instead of ending the worker and its runs."""

    def __init__(self, *, database: Reachability | None = None, **arguments: Any) -> None:
        super().__init__(connection_class=BoundedAsyncConnection, **arguments)
        self._database = database or Reachability("database", is_loss=database_is_away)
        self._gave_up = asyncio.Event()

    def give_up(self) -> None:
        """Wait no more: what fails now, fails."""
        self._gave_up.set()

    async def open_async(self, pool: Any = None) -> None:
        """Opens without waiting: each use of the pool waits for itself.

        Each use is one statement, which is a transaction of its own, and is repeated when its connection turns out to
        be lost: connections are in autocommit mode, and not asked beforehand whether they live.
        """
        if pool is not None or self._async_pool is not None:
            await super().open_async(pool)
            return
        self._async_pool = opened = AsyncConnectionPool(**self._pool_args, configure=_commit_each, open=False)
        await opened.open()

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        await self._until_reached(lambda: super(PatientConnector, self).execute_query_async(query, **arguments))

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        one = super().execute_query_one_async
        row: dict[str, Any] = await self._until_reached(lambda: one(query, **arguments))
        return row

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        every = super().execute_query_all_async
        rows: list[dict[str, Any]] = await self._until_reached(lambda: every(query, **arguments))
        return rows

    async def listen_notify(self, on_notification: connector.Notify, channels: Iterable[str]) -> None:
        listen = super().listen_notify
        channels = list(channels)
        await self._until_reached(lambda: listen(on_notification, channels))

    async def _loop_notify(self, on_notification: connector.Notify, connection: Any, timeout: float = 0) -> None:  # noqa: ARG002, ASYNC109 - the base's signature
        await super()._loop_notify(on_notification, connection, timeout=LISTEN_SECONDS)

    async def _until_reached(self, work: Callable[[], Awaitable[Any]]) -> Any:
        for delay in delays(first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS):
            try:
                with self._database.watching():
                    return await work()
            except exceptions.ConnectorException as error:
                if self._gave_up.is_set() or not isinstance(error.__cause__, psycopg.OperationalError):
                    raise
                # The other connections are likely to be lost, too: each would fail once more.
                if self._async_pool is not None:
                    await self._async_pool.drain()
                await wait_for(self._gave_up, delay)
        raise AssertionError("delays() never ends")


async def _commit_each(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """No longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
