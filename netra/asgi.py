"""The application as servers see it: HTTP to Django, sockets to the consumer, and the embedded worker beside both.

`manage.py serve` is the usual way to run it. Under another ASGI server the embedded parts start by themselves: the
database when this module is imported, the worker with the server's lifespan, or, without lifespan (daphne), at the
first connection.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import os
from collections.abc import Iterator
from typing import Any, cast

import structlog

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")

from netra import config, database

_keep_open = contextlib.ExitStack()
_keep_open.enter_context(database.running(config.load()))
atexit.register(_keep_open.close)

from django.core.asgi import get_asgi_application

_http = get_asgi_application()

from django.apps import apps

from chat.apps import ChatConfig
from chat.auth import JWTAuthMiddleware
from chat.consumers import ChatConsumer
from chat.models import ProcessKind
from chat.security_headers import SecurityHeaders
from chat.streams.routes import answer, handler_of
from chat.sweep import sweep
from netra.body_limit import BodyLimit, largest
from netra.telemetry import new_correlation_id
from netra.worker import Engine

logger = structlog.get_logger(__name__)
SOCKET_PATHS = ("/ws", "/ws/")
# The part of the drain after which a socket whose command still waits is closed without its answer.
PATIENCE_WITH_COMMANDS = 0.6


class Calls:
    """How many requests and sockets are under way."""

    def __init__(self) -> None:
        self.number = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        self.number += 1
        self._none.clear()
        try:
            yield
        finally:
            self.number -= 1
            if not self.number:
                self._none.set()

    async def ended(self) -> None:
        await self._none.wait()


class Application:
    """Routes by protocol, and owns the embedded worker: one task, started once, held, and stopped in order."""

    def __init__(self, chat: ChatConfig, configuration: config.Config) -> None:
        self._http = BodyLimit(_http, max_file_bytes=configuration.max_attachment_bytes)
        self.max_body_bytes = largest(configuration.max_attachment_bytes)
        self._answer = SecurityHeaders(self._route, debug=configuration.debug)
        self._sockets = JWTAuthMiddleware(ChatConsumer.as_asgi(services=chat), chat)
        self._chat = chat
        self._config = configuration
        self._started = False
        self._calls = Calls()
        self._engine: Engine | None = None
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if not self._started:
            self.start()
        # The root of the host. daphne takes another one from a header of the client, by which a path that a proxy
        # keeps to itself (/metrics) would be asked for under another name.
        scope = {**scope, "root_path": ""}
        with self._calls.counted():
            if scope["type"] == "http":
                await self._answer(scope, receive, send)
            elif scope["path"] in SOCKET_PATHS:
                await self._sockets(scope, receive, send)
            else:
                await send({"type": "websocket.close"})

    async def _route(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Streams are ours: through Django's handler each would hold a thread as long as it is open."""
        handler = handler_of(scope)
        if handler is None:
            await self._http(scope, receive, send)
        else:
            await answer(handler, self._chat, scope, receive, send, correlation_id=new_correlation_id())

    def start(self) -> None:
        """Open for connections, and start the embedded worker, if this process has one and it does not run yet.

        What arrives after `stop` does not open it again.
        """
        self._started = True
        self._chat.connections.open()
        self._chat.monitor.start(ProcessKind.WEB)
        if self._running is not None or self._config.worker != "embedded":
            return
        self._engine = Engine(self._config, sweep=sweep, database=self._chat.event_log.pool.reachability)
        self._running = asyncio.get_running_loop().create_task(
            self._engine.run(), name="embedded worker", context=contextvars.Context()
        )

    async def stop(self) -> None:
        """Close the sockets with a word and let requests end, hand running runs back, and close what they opened."""
        await asyncio.gather(self._drain(), self._stop_worker())
        await self._chat.close()

    async def _drain(self) -> None:
        seconds = self._config.drain_seconds
        self._chat.connections.drain(seconds * PATIENCE_WITH_COMMANDS)
        try:
            async with asyncio.timeout(seconds):
                await self._calls.ended()
        except TimeoutError:
            logger.warning("drain_incomplete", calls=self._calls.number)

    async def _stop_worker(self) -> None:
        if self._engine is not None and self._running is not None:
            self._engine.stop()
            await asyncio.wait([self._running])
            self._running = None

    async def _lifespan(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


application = Application(cast("ChatConfig", apps.get_app_config("chat")), config.load())
