"""What the database knows of the whole: counted as it stands, asked seldom, and left out when it does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from prometheus_client import CollectorRegistry

from chat import figures
from chat.event_log import EventLog
from chat.figures import Figures, FiguresCollector
from chat.models import OPEN_STATUSES, ProcessKind
from chat.monitor import Monitor
from chat.threads import ThreadService
from tests.chat.holding import claimed, posted
from tests.many_rows import write_rows
from tests.readings import Readings

pytestmark = pytest.mark.usefixtures("transactional_db")


def execute(query: str, *parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []


def shown(collector: FiguresCollector) -> Readings:
    registry = CollectorRegistry()
    registry.register(collector)
    return Readings(registry.collect())


async def test_runs_the_queue_workers_and_processes_as_they_stand(
    event_log: EventLog, service: ThreadService, ann: Any
) -> None:
    first = await posted(service, ann)
    await posted(service, ann, thread_id=first.thread_id)  # it waits behind the first, and not for a worker
    await posted(service, ann, agent="data")
    await claimed(event_log, first.run_id)
    monitor = Monitor(event_log.pool, connections=lambda: 0, runs=lambda: 1)
    await monitor.say_alive()

    def prepare() -> None:
        execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE args->>'run_id' = %s", str(first.run_id))
        execute("UPDATE procrastinate_events SET at = at - interval '90 seconds'")
        for seconds in (1, 2, 3600):
            execute(
                "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - make_interval(secs => %s))", seconds
            )

    await sync_to_async(prepare)()
    readings = await sync_to_async(shown)(FiguresCollector())
    assert readings("netra_database_up") == 1
    assert readings("netra_runs", status="running", agent="assistant") == 1
    assert readings("netra_runs", status="queued", agent="assistant") == 1
    assert readings("netra_runs", status="queued", agent="data") == 1
    assert readings("netra_runs") == 3
    assert readings("netra_queue_depth") == 1
    assert 90 <= readings("netra_queue_oldest_seconds") < 150
    assert readings("netra_workers_alive") == 2
    assert readings("netra_processes", kind=ProcessKind.WEB.value) == 1


async def test_a_job_that_was_given_back_waits_since_then(
    event_log: EventLog, service: ThreadService, ann: Any
) -> None:
    await posted(service, ann)

    def prepare() -> None:
        execute("UPDATE procrastinate_events SET at = at - interval '1 hour'")
        execute(
            "INSERT INTO procrastinate_events (job_id, type) SELECT id, 'deferred_for_retry' FROM procrastinate_jobs"
        )

    await sync_to_async(prepare)()
    assert (await sync_to_async(figures.read)()).oldest_seconds < 60


def test_without_anything_all_is_none() -> None:
    found = figures.read()
    assert (found.open_runs, found.waiting, found.oldest_seconds) == ({}, 0, 0)


def test_what_has_ended_is_not_read(ann: Any) -> None:
    """However many runs there were: those that are open are found by an index."""
    write_rows(ann.pk, 5000)
    execute("ANALYZE chat_run")
    plan = "\n".join(row[0] for row in execute(f"EXPLAIN {figures._OPEN_RUNS}"))
    assert "run_open_by_user" in plan, plan
    assert all(f"'{status}'" in figures._OPEN_RUNS for status in OPEN_STATUSES)


class Asked:
    """The figures as a database tells them that can be made to hang or to fail."""

    def __init__(self) -> None:
        self.times = 0
        self.error: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self) -> Figures:
        self.times += 1
        self.answers.wait()
        if self.error is not None:
            raise self.error
        return Figures(waiting=self.times)


@pytest.fixture
def asked() -> Iterator[Asked]:
    asked = Asked()
    yield asked
    asked.answers.set()


def test_scrapes_that_follow_each_other_closely_ask_once(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    collector = FiguresCollector(asked)
    assert [shown(collector)("netra_queue_depth") for _ in range(5)] == [1] * 5
    monkeypatch.setattr(figures, "FRESH_SECONDS", 0.0)
    assert shown(collector)("netra_queue_depth") == 2


def test_a_database_that_hangs_is_asked_once_and_left_out_until_it_answers(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(figures, "DEADLINE_SECONDS", 0.05)
    collector = FiguresCollector(asked)
    asked.answers.clear()
    for _ in range(3):
        readings = shown(collector)
        assert {name for name, _ in readings.samples} == {"netra_database_up"}
        assert readings("netra_database_up") == 0
    assert asked.times == 1
    monkeypatch.setattr(figures, "DEADLINE_SECONDS", 5.0)
    asked.answers.set()
    assert shown(collector)("netra_database_up") == 1


def test_a_database_that_is_away_is_left_out(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "FRESH_SECONDS", 0.0)
    collector = FiguresCollector(asked)
    asked.error = OperationalError("connection refused")
    assert list(shown(collector).samples.values()) == [0]
    asked.error = None
    assert shown(collector)("netra_database_up") == 1
