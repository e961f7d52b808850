"""A database that is lost exactly while a job is deferred, which Procrastinate hides behind an error of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from channels.db import database_sync_to_async
from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper
from procrastinate.psycopg_connector import PsycopgConnector

from chat.event_log import EventLog
from chat.jobs import defer_run
from chat.models import Message, Run, RunStatus, Thread
from chat.threads import ThreadService
from netra.testing import Netra, receive, send
from tests.chat.holding import chunk, claimed, completed, fresh, jobs, posted


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, the connection of the ORM is lost just when it is to write a job."""
    write = CursorWrapper.execute

    def execute(self: CursorWrapper, query: Any, arguments: Any = None) -> Any:
        if "defer_job" in query:
            with psycopg.connect(**_parameters()) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
        return write(self, query, arguments)

    return lambda: monkeypatch.setattr(CursorWrapper, "execute", execute)


def _parameters() -> dict[str, Any]:
    parameters = connection.get_connection_params()
    return {name: parameters[name] for name in ("dbname", "user", "host", "port")}


async def test_a_message_is_refused_as_while_the_database_is_away_and_nothing_is_written(
    netra: Netra, losing: Callable[[], None]
) -> None:
    socket = await netra.connect(await netra.user("ann"))
    losing()
    await send(socket, type="user_message", content="Hello", ref="r")
    refused = await receive(socket, "error_message")
    assert (refused["error_code"], refused["details"]) == ("SERVICE_UNAVAILABLE", {"missing": ["database"]})
    counts = database_sync_to_async(lambda: [model.objects.count() for model in (Thread, Message, Run)])
    assert await counts() == [0, 0, 0]


async def test_the_orm_sees_its_own_error(service: ThreadService, ann: Any, losing: Callable[[], None]) -> None:
    run_id = (await posted(service, ann)).run_id
    losing()
    with pytest.raises(OperationalError):
        await database_sync_to_async(defer_run)(run_id)


async def test_a_run_that_ends_while_the_next_ones_job_is_written_ends_all_the_same(
    event_log: EventLog, service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await posted(service, ann)
    second = await posted(service, ann, thread_id=first.thread_id)
    run = await claimed(event_log, first.run_id)
    write = PsycopgConnector.execute_query_all_async_with_connection
    lost: list[int] = []

    async def lose_once(self: PsycopgConnector, connection: Any, query: Any, **arguments: Any) -> Any:
        if not lost:
            lost.append(connection.info.backend_pid)
            async with await psycopg.AsyncConnection.connect(**_parameters()) as other:
                await other.execute("SELECT pg_terminate_backend(%s)", lost)
        return await write(self, connection, query, **arguments)

    monkeypatch.setattr(PsycopgConnector, "execute_query_all_async_with_connection", lose_once)
    await event_log.finish(run, completed(), pending=[chunk("an answer")])
    assert lost
    assert (await fresh(first.run_id)).status == RunStatus.COMPLETED
    assert (await fresh(second.run_id)).job_id is not None
    assert [run_id for _, run_id in await database_sync_to_async(jobs)()] == [str(first.run_id), str(second.run_id)]
