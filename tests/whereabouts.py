"""Which worker of a cluster executes a run, and what became of it there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from tests.clients import Client
from tests.cluster import Cluster
from tests.live import LiveWorker
from tests.processes import LiveProcess, eventually

ENDED_JOBS = {"succeeded", "failed", "cancelled", "aborted"}


@contextlib.contextmanager
def paused(processes: Sequence[LiveProcess]) -> Iterator[None]:
    for process in processes:
        process.pause()
    try:
        yield
    finally:
        for process in processes:
            process.go_on()


async def begin_on(
    cluster: Cluster, worker: LiveWorker, client: Client, *questions: str, to: str = "agent_response_chunk"
) -> list[str]:
    """Ask while the other workers are paused. The ids of the runs, which this worker has brought to this event."""
    with paused([other for other in cluster.workers if other is not worker]):
        run_ids = [(await client.post(question))["run_id"] for question in questions]
        for run_id in run_ids:
            await client.events(run_id, to=[to])
    assert all(told_of(worker, "run_started", run_id) for run_id in run_ids)
    return run_ids


def told_of(worker: LiveWorker, event: str, run_id: str) -> list[str]:
    """The lines of a worker's log with this event of a run."""
    return [line for line in worker.log_text().splitlines() if f" {event} " in line and f"run_id={run_id}" in line]


async def outcome_on(worker: LiveWorker, run_id: str) -> str:
    """How the latest of the worker's tasks for this run ended, which is waited for."""
    begun = len(told_of(worker, "run_started", run_id))
    assert begun
    await eventually(
        lambda: len(told_of(worker, "run_ended", run_id)) == begun, what=f"the end of a run on {worker.name}"
    )
    _, _, outcome = told_of(worker, "run_ended", run_id)[-1].partition("outcome=")
    return outcome.split()[0]


async def jobs_have_ended(cluster: Cluster, run_id: str) -> None:
    await eventually(lambda: set(job_statuses(cluster, run_id)) <= ENDED_JOBS, what="the run's jobs to end")


def job_statuses(cluster: Cluster, run_id: str) -> list[str]:
    query = """SELECT status::text FROM procrastinate_jobs
               WHERE task_name = 'chat.tasks.execute_run' AND args->>'run_id' = %s ORDER BY id"""
    with cluster.database() as connection:
        return [row[0] for row in connection.execute(query, (run_id,)).fetchall()]


def run_status(cluster: Cluster, run_id: str) -> str:
    with cluster.database() as connection:
        row = connection.execute("SELECT status FROM chat_run WHERE id = %s", (run_id,)).fetchone()
    assert row is not None
    return str(row[0])
