"""What our additions to the worker engine are for: each test fails with the stock part in its place."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest
import structlog
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.core.management import CommandError, call_command
from django.db import connection, connections
from procrastinate import exceptions
from procrastinate.contrib.django import app as django_app
from procrastinate.contrib.django.utils import connector_params
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from procrastinate.psycopg_connector import PsycopgConnector

from netra import worker
from netra.testing import eventually
from netra.worker import Engine, SupervisedWorker
from netra.worker_database import FencedJobManager, PatientConnector

QUEUE = "tests"


@pytest.fixture(autouse=True)
async def _database(transactional_db: None) -> AsyncIterator[None]:
    yield
    await sync_to_async(_clear)()
    await sync_to_async(connections.close_all)()


def _clear() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers, procrastinate_periodic_defers CASCADE")


@contextlib.asynccontextmanager
async def worker_app(make: Callable[..., PsycopgConnector] = PatientConnector) -> AsyncIterator[Any]:
    app = django_app.with_connector(make(kwargs=connector_params(), min_size=1, max_size=2, timeout=3.0))
    async with app.open_async():
        yield app


async def defer(task: str = "tests.nothing") -> int:
    return await database_sync_to_async(lambda: django_app.configure_task(task, queue=QUEUE).defer())()


async def status_of(job_id: int) -> str:
    def look() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT status FROM procrastinate_jobs WHERE id = %s", [job_id])
            return str(cursor.fetchone()[0])

    return await database_sync_to_async(look)()


async def taken_over(app: Any, manager: JobManager) -> tuple[Job, Job]:
    """A job as a worker that was declared dead knows it, and as the one that has it now does."""
    first = await manager.fetch_job([QUEUE], (await manager.register_worker()))
    assert first is not None
    await JobManager(app.connector).retry_job(first)
    second = await manager.fetch_job([QUEUE], (await manager.register_worker()))
    assert second is not None
    assert second.id == first.id
    return first, second


@pytest.mark.parametrize("ending", ["finish", "retry"])
async def test_a_worker_that_lost_a_job_cannot_end_it_for_its_successor(ending: str) -> None:
    job_id = await defer()
    async with worker_app() as app:
        manager = FencedJobManager(app.connector)
        lost, held = await taken_over(app, manager)

        if ending == "finish":
            await manager.finish_job(lost, Status.FAILED, delete_job=False)
        else:
            await manager.retry_job(lost)
        assert await status_of(job_id) == "doing"

        await manager.finish_job(held, Status.SUCCEEDED, delete_job=False)
        assert await status_of(job_id) == "succeeded"


async def test_the_stock_manager_lets_it() -> None:
    """The reason for the fence; when this fails, the fence can go."""
    job_id = await defer()
    async with worker_app() as app:
        lost, _held = await taken_over(app, manager := JobManager(app.connector))
        await manager.finish_job(lost, Status.FAILED, delete_job=False)
        assert await status_of(job_id) == "failed"


class FetchThatFindsNothing(FencedJobManager):
    """Its first fetch is under way until the test lets it return, empty-handed."""

    def __init__(self, connector: Any) -> None:
        super().__init__(connector)
        self.fetching = asyncio.Event()
        self.return_now = asyncio.Event()

    async def fetch_job(self, queues: Any, worker_id: int) -> Job | None:
        if not self.return_now.is_set():
            self.fetching.set()
            await self.return_now.wait()
            return None
        return await super().fetch_job(queues, worker_id)


class NotifiedWorker(SupervisedWorker):
    """Tells when it was notified."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.notified = asyncio.Event()

    async def _handle_notification(self, **arguments: Any) -> None:
        await super()._handle_notification(**arguments)
        self.notified.set()


async def test_a_notification_during_an_empty_fetch_wakes_the_worker_all_the_same() -> None:
    async with worker_app() as app:
        app.job_manager = manager = FetchThatFindsNothing(app.connector)
        notified = NotifiedWorker(
            app=app, queues=[QUEUE], fetch_job_polling_interval=3600, install_signal_handlers=False
        )
        notified.job_manager = manager
        running = asyncio.create_task(notified.run())  # type: ignore[no-untyped-call]
        try:
            await manager.fetching.wait()
            job_id = await defer("tests.unknown")
            while not notified.notified.is_set():  # it may have yet to listen
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(notified.notified.wait(), 1)
                    break
                job_id = await defer("tests.unknown")
            manager.return_now.set()

            async def fetched() -> bool:
                return await status_of(job_id) == "failed"  # the task is unknown

            await eventually(fetched)
        finally:
            manager.return_now.set()
            notified.stop()  # type: ignore[no-untyped-call]
            await running


