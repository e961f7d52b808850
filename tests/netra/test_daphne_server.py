"""What netra.daphne_server adds to daphne's own server."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.error import ConnectionLost

from chat import answering_consumer
from netra.daphne_server import DaphneServer, _Socket
from netra.serving import HELD_BYTES, WRITE, Outgoing


class Application:
    """Its calls end when they are told to."""

    max_body_bytes = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002
        if (await receive())["type"] == "fail":
            raise RuntimeError("as the test wants")

    def start(self) -> None:
        """Nothing is to be started."""

    async def stop(self) -> None:
        """Nothing is to be stopped."""


class Client:
    """A protocol of daphne's, with nobody at its other end."""

    def __init__(self) -> None:
        self.failed_by: list[BaseException] = []

    def write(self, text: str) -> bool:
        raise AssertionError(f"nothing is to be written: {text}")

    def handle_exception(self, error: BaseException) -> None:
        self.failed_by.append(error)


class LookedAt(dict[str, Any]):
    """What daphne knows of a connection; whether it has looked."""

    looks = 0

    def get(self, *args: Any) -> Any:
        self.looks += 1
        return super().get(*args)


class Server(DaphneServer):
    """One that does not listen, and looks when it is told to."""

    def __init__(self) -> None:
        super().__init__(Application(), host="127.0.0.1", port=0)
        self.connections = {}
        self.looked_at: dict[Client, LookedAt] = {}
        self.queues: dict[Client, asyncio.Queue[Any]] = {}

    def connected(self) -> Client:
        client = Client()
        self.protocol_connected(client)
        self.connections[client] = self.looked_at[client] = LookedAt(self.connections[client])
        self.queues[client] = self.create_application(client, {"type": "websocket"})
        return client

    async def ended(self, client: Client, why: str) -> None:
        """What the application was told has ended its call."""
        call = self.connections[client]["application_instance"]
        self.queues[client].put_nowait({"type": why})
        await asyncio.wait([call])


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is to be called later."""
    calls: list[Any] = []
    monkeypatch.setattr(reactor, "callLater", lambda _seconds, call: calls.append(call))
    return calls


@pytest.fixture
def server(later: list[Any]) -> Server:
    return Server()


async def test_a_socket_is_offered_to_be_written_to_at_once(server: Server) -> None:
    client = Client()
    server.protocol_connected(client)
    scope: dict[str, Any] = {"type": "websocket"}
    server.create_application(client, scope).put_nowait({"type": "websocket.disconnect"})
    assert scope["extensions"] == {WRITE: client.write} == {answering_consumer.WRITE: client.write}
    await asyncio.wait([server.connections[client]["application_instance"]])


async def test_who_is_quiet_is_not_looked_at(server: Server) -> None:
    quiet, leaving = server.connected(), server.connected()
    looks = server.looked_at[quiet].looks
    server.protocol_disconnected(leaving)
    await server.ended(leaving, "websocket.disconnect")
    server.application_checker()
    server.application_checker()
    assert list(server.connections) == [quiet]
    assert server.looked_at[quiet].looks == looks
    await server.ended(quiet, "websocket.disconnect")


async def test_a_call_that_goes_on_is_looked_at_until_it_ends(server: Server) -> None:
    client = server.connected()
    server.protocol_disconnected(client)
    server.application_checker()
    server.application_checker()
    assert list(server.connections) == [client]
    await server.ended(client, "websocket.disconnect")
    server.application_checker()
    assert not server.connections


async def test_a_call_that_takes_too_long_after_its_client_has_gone_is_cancelled(server: Server) -> None:
    client = server.connected()
    call = server.connections[client]["application_instance"]
    server.protocol_disconnected(client)
    server.connections[client]["disconnected"] -= server.application_close_timeout + 1
    server.application_checker()
    await asyncio.wait([call])
    assert call.cancelled()
    server.application_checker()
    assert not server.connections


async def test_a_call_that_fails_is_told_to_its_client_once(server: Server) -> None:
    client = server.connected()
    await server.ended(client, "fail")
    server.application_checker()
    server.application_checker()
    assert [str(error) for error in client.failed_by] == ["as the test wants"]
    server.protocol_disconnected(client)
    server.application_checker()
    assert not server.connections


async def test_a_look_that_fails_is_not_the_last_one(
    server: Server, later: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet, client = server.connected(), server.connected()
    await server.ended(client, "fail")

    def broken(_error: BaseException) -> None:
        raise OSError

    monkeypatch.setattr(client, "handle_exception", broken)
    server.application_checker()
    assert later == [server.application_checker]
    assert set(server.connections) == {quiet, client}
    assert client in server._changed
    for each in (quiet, client):
        server.protocol_disconnected(each)
    await server.ended(quiet, "websocket.disconnect")
    server.application_checker()
    assert not server.connections


async def test_a_socket_may_stay_for_days(server: Server) -> None:
    socket = _Socket()
    socket.server, socket.state, socket.transport = server, _Socket.STATE_OPEN, Transport()
    socket.socket_opened, socket.last_ping = 0.0, time.time()
    socket.check_timeouts()
    assert (socket.state, socket.transport.sent) == (_Socket.STATE_OPEN, [])


class Transport:
    """Twisted's, of a system that takes `room` bytes at a time, or `fails`."""

    def __init__(self, room: int = 1000, *, fails: bool = False) -> None:
        self.dataBuffer = b""
        self.connected = True
        self.aborted = False
        self._room = room
        self._fails = fails
        self.sent: list[bytes] = []
        self.waiting: list[bytes] = []

    @property
    def _tempDataLen(self) -> int:
        return sum(map(len, self.waiting))

    def abortConnection(self) -> None:
        self.aborted = True

    def writeSomeData(self, data: bytes) -> int | Exception:
        if self._fails:
            return ConnectionLost()
        self.sent.append(data[: self._room])
        return len(self.sent[-1])

    def write(self, data: bytes) -> None:
        self.waiting.append(data)


