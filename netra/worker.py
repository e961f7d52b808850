"""The worker engine under supervision: Procrastinate with what it needs to be relied upon.

What the stock parts lack, each with the test that shows it (tests/netra/test_worker.py):

* the row of a job has no fence: `FencedJobManager`;
* a notification that arrives during an empty fetch is lost: `SupervisedWorker` fetches once more;
* the worker ends when its listener cannot reconnect, and aborts its runs: `PatientConnector`, and `Engine.run`, which
  starts a worker that ended anew;
* without periodic tasks the deferrer ends at once, and with it the watch over the other side tasks:
  `SupervisedWorker` keeps it waiting instead;
* a job whose fetch was committed but whose answer was lost stays `doing`: `SupervisedWorker.give_back_unheld`;
* a worker that slept, was taken for lost and wakes up has no row any more, so it could fetch nothing, and goes on with
  what is no longer its own: `FencedJobManager` makes the row again, `SupervisedWorker.abandon_taken` ends the rest;
* a stop waits without end for a database that is away: `Engine` gives up when the grace period is long over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from procrastinate import jobs, worker
from procrastinate.contrib.django import app as django_app
from procrastinate.contrib.django.utils import connector_params
from procrastinate.job_context import AbortReason, JobContext

from chat.backoff import delays
from chat.pool import database_is_away
from chat.reachability import Reachability, first_line
from netra.config import Config
from netra.worker_database import (
    FIRST_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    FencedJobManager,
    PatientConnector,
    wait_for,
)

logger = structlog.get_logger(__name__)

POLL_SECONDS = 0.2
# What a stop takes beyond the grace period: to hand runs back, and, when the database is away, to believe it.
HAND_BACK_SECONDS = 5.0


class SupervisedWorker(worker.Worker):
    """Procrastinate's worker that misses no notification, with a watch that stays awake, and an eye on jobs it does not
    hold.
    """

    job_manager: FencedJobManager
    _seen_unheld: frozenset[int] = frozenset()
    _notified = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Jobs that have been done, which is being written down.
        self._ended: set[int] = set()

    async def _process_job(self, context: JobContext) -> None:
        try:
            await super()._process_job(context)
        finally:
            self._ended.discard(context.job.id or 0)

    async def _persist_job_status(self, job: jobs.Job, *arguments: Any, **rest: Any) -> None:
        self._ended.add(job.id or 0)
        await super()._persist_job_status(job, *arguments, **rest)

    async def _handle_notification(self, *, channel: str, notification: jobs.Notification) -> None:
        await super()._handle_notification(channel=channel, notification=notification)
        if notification["type"] == "job_inserted":
            self._notified += 1

    async def _fetch_and_process_jobs(self) -> None:
        """Once more when a notification came meanwhile: it may have been later than the fetch that found nothing."""
        seen = None
        while self._notified != seen:
            seen = self._notified
            await super()._fetch_and_process_jobs()  # type: ignore[no-untyped-call]

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

    async def abandon_taken(self) -> None:
        """End the tasks of jobs that are somebody else's now. Called regularly.

        Their writes are fenced off anyway; but a task that waits for its model writes nothing. One that has ended
        meanwhile is not held any more, either.
        """
        claimed = {task: context.job.id for task, context in self._running_jobs.items() if context.job.id is not None}
        if self.worker_id is None or not claimed:
            return
        held = await self.job_manager.held_jobs(self.worker_id, set(claimed.values()))
        for task, job_id in claimed.items():
            if not (task.done() or job_id in held or job_id in self._ended or job_id in self._job_ids_to_abort):
                logger.warning("job_abandoned", job_id=job_id)
                self._abort_job(task, self._running_jobs[task], AbortReason.USER_REQUEST)

    def hand_back(self) -> None:
        """End the grace period of a stop."""
        for task, context in list(self._running_jobs.items()):
            if context.job.id not in self._job_ids_to_abort:
                self._abort_job(task, context, AbortReason.SHUTDOWN)

    def drop(self) -> None:
        """Leave the running jobs to those who find a worker lost."""
        for task in list(self._running_jobs):
            task.cancel()


class Engine:
    """A worker, restarted when it ends by itself, and a sweep beside it every `sweep_seconds`.

    `run` lasts until `stop`; then running jobs get the grace period and the rest is handed back. A second `stop` ends
    the grace period. `database` is what the process knows of its database.
    """

    def __init__(
        self,
        config: Config,
        *,
        sweep: Callable[[], Awaitable[None]],
        queues: Sequence[str] | None = None,
        database: Reachability | None = None,
    ) -> None:
        self._config = config
        self._sweep = sweep
        self._queues = list(queues) if queues else None
        self._database = database or Reachability("database", is_loss=database_is_away)
        self._stopping = asyncio.Event()
        self._hurried = asyncio.Event()
        self._connector: PatientConnector | None = None
        self._worker: SupervisedWorker | None = None
        self.started = asyncio.Event()

    def stop(self) -> None:
        """Fetch no more jobs, and end `run` when the running ones have ended or were handed back."""
        if not self._stopping.is_set():
            self._stopping.set()
            logger.info("worker_stopping")
            if self._worker is not None:
                self._worker.stop()  # type: ignore[no-untyped-call]
        elif not self._hurried.is_set():
            self._hurried.set()
            if self._worker is not None:
                self._worker.hand_back()

    async def run(self) -> None:
        sweeper = asyncio.create_task(self._sweep_regularly(), name="sweep")
        try:
            for delay in delays(first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS):
                if self._stopping.is_set():
                    break
                working = asyncio.create_task(self._run_worker(), name="worker")
                await self._until_ended(working)
                await wait_for(self._stopping, delay)
        finally:
            sweeper.cancel()
            await asyncio.wait([sweeper], timeout=HAND_BACK_SECONDS)

    async def _until_ended(self, working: asyncio.Task[None]) -> None:
        """However the worker ends. After a stop it has the grace period, and then what a hand-back takes."""
        try:
            await _first(working, self._stopping)
            if self._worker is not None and self._worker.worker_id is not None:
                grace = self._config.worker_shutdown_seconds + HAND_BACK_SECONDS
                await _first(working, self._hurried, timeout=grace)
                if self._hurried.is_set():
                    await asyncio.wait([working], timeout=HAND_BACK_SECONDS)
            if not working.done():
                self._give_up(working)
                await asyncio.wait([working], timeout=HAND_BACK_SECONDS)
        except asyncio.CancelledError:
            working.cancel()
            await asyncio.wait([working])
            raise

    def _give_up(self, working: asyncio.Task[None]) -> None:
        if self._connector is not None:
            self._connector.give_up()
        if self._worker is None or self._worker.worker_id is None:
            working.cancel()
        else:
            logger.warning("worker_gave_up")
            self._worker.drop()

    async def _run_worker(self) -> None:
        try:
            with self._database.watching():
                await self._work()
        except Exception as error:
            # Whatever ended it, its successor begins.
            if not database_is_away(error):
                logger.exception("worker_ended")

    async def _work(self) -> None:
        self._connector = patient = PatientConnector(
            database=self._database,
            kwargs=connector_params(),
            min_size=1,
            max_size=4,
            timeout=3.0,
            reconnect_timeout=2.0,
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
                with self._database.watching():
                    await self._sweep()
                if self._worker is not None:
                    await self._worker.abandon_taken()
                    await self._worker.give_back_unheld()
            except Exception as error:  # noqa: BLE001 - the next sweep tries again
                if not failed_before and not database_is_away(error):
                    logger.warning("sweep_failed", cause=first_line(error))
                failed_before = True
            else:
                failed_before = False
            await asyncio.sleep(self._config.sweep_seconds)


async def _first(task: asyncio.Task[None], event: asyncio.Event, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as asyncio.wait
    """Wait for the end of the task or for the event, whichever comes first."""
    waiting = asyncio.create_task(event.wait(), name="wait for a stop")
    await asyncio.wait([task, waiting], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
