"""The worker engine under supervision: Procrastinate with what it needs to be relied upon.

What the stock parts lack, each with the test that shows it (tests/test_worker.py):

* the row of a job has no fence: `FencedJobManager`;
* a notification that arrives during an empty fetch is lost: the second wake-up of `SupervisedWorker`;
* the worker ends when its listener cannot reconnect, and aborts its runs: `PatientConnector`, and `Engine.run`, which
  starts a worker that ended anew;
* without periodic tasks the deferrer ends at once, and with it the watch over the other side tasks:
  `SupervisedWorker` keeps it waiting instead;
* a job whose fetch was committed but whose answer was lost stays `doing`: `SupervisedWorker.give_back_unheld`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, LiteralString

import psycopg
import structlog
from procrastinate import connector, exceptions, jobs, manager, psycopg_connector, worker
from procrastinate.contrib.django import app as django_app
from procrastinate.contrib.django.utils import connector_params

from chat.backoff import delays
from netra.config import Config

logger = structlog.get_logger(__name__)

SECOND_WAKE_UP_SECONDS = 0.01
POLL_SECONDS = 0.2
FIRST_RETRY_SECONDS = 0.05
LONGEST_RETRY_SECONDS = 2.0

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


class FencedJobManager(manager.JobManager):
    """A worker ends or returns a job only while it still holds it: same worker, same attempt, still `doing`."""

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

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        await _until_reached(lambda: super(PatientConnector, self).execute_query_async(query, **arguments))

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        one = super().execute_query_one_async
        row: dict[str, Any] = await _until_reached(lambda: one(query, **arguments))
        return row

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        every = super().execute_query_all_async
        rows: list[dict[str, Any]] = await _until_reached(lambda: every(query, **arguments))
        return rows

    async def listen_notify(self, on_notification: connector.Notify, channels: Iterable[str]) -> None:
        listen = super().listen_notify
        channels = list(channels)
        await _until_reached(lambda: listen(on_notification, channels))


async def _until_reached(work: Callable[[], Awaitable[Any]]) -> Any:
    for delay in delays(first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS):
        try:
            return await work()
        except exceptions.ConnectorException as error:
            if not isinstance(error.__cause__, psycopg.OperationalError):
                raise
            await asyncio.sleep(delay)
    raise AssertionError("delays() never ends")


class SupervisedWorker(worker.Worker):
    """Procrastinate's worker with a second wake-up, a watch that stays awake, and an eye on jobs it does not hold."""

    job_manager: FencedJobManager
    _seen_unheld: frozenset[int] = frozenset()

    async def _handle_notification(self, *, channel: str, notification: jobs.Notification) -> None:
        await super()._handle_notification(channel=channel, notification=notification)
        if notification["type"] == "job_inserted":
            # A fetch that was under way clears the event after it found nothing.
            asyncio.get_running_loop().call_later(SECOND_WAKE_UP_SECONDS, self._new_job_event.set)

    async def _periodic_deferrer(self) -> None:
        await asyncio.Event().wait()

    async def give_back_unheld(self) -> None:
        """Return jobs that this worker holds in the database only. Called regularly.

        A job just fetched may not be known here yet, so a job must be seen twice.
        """
        if self.worker_id is None:
            return
        held = [context.job.id for context in self._running_jobs.values() if context.job.id is not None]
        found = {job.id: job for job in await self.job_manager.unheld_jobs(self.worker_id, held) if job.id is not None}
        for job_id in self._seen_unheld & found.keys():
            logger.warning("job_given_back", job_id=job_id)
            await self.job_manager.retry_job(found[job_id])
        self._seen_unheld = frozenset(found)


class Engine:
    """A worker, restarted when it ends by itself, and a sweep beside it every `sweep_seconds`.

    `run` lasts until `stop`; then running jobs get the grace period and the rest is handed back.
    """

    def __init__(
        self, config: Config, *, sweep: Callable[[], Awaitable[None]], queues: Sequence[str] | None = None
    ) -> None:
        self._config = config
        self._sweep = sweep
        self._queues = list(queues) if queues else None
        self._stopping = asyncio.Event()
        self._worker: SupervisedWorker | None = None
        self.started = asyncio.Event()

    def stop(self) -> None:
        """Fetch no more jobs, and end `run` when the running ones have ended or were handed back."""
        self._stopping.set()
        if self._worker is not None:
            self._worker.stop()  # type: ignore[no-untyped-call]

    async def run(self) -> None:
        sweeper = asyncio.create_task(self._sweep_regularly(), name="sweep")
        try:
            for delay in delays(first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS):
                if self._stopping.is_set():
                    break
                try:
                    await self._run_worker()
                except Exception:  # whatever ended it, its successor begins
                    logger.exception("worker_ended")
                await self._pause(delay)
        finally:
            sweeper.cancel()
            await asyncio.wait([sweeper])

    async def _run_worker(self) -> None:
        patient = PatientConnector(
            kwargs=connector_params(), min_size=1, max_size=4, timeout=3.0, reconnect_timeout=2.0
        )
        app = django_app.with_connector(patient)
        fenced = app.job_manager = FencedJobManager(patient)
        async with app.open_async():
            self._worker = SupervisedWorker(
                app=app,
                queues=self._queues,
                concurrency=self._config.worker_concurrency,
                fetch_job_polling_interval=POLL_SECONDS,
                abort_job_polling_interval=1.0,
                shutdown_graceful_timeout=self._config.worker_shutdown_seconds,
                install_signal_handlers=False,
                update_heartbeat_interval=self._config.worker_heartbeat_seconds,
                stalled_worker_timeout=self._config.worker_stalled_seconds,
            )
            self._worker.job_manager = fenced
            if self._stopping.is_set():
                return
            self.started.set()
            logger.info("worker_started", concurrency=self._config.worker_concurrency)
            try:
                await self._worker.run()  # type: ignore[no-untyped-call]
            finally:
                self._worker = None
                logger.info("worker_stopped")

    async def _sweep_regularly(self) -> None:
        failed_before = False
        while True:
            try:
                await self._sweep()
                if self._worker is not None:
                    await self._worker.give_back_unheld()
            except Exception as error:  # noqa: BLE001 - the next sweep tries again
                if not failed_before:
                    logger.warning("sweep_failed", cause=str(error).strip().partition("\n")[0])
                failed_before = True
            else:
                failed_before = False
            await asyncio.sleep(self._config.sweep_seconds)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