class Broken(Transport):
    """One that raises."""

    def writeSomeData(self, data: bytes) -> int | Exception:
        raise RuntimeError(f"not written: {data!r}")


def socket_on(transport: Transport) -> _Socket:
    socket = _Socket()
    socket.transport, socket.outgoing, socket.state = transport, Outgoing(), _Socket.STATE_OPEN
    socket.send_queue = deque()
    return socket


async def turn() -> None:
    """The event loop's turn is over."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_a_frame_goes_to_the_system_at_once() -> None:
    transport = Transport()
    socket_on(transport).sendData(b"frame")
    assert (transport.sent, transport.waiting) == ([b"frame"], [])


def test_what_the_system_does_not_take_waits_and_what_comes_later_waits_behind_it() -> None:
    transport = Transport(room=3)
    socket = socket_on(transport)
    socket.sendData(b"frame")
    socket.sendData(b"next")
    assert (transport.sent, transport.waiting) == ([b"fra"], [b"me", b"next"])


async def test_frames_of_a_turn_go_together() -> None:
    transport = Transport()
    socket = socket_on(transport)
    for text in ("one", "é"):
        assert socket.write(text)
    assert transport.sent == []
    await turn()
    assert socket.write("x" * 126)
    await turn()
    assert (transport.sent, transport.waiting) == (
        [b"\x81\x03one\x81\x02\xc3\xa9", b"\x81\x7e\x00\x7e" + b"x" * 126],
        [],
    )


async def test_what_is_held_goes_out_before_a_pong() -> None:
    transport = Transport()
    socket = socket_on(transport)
    assert socket.write("one")
    socket.sendData(b"pong")
    await turn()
    assert transport.sent == [b"\x81\x03one", b"pong"]


async def test_no_more_is_held_than_a_client_can_wait_for() -> None:
    transport = Transport(room=2 * HELD_BYTES)
    socket = socket_on(transport)
    text = "x" * 1000
    for _ in range(HELD_BYTES // len(text) + 2):
        assert socket.write(text)
    assert len(transport.sent) == 1
    await turn()
    assert len(transport.sent) == 2


async def test_who_cannot_be_written_to_is_dropped_and_keeps_nobody_from_being_written_to() -> None:
    broken, other = Broken(), Transport()
    outgoing = Outgoing()
    for transport in (broken, other):
        socket = socket_on(transport)
        socket.outgoing = outgoing
        assert socket.write("one")
    await turn()
    assert (broken.aborted, other.aborted, other.sent) == (True, False, [b"\x81\x03one"])


def test_to_a_socket_that_is_closing_nothing_is_written() -> None:
    socket = socket_on(Transport())
    socket.state = _Socket.STATE_CLOSING
    assert not socket.write("one")


def test_that_the_client_has_gone_is_found_by_the_transport() -> None:
    transport = Transport(fails=True)
    socket_on(transport).sendData(b"frame")
    assert transport.waiting == [b"frame"]


def test_nothing_is_sent_where_the_connection_has_ended() -> None:
    transport = Transport()
    transport.connected = False
    socket_on(transport).sendData(b"frame")
    assert transport.sent == []