async def test_the_watch_over_side_tasks_stays_awake_without_periodic_tasks() -> None:
    async with worker_app() as app:
        app.job_manager = manager = FencedJobManager(app.connector)
        supervised = SupervisedWorker(app=app, queues=[QUEUE], install_signal_handlers=False, listen_notify=False)
        supervised.job_manager = manager

        async def fail() -> None:
            raise ConnectionError("a side task failed")

        supervised._update_heartbeat = fail  # type: ignore[method-assign]
        # A side task that fails stops the worker, and the engine starts another.
        async with asyncio.timeout(10):
            await supervised.run()  # type: ignore[no-untyped-call]


class FailingConnector(PatientConnector):
    """Loses the first answers, as when the database restarts."""

    failures = 3

    @contextlib.asynccontextmanager
    async def _get_cursor(self, connection: Any = None) -> AsyncIterator[Any]:
        if self.failures:
            self.failures -= 1
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        async with super()._get_cursor(connection) as cursor:
            yield cursor


async def test_a_connector_waits_while_the_database_is_away() -> None:
    async with worker_app(FailingConnector) as app:
        assert await app.connector.execute_query_one_async("SELECT 1 AS one") == {"one": 1}
        assert app.connector.failures == 0


async def test_a_statement_is_repeated_when_its_connection_turns_out_to_be_lost() -> None:
    async with worker_app() as app:
        lost = await app.connector.execute_query_one_async("SELECT pg_backend_pid() AS pid")

        def kill() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [lost["pid"]])

        await database_sync_to_async(kill)()
        found = await app.connector.execute_query_one_async("SELECT pg_backend_pid() AS pid")
        assert found["pid"] != lost["pid"]


async def test_a_connector_passes_on_errors_that_waiting_does_not_cure() -> None:
    async with worker_app() as app:
        with pytest.raises(exceptions.ConnectorException):
            await app.connector.execute_query_async("SELECT * FROM there_is_no_such_table")


async def test_a_listener_listens_again_after_its_connection_was_killed() -> None:
    heard = asyncio.Queue[str]()

    async def on_notification(*, channel: str, payload: str) -> None:
        await heard.put(payload)

    async def notify(payload: str) -> None:
        def send() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_notify('netra_test', %s)", [payload])

        await database_sync_to_async(send)()

    async def heard_of(payload: str) -> None:
        async with asyncio.timeout(10):
            while heard.empty():
                await notify(payload)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(_peek(heard)), 0.2)
            while not heard.empty():
                heard.get_nowait()

    def kill_listeners() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")

    async with worker_app() as app:
        listening = asyncio.create_task(app.connector.listen_notify(on_notification, ["netra_test"]))
        await heard_of("before")
        await database_sync_to_async(kill_listeners)()
        await heard_of("after")
        listening.cancel()
        await asyncio.wait([listening])


async def _peek(queue: asyncio.Queue[str]) -> None:
    item = await queue.get()
    queue.put_nowait(item)


async def test_a_job_held_in_the_database_only_is_given_back_when_seen_twice() -> None:
    job_id = await defer()
    async with worker_app() as app:
        app.job_manager = manager = FencedJobManager(app.connector)
        supervised = SupervisedWorker(app=app, queues=[QUEUE], install_signal_handlers=False)
        supervised.job_manager = manager
        supervised.worker_id = await manager.register_worker()
        assert await manager.fetch_job([QUEUE], supervised.worker_id)  # its answer was lost on the way

        await supervised.give_back_unheld()
        assert await status_of(job_id) == "doing"
        await supervised.give_back_unheld()
        assert await status_of(job_id) == "todo"


