"""What processes say of themselves: who lives, what it holds, and who is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import tomllib
import uuid
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection

from chat import processes
from chat.event_log import EventLog
from chat.models import ProcessKind, ServerProcess
from chat.monitor import Monitor
from chat.processes import LIVE_SECONDS, LiveProcess, live_processes, say_alive, say_ended
from chat.retention import tidy_up
from chat.run_event import now
from netra.testing import Netra, eventually
from tests.chat.test_tasks import Scripted, begin

WEB = LiveProcess(
    id=uuid.uuid4(), kind=ProcessKind.WEB, version="1.2.3", started_at=now(), connections=3, runs=0, loop_lag=0.25
)


pytestmark = pytest.mark.usefixtures("transactional_db")


def seen(process_id: uuid.UUID, *, seconds_ago: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE chat_serverprocess SET seen_at = now() - make_interval(secs => %s) WHERE id = %s",
            [seconds_ago, process_id],
        )


async def test_a_process_is_what_it_last_said_of_itself(event_log: EventLog) -> None:
    worker = dataclasses.replace(WEB, id=uuid.uuid4(), kind=ProcessKind.WORKER, runs=7)
    for said in (worker, WEB, dataclasses.replace(WEB, connections=5, loop_lag=1.5)):
        await say_alive(event_log.pool, said)
    first, second = await sync_to_async(live_processes)()
    assert (first.id, first.kind, first.version, first.started_at) == (WEB.id, "web", "1.2.3", WEB.started_at)
    assert (first.connections, first.runs, first.loop_lag) == (5, 0, 1.5)
    assert (second.id, second.kind, second.runs) == (worker.id, "worker", 7)
    assert first.seen_at is not None
    await say_ended(event_log.pool, WEB.id)
    assert [each.id for each in await sync_to_async(live_processes)()] == [worker.id]


async def test_who_has_been_silent_is_not_counted_and_at_last_forgotten(event_log: EventLog) -> None:
    silent = dataclasses.replace(WEB, id=uuid.uuid4())
    lost = dataclasses.replace(WEB, id=uuid.uuid4())
    for process in (WEB, silent, lost):
        await say_alive(event_log.pool, process)

    def look() -> tuple[list[uuid.UUID], set[uuid.UUID]]:
        seen(silent.id, seconds_ago=LIVE_SECONDS + 1)
        seen(lost.id, seconds_ago=processes.FORGET_SECONDS + 1)
        live = [each.id for each in live_processes()]
        tidy_up()
        return live, set(ServerProcess.objects.values_list("id", flat=True))

    live, kept = await sync_to_async(look)()
    assert live == [WEB.id]
    assert kept == {WEB.id, silent.id}
    await say_alive(event_log.pool, lost)  # it was only asleep
    assert {each.id for each in await sync_to_async(live_processes)()} == {WEB.id, lost.id}


async def test_the_application_says_what_it_holds_and_at_its_end_that_it_has_ended(netra: Netra) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    await netra.connect(ann)
    await begin(socket)
    async with asyncio.timeout(10):
        await scripted.waiting.wait()
    await netra.chat.monitor.say_alive()
    [process] = await database_sync_to_async(live_processes)()
    assert (process.kind, process.version) == ("web", settings.VERSION)
    assert (process.connections, process.runs) == (2, 1)
    await netra.chat.monitor.stop()
    assert await database_sync_to_async(live_processes)() == []


async def test_a_process_speaks_at_once_and_again_and_again(
    event_log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.monitor.HEARTBEAT_SECONDS", 0.01)
    connections_now = 1
    monitor = Monitor(event_log.pool, connections=lambda: connections_now, runs=lambda: 0)
    monitor.start(ProcessKind.WORKER)

    async def shows(number: int) -> bool:
        found = await sync_to_async(live_processes)()
        return [each.connections for each in found] == [number]

    await eventually(lambda: shows(1))
    connections_now = 2
    await eventually(lambda: shows(2))
    monitor.start(ProcessKind.WORKER)  # which changes nothing
    await eventually(lambda: shows(2))
    await monitor.stop()
    assert await sync_to_async(live_processes)() == []


async def test_a_table_that_is_missing_ends_no_watch(
    event_log: EventLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("chat.monitor.HEARTBEAT_SECONDS", 0.01)
    statement = processes._UPSERT
    monkeypatch.setattr(processes, "_UPSERT", statement.replace("chat_serverprocess", "chat_nothing"))
    monitor = Monitor(event_log.pool, connections=lambda: 0, runs=lambda: 0)
    monitor.start(ProcessKind.WEB)

    async def told() -> bool:
        return "heartbeat_failed" in caplog.text

    await eventually(told)
    monkeypatch.setattr(processes, "_UPSERT", statement)
    await eventually(sync_to_async(live_processes))
    await monitor.stop()
    assert caplog.text.count("heartbeat_failed") == 1


async def test_the_watch_ends_though_what_it_waits_for_swallows_that(
    event_log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `asyncio.wait_for` of Python 3.11 does for a connection that comes at the same moment."""
    waiting = asyncio.Event()

    async def stubborn(*_: Any) -> None:
        waiting.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    monkeypatch.setattr("chat.monitor.say_alive", stubborn)
    monitor = Monitor(event_log.pool, connections=lambda: 0, runs=lambda: 0)
    monitor.start(ProcessKind.WEB)
    async with asyncio.timeout(10):
        await waiting.wait()
        await monitor.stop()


def test_the_version_is_the_project_s() -> None:
    project: dict[str, Any] = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert project["version"] == settings.VERSION
