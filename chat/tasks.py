"""The engine's task `execute_run`, and the sweep that mends what was lost."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
import uuid
from typing import TYPE_CHECKING, cast

import structlog
from channels.db import database_sync_to_async
from django.apps import apps
from django.conf import settings
from django.db import connection
from procrastinate import BaseRetryStrategy, RetryDecision
from procrastinate.contrib.django import app
from procrastinate.exceptions import JobAborted
from procrastinate.job_context import AbortReason, JobContext
from procrastinate.jobs import Job
from psycopg.rows import DictRow

from agents.events import AgentCompleted, AgentError, event_data
from agents.plain import plain_object, plain_text
from agents.request import FoundMessage, RunRequest, RunUser, Turn
from chat import jobs, runs, threads
from chat.errors import ErrorCode
from chat.event_log import Ending, EventLog, HeldRun, RunFenced
from chat.models import RunStatus
from chat.run_writer import RunWriter

if TYPE_CHECKING:
    from agents.apps import AgentsConfig
    from chat.apps import ChatConfig

logger = structlog.get_logger(__name__)

KEEP_DELETED_THREADS = datetime.timedelta(hours=1)
KEEP_ENDED_JOBS_HOURS = 24
PURGE_BATCH = 50
FINISH_SECONDS_AFTER_CANCEL = 2.0


class HandBack(BaseRetryStrategy):
    """A task that is cancelled by a shutdown goes back to the queue at once; nothing else is repeated."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:  # noqa: ARG002
        return RetryDecision(retry_in={"seconds": 0}) if isinstance(exception, asyncio.CancelledError) else None


class RunServicesOfUser:
    """What the tools of one run may ask for: the data of the run's own user, and nothing else."""

    def __init__(self, thread_service: threads.ThreadService, user_id: int) -> None:
        self._thread_service = thread_service
        self._user_id = user_id

    async def search_messages(self, query: str, limit: int) -> list[FoundMessage]:
        found = await database_sync_to_async(self._thread_service.search_messages)(self._user_id, query, limit=limit)
        return [
            FoundMessage(
                thread_id=str(message.thread_id),
                thread_title=message.thread.title,
                role=message.role,
                excerpt=excerpt(message.content, query),
                created_at=message.created_at,
            )
            for message in found
        ]


