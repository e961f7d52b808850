"""A database that keeps its connections and answers nothing: behind a link that swallows what is sent."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, connections
from procrastinate.contrib.django.utils import connector_params
from psycopg_pool import ConnectionPool

from chat.account import Account
from chat.event_log import EventLog
from chat.models import Message
from chat.pool import DatabasePool
from chat.postgres_connection import BoundedAsyncConnection, BoundedConnection, unhurried
from chat.publisher import Publisher
from chat.run_services import RunServicesOfUser
from chat.threads import ThreadService
from netra import worker_database
from netra.worker_database import PatientConnector
from tests.chat.holding import chunk, claimed, completed, events, posted
from tests.cluster import Link
from tests.processes import HOST, eventually

TIMEOUT = 1.0


@pytest.fixture
def link(transactional_db: None, settings: Any) -> Iterator[Link]:
    """The way of all connections of this process to its database; a statement has little time."""
    given = dict(connection.settings_dict)
    settings.NETRA = settings.NETRA.model_copy(update={"database_timeout": TIMEOUT})
    address = f"unix@{given['HOST']}/.s.PGSQL.{given['PORT']}"
    with tempfile.TemporaryDirectory(prefix="netra-link-") as folder, Link("link", Path(folder), address) as link:
        _leave()
        connection.settings_dict.update(HOST=HOST, PORT=str(link.port))
        yield link
        link.go_on()
        _leave()
        connection.settings_dict.update(given)


def _leave() -> None:
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]  # of the PostgreSQL backend


@pytest.fixture
async def log(link: Link) -> AsyncIterator[EventLog]:
    log = EventLog(DatabasePool(), Publisher())
    yield log
    link.go_on()
    await log.pool.close()
    await sync_to_async(_clear_jobs)()
    await sync_to_async(_leave)()


def _clear_jobs() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers, procrastinate_periodic_defers CASCADE")


def query() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_a_statement_of_the_orm_is_given_up(link: Link) -> None:
    query()
    link.pause()
    with pytest.raises(OperationalError):
        query()
    connection.close()
    link.go_on()
    query()


def test_one_silent_connection_takes_the_idle_ones_of_its_pool_with_it(link: Link) -> None:
    with ConnectionPool(
        kwargs=connector_params(), connection_class=BoundedConnection, min_size=3, max_size=3, timeout=3
    ) as pool:
        pool.wait()
        with pool.connection() as silent:
            before = list(pool._pool)
            link.pause()
            with pytest.raises(psycopg.OperationalError, match="did not answer within 1 seconds"):
                silent.execute("SELECT 1")
            assert len(before) == 2
            assert all(connection.closed for connection in before)
            assert silent.closed
            link.go_on()
        pool.wait()
        with pool.connection() as working:
            working.execute("SELECT 1")


class CountedThreads(ThreadService):
    """Counts how often it was asked."""

    searches = 0

    def search_messages(self, user_id: Any, query: str, *, limit: int) -> list[Message]:
        self.searches += 1
        return super().search_messages(user_id, query, limit=limit)


async def test_a_tool_that_asks_the_database_waits_for_it(link: Link, log: EventLog) -> None:
    threads = CountedThreads(event_log=log, agents=["assistant"], max_open_runs=5)
    user = await database_sync_to_async(get_user_model().objects.create_user)("ann")
    run = await claimed(log, (await posted(threads, user, "What time is it in Tokyo?")).run_id)
    await asyncio.to_thread(link.kill)
    searching = asyncio.create_task(RunServicesOfUser(threads, Account(log.pool), run).search_messages("tokyo", 5))
    await eventually(lambda: threads.searches > 1, what="the search to be repeated")
    await asyncio.to_thread(link.start)
    assert [found.excerpt for found in await searching] == ["What time is it in Tokyo?"]


def test_a_slow_statement_that_was_given_up_does_not_go_on(link: Link) -> None:
    with psycopg.connect(**connector_params()) as other:
        slow = BoundedConnection.connect(**connector_params())
        with pytest.raises(psycopg.OperationalError, match="did not answer"):
            slow.execute("SELECT pg_sleep(3600)")
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"

        def gone() -> bool:
            other.rollback()
            row = other.execute(query).fetchone()
            return row is not None and row[0] == 0

        asyncio.run(eventually(gone, what="the server to end the statement"))


def test_a_migration_takes_its_time(link: Link) -> None:
    with BoundedConnection.connect(**connector_params()) as patient, unhurried():
        patient.execute("SELECT pg_sleep(%s)", [TIMEOUT * 1.5])


async def test_a_listener_may_hear_nothing_for_long(link: Link) -> None:
    parameters = await sync_to_async(connector_params)()
    quiet = await BoundedAsyncConnection.connect(**parameters, autocommit=True)
    async with quiet, contextlib.aclosing(quiet.notifies()) as notifies:
        await quiet.execute("LISTEN netra_test")

        async def hear() -> psycopg.Notify:
            return await anext(notifies)

        listening = asyncio.create_task(hear())
        done, _ = await asyncio.wait([listening], timeout=TIMEOUT * 2)
        assert not done

        def notify() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_notify('netra_test', 'heard')")

        await database_sync_to_async(notify)()
        assert (await listening).payload == "heard"


async def test_a_listener_whose_peer_is_silent_listens_elsewhere(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_database, "LISTEN_SECONDS", 0.2)
    connected: list[object] = []
    connect = BoundedAsyncConnection.connect

    async def counted(*arguments: Any, **keywords: Any) -> Any:
        connected.append(await connect(*arguments, **keywords))
        return connected[-1]

    async def nothing(**_: Any) -> None:
        pass

    connector = PatientConnector(kwargs=await sync_to_async(connector_params)(), min_size=0, max_size=1)
    await connector.open_async()
    monkeypatch.setattr(BoundedAsyncConnection, "connect", counted)
    listening = asyncio.create_task(connector.listen_notify(nothing, ["netra_test"]))
    await eventually(lambda: connected, what="the listener")
    link.pause()
    await eventually(lambda: connected[0].closed, what="the silence to be noticed")  # type: ignore[attr-defined]
    link.go_on()
    await eventually(lambda: len(connected) > 1, what="another listener")
    listening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listening
    await connector.close_async()


async def test_an_append_to_a_silent_database_is_repeated_and_written_once(link: Link, log: EventLog) -> None:
    service = ThreadService(event_log=log, agents=("assistant",), max_open_runs=10)
    ann = await database_sync_to_async(get_user_model().objects.create_user)("ann")
    accepted = await posted(service, ann)
    run = await claimed(log, accepted.run_id)
    await log.append(run, [chunk("a")])
    link.pause()
    appending = asyncio.create_task(log.append(run, [chunk("b")]))
    await eventually(lambda: not log.pool.reachability.available, what="the silence to be noticed")
    assert not appending.done()
    link.go_on()
    await appending
    assert log.pool.reachability.available
    await log.finish(run, completed(), pending=[])
    assert [seq for seq, _ in await events(accepted.run_id)] == [1, 2, 3, 4]


def test_a_thread_that_waits_for_a_silent_database_is_free_again(link: Link) -> None:
    """As the one thread of a server that executes all commands."""
    query()
    link.pause()
    ended = threading.Event()

    def work() -> None:
        with contextlib.suppress(OperationalError):
            query()
        connections.close_all()
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert ended.wait(30)
    thread.join()
