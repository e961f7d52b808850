"""uvicorn, run from our own code: draining before it closes sockets, which by itself it does first, with 1012."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from netra.serving import FLUSH_SECONDS, MAX_FRAME_BYTES, PING_SECONDS, PING_TIMEOUT, Application, Ending, poll


class PingedSocket(WebSocketsSansIOProtocol):
    """A client that answers no ping reads nothing: it is dropped. uvicorn's own closes with 1011."""

    def keepalive_timeout(self) -> None:
        self.pong_timer = None
        self.pending_ping_payload = None
        self.transport.abort()


class UvicornServer(uvicorn.Server):
    """Serves until a signal; then drains and ends (netra.serving.Ending)."""

    def __init__(self, application: Application, *, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                host=host,
                port=port,
                ws=PingedSocket,
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