def excerpt(content: str, query: str, *, length: int = 160) -> str:
    """The part of a text around the first place where the query stands in it."""
    place = max(content.lower().find(query.lower()), 0)
    start = max(0, min(place - length // 3, len(content) - length))
    cut = " ".join(content[start : start + length].split())
    return f"{'…' if start else ''}{cut}{'…' if start + length < len(content) else ''}"


@app.task(name=jobs.RUN_TASK, queue=jobs.RUN_QUEUE, pass_context=True, retry=HandBack())
async def execute_run(context: JobContext, run_id: str) -> None:
    """Claim a run, let its agent work, write what it does. Ends early when the run is taken from this worker."""
    log = cast("ChatConfig", apps.get_app_config("chat")).event_log
    claimed = await log.pool.until_reached(lambda: log.claim(run_id))
    if claimed is None:
        logger.info("run_not_claimed", run_id=run_id)
        return
    run, conversation = claimed
    with structlog.contextvars.bound_contextvars(
        run_id=run_id, thread_id=str(run.thread_id), user_id=str(run.user_id), agent=run.agent
    ):
        logger.info("run_started", attempt=run.attempt)
        began = time.monotonic()
        outcome = "lost"
        try:
            outcome = await _execute(log, run, conversation)
        except RunFenced:
            outcome = "taken"
        except asyncio.CancelledError:
            outcome = "cancelled"
            if context.abort_reason() is AbortReason.USER_REQUEST:
                raise JobAborted from None
            outcome = "handed_back" if await log.hand_back(run, reason="handed_back") else "taken"
            raise
        finally:
            logger.info(
                "run_ended",
                outcome=outcome,
                seconds=round(time.monotonic() - began, 3),
                last_seq=run.last_seq,
            )


async def _execute(log: EventLog, run: HeldRun, conversation: list[DictRow]) -> str:
    """Returns the run's final status. Raises RunFenced and CancelledError, after which nothing more is written."""
    writer = RunWriter(log, run, window=settings.NETRA.event_window_ms / 1000)
    try:
        ending = await _follow_agent(writer, run, conversation)
        finishing = asyncio.create_task(writer.finish(ending), name=f"finish run {run.id}")
        try:
            await asyncio.shield(finishing)
        except asyncio.CancelledError:
            # The answer is whole: a moment more and it is stored.
            await asyncio.wait([finishing], timeout=FINISH_SECONDS_AFTER_CANCEL)
            if not finishing.done():
                finishing.cancel()
                raise
            finishing.result()
    except BaseException:
        await writer.abandon()
        raise
    return ending.status.value


async def _follow_agent(writer: RunWriter, run: HeldRun, conversation: list[DictRow]) -> Ending:
    chat = cast("ChatConfig", apps.get_app_config("chat"))
    supervisor = cast("AgentsConfig", apps.get_app_config("agents")).supervisor
    if supervisor is None or chat.thread_service is None:
        return _failed("The agents are not available on this server.")
    *earlier, question = conversation
    request = RunRequest(
        run_id=str(run.id),
        attempt=run.attempt,
        agent=run.agent,
        message_id=str(run.message_id),
        prompt=question["content"],
        history=tuple(Turn(role=row["role"], content=row["content"]) for row in earlier),
        user=RunUser(id=str(run.user_id), username=""),
        services=RunServicesOfUser(chat.thread_service, run.user_id),
    )
    async with contextlib.aclosing(supervisor.execute(request)) as events:
        async for event in events:
            if isinstance(event, AgentCompleted):
                return Ending(RunStatus.COMPLETED, event.type, plain_object(event_data(event)), usage=event.usage)
            if isinstance(event, AgentError):
                return Ending(
                    RunStatus.FAILED,
                    event.type,
                    plain_object(event_data(event)),
                    error_code=event.error_code,
                    error_message=plain_text(event.error_message),
                )
            await writer.write(event)
    return _failed("The agent ended without an answer.")


def _failed(message: str) -> Ending:
    data = {"error_code": ErrorCode.INTERNAL_ERROR.value, "error_message": message, "retryable": True}
    return Ending(
        RunStatus.FAILED,
        "agent_error",
        data,
        error_code=ErrorCode.INTERNAL_ERROR.value,
        error_message=message,
    )


# A worker is lost when its heartbeat is old, unless the database was itself away and heartbeats could not be written.
_LOST: str = """
    (w.id IS NULL OR (w.last_heartbeat < now() - make_interval(secs => %(stalled)s)
                      AND pg_postmaster_start_time() < now() - make_interval(secs => %(stalled)s)))
"""
_LOST_RUNS: str = (
    """
    SELECT r.id, r.claim FROM chat_run r
    LEFT JOIN procrastinate_jobs j ON j.id = r.job_id LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
    WHERE r.status = 'running' AND (j.id IS NULL OR j.status <> 'doing' OR """
    + _LOST
    + ")"
)
_STRANDED_RUNS: str = (
    """
    SELECT r.id, r.job_id FROM chat_run r
    LEFT JOIN procrastinate_jobs j ON j.id = r.job_id LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
    WHERE r.status = 'queued'
      AND (j.id IS NULL OR j.status NOT IN ('todo', 'doing') OR (j.status = 'doing' AND """
    + _LOST
    + """))
      AND NOT EXISTS (SELECT 1 FROM chat_run o WHERE o.thread_id = r.thread_id AND o.run_number < r.run_number
                      AND o.status IN ('queued', 'running', 'awaiting_approval'))"""
)


async def sweep() -> None:
    """Recover the runs of lost workers, give stranded runs a job, remove deleted threads and old job rows."""
    await database_sync_to_async(sweep_runs)()
    await database_sync_to_async(threads.purge_deleted)(older_than=KEEP_DELETED_THREADS, limit=PURGE_BATCH)
    await app.job_manager.delete_old_jobs(
        nb_hours=KEEP_ENDED_JOBS_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
    )


def sweep_runs() -> None:
    """Safe beside other sweeps: each run is looked at again under its lock."""
    publisher = cast("ChatConfig", apps.get_app_config("chat")).event_log.publisher
    for run_id, claim in _rows(_LOST_RUNS):
        status = runs.recover(run_id, seen_claim=claim, max_attempts=settings.NETRA.run_attempts, publisher=publisher)
        if status is not None:
            logger.warning("run_recovered", run_id=str(run_id), status=status)
    for run_id, job_id in _rows(_STRANDED_RUNS):
        if runs.requeue(run_id, lost_job_id=job_id):
            logger.warning("run_requeued", run_id=str(run_id))


def _rows(query: str) -> list[tuple[uuid.UUID, int]]:
    with connection.cursor() as cursor:
        cursor.execute(query, {"stalled": settings.NETRA.worker_stalled_seconds})
        rows: list[tuple[uuid.UUID, int]] = cursor.fetchall()
    return rows