async def test_an_engine_starts_a_worker_again_that_ended_by_itself(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[uuid.UUID] = []
    twice = asyncio.Event()

    async def end_at_once(_self: SupervisedWorker) -> None:
        started.append(uuid.uuid4())
        if len(started) == 2:
            twice.set()
        raise ConnectionError("the worker ended")

    async def sweep() -> None:
        pass

    monkeypatch.setattr(worker.SupervisedWorker, "run", end_at_once)
    engine = Engine(settings.NETRA, sweep=sweep, queues=[QUEUE])
    running = asyncio.create_task(engine.run())
    async with asyncio.timeout(10):
        await twice.wait()
    engine.stop()
    await running


async def test_a_sweep_that_fails_is_tried_again(settings: Any) -> None:
    calls = 0
    again = asyncio.Event()

    async def sweep() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError("the database is away")
        again.set()

    engine = Engine(settings.NETRA.model_copy(update={"sweep_seconds": 0.01}), sweep=sweep, queues=[QUEUE])
    running = asyncio.create_task(engine.run())
    async with asyncio.timeout(10):
        await again.wait()
    engine.stop()
    await running


async def pruned(manager: FencedJobManager) -> int:
    """A worker that was taken for lost, and whose row was removed."""
    worker_id = await manager.register_worker()
    await manager.unregister_worker(worker_id)
    return worker_id


async def test_a_worker_that_was_taken_for_lost_fetches_jobs_again() -> None:
    job_id = await defer()
    async with worker_app() as app:
        manager = FencedJobManager(app.connector)
        worker_id = await pruned(manager)
        job = await manager.fetch_job([QUEUE], worker_id)
        assert job is not None
        assert job.id == job_id
        assert await manager.held_jobs(worker_id, [job_id, job_id + 1]) == {job_id}


async def test_the_stock_manager_lets_it_fail() -> None:
    """The reason for the second registration; when this fails, it can go."""
    await defer()
    async with worker_app() as app:
        worker_id = await pruned(FencedJobManager(app.connector))
        with pytest.raises(exceptions.ConnectorException):
            await JobManager(app.connector).fetch_job([QUEUE], worker_id)


async def test_a_heartbeat_registers_a_worker_that_was_taken_for_lost_again() -> None:
    async with worker_app() as app:
        manager = FencedJobManager(app.connector)
        worker_id = await pruned(manager)
        await manager.update_heartbeat(worker_id)
        assert await manager.prune_stalled_workers(3600) == []
        rows = await app.connector.execute_query_all_async("SELECT id FROM procrastinate_workers")
        assert [row["id"] for row in rows] == [worker_id]


async def test_workers_that_were_silent_while_the_database_was_away_are_not_removed() -> None:
    """It began a moment ago: nobody could say so long that he is alive."""
    async with worker_app() as app:
        manager = FencedJobManager(app.connector)
        worker_id = await manager.register_worker()
        row = await app.connector.execute_query_one_async(
            "SELECT extract(epoch FROM now() - pg_postmaster_start_time())::float AS age"
        )
        await app.connector.execute_query_async(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - make_interval(secs => %(age)s)",
            age=row["age"] + 7200,
        )
        assert await manager.prune_stalled_workers(row["age"] + 3600) == []
        assert await JobManager(app.connector).prune_stalled_workers(row["age"] + 3600) == [worker_id]


@contextlib.asynccontextmanager
async def running(app: Any, manager: FencedJobManager) -> AsyncIterator[SupervisedWorker]:
    """A worker that runs meanwhile, and ends in order."""
    app.job_manager = manager
    supervised = SupervisedWorker(app=app, queues=[QUEUE], install_signal_handlers=False)
    supervised.job_manager = manager
    run = asyncio.create_task(supervised.run())  # type: ignore[no-untyped-call]  # procrastinate has no types there
    async with asyncio.timeout(10):
        yield supervised
        supervised.stop()  # type: ignore[no-untyped-call]
        await run


async def test_the_task_of_a_job_that_is_somebody_elses_now_is_ended() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def last() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    job_id = await defer("tests.last")
    async with worker_app() as app:
        app.tasks["tests.last"] = app.task(name="tests.last", queue=QUEUE)(last)
        async with running(app, FencedJobManager(app.connector)) as supervised:
            await began.wait()
            await supervised.abandon_taken()
            assert not ended.is_set()
            await app.connector.execute_query_async(
                "UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %(job)s", job=job_id
            )
            await supervised.abandon_taken()
            await ended.wait()
    assert await status_of(job_id) == "failed"


async def test_a_job_that_has_just_been_done_is_nobody_elses() -> None:
    """Its row is not held any more, and its task has a few turns of the loop left."""
    written, go_on = asyncio.Event(), asyncio.Event()

    class SlowManager(FencedJobManager):
        async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
            await super().finish_job(job, status, delete_job)
            written.set()
            await go_on.wait()

    job_id = await defer("tests.done")
    async with worker_app() as app:
        app.tasks["tests.done"] = app.task(name="tests.done", queue=QUEUE)(asyncio.Event().is_set)
        async with running(app, SlowManager(app.connector)) as supervised:
            await written.wait()
            with structlog.testing.capture_logs() as lines:
                await supervised.abandon_taken()
            assert lines == []
            assert not supervised._job_ids_to_abort
            go_on.set()
    assert await status_of(job_id) == "succeeded"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--concurrency", "0"),
        ("--concurrency", "-1"),
        ("--concurrency", "many"),
        ("--shutdown-seconds", "-1"),
        ("--shutdown-seconds", "soon"),
        ("--shutdown-seconds", "inf"),
        ("--queue", "nobodys"),
        ("--queue", ""),
    ],
)
def test_a_wrong_option_is_refused_in_one_sentence_that_names_it(option: str, value: str) -> None:
    with pytest.raises(CommandError, match=rf"^{option}: [^\n]+\.$"):
        call_command("worker", f"{option}={value}")
