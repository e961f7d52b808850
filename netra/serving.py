"""daphne, run from our own code: with signal handlers that drain before they end it."""

from __future__ import annotations

import asyncio
import contextvars
import signal
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from daphne.server import Server, reactor

logger = structlog.get_logger(__name__)

# As uvicorn's default: below it a frame too large is answered with a code, above it the server closes with 1009.
MAX_FRAME_BYTES = 16 * 1024 * 1024
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Application(Protocol):
    """An ASGI application that is started and stopped with its server."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None: ...

    def start(self) -> None: ...

    async def stop(self) -> None: ...


class DrainingServer(Server):  # type: ignore[misc]  # daphne has no types
    """Serves until a signal; then listens no more, lets the application stop in order, and ends."""

    def __init__(self, application: Application, *, host: str, port: int) -> None:
        super().__init__(
            application=application,
            endpoints=[f"tcp:port={port}:interface={host.replace(':', chr(92) + ':')}"],
            signal_handlers=False,
            server_name="netra",
            websocket_max_message_size=MAX_FRAME_BYTES,
            websocket_max_frame_size=MAX_FRAME_BYTES,
            verbosity=0,
        )
        self.opened = False
        self._served = application
        self._ports: list[Any] = []
        self._stopping: asyncio.Task[None] | None = None
        self._on_open: Callable[[], None] = lambda: None

    def run(self, *, on_open: Callable[[], None]) -> None:
        """Block until the server has ended. `on_open` is called once it listens."""
        self._on_open = on_open
        super().run()

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        # A frame that breaks the protocol is answered with its close code: autobahn's default only drops the socket.
        self.ws_factory.failByDrop = False
        self._ports.append(port)
        # Twisted calls this before its loop runs, and reports nothing of what fails in such a call.
        reactor.callLater(0, self._open)

    def listen_error(self, failure: Any) -> None:
        logger.error("listen_failed", cause=failure.getErrorMessage())
        self.stop()

    def _open(self) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._begin_to_stop)
        try:
            self._served.start()
            self._on_open()
        except Exception:
            logger.exception("start_failed")
            self._begin_to_stop()
        else:
            self.opened = True

    def _begin_to_stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(
                self._stop_in_order(), name="stop server", context=contextvars.Context()
            )

    async def _stop_in_order(self) -> None:
        logger.info("server_stopping")
        try:
            for port in self._ports:
                port.stopListening()
            await self._served.stop()
        except Exception:
            logger.exception("stop_failed")
        finally:
            reactor.stop()
