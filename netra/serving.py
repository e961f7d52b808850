"""What the servers of `manage.py serve` have in common: their limits, and how they end.

A signal begins the end: listen no more, stop the application in order, then the server. All of it is bounded.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import functools
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog
from websockets.frames import Frame, Opcode

from netra import signals

logger = structlog.get_logger(__name__)

# Below it a frame too large is answered with a code, above it the server closes with 1009.
MAX_FRAME_BYTES = 16 * 1024 * 1024
# A socket that has been silent this long is pinged, and dropped when it does not answer. Longer than what clients are
# told (NETRA_WS_HEARTBEAT_SECONDS), so that those that live are not asked.
PING_SECONDS, PING_TIMEOUT = 30.0, 30.0
# How long a client has to send the head of a request (RFC 9112, section 2.1), from its first byte or from when it
# connected; what the head may have; and how slowly a body may come. Whoever is slower is cut off: many of them, each
# with a request that is never whole, would take all connections that there are.
HEAD_SECONDS = 20.0
MAX_HEAD_BYTES = 65_536
BODY_SECONDS = 60.0
SLOWEST_BYTES_PER_SECOND = 8192
# Whatever its length is, or if that is not said.
LONGEST_BODY_SECONDS = 3600.0
# How long a connection is kept on which nothing is asked any more.
KEEP_ALIVE_SECONDS = 60.0
# How long a client has to answer a close frame. What is still on its way to a slow one is dropped then.
CLOSE_SECONDS = 10.0
# In the extensions of a socket's scope: `write(text) -> bool` takes a text frame in the call. False where the network
# takes no more (uvicorn), or the socket is not open: then nothing is taken, and ASGI's `send` is the way.
WRITE = "netra.write"
# What a socket holds of a turn at most, so that a client has something to do while a long replay is written.
HELD_BYTES = 65_536
# What the application has sent, the system takes within this time, or never.
FLUSH_SECONDS = 1.0
# How long the server and the threads of the process have to end once the application has stopped.
END_SECONDS = 4.0


def body_seconds(length: int | None) -> float:
    """How long a client may take for a body of so many bytes."""
    if length is None:
        return LONGEST_BODY_SECONDS
    return min(BODY_SECONDS + length / SLOWEST_BYTES_PER_SECOND, LONGEST_BODY_SECONDS)


@functools.lru_cache(maxsize=8)
def text_frame(text: str) -> bytes:
    """The bytes on the wire: a server masks nothing (RFC 6455, section 5.1), and ours compress nothing. So they are the
    same for all sockets of a person, which are sent the few texts of a message in turn.
    """
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


class Holding(Protocol):
    """A socket that has been given frames."""

    def flush(self) -> None:
        """Hand them to the system, if that has not been done."""

    def drop(self) -> None:
        """Cut the connection off, without a close."""


class Outgoing:
    """What sockets are given to write in a turn of the event loop goes to the system behind all else of the turn.

    So the frames of a socket go together, and where a frame goes to a thousand of them, the interpreter and the system
    do not displace each other a thousand times from the processor's caches.
    """

    def __init__(self) -> None:
        self._sockets: list[Holding] = []

    def add(self, socket: Holding) -> None:
        """It is flushed soon, on this event loop."""
        if not self._sockets:
            asyncio.get_running_loop().call_soon(self._flush, context=contextvars.Context())
        self._sockets.append(socket)

    def _flush(self) -> None:
        sockets, self._sockets = self._sockets, []
        for socket in sockets:
            try:
                socket.flush()
            except Exception:  # of whatever kind, it concerns no other socket; the frames of this one are gone
                logger.exception("flush_failed")
                socket.drop()


class Application(Protocol):
    """An ASGI application that is started and stopped with its server. What a body has above a bound it refuses."""

    max_body_bytes: int

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def start(self) -> None: ...

    async def stop(self) -> None: ...


class Server(Protocol):
    """Serves until a signal. `opened` tells whether it ever listened."""

    opened: bool

    def run_to_end(self, *, on_open: Callable[[], None]) -> None:
        """Block until the server has ended. `on_open` is called once it listens."""


def build(name: str, application: Application, *, host: str, port: int) -> Server:
    """The server of this name. Only one of them is imported: each brings a library of its own."""
    if name == "uvicorn":
        from netra.uvicorn_server import UvicornServer

        return UvicornServer(application, host=host, port=port)
    from netra.daphne_server import DaphneServer

    return DaphneServer(application, host=host, port=port)


class Ending:
    """The one way in which a server ends. `stop_listening` and `end` are the server's own part in it."""

    def __init__(
        self, application: Application, *, stop_listening: Callable[[], None], end: Callable[[], Awaitable[None]]
    ) -> None:
        self._application = application
        self._stop_listening = stop_listening
        self._end = end
        self._task: asyncio.Task[None] | None = None

    def open(self, on_open: Callable[[], None]) -> bool:
        """Heed signals, start the application and say so. False when that failed: then the end begins."""
        signals.heed(self._signalled)
        try:
            self._application.start()
            on_open()
        except Exception:
            logger.exception("start_failed")
            self.begin()
            return False
        return True

    def _signalled(self) -> None:
        """A second signal ends the process at once, whatever it does, as one without handlers."""
        signals.end_by_them()
        self.begin()

    def begin(self) -> None:
        if self._task is None:
            # What ends the server must not inherit the context of a request.
            self._task = asyncio.get_running_loop().create_task(
                self._in_order(), name="stop server", context=contextvars.Context()
            )

    async def _in_order(self) -> None:
        logger.info("server_stopping")
        try:
            self._stop_listening()
            await self._application.stop()
        except Exception:
            logger.exception("stop_failed")
        finally:
            _abandon_threads_after(END_SECONDS)
            await self._end()


async def poll(condition: Callable[[], object], *, seconds: float) -> None:
    """Wait until it holds, at most so long: for what servers do not tell."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition() and loop.time() < deadline:  # noqa: ASYNC110 - nothing could set an event
        await asyncio.sleep(0.01)


def _abandon_threads_after(seconds: float) -> None:
    """A process ends when its threads have: one that waits for a database must not hold it.

    Functions of `atexit` run after the threads, so these have all their time.
    """

    def abandon() -> None:
        logger.warning("threads_abandoned")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    timer = threading.Timer(seconds, abandon)
    timer.daemon = True
    timer.start()
    atexit.register(timer.cancel)
