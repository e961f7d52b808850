"""The sweep: takes up what lost workers left behind, and removes what is not needed any more.

Every worker sweeps, at its start and then regularly, so sweeps run beside each other: whatever one of them sees is
looked at again under its lock, and what is removed is skipped where another has locked it.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any, LiteralString, cast

import structlog
from channels.db import database_sync_to_async
from django.apps import apps
from django.conf import settings
from django.db import connection, transaction

from chat import attachments, audit, jobs, own_threads, passwords, processes, removal, runs, sessions, titles
from chat.apps import ChatConfig
from chat.pool import on_any_thread
from chat.run_event import now

logger = structlog.get_logger(__name__)

KEEP_DELETED_THREADS = datetime.timedelta(hours=1)
KEEP_ENDED_JOBS = datetime.timedelta(hours=24)
# How long one sweep goes on tidying up: the runs of a worker that is lost meanwhile wait for the next sweep.
TIDY_SECONDS = 1.0
PURGE_BATCH = 5
JOBS_BATCH = 500
TOKENS_BATCH = 500
AUDIT_BATCH = 500
PROCESSES_BATCH = 100
UNSENT_BATCH = 100
PRUNE_RUNS_BATCH = 200
PRUNE_EVENTS_BATCH = 2000

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
_PRUNABLE_RUNS: LiteralString = """
    SELECT id FROM chat_run WHERE finished_at < %(before)s AND events_pruned_at IS NULL
    ORDER BY finished_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
"""
# From the first event on: what is left of a run has no gap.
_PRUNE: LiteralString = """
    DELETE FROM chat_runevent WHERE (run_id, seq) IN (
        SELECT run_id, seq FROM chat_runevent WHERE run_id = ANY(%(runs)s)
        ORDER BY run_id, seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
"""
_MARK_PRUNED: LiteralString = """
    UPDATE chat_run r SET events_pruned_at = %(now)s
    WHERE id = ANY(%(runs)s) AND NOT EXISTS (SELECT 1 FROM chat_runevent e WHERE e.run_id = r.id)
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
    titles.take_up_lost(stalled=stalled)
    passwords.take_up_unsent(stalled=stalled)


def tidy_up() -> None:
    """Remove what is not needed any more: all there is, or as much as TIDY_SECONDS allow; of each kind a batch."""
    until = time.monotonic() + TIDY_SECONDS
    _repeat(lambda: own_threads.purge_deleted(older_than=KEEP_DELETED_THREADS, limit=PURGE_BATCH), until)
    _repeat(removal.remove_deleted, until)
    _repeat(lambda: sessions.forget_expired(limit=TOKENS_BATCH), until)
    _repeat(lambda: attachments.remove_old_unsent(older_than=attachments.UNSENT_FOR, limit=UNSENT_BATCH), until)
    # One folder of the storage each time, so that all of them are looked at in turn.
    shard = int(time.time() / settings.NETRA.sweep_seconds) % attachments.SHARDS
    if strays := attachments.remove_strays(shard, older_than=attachments.STRAY_AFTER):
        logger.warning("stray_files_removed", files=strays)
    _repeat(lambda: jobs.remove_ended(older_than=KEEP_ENDED_JOBS, limit=JOBS_BATCH), until)
    _repeat(lambda: processes.forget_lost(limit=PROCESSES_BATCH), until)
    if retention := settings.NETRA.audit_retention:
        _repeat(lambda: audit.forget_old(older_than=datetime.timedelta(days=retention), limit=AUDIT_BATCH), until)
    if retention := settings.NETRA.event_retention:
        pruned = _repeat(lambda: prune_events(older_than=datetime.timedelta(days=retention)), until)
        if pruned:
            logger.info("events_pruned", events=pruned)


def _repeat(remove: Callable[[], int], until: float) -> int:
    """Go on while there is something to remove, and time. Returns how much was removed."""
    total = 0
    while removed := remove():
        total += removed
        if time.monotonic() >= until:
            break
    return total


@transaction.atomic
def prune_events(*, older_than: datetime.timedelta) -> int:
    """Remove a batch of the events of runs that ended long enough ago; messages stay. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(_PRUNABLE_RUNS, {"before": now() - older_than, "limit": PRUNE_RUNS_BATCH})
        found = [row[0] for row in cursor.fetchall()]
        if not found:
            return 0
        cursor.execute(_PRUNE, {"runs": found, "limit": PRUNE_EVENTS_BATCH})
        removed = int(cursor.rowcount)
        cursor.execute(_MARK_PRUNED, {"runs": found, "now": now()})
    return removed


def _rows(query: LiteralString, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
