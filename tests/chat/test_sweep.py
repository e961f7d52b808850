"""What the sweep takes up, what it removes, and what it leaves alone, beside other sweeps and live workers."""

from __future__ import annotations

import datetime
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection, connections, transaction
from procrastinate.contrib.django import app

from chat import jobs, retention, runs
from chat.claiming import HeldRun
from chat.models import Message, Run, RunEvent
from chat.retention import prune_events, tidy_up
from chat.run_event import now
from chat.sweep import sweep_runs
from chat.threads import ThreadService
from netra.config import Config
from netra.testing import Netra, eventually, rebuild, receive, send
from tests.chat.holding import answered, chunk, claimed, completed, fresh, post, posted
from tests.chat.holding import jobs as all_jobs
from tests.chat.test_tasks import stop_worker

pytestmark = pytest.mark.usefixtures("transactional_db")

DAY = datetime.timedelta(days=1)


@pytest.fixture(autouse=True)
def _as_configured() -> Iterator[None]:
    rebuild()
    yield
    connections.close_all()


def execute(query: str, *parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []


def worker(*, silent_for: float = 0) -> int:
    """A worker that was last heard of so long ago."""
    [[worker_id]] = execute(
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - make_interval(secs => %s)) RETURNING id",
        silent_for,
    )
    return int(worker_id)


def fetch(worker_id: int) -> int:
    """The worker begins the next job."""
    [[job_id]] = execute("SELECT id FROM procrastinate_fetch_job_v2(NULL, %s)", worker_id)
    assert job_id is not None
    return int(job_id)


def lose(worker_id: int) -> None:
    execute("DELETE FROM procrastinate_workers WHERE id = %s", worker_id)


def job_status(job_id: int) -> str:
    [[status]] = execute("SELECT status::text FROM procrastinate_jobs WHERE id = %s", job_id)
    return str(status)


# Jobs that lost workers hold


def run_was_deleted(service: ThreadService, ann: Any, run: Run) -> None:
    run.delete()


def run_was_stopped(service: ThreadService, ann: Any, run: Run) -> None:
    Run.objects.filter(id=run.id).update(status="cancelled", finished_at=now())


def run_waits_for_a_person(service: ThreadService, ann: Any, run: Run) -> None:
    Run.objects.filter(id=run.id).update(status="awaiting_approval")


def run_has_another_job(service: ThreadService, ann: Any, run: Run) -> None:
    with transaction.atomic():
        Run.objects.filter(id=run.id).update(job_id=jobs.defer_run(run.id))


@pytest.mark.parametrize("left", [run_was_deleted, run_was_stopped, run_waits_for_a_person, run_has_another_job])
def test_a_lost_workers_job_that_serves_no_run_is_ended(
    service: ThreadService, ann: Any, left: Callable[..., None]
) -> None:
    run = Run.objects.get(id=post(service, ann).run_id)
    job_id = fetch(lost := worker())
    left(service, ann, run)
    sweep_runs()
    assert job_status(job_id) == "doing", "its worker is alive"
    lose(lost)
    sweep_runs()
    assert job_status(job_id) == "failed"
    before = all_jobs()
    sweep_runs()
    assert all_jobs() == before


def test_a_job_of_something_else_is_left_alone(service: ThreadService) -> None:
    job_id = app.configure_task("somebody.elses", allow_unknown=True).defer(run_id="no uuid")
    lost = worker()
    assert fetch(lost) == job_id
    lose(lost)
    sweep_runs()
    assert job_status(job_id) == "doing"


def test_silence_is_loss_only_when_the_database_could_have_been_told(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.objects.get(id=post(service, ann).run_id)
    job_id = fetch(worker(silent_for=3600))
    run.delete()
    [[age]] = execute("SELECT extract(epoch FROM now() - pg_postmaster_start_time())::float")
    monkeypatch.setattr(settings, "NETRA", settings.NETRA.model_copy(update={"worker_stalled_seconds": age + 600}))
    sweep_runs()
    assert job_status(job_id) == "doing"
    monkeypatch.setattr(settings, "NETRA", settings.NETRA.model_copy(update={"worker_stalled_seconds": 0.001}))
    sweep_runs()
    assert job_status(job_id) == "failed"


def test_a_job_that_waits_where_nobody_works_is_left_alone(service: ThreadService, ann: Any) -> None:
    accepted = post(service, ann)
    execute("UPDATE procrastinate_jobs SET queue_name = 'elsewhere'")
    before = Run.objects.get(id=accepted.run_id).job_id
    sweep_runs()
    assert Run.objects.get(id=accepted.run_id).job_id == before
    assert all_jobs() == [("todo", accepted.run_id)]


async def test_a_job_without_a_run_is_executed_and_claims_nothing(netra: Netra) -> None:
    nothing = uuid.uuid4()
    job_id = await database_sync_to_async(jobs.defer_run)(nothing)

    async def ended() -> bool:
        return await database_sync_to_async(job_status)(job_id) == "succeeded"

    await eventually(ended)
    socket = await netra.connect(await netra.user("ann"))
    assert (await netra.ask(socket, "What is 6 * 7?"))[-1]["type"] == "agent_completed"


# Between the look and the lock


def between(monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], Any]) -> None:
    """Let something happen after the sweep has looked, and before it takes the lock."""
    function = getattr(runs if hasattr(runs, name) else jobs, name)
    module = runs if hasattr(runs, name) else jobs

    def late(*arguments: Any, **named: Any) -> Any:
        happens()
        return function(*arguments, **named)

    monkeypatch.setattr(module, name, late)


