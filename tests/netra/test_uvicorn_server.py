"""What netra.uvicorn_server adds to uvicorn's own sockets."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import uvicorn
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.frames import Opcode

from chat import answering_consumer
from netra.serving import HELD_BYTES, WRITE, Outgoing
from netra.uvicorn_server import SMALL_BYTES, PingedSocket

HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
PING = bytes([0x80 | Opcode.PING, 0x80, 0, 0, 0, 0])


def masked(text: bytes) -> bytes:
    """A client's frame, under the mask 0."""
    return bytes([0x80 | Opcode.TEXT, 0xFF]) + len(text).to_bytes(8, "big") + bytes(4) + text


HELLO = masked(b"hello")


class Written(asyncio.Transport):
    """What a socket has written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.ended = False
        self.reads = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.ended = True

    abort = close

    def is_closing(self) -> bool:
        return self.ended

    def frames(self) -> list[list[bytes]]:
        """Of each write since the handshake the frames, without the close frame's code."""
        return [list(frames_of(write)) for write in self.writes[1:]]


def frames_of(data: bytes) -> Iterator[bytes]:
    """All of them whole, and unmasked, as a server's are."""
    place = 0
    while place < len(data):
        opcode, length, head = Opcode(data[place] & 0x0F), data[place + 1], 2
        if length == 126:
            length, head = int.from_bytes(data[place + 2 : place + 4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(data[place + 2 : place + 10], "big"), 10
        place += head
        yield data[place : place + length] if opcode is Opcode.TEXT else opcode.name.encode()
        place += length


def new_socket(outgoing: Outgoing, transport: Written, application: Any = None) -> PingedSocket:
    config = uvicorn.Config(application, ws_ping_interval=None, log_config=None)
    socket = PingedSocket(config, ServerState(), {}, asyncio.get_running_loop(), outgoing=outgoing)
    socket.connection_made(transport)
    return socket


@pytest.fixture
async def opened() -> tuple[PingedSocket, Written]:
    return await open_socket(Outgoing())


async def open_socket(outgoing: Outgoing) -> tuple[PingedSocket, Written]:
    """A socket that was accepted, and whose application takes what it is told."""
    accepted = asyncio.Event()

    async def application(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        accepted.set()
        while (await receive())["type"] != "websocket.disconnect":
            pass

    transport = Written()
    socket = new_socket(outgoing, transport, application)
    socket.data_received(HANDSHAKE)
    await accepted.wait()
    return socket, transport


async def say(socket: PingedSocket, text: str) -> None:
    await socket.send({"type": "websocket.send", "text": text})


async def turn() -> None:
    """The event loop's turn is over."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_it_is_offered_to_be_written_to_at_once_as_long_as_it_is_there(opened: Any) -> None:
    socket, _ = opened
    extensions = socket.scope["extensions"]
    assert extensions[WRITE] == extensions[answering_consumer.WRITE] == socket.write
    socket.connection_lost(None)
    assert WRITE not in extensions


async def test_frames_of_a_turn_are_written_together(opened: Any) -> None:
    socket, transport = opened
    for text in ("a", "é"):
        assert socket.write(text)
    assert transport.frames() == []
    await turn()
    assert socket.write("c")
    await turn()
    assert transport.frames() == [[b"a", "é".encode()], [b"c"]]


async def test_what_is_sent_as_asgi_has_it_goes_at_once_behind_what_is_held(opened: Any) -> None:
    socket, transport = opened
    assert socket.write("a")
    await say(socket, "b")
    assert transport.frames() == [[b"a", b"b"]]
    await turn()
    assert transport.frames() == [[b"a", b"b"]]


async def test_sockets_that_are_sent_the_same_write_the_same(opened: Any) -> None:
    (first, at_first), (second, at_second) = opened, await open_socket(opened[0]._outgoing)
    for text in ("x" * 125, "x" * 126, "x" * 65_536, ""):
        assert first.write(text)
        assert second.write(text)
    await turn()
    assert at_first.frames() == at_second.frames()
    assert [len(frame) for write in at_first.frames() for frame in write] == [125, 126, 65_536, 0]


async def test_what_is_held_goes_out_before_a_pong_and_before_the_close(opened: Any) -> None:
    socket, transport = opened
    assert socket.write("a")
    socket.data_received(PING)
    assert socket.write("b")
    await socket.send({"type": "websocket.close", "code": 1000})
    await turn()
    assert transport.frames() == [[b"a", b"PONG"], [b"b", b"CLOSE"]]


async def test_no_more_is_held_than_a_client_can_wait_for(opened: Any) -> None:
    socket, transport = opened
    text = "x" * 1000
    for _ in range(HELD_BYTES // len(text) + 2):
        assert socket.write(text)
    assert len(transport.frames()) == 1


async def test_a_slow_client_is_waited_for_instead_of_held_for(opened: Any) -> None:
    socket, transport = opened
    socket.pause_writing()
    assert not socket.write("a")
    sending = asyncio.ensure_future(say(socket, "a"))
    await turn()
    assert not sending.done()
    assert transport.frames() == []
    socket.resume_writing()
    await sending
    await turn()
    assert transport.frames() == [[b"a"]]


async def test_to_a_client_that_has_gone_nothing_is_written(opened: Any) -> None:
    socket, transport = opened
    assert socket.write("a")
    transport.close()
    socket.connection_lost(None)
    await turn()
    assert transport.frames() == []
    assert not socket.write("b")
    with pytest.raises(ClientDisconnected):
        await say(socket, "b")


async def test_a_socket_that_cannot_be_written_to_keeps_none_from_being_written_to(opened: Any) -> None:
    broken, transport = opened
    other, at_other = await open_socket(broken._outgoing)
    transport.writes = None
    for socket in (broken, other):
        assert socket.write("a")
    with structlog.testing.capture_logs() as lines:
        await turn()
    assert at_other.frames() == [[b"a"]]
    assert [line["event"] for line in lines] == ["flush_failed"]
    assert (transport.ended, at_other.ended) == (True, False)


async def test_reading_stops_at_the_second_message_that_waits(opened: Any) -> None:
    socket, transport = opened
    socket.data_received(HELLO)
    assert transport.reads
    socket.data_received(HELLO)
    assert not transport.reads
    await turn()
    await turn()
    assert transport.reads
    socket.data_received(masked(b"x" * (SMALL_BYTES + 1)))
    assert not transport.reads


async def test_a_handshake_that_is_refused_ends_like_any_other(opened: Any) -> None:
    transport = Written()
    socket = new_socket(opened[0]._outgoing, transport)
    socket.data_received(HANDSHAKE.replace(b"Version: 13", b"Version: 12"))
    assert transport.ended
    assert not socket.write("a")
    socket.connection_lost(None)
