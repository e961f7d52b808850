"""What netra.uvicorn_server adds to uvicorn's own sockets."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.frames import Opcode

from netra.uvicorn_server import HELD_BYTES, PingedSocket

HANDSHAKE = (
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
PING = bytes([0x80 | Opcode.PING, 0x80, 0, 0, 0, 0])


class Written(asyncio.Transport):
    """What a socket has written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.ended = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.ended = True

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
        place += head
        yield data[place : place + length] if opcode is Opcode.TEXT else opcode.name.encode()
        place += length


@pytest.fixture
async def opened() -> tuple[PingedSocket, Written]:
    """A socket that was accepted."""
    accepted = asyncio.Event()

    async def application(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        accepted.set()
        await receive()

    config = uvicorn.Config(application, ws_ping_interval=None, log_config=None)
    transport = Written()
    state = ServerState()
    socket = PingedSocket(config, state, {}, asyncio.get_running_loop())
    socket.connection_made(transport)
    socket.data_received(HANDSHAKE)
    await accepted.wait()
    return socket, transport


async def say(socket: PingedSocket, text: str, *, more: bool) -> None:
    await socket.send({"type": "websocket.send", "text": text, "more_messages": more})


async def test_frames_that_follow_each_other_at_once_are_written_together(opened: Any) -> None:
    socket, transport = opened
    for text in ("a", "é"):
        await say(socket, text, more=True)
    assert transport.frames() == []
    await say(socket, "c", more=False)
    await say(socket, "d", more=False)
    assert transport.frames() == [[b"a", "é".encode(), b"c"], [b"d"]]


async def test_what_is_held_goes_out_before_a_pong_and_before_the_close(opened: Any) -> None:
    socket, transport = opened
    await say(socket, "a", more=True)
    socket.data_received(PING)
    await say(socket, "b", more=True)
    await socket.send({"type": "websocket.close", "code": 1000})
    assert transport.frames() == [[b"a", b"PONG"], [b"b", b"CLOSE"]]


async def test_no_more_is_held_than_a_client_can_wait_for(opened: Any) -> None:
    socket, transport = opened
    text = "x" * 1000
    for _ in range(HELD_BYTES // len(text) + 2):
        await say(socket, text, more=True)
    assert len(transport.frames()) == 1


async def test_a_slow_client_is_waited_for_instead_of_held_for(opened: Any) -> None:
    socket, transport = opened
    socket.pause_writing()
    sending = asyncio.ensure_future(say(socket, "a", more=True))
    await asyncio.sleep(0)
    assert not sending.done()
    assert transport.frames() == []
    socket.resume_writing()
    await sending
    assert transport.frames() == [[b"a"]]


async def test_to_a_client_that_has_gone_nothing_is_held(opened: Any) -> None:
    socket, _ = opened
    socket.connection_lost(None)
    with pytest.raises(ClientDisconnected):
        await say(socket, "a", more=True)