def give_back(job_id: int) -> None:
    """What a worker does at its shutdown."""
    execute("UPDATE procrastinate_jobs SET status = 'todo', attempts = attempts + 1 WHERE id = %s", job_id)


def test_a_job_that_a_live_worker_took_up_meanwhile_stays_its_own(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stopped worker wakes, hands run and job back, and another worker fetches the job, while the sweep looks."""
    accepted = post(service, ann)
    job_id = fetch(lost := worker())
    lose(lost)

    def taken_up() -> None:
        give_back(job_id)
        assert fetch(worker()) == job_id

    between(monkeypatch, "requeue", taken_up)
    sweep_runs()
    assert all_jobs() == [("doing", accepted.run_id)], "one job, and its worker may claim the run"
    assert Run.objects.get(id=accepted.run_id).job_id == job_id


def test_a_run_whose_worker_is_heard_of_again_meanwhile_is_not_repeated(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = post(service, ann)
    job_id = fetch(lost := worker())
    Run.objects.filter(id=accepted.run_id).update(status="running", claim=1)
    lose(lost)
    back = worker()
    between(
        monkeypatch,
        "recover",
        lambda: execute("UPDATE procrastinate_jobs SET worker_id = %s WHERE id = %s", back, job_id),
    )
    sweep_runs()
    run = Run.objects.get(id=accepted.run_id)
    assert (run.status, run.claim, run.attempt, job_status(job_id)) == ("running", 1, 1, "doing")


def test_an_orphan_that_was_given_back_and_taken_up_meanwhile_is_left_alone(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run.objects.get(id=post(service, ann).run_id).delete()
    job_id = fetch(lost := worker())
    lose(lost)

    def taken_up() -> None:
        give_back(job_id)
        assert fetch(worker()) == job_id

    between(monkeypatch, "bury_lost", taken_up)
    sweep_runs()
    assert job_status(job_id) == "doing"


def test_a_fetch_that_commits_while_the_sweep_waits_for_the_job_is_seen(service: ThreadService, ann: Any) -> None:
    """The job's row is locked by the fetch of a live worker when the sweep asks whether its worker is lost."""
    job_id = Run.objects.get(id=post(service, ann).run_id).job_id
    fetch(lost := worker())
    lose(lost)
    give_back(job_id or 0)
    statuses: list[str | None] = []

    def ask() -> None:
        try:
            with transaction.atomic():
                statuses.append(jobs.bury_lost(job_id, stalled=12))
        finally:
            connections.close_all()

    with transaction.atomic():
        assert fetch(worker()) == job_id
        asking = threading.Thread(target=ask)
        asking.start()
        while not execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert asking.is_alive()
    asking.join(timeout=10)
    assert statuses == ["doing"]


def test_sweeps_at_once_take_each_thing_up_once(
    service: ThreadService, ann: Any, at_once: Callable[[list[Callable[[], None]]], list[None]]
) -> None:
    service.max_open_runs = 100
    lost = worker()
    for _ in range(10):
        run_id = post(service, ann).run_id
        fetch(lost)
        Run.objects.filter(id=run_id).update(status="running", claim=1)
    for _ in range(10):
        Run.objects.get(id=post(service, ann).run_id).delete()
        fetch(lost)
    lose(lost)
    at_once([sweep_runs] * 6)
    assert set(Run.objects.values_list("status", "attempt", "claim")) == {("queued", 2, 2)}
    assert sorted(status for status, _ in all_jobs()) == ["failed"] * 20 + ["todo"] * 10


# Pruning


def many_events(run_id: Any, count: int) -> None:
    """As if the run had written so many."""
    execute(
        """INSERT INTO chat_runevent (run_id, seq, type, agent, data, created_at)
           SELECT %s, n, 'agent_response_chunk', 'a', '{"message_id": "m", "text": "x"}', now()
           FROM generate_series((SELECT max(seq) + 1 FROM chat_runevent WHERE run_id = %s), %s) n""",
        run_id,
        run_id,
        count,
    )
    Run.objects.filter(id=run_id).update(last_seq=count)


def ended(run_id: Any, *, ago: datetime.timedelta) -> None:
    Run.objects.filter(id=run_id).update(finished_at=now() - ago, status="completed")


def kept(run_id: Any) -> list[int]:
    return list(RunEvent.objects.filter(run_id=run_id).order_by("seq").values_list("seq", flat=True))


def prune_all() -> int:
    total = 0
    while removed := prune_events(before=now() - DAY):
        total += removed
    return total


async def test_of_runs_that_ended_long_ago_the_messages_stay(service: ThreadService, ann: Any) -> None:
    old, young, running = [await posted(service, ann) for _ in range(3)]
    for run in (old, young):
        await answered(service.event_log, run.run_id, "An answer")
    await claimed(service.event_log, running.run_id)

    @database_sync_to_async
    def prune() -> int:
        ended(old.run_id, ago=2 * DAY)
        Run.objects.filter(id=running.run_id).update(created_at=now() - 10 * DAY, started_at=now() - 10 * DAY)
        return prune_all()

    assert await prune() == 3
    look = database_sync_to_async(kept)
    assert [await look(run.run_id) for run in (old, young, running)] == [[], [1, 2, 3], [1]]
    assert await database_sync_to_async(Message.objects.count)() == 5
    assert (await fresh(old.run_id)).events_pruned_at is not None
    assert (await fresh(young.run_id)).events_pruned_at is None
    [place] = await service.event_log.positions(ann.pk, run_ids=[old.run_id])
    assert (place.first_seq, place.last_seq) == (4, 3)


def test_a_long_run_goes_batch_by_batch_from_its_beginning(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PRUNE_EVENTS_BATCH", 100)
    run_id = post(service, ann).run_id
    many_events(run_id, 250)
    ended(run_id, ago=2 * DAY)
    removed = []
    for _ in range(4):
        removed.append((prune_events(before=now() - DAY), kept(run_id)[:1]))
        assert kept(run_id) == list(range(min(kept(run_id), default=251), 251))
    assert removed == [(100, [101]), (100, [201]), (50, []), (0, [])]


def test_a_sweep_prunes_all_there_is_unless_it_takes_too_long(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "NETRA", settings.NETRA.model_copy(update={"event_retention": 1.0}))
    first, second = post(service, ann).run_id, post(service, ann).run_id
    for run_id in (first, second):
        many_events(run_id, 5000)
    ended(first, ago=3 * DAY)
    ended(second, ago=2 * DAY)
    monkeypatch.setattr(retention, "TIDY_SECONDS", 0.0)
    tidy_up()
    assert len(kept(first)) + len(kept(second)) == 10_000 - retention.PRUNE_EVENTS_BATCH, "one batch, whatever the time"
    monkeypatch.setattr(retention, "TIDY_SECONDS", 60.0)
    tidy_up()
    assert (kept(first), kept(second)) == ([], [])
    assert Run.objects.exclude(events_pruned_at=None).count() == 2


def test_by_default_events_are_kept_for_ever(service: ThreadService, ann: Any) -> None:
    assert settings.NETRA.event_retention == 0
    run_id = post(service, ann).run_id
    ended(run_id, ago=10_000 * DAY)
    tidy_up()
    assert kept(run_id) == [1]


def test_prunings_at_once_do_not_wait_for_each_other(service: ThreadService, ann: Any) -> None:
    service.max_open_runs = 100
    first, second = post(service, ann).run_id, post(service, ann).run_id
    ended(first, ago=3 * DAY)
    ended(second, ago=2 * DAY)
    seen: list[int] = []

    def prune_too() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '5s'")
            seen.append(prune_events(before=now() - DAY))
        finally:
            connections.close_all()

    with transaction.atomic():
        execute("SELECT 1 FROM chat_run WHERE id = %s FOR NO KEY UPDATE", first)
        other = threading.Thread(target=prune_too)
        other.start()
        other.join(timeout=10)
        assert not other.is_alive()
    assert seen == [1]
    assert (kept(first), kept(second)) == ([1], [])

    many_events(first, 10)
    with transaction.atomic():
        execute("DELETE FROM chat_runevent WHERE run_id = %s AND seq > 5", first)
        other = threading.Thread(target=prune_too)
        other.start()
        other.join(timeout=10)
        assert not other.is_alive()
        transaction.set_rollback(True)
    assert seen == [1, 5], "what another removes is skipped"
    assert prune_all() == 5


def test_many_prunings_at_once_prune_everything_once(
    service: ThreadService, ann: Any, at_once: Callable[[list[Callable[[], int]]], list[int]]
) -> None:
    service.max_open_runs = 100
    for place in range(30):
        run_id = post(service, ann).run_id
        many_events(run_id, 200 + place)
        ended(run_id, ago=2 * DAY)
    total = RunEvent.objects.count()
    assert sum(at_once([prune_all] * 6)) + prune_all() == total
    assert RunEvent.objects.count() == 0
    prune_all()
    assert Run.objects.filter(events_pruned_at=None).count() == 0


def test_what_is_to_be_pruned_is_found_by_an_index(service: ThreadService, ann: Any) -> None:
    with transaction.atomic():
        execute("SET LOCAL enable_seqscan = off")
        parameters: dict[str, Any] = {"before": now(), "limit": 5}
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN " + retention.PRUNABLE_RUNS, parameters)
            plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "run_with_events" in plan
    assert "Sort" not in plan


# Old jobs


def test_old_ended_jobs_are_removed_the_others_stay(service: ThreadService, ann: Any) -> None:
    service.max_open_runs = 100
    ids = [Run.objects.get(id=post(service, ann).run_id).job_id for _ in range(5)]
    old_ended, old_waiting, old_doing, just_ended, _ = ids
    execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = ANY(%s)", [old_ended, old_doing, just_ended])
    execute("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE id = ANY(%s)", [old_ended, just_ended])
    execute("UPDATE procrastinate_events SET at = now() - interval '25 hours' WHERE job_id <> %s", just_ended)
    assert jobs.remove_ended(older_than=DAY, limit=10) == 1
    assert [row[0] for row in execute("SELECT id FROM procrastinate_jobs ORDER BY id")] == ids[1:]
    assert old_waiting in ids


# A connection that meets it


async def long_run(service: ThreadService, user: Any, count: int) -> HeldRun:
    held = await claimed(service.event_log, (await posted(service, user)).run_id)
    await service.event_log.append(held, [chunk(f"{place} " + "x" * 500) for place in range(count)])
    await service.event_log.finish(held, completed(), pending=[])
    return held


async def pruned(run_id: Any) -> None:
    def prune() -> None:
        ended(run_id, ago=2 * DAY)
        prune_all()

    await database_sync_to_async(prune)()


async def test_who_resumes_behind_what_was_pruned_is_told_to_reload(netra: Netra) -> None:
    ann = await netra.user("ann")
    service = netra.chat.thread_service
    assert service is not None
    socket = await netra.connect(ann)
    run_id = (await netra.ask(socket, "What is 6 * 7?"))[-1]["run_id"]
    await receive(socket, "thread_updated")  # its title, which is told after the run
    last = (await fresh(run_id)).last_seq
    await socket.disconnect()
    await pruned(run_id)

    back = await netra.connect(ann)
    await send(back, type="resume", cursors={run_id: 2}, ref="behind")
    assert (await receive(back, "resumed"))["snapshot_required"] == [run_id]
    await send(back, type="resume", cursors={run_id: last}, ref="complete")
    complete = await receive(back, "resumed")
    assert (complete["snapshot_required"], complete["runs"][run_id]["last_seq"]) == ([], last)
    assert await back.receive_nothing(0.05)


@pytest.fixture
def _small_window(configure: Any) -> None:
    configure(ws_window_bytes=4096)


@pytest.mark.usefixtures("_small_window")
async def test_who_meets_the_pruning_in_the_middle_of_a_replay_is_told_to_reload(netra: Netra) -> None:
    ann = await netra.user("ann")
    service = netra.chat.thread_service
    assert service is not None
    await stop_worker(netra)
    held = await long_run(service, ann, 50)
    run_id = str(held.id)
    socket = await netra.connect(ann)
    await send(socket, type="resume", cursors={run_id: 0}, ref="all")
    [open_connection] = netra.chat.connections._open

    async def full() -> bool:
        await open_connection.sent_all()
        return open_connection.delivery.window_full

    await eventually(full)
    frames = []
    while not socket.output_queue.empty():
        frames.append(await receive(socket))
    resumed, *events = frames
    assert resumed["type"] == "resumed"
    seqs = [event["seq"] for event in events]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) < 20, "the window is full"

    await pruned(run_id)
    await send(socket, type="ack", cursors={run_id: seqs[-1]}, received=1 + len(frames))
    frame = await receive(socket)
    assert (frame["type"], frame["run_ids"]) == ("snapshot_required", [run_id])
    await send(socket, type="ping", ref="still here")
    assert (await receive(socket, "pong"))["ref"] == "still here"


# Time


def test_what_a_lost_worker_held_is_found_within_thirty_seconds() -> None:
    """Silent for long enough right after a sweep has looked: it is found by the next, a pause and a tidying later."""
    stalled, pause = (Config.model_fields[name].default for name in ("worker_stalled_seconds", "sweep_seconds"))
    last_batches = 1.5
    assert stalled + pause + retention.TIDY_SECONDS + last_batches < 30
