"""The sweep: takes up what lost workers left behind, and removes what is not needed any more.

Every worker sweeps, at its start and then regularly, so sweeps run beside each other: whatever one of them sees is
looked at again under its lock, and what is removed is skipped where another has locked it.
"""

from __future__ import annotations

from typing import Any, LiteralString, cast

import structlog
from channels.db import database_sync_to_async
from django.apps import apps
from django.conf import settings
from django.db import connection, transaction

from chat import deactivation, jobs, passwords, runs, titles
from chat.apps import ChatConfig
from chat.pool import on_any_thread
from chat.retention import tidy_up

logger = structlog.get_logger(__name__)

_LOST_RUNS: LiteralString = (
    """
    SELECT r.id, r.claim FROM chat_run r
    LEFT JOIN procrastinate_jobs j ON j.id = r.job_id LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
    WHERE r.status = 'running' AND (j.id IS NULL OR j.status <> 'doing' OR """
    + jobs.LOST
    + ")"
)
_STRANDED_RUNS: LiteralString = (
    """
    SELECT r.id, r.job_id FROM chat_run r
    LEFT JOIN procrastinate_jobs j ON j.id = r.job_id LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
    WHERE r.status = 'queued'
      AND (j.id IS NULL OR j.status NOT IN ('todo', 'doing') OR (j.status = 'doing' AND """
    + jobs.LOST
    + """))
      AND NOT EXISTS (SELECT 1 FROM chat_run o WHERE o.thread_id = r.thread_id AND o.run_number < r.run_number
                      AND o.status IN ('queued', 'running', 'awaiting_approval'))"""
)
# A lost worker's job whose run has ended, is gone, waits for a person, or has another job.
_ORPHANED_JOBS: LiteralString = (
    """
    SELECT j.id FROM procrastinate_jobs j
    LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
    LEFT JOIN chat_run r ON r.id = CASE WHEN j.task_name = %(task)s THEN (j.args->>'run_id')::uuid END
    WHERE j.status = 'doing' AND j.task_name = %(task)s AND """
    + jobs.LOST
    + " AND (r.id IS NULL OR r.job_id IS DISTINCT FROM j.id OR r.status NOT IN ('queued', 'running'))"
)
_EXPIRED_RUNS: LiteralString = """
    SELECT DISTINCT a.run_id FROM chat_approval a JOIN chat_run r ON r.id = a.run_id
    WHERE a.approved IS NULL AND a.expires_at <= now() AND r.status = 'awaiting_approval' LIMIT 100
"""


async def sweep() -> None:
    """Take up what lost workers left, then tidy up."""
    await database_sync_to_async(sweep_runs)()
    await on_any_thread(tidy_up)


def sweep_runs() -> None:
    """Recover the runs of lost workers, give stranded runs a job, fail runs that waited for a person too long, end the
    jobs that lost workers have still.
    """
    stalled = settings.NETRA.worker_stalled_seconds
    publisher = cast("ChatConfig", apps.get_app_config("chat")).event_log.publisher
    for run_id, claim in _rows(_LOST_RUNS, stalled=stalled):
        status = runs.recover(
            run_id,
            seen_claim=claim,
            max_attempts=settings.NETRA.run_attempts,
            stalled=stalled,
            publisher=publisher,
        )
        if status is not None:
            logger.warning("run_recovered", run_id=str(run_id), status=status)
    for run_id, job_id in _rows(_STRANDED_RUNS, stalled=stalled):
        if runs.requeue(run_id, lost_job_id=job_id, stalled=stalled):
            logger.warning("run_requeued", run_id=str(run_id))
    for (run_id,) in _rows(_EXPIRED_RUNS):
        if runs.expire(run_id, publisher=publisher):
            logger.info("approval_expired", run_id=str(run_id))
    for (job_id,) in _rows(_ORPHANED_JOBS, stalled=stalled, task=jobs.RUN_TASK):
        with transaction.atomic():
            if jobs.bury_lost(job_id, stalled=stalled) == "lost":
                logger.warning("job_buried", job_id=job_id)
    deactivation.shut_out_inactive(publisher)
    titles.take_up_lost(stalled=stalled)
    passwords.take_up_unsent(stalled=stalled)


def _rows(query: LiteralString, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
