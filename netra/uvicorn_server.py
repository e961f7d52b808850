"""uvicorn, run from our own code: draining before it closes sockets, which by itself it does first, with 1012."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from netra.serving import (
    FLUSH_SECONDS,
    HEAD_SECONDS,
    HELD_BYTES,
    MAX_FRAME_BYTES,
    MAX_HEAD_BYTES,
    PING_SECONDS,
    PING_TIMEOUT,
    WRITE,
    Application,
    Ending,
    Outgoing,
    body_seconds,
    poll,
    text_frame,
)

# Of a message that is not waited for.
SMALL_BYTES = 65_536
# Of uvicorn's clock, which has ten in a second.
TICKS_OF_A_LOOK = 50


class BoundedRequests(HttpToolsProtocol):
    """Requests come within a time, and their heads within a size: uvicorn waits for ever, and keeps whatever comes."""

    _patience: asyncio.TimerHandle | None = None
    _head_bytes: int | None = 0  # None when the head has ended

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._wait(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        lengths = [value for name, value in self.headers if name == b"content-length"]
        self._wait(body_seconds(int(lengths[0]) if lengths else None))
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_waiting()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment]  # each refers to the other: uvicorn parts them at an end only

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._patience = asyncio.get_running_loop().call_later(seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class PingedSocket(WebSocketsSansIOProtocol):
    """Who has been silent is pinged. A client that answers no ping reads nothing: it is dropped.

    uvicorn's own has a timer for each socket, pings who has just spoken, too, and closes with 1011.
    """

    _heard_at = 0.0
    _held_bytes = 0

    def __init__(self, *args: Any, outgoing: Outgoing, **options: Any) -> None:
        super().__init__(*args, **options)
        self._outgoing = outgoing

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        super().data_received(data)

    def schedule_ping(self) -> None:
        """The server looks at all sockets."""

    def ping_if_silent(self, now: float) -> None:
        if now - self._heard_at > PING_SECONDS and self.pong_timer is None and self.handshake_complete:
            self.send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        self.pong_timer = None
        self.pending_ping_payload = None
        self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """uvicorn's own stops reading at each message until the application has taken it: here at the second one, or a
        large one.
        """
        if self.read_paused or not self.queue.empty() or sum(map(len, self.frames)) > SMALL_BYTES:
            super().send_receive_event_to_app()
            return
        self.read_paused = True
        super().send_receive_event_to_app()
        self.read_paused = False

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][WRITE] = self.write  # type: ignore[assignment]  # an extension is anything

    def write(self, text: str) -> bool:
        """netra.serving.WRITE"""
        if self.conn.state is not State.OPEN or self.transport.is_closing() or not self.writable.is_set():
            return False
        # Whatever the protocol puts out next, be it a pong or the close, goes behind what it holds.
        held, frame = self.conn.writes, text_frame(text)
        if not held:
            self._held_bytes = 0
            self._outgoing.add(self)
        held.append(frame)
        self._held_bytes += len(frame)
        if self._held_bytes >= HELD_BYTES:
            self.flush()
        return True

    def flush(self) -> None:
        held = self.conn.data_to_send()
        if held and not self.transport.is_closing():
            self.transport.write(b"".join(held))

    def drop(self) -> None:
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.conn.parser.close()  # a generator, which keeps its protocol
        if (scope := getattr(self, "scope", None)) is not None:  # else the handshake was refused
            scope["extensions"].pop(WRITE, None)  # which keeps it, too


class UvicornServer(uvicorn.Server):
    """Serves until a signal; then drains and ends (netra.serving.Ending)."""

    def __init__(self, application: Application, *, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                host=host,
                port=port,
                http=BoundedRequests,
                ws=functools.partial(PingedSocket, outgoing=Outgoing()),  # type: ignore[arg-type]  # a class, to it
                ws_max_size=MAX_FRAME_BYTES,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=PING_TIMEOUT,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                headers=[("server", "netra")],
                # Whole seconds. What takes longer had its time in the drain.
                timeout_graceful_shutdown=1,
            )
        )
        self.opened = False
        self._ending = Ending(application, stop_listening=self._stop_listening, end=self._end)
        self._on_open: Callable[[], None] = lambda: None

    def run_to_end(self, *, on_open: Callable[[], None]) -> None:
        self._on_open = on_open
        self.run()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's handlers begin its own shutdown, and repeat the signal after it."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:  # the port cannot be had, as uvicorn has logged
            self.should_exit = True
            return
        self.opened = self._ending.open(self._on_open)

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_OF_A_LOOK == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, PingedSocket):
                    connection.ping_if_silent(now)
        return await super().on_tick(counter)

    def _stop_listening(self) -> None:
        for server in self.servers:
            server.close()

    async def _end(self) -> None:
        # A socket that is closed before the client has answered is reset, and what was sent last may be lost with it.
        await poll(lambda: not any(map(_is_busy, self.server_state.connections)), seconds=FLUSH_SECONDS)
        # What had its time in the drain ends as if its client had gone: a call that is cancelled logs a traceback.
        for connection in filter(_is_busy, list(self.server_state.connections)):
            connection.transport.abort()
        self.should_exit = True


def _is_busy(connection: Any) -> bool:
    """A socket, or a connection with a request under way."""
    return isinstance(connection, PingedSocket) or not (connection.cycle is None or connection.cycle.response_complete)
