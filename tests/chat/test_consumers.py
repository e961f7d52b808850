"""The socket, from connect to answer, on each channel layer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import weakref
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from channels.db import database_sync_to_async

from chat import metrics
from chat.connections import LEAST_PAUSE, Connections
from chat.consumers import ChatConsumer
from chat.event_log import EventLog
from chat.listening import Listener
from chat.log_reader import Known, known_text
from netra.testing import Netra, eventually, receive, send
from tests.chat.holding import post

pytestmark = pytest.mark.usefixtures("layer")


async def test_a_question_is_answered_by_the_five_critical_events_in_order(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    events = await netra.ask(socket, "What is 17.5 % of 2480, and what time is it in Tokyo?")

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    types = [event["type"] for event in events]
    critical = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]
    assert sorted(critical, key=types.index) == critical
    chunks = "".join(event["data"]["text"] for event in events if event["type"] == "agent_response_chunk")
    assert events[-1]["data"]["message"]["content"] == chunks
    assert "434" in chunks


async def test_ping_is_answered_with_its_ref(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    await send(socket, type="ping", ref="here")
    pong = await receive(socket)
    assert (pong["type"], pong["ref"]) == ("pong", "here")


async def test_what_is_told_before_the_greeting_comes_after_it(netra: Netra, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await netra.user("ann")
    establish = ChatConsumer.establish

    async def meanwhile(consumer: ChatConsumer) -> Any:
        established = await establish(consumer)
        assert netra.chat.thread_service is not None
        await database_sync_to_async(post)(netra.chat.thread_service, ann)

        async def told() -> bool:
            return bool(consumer.told_early)

        await eventually(told)
        return established

    async def no_check(_: Connections) -> None:
        """What is found so is late."""

    monkeypatch.setattr(ChatConsumer, "establish", meanwhile)
    monkeypatch.setattr(Connections, "check_positions", no_check)
    socket = netra.communicator(headers=netra.headers(ann))
    await socket.connect(timeout=5)
    assert (await receive(socket))["type"] == "connection_established"
    event = await receive(socket)
    assert (event["type"], event["run_number"], event["seq"]) == ("message_created", 1, 1)


async def test_a_closed_connection_is_freed_at_once(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    gone = asyncio.Event()
    [connection] = [weakref.ref(each, lambda _: gone.set()) for each in netra.chat.connections._open]
    gc.disable()
    try:
        await send(socket, type="ping")
        await receive(socket)
        await socket.disconnect()
        async with asyncio.timeout(10):
            await gone.wait()
    finally:
        gc.enable()
    assert connection() is None


async def test_how_long_the_database_takes_makes_no_position_check_later(
    netra: Netra, monkeypatch: pytest.MonkeyPatch
) -> None:
    await netra.connect(await netra.user("ann"))
    connections = netra.chat.connections
    news = EventLog.news

    async def slow(self: EventLog, known: Any) -> Any:
        await asyncio.sleep(0.3)
        return await news(self, known)

    monkeypatch.setattr(EventLog, "news", slow)
    monkeypatch.setattr(connections, "_check_seconds", 0.001)
    await connections.check_positions()
    assert connections._pause < 1


async def test_how_long_the_loop_writes_what_it_asks_makes_position_checks_rarer(
    netra: Netra, monkeypatch: pytest.MonkeyPatch
) -> None:
    await netra.connect(await netra.user("ann"))
    connections = netra.chat.connections
    seconds = 0.0

    def slowly(known: Iterable[Known]) -> str:
        nonlocal seconds
        seconds += 0.02
        return known_text(known)

    monkeypatch.setattr("chat.connections.known_text", slowly)
    monkeypatch.setattr("chat.connections.time", SimpleNamespace(perf_counter=lambda: seconds))
    monkeypatch.setattr(connections, "_check_seconds", 0.001)
    await connections.check_positions()
    assert connections._pause == pytest.approx(0.02 * LEAST_PAUSE)


def position_checks() -> int:
    return sum(task.get_name() == "position check" for task in asyncio.all_tasks())


async def test_who_comes_as_the_next_position_check_is_due_starts_no_second_one(
    netra: Netra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the turn of the loop in which its time-out fires it looks as if it were cancelled."""
    connections = netra.chat.connections
    await netra.connect(await netra.user("ann"))
    [connection] = connections._open
    timeout, waits, came = asyncio.timeout, [], asyncio.Event()

    def noted(seconds: float | None) -> asyncio.Timeout:
        waits.append(timeout(seconds))
        return waits[-1]

    def come() -> None:
        connections.add(connection)
        metrics.CONNECTIONS.labels(connection.kind).dec()  # it was there already
        came.set()

    class Wanted(asyncio.Event):
        async def wait(self) -> Literal[True]:
            due = waits[-1].when()
            assert due is not None
            if not came.is_set():
                # A timer that is due no later than the loop's clock can tell is run in the same turn.
                asyncio.get_running_loop().call_at(math.nextafter(due, math.inf), come)
            return await super().wait()

    monkeypatch.setattr(asyncio, "timeout", noted)
    monkeypatch.setattr(connections, "_check_seconds", 0.01)
    monkeypatch.setattr("chat.connections.LEAST_PAUSE", 0)
    wanted, connections._check_wanted = connections._check_wanted, Wanted()
    wanted.set()
    async with timeout(10):
        await came.wait()
    assert position_checks() == 1


async def test_there_is_one_position_check_however_people_come_and_go(
    netra: Netra, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def news(_self: EventLog, _known: Any) -> Any:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):  # as what waits for the database may do
            await answer.wait()
        return {}

    async def none_is_left() -> bool:
        return position_checks() == 0

    monkeypatch.setattr(EventLog, "news", news)
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    netra.chat.connections.check_soon()
    async with asyncio.timeout(10):
        await asked.wait()
    await socket.disconnect()
    assert not len(netra.chat.connections)
    second = await netra.connect(ann)
    answer.set()
    await send(second, type="ping")
    await receive(second)
    assert position_checks() == 1
    await second.disconnect()
    await eventually(none_is_left)


async def test_who_is_refused_hears_nothing_more_though_the_client_stays(
    netra: Netra, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await netra.user("ann")
    headers = netra.headers(ann)
    ann.is_active = False
    await ann.asave()
    left = asyncio.Event()
    leave = Listener.leave

    async def watched(listener: Listener) -> None:
        await leave(listener)
        left.set()

    monkeypatch.setattr(Listener, "leave", watched)
    socket = netra.communicator(headers=headers)
    await socket.connect(timeout=5)
    assert (await receive(socket))["error_code"] == "USER_INACTIVE"
    assert (await socket.receive_output(timeout=5))["type"] == "websocket.close"
    async with asyncio.timeout(5):
        await left.wait()
