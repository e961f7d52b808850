"""Jobs of the worker engine: one for each run that is the head of its thread's queue, and one to name a new thread."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator
from typing import Any, LiteralString

from django.db import connection
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.manager import JobManager
from procrastinate.psycopg_connector import PsycopgConnector

RUN_QUEUE: LiteralString = "runs"
RUN_TASK: LiteralString = "chat.tasks.execute_run"
TITLE_TASK = "chat.tasks.make_title"
RESET_TASK = "chat.tasks.send_reset_mail"
# People wait for answers.
TITLE_PRIORITY = -1


def defer_run(run_id: Any) -> int:
    """Inside a Django transaction: the job appears, and wakes a worker, when it commits. Returns the job's id."""
    with connection.wrap_database_errors, _database_errors():
        return app.configure_task(RUN_TASK, queue=RUN_QUEUE).defer(run_id=str(run_id))


# `defer_run` as a part of another statement: the one row is the job's id.
DEFER_RUN: LiteralString = (
    "SELECT unnest(procrastinate_defer_jobs_v1(ARRAY[ROW('"
    + RUN_QUEUE
    + "', '"
    + RUN_TASK
    + """', 0, NULL, NULL, jsonb_build_object('run_id', %(run)s::text), NULL)::procrastinate_job_to_defer_v1])) AS id"""
)


async def defer_run_on(async_connection: Any, run_id: Any) -> int:
    """The same inside a transaction of an asynchronous psycopg connection."""
    return await _defer_on(async_connection, RUN_TASK, priority=0, run_id=str(run_id))


def defer_title(run_id: Any, *, repeated: bool) -> int:
    """Inside a Django transaction: name a run's thread after what was said in the run."""
    with connection.wrap_database_errors, _database_errors():
        task = app.configure_task(TITLE_TASK, queue=RUN_QUEUE, priority=TITLE_PRIORITY)
        return task.defer(run_id=str(run_id), repeated=repeated)


def defer_reset_mail(request_id: int) -> int:
    """Inside a Django transaction: send the mail that somebody asked for. The job knows no address."""
    with connection.wrap_database_errors, _database_errors():
        return app.configure_task(RESET_TASK, queue=RUN_QUEUE).defer(request_id=request_id)


async def defer_title_on(async_connection: Any, run_id: Any) -> int:
    """The same inside a transaction of an asynchronous psycopg connection."""
    return await _defer_on(async_connection, TITLE_TASK, priority=TITLE_PRIORITY, run_id=str(run_id), repeated=False)


async def _defer_on(async_connection: Any, task_name: str, *, priority: int, **arguments: str | bool) -> int:
    job = Job(
        id=None,
        queue=RUN_QUEUE,
        priority=priority,
        lock=None,
        queueing_lock=None,
        task_name=task_name,
        task_kwargs=dict(arguments),
    )
    # The connector lends its way of writing jobs; the connection is the caller's, so it needs no pool of its own.
    with _database_errors():
        deferred = await JobManager(PsycopgConnector()).defer_job_async(job, connection=async_connection)
    assert deferred.id is not None  # noqa: S101 - the type says Optional, a deferred job has one
    return deferred.id


def abort_run(job_id: int | None) -> None:
    """Inside a Django transaction: cancel the job, or the task that executes it, on whichever worker it is."""
    if job_id is not None:
        with connection.wrap_database_errors, _database_errors():
            app.job_manager.cancel_job_by_id(job_id, abort=True)


@contextlib.contextmanager
def _database_errors() -> Iterator[None]:
    """Procrastinate hides psycopg's errors behind its own: who must tell a lost database from a bug needs them."""
    try:
        yield
    except ConnectorException as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None


# A worker is lost when its heartbeat is old, unless the database was itself away and heartbeats could not be written.
LOST: LiteralString = """
    (w.id IS NULL OR (w.last_heartbeat < now() - make_interval(secs => %(stalled)s)
                      AND pg_postmaster_start_time() < now() - make_interval(secs => %(stalled)s)))
"""
_STATUS: LiteralString = (
    "SELECT CASE WHEN j.status = 'doing' AND "
    + LOST
    + """ THEN 'lost' ELSE j.status::text END
    FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id WHERE j.id = %(job)s"""
)


_LOST_JOBS: LiteralString = (
    """
    SELECT j.id, j.args
    FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
    WHERE j.status = 'doing' AND j.task_name = %(task)s AND """
    + LOST
)


def lost(task: str, *, stalled: float) -> list[tuple[int, dict[str, Any]]]:
    """The jobs of a task that lost workers have still, with their arguments; to be looked at again by `bury_lost`."""
    with connection.cursor() as cursor:
        cursor.execute(_LOST_JOBS, {"task": task, "stalled": stalled})
        rows: list[tuple[int, Any]] = cursor.fetchall()
    return [(job_id, json.loads(arguments) if isinstance(arguments, str) else arguments) for job_id, arguments in rows]


def bury_lost(job_id: int | None, *, stalled: float) -> str | None:
    """Inside a Django transaction: the job's status; when its worker is lost, the job is ended and this is `lost`.

    None when there is no such job. A worker that lives after all finds nothing to end (netra.worker fences it).
    """
    if job_id is None:
        return None
    with connection.cursor() as cursor:
        # A statement of its own: what the next one sees was not changed between its beginning and the lock.
        cursor.execute("SELECT 1 FROM procrastinate_jobs WHERE id = %s FOR UPDATE", [job_id])
        cursor.execute(_STATUS, {"job": job_id, "stalled": stalled})
        row = cursor.fetchone()
        if row is not None and row[0] == "lost":
            cursor.execute("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %s", [job_id])
    return row[0] if row else None


def remove_ended(*, older_than: datetime.timedelta, limit: int) -> int:
    """Remove, of the `limit` oldest ended jobs, those that ended long enough ago. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            """DELETE FROM procrastinate_jobs WHERE id = ANY(ARRAY(
                   SELECT j.id FROM (
                       SELECT id FROM procrastinate_jobs WHERE status NOT IN ('todo', 'doing')
                       ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED) j
                   WHERE NOT EXISTS (
                       SELECT 1 FROM procrastinate_events e WHERE e.job_id = j.id AND e.at > %(before)s)))""",
            {"before": datetime.datetime.now(datetime.UTC) - older_than, "limit": limit},
        )
        return int(cursor.rowcount)
