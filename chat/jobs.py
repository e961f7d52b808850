"""Jobs of the worker engine: one for each run that is the head of its thread's queue."""

from __future__ import annotations

from typing import Any

from django.db import connection
from procrastinate.contrib.django import app
from procrastinate.jobs import Job
from procrastinate.manager import JobManager
from procrastinate.psycopg_connector import PsycopgConnector

RUN_QUEUE = "runs"
RUN_TASK = "chat.tasks.execute_run"


def defer_run(run_id: Any) -> int:
    """Inside a Django transaction: the job appears, and wakes a worker, when it commits. Returns the job's id."""
    return app.configure_task(RUN_TASK, queue=RUN_QUEUE).defer(run_id=str(run_id))


async def defer_run_on(async_connection: Any, run_id: Any) -> int:
    """The same inside a transaction of an asynchronous psycopg connection."""
    job = Job(
        id=None,
        queue=RUN_QUEUE,
        lock=None,
        queueing_lock=None,
        task_name=RUN_TASK,
        task_kwargs={"run_id": str(run_id)},
    )
    # The connector lends its way of writing jobs; the connection is the caller's, so it needs no pool of its own.
    deferred = await JobManager(PsycopgConnector()).defer_job_async(job, connection=async_connection)
    assert deferred.id is not None  # noqa: S101 - the type says Optional, a deferred job has one
    return deferred.id


def abort_run(job_id: int | None) -> None:
    """Inside a Django transaction: cancel the job, or the task that executes it, on whichever worker it is."""
    if job_id is not None:
        app.job_manager.cancel_job_by_id(job_id, abort=True)


def bury(job_id: int | None) -> None:
    """Inside a Django transaction: end a job whose worker is lost. If that worker lives after all, its own ending of
    the job finds nothing to end (netra.worker fences it).
    """
    if job_id is not None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %s AND status = 'doing'", [job_id]
            )
