from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connection, connections

from chat.event_log import EventLog
from chat.pool import DatabasePool
from chat.publisher import Publisher
from chat.threads import ThreadService

T = TypeVar("T")
AGENTS = ("assistant", "data")


@pytest.fixture
async def event_log(transactional_db: None) -> AsyncIterator[EventLog]:
    """The log on a pool of its own, with jobs that no worker fetches."""
    log = EventLog(DatabasePool(), Publisher())
    yield log
    await log.pool.close()
    await sync_to_async(clear_jobs)()
    await sync_to_async(connections.close_all)()


def clear_jobs() -> None:
    """The engine's tables are not Django's to flush."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers, procrastinate_periodic_defers CASCADE")


@pytest.fixture
def service(event_log: EventLog) -> ThreadService:
    """The thread service, whose transactions are real."""
    return ThreadService(event_log=event_log, agents=AGENTS, max_open_runs=10)


@pytest.fixture
def ann(transactional_db: None) -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def bob(transactional_db: None) -> Any:
    return get_user_model().objects.create_user("bob")


@pytest.fixture
def at_once() -> Iterator[Callable[[list[Callable[[], T]]], list[T]]]:
    """Run functions at the same time, each on a thread and a database connection of its own."""

    def closing(work: Callable[[], T]) -> T:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=8) as pool:
        yield lambda works: list(pool.map(closing, works))
