"""What a connection does with frames: it hands them to the server, or waits until that takes more."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from chat.connection import Connection
from chat.credential import Credential
from chat.delivery import Delivery, Frame


class Server:
    """It takes `room` frames at once; of one that it is asked to wait for it takes more when the test says so."""

    def __init__(self) -> None:
        self.room = 1000
        self.got: list[str] = []
        self.ready = asyncio.Event()
        self.closed = asyncio.Event()

    def write(self, text: str) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.got.append(text)
        return True

    async def send(self, text: str) -> None:
        await self.ready.wait()
        self.got.append(text)

    async def close(self, code: int, reason: str | None) -> None:  # noqa: ARG002 - as a socket's
        self.got.append(f"close {int(code)}")
        self.closed.set()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def connection(server: Server) -> Connection:
    unused: Any = None
    return Connection(
        user_id=1,
        credential=Credential(epoch=0, password=""),
        delivery=Delivery(baseline=0, window_bytes=1000),
        event_log=unused,
        threads_version=0,
        window_timeout=10,
        check_positions=unused,
        answered=unused,
        send=server.send,
        close=server.close,
        write=server.write,
    )


def hear(connection: Connection, *seqs: int) -> None:
    frames = [Frame(seq, event(seq), terminal=False) for seq in seqs]
    connection.wake("run", 1, frames, last_seq=seqs[-1])


def event(seq: int) -> str:
    return f'{{"seq":{seq},"timestamp":"2026-12-01T00:00:00.000Z"}}'


def events(last: int) -> list[str]:
    return [event(seq) for seq in range(1, last + 1)]


async def test_what_the_server_takes_is_there_at_once_and_without_a_task(
    connection: Connection, server: Server
) -> None:
    tasks = asyncio.all_tasks()
    hear(connection, 1)
    hear(connection, 2, 3)
    assert server.got == events(3)
    assert asyncio.all_tasks() == tasks


async def test_what_it_does_not_take_waits_and_what_comes_later_waits_behind_it(
    connection: Connection, server: Server
) -> None:
    server.room = 2
    hear(connection, 1, 2, 3, 4)
    assert server.got == events(2)
    server.room = 1000
    hear(connection, 5)
    assert server.got == events(2)
    server.ready.set()
    await connection.sent_all()
    assert server.got == events(5)


async def test_once_nothing_waits_frames_go_at_once_again(connection: Connection, server: Server) -> None:
    server.room = 0
    server.ready.set()
    hear(connection, 1)
    await connection.sent_all()
    server.room = 1000
    while len(server.got) < 2:
        hear(connection, len(server.got) + 1)
        await asyncio.sleep(0)
    tasks = asyncio.all_tasks()
    hear(connection, 3)
    assert server.got == events(3)
    assert asyncio.all_tasks() == tasks


async def test_a_close_goes_behind_all_that_was_written(connection: Connection, server: Server) -> None:
    server.room = 1
    hear(connection, 1, 2)
    connection.end_session()
    hear(connection, 3)
    server.ready.set()
    await connection.sent_all()
    assert server.got[:2] == events(2)
    assert server.got[-1] == "close 4401"
    assert json.loads(server.got[2])["error_code"] == "INVALID_TOKEN"
    assert len(server.got) == 4


async def test_to_who_has_gone_nothing_is_written(connection: Connection, server: Server) -> None:
    connection.abandon()
    hear(connection, 1)
    assert server.got == []


async def test_a_server_that_fails_is_left_with_a_code(connection: Connection, server: Server) -> None:
    written = server.write

    def broken(text: str) -> bool:
        if text == event(2):
            raise RuntimeError("as the test wants")
        return written(text)

    connection._write = broken
    with pytest.raises(RuntimeError):
        hear(connection, 1, 2, 3)
    await server.closed.wait()
    first, error, close = server.got
    assert first == event(1)
    assert json.loads(error)["error_code"] == "SERVICE_UNAVAILABLE"
    assert close == "close 4503"
