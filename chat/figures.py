"""What the database knows of the whole Netra now: open runs, what waits for a worker, and who lives.

The same for all processes. Each query reads what is open, never what has ended.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.db import Error, connection, connections
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from chat import jobs, metrics
from chat.processes import live_processes
from chat.reachability import first_line

logger = structlog.get_logger(__name__)

FRESH_SECONDS = 3.0
DEADLINE_SECONDS = 2.0
# Of the jobs that wait so many are looked at to find the one that has waited longest.
OLDEST_JOBS = 100

# The states stand in the query itself, as they do in the index of open runs.
_OPEN_RUNS = """
    SELECT status, agent, count(*) FROM chat_run WHERE status IN ('queued', 'running', 'awaiting_approval')
    GROUP BY status, agent
"""
_WAITING = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo' AND task_name = %s"
# A job waits since its last event: since it was made, or given back.
_OLDEST = """
    SELECT COALESCE(max(extract(epoch FROM now() - e.at)), 0) FROM (
        SELECT id FROM procrastinate_jobs WHERE status = 'todo' AND task_name = %s ORDER BY id LIMIT %s) j
    CROSS JOIN LATERAL (SELECT max(at) AS at FROM procrastinate_events WHERE job_id = j.id) e
"""
_WORKERS = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => %s)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """`open_runs` by status and agent. `waiting`: runs for which only a worker is missing; the first of them waits
    `oldest_seconds`. `workers` have a fresh heartbeat; `processes` by kind.
    """

    open_runs: dict[tuple[str, str], int] = field(default_factory=dict)
    waiting: int = 0
    oldest_seconds: float = 0.0
    workers: int = 0
    processes: dict[str, int] = field(default_factory=dict)


def read() -> Figures:
    """Raises django.db.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_RUNS)
        open_runs = {(status, agent): int(number) for status, agent, number in cursor.fetchall()}
        cursor.execute(_WAITING, [jobs.RUN_TASK])
        (waiting,) = cursor.fetchone()
        cursor.execute(_OLDEST, [jobs.RUN_TASK, OLDEST_JOBS])
        (oldest,) = cursor.fetchone()
        cursor.execute(_WORKERS, [settings.NETRA.worker_stalled_seconds])
        (workers,) = cursor.fetchone()
    processes = Counter(process.kind.value for process in live_processes())
    return Figures(
        open_runs=open_runs,
        waiting=waiting,
        oldest_seconds=max(0.0, float(oldest)),
        workers=workers,
        processes=dict(processes),
    )


class FiguresCollector(Collector):
    """`read` for Prometheus: at most every FRESH_SECONDS, and in DEADLINE_SECONDS or not at all.

    Used on any thread.
    """

    def __init__(self, read: Callable[[], Figures] = read) -> None:
        self._read = read
        self._asking = threading.Lock()
        self._asked_at = float("-inf")
        self._found: Figures | None = None
        self._reader = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="figures")
        self._reading: concurrent.futures.Future[Figures] | None = None

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from _families(Figures())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._asking:
            if time.monotonic() - self._asked_at >= FRESH_SECONDS:
                self._found = self._ask()
                self._asked_at = time.monotonic()
            found = self._found
        yield from _families(found) if found is not None else [_up(0)]

    def _ask(self) -> Figures | None:
        """None when the database does not answer in time. One that hangs is asked once."""
        if self._reading is None or self._reading.done():
            self._reading = self._reader.submit(self._read_and_release)
        try:
            return self._reading.result(DEADLINE_SECONDS)
        except (Error, TimeoutError) as error:
            logger.debug("figures_not_read", cause=first_line(error))
            return None

    def _read_and_release(self) -> Figures:
        try:
            return self._read()
        finally:
            connections.close_all()


def _up(value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "netra_database_up", "Whether the database told this process the figures of the whole in time.", value=value
    )


def _families(figures: Figures) -> Iterator[GaugeMetricFamily]:
    yield _up(1)
    runs = GaugeMetricFamily(
        "netra_runs",
        "Runs that have not ended, by their state; those that wait in their thread's queue, too.",
        labels=["status", "agent"],
    )
    numbers: Counter[tuple[str, str]] = Counter()
    for (status, agent), number in figures.open_runs.items():
        numbers[status, metrics.agent_label(agent)] += number
    for labels, number in numbers.items():
        runs.add_metric(list(labels), number)
    yield runs
    yield GaugeMetricFamily("netra_queue_depth", "Runs that only wait for a worker.", value=figures.waiting)
    yield GaugeMetricFamily(
        "netra_queue_oldest_seconds",
        "How long the first of them has waited; 0 when none waits.",
        value=figures.oldest_seconds,
    )
    yield GaugeMetricFamily("netra_workers_alive", "Workers with a fresh heartbeat.", value=figures.workers)
    processes = GaugeMetricFamily(
        "netra_processes",
        "Processes that have spoken lately; a web process may have a worker inside.",
        labels=["kind"],
    )
    for kind, number in figures.processes.items():
        processes.add_metric([kind], number)
    yield processes
