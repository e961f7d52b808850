"""daphne, run from our own code: with signal handlers that drain before they end it."""

from __future__ import annotations

import asyncio
import functools
import io
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from daphne.http_protocol import WebRequest
from daphne.server import Server, reactor
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet.defer import Deferred

from netra.serving import (
    CLOSE_SECONDS,
    FLUSH_SECONDS,
    HEAD_SECONDS,
    HELD_BYTES,
    KEEP_ALIVE_SECONDS,
    MAX_FRAME_BYTES,
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

BODY_PIECE_BYTES = 65_536
LOOK_SECONDS = 5.0

logger = structlog.get_logger(__name__)


class DaphneServer(Server):  # type: ignore[misc]  # daphne has no types
    """Serves until a signal; then drains and ends (netra.serving.Ending)."""

    def __init__(self, application: Application, *, host: str, port: int) -> None:
        super().__init__(
            application=application,
            endpoints=[f"tcp:port={port}:interface={host.replace(':', chr(92) + ':')}"],
            signal_handlers=False,
            server_name="netra",
            websocket_max_message_size=MAX_FRAME_BYTES,
            websocket_max_frame_size=MAX_FRAME_BYTES,
            # The application itself says how long it may take to greet, and answers who has waited too long.
            websocket_handshake_timeout=0,
            # daphne's own closes each socket after a day.
            websocket_timeout=-1,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_TIMEOUT,
            verbosity=0,
        )
        self.opened = False
        self.max_body_bytes = application.max_body_bytes
        self.application: Any
        self.connections: dict[Any, dict[str, Any]]
        self._ending = Ending(application, stop_listening=self._stop_listening, end=self._end)
        self._ports: list[Any] = []
        # Those whose client has gone, or whose call of the application has ended, since the last look.
        self._changed: set[Any] = set()
        self._on_open: Callable[[], None] = lambda: None

    def run_to_end(self, *, on_open: Callable[[], None]) -> None:
        self._on_open = on_open
        self.run()

    def listen_success(self, port: Any) -> None:
        super().listen_success(port)
        # A frame that breaks the protocol is answered with its close code: autobahn's default only drops the socket.
        self.ws_factory.failByDrop = False
        self.ws_factory.closeHandshakeTimeout = CLOSE_SECONDS
        self.ws_factory.protocol = _socket_class(self.ws_factory)
        build = self.http_factory.buildProtocol

        def build_protocol(address: Any) -> Any:
            protocol = build(address)
            protocol.requestFactory = _Request
            protocol._channel.patience = _Patience(protocol._channel)
            return protocol

        self.http_factory.buildProtocol = build_protocol
        self._ports.append(port)
        # Twisted calls this before its loop runs, and reports nothing of what fails in such a call.
        reactor.callLater(0, self._open)

    def listen_error(self, failure: Any) -> None:
        logger.error("listen_failed", cause=failure.getErrorMessage())
        self.stop()

    def _open(self) -> None:
        self.opened = self._ending.open(self._on_open)

    def _stop_listening(self) -> None:
        for port in self._ports:
            port.stopListening()

    def protocol_disconnected(self, protocol: Any) -> None:
        super().protocol_disconnected(protocol)
        self._changed.add(protocol)

    def application_checker(self) -> None:
        """daphne's own, of those that have changed: every second it looks through all that it is given."""
        every, changed = self.connections, self._changed & self.connections.keys()
        self.connections, self._changed = {protocol: every[protocol] for protocol in changed}, set()
        try:
            super().application_checker()
        except Exception:  # of a client that could not be told of its failed call
            logger.exception("look_at_connections_failed")
            self._changed |= changed  # who was behind it has not been looked at
            reactor.callLater(1, self.application_checker)  # its own call for the next look is its last line
        finally:
            left, self.connections = self.connections, every
        for protocol in changed - left.keys():
            del every[protocol]
        self._changed |= {protocol for protocol, details in left.items() if "disconnected" in details}

    def timeout_checker(self) -> None:
        """daphne's own, seldom: it looks at all connections."""
        for protocol in list(self.connections):
            protocol.check_timeouts()
        reactor.callLater(LOOK_SECONDS, self.timeout_checker)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if scope["type"] == "websocket":
            scope["extensions"] = {**scope.get("extensions", {}), WRITE: protocol.write}
        queue = self._application(protocol, scope)
        call = self.connections.get(protocol, {}).get("application_instance")
        if call is not None:
            call.add_done_callback(lambda _call: self._changed.add(protocol))
        return queue

    def _application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """A body is read from its file as the application asks for it: daphne would put all of it into a queue."""
        if scope["type"] != "http":
            return super().create_application(protocol, scope)
        body, protocol.content = _Body(protocol.content), io.BytesIO()
        application: Any = self.application

        def with_body(scope: dict[str, Any], receive: Any, send: Any) -> Any:
            return application(scope, functools.partial(body.receive, receive), send)

        self.application = with_body
        try:
            return super().create_application(protocol, scope)
        finally:
            self.application = application

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """A part of a body is sent when the network has taken it: daphne's own would keep what a slow reader leaves."""
        streams = message["type"] == "http.response.body" and message.get("more_body", False)
        flow: _Flow | None = self.connections.get(protocol, {}).get("flow")
        if streams and flow is None and protocol in self.connections and protocol.channel is not None:
            flow = self.connections[protocol]["flow"] = _Flow()
            protocol.registerProducer(flow, True)
        elif flow is not None and not streams and protocol.channel is not None:
            protocol.unregisterProducer()
        await super().handle_reply(protocol, message)
        if streams and flow is not None:
            await flow.ready.wait()

    async def _end(self) -> None:
        # The application's calls have ended; what they wrote may still be on its way to the system.
        await poll(lambda: not reactor.getWriters(), seconds=FLUSH_SECONDS)
        reactor.stop()

    def kill_all_applications(self) -> Deferred[Any]:
        """Cancel what the drain has left over. daphne's own raises for a connection that never had an application."""
        calls = [details.get("application_instance") for details in self.connections.values()]
        open_calls = [call for call in calls if call is not None and not call.done()]
        for call in open_calls:
            call.cancel()
        return Deferred.fromFuture(asyncio.ensure_future(_ended(open_calls)))


class _Patience:
    """How long a connection may take for what comes next. Twisted's own begins anew with each byte."""

    def __init__(self, channel: Any) -> None:
        self._channel = weakref.ref(channel)  # a client may go long before its time is over
        self._call: Any = None
        self.wait(HEAD_SECONDS)

    def wait(self, seconds: float) -> None:
        self.stop()
        self._call = reactor.callLater(seconds, self._cut_off)

    def stop(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _cut_off(self) -> None:
        channel = self._channel()
        if channel is not None and channel.transport is not None:
            channel.transport.abortConnection()


class _Request(WebRequest):  # type: ignore[misc]  # daphne has no types
    """Bodies are the application's to read. Twisted would parse forms, too, in memory of many times their size, and
    drop the connection over a bad one.

    It begins with its first line, and comes within a time.
    """

    def __init__(self, channel: Any, *args: Any, **options: Any) -> None:
        super().__init__(channel, *args, parsePOSTFormSubmission=False, **options)
        self._received = 0
        self._patience: _Patience = channel.patience
        self._patience.wait(HEAD_SECONDS)

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's name
        """The head is whole."""
        self._patience.wait(body_seconds(length))
        super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """What is above the bound is not kept: the application refuses such a body by what there is of it."""
        room = self.server.max_body_bytes + 1 - self._received
        self._received += len(data)
        if room > 0:
            super().handleContentChunk(data[:room])

    def process(self) -> None:
        """It is whole."""
        self._patience.stop()
        super().process()
        if self.transport is None and self.channel is not None:
            # A socket has taken the transport over. Request, channel and patience know each other, and nobody else.
            self.channel.requests.clear()
            del self.channel.patience

    def finish(self) -> None:
        super().finish()
        self._patience.wait(KEEP_ALIVE_SECONDS)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - Twisted's name
        self._patience.stop()
        super().connectionLost(reason)


class _Socket(WebSocketProtocol):  # type: ignore[misc]  # daphne has no types
    """One that is freed at once when it is closed, which autobahn tells itself, and that does less for each frame."""

    outgoing: Outgoing

    def __init__(self) -> None:
        super().__init__()
        self._held: list[bytes] = []
        self._held_bytes = 0

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """autobahn's own, without a coloured line for a log that nobody keeps."""
        self._dataReceived(data)

    def write(self, text: str) -> bool:
        """netra.serving.WRITE"""
        if self.state != self.STATE_OPEN:
            return False
        if not self._held:
            self.outgoing.add(self)
        frame = text_frame(text)
        self._held.append(frame)
        self._held_bytes += len(frame)
        if self._held_bytes >= HELD_BYTES:
            self.flush()
        return True

    def flush(self) -> None:
        if self._held:
            held, self._held, self._held_bytes = b"".join(self._held), [], 0
            self._put_out(held)

    def drop(self) -> None:
        self.transport.abortConnection()

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: N802
        """Whatever does not come by `write`, such as a pong or the close. It goes behind what is held."""
        self.flush()
        if sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            self._put_out(data)

    def _put_out(self, data: bytes) -> None:
        """To the system at once, unless something waits there. Twisted's transport asks to be told when the system
        takes data, and then not to be told any more: two calls of it more each time.
        """
        transport = self.transport
        if transport.dataBuffer or transport._tempDataLen or not transport.connected:
            transport.write(data)
        else:
            taken = transport.writeSomeData(data)
            if taken != len(data):
                # The rest, or all of it: what is lost is told to the transport when it tries again.
                transport.write(data[taken:] if isinstance(taken, int) else data)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 - Twisted's name
        super().connectionLost(reason)
        self.is_closed: Any = None


def _socket_class(factory: Any) -> type[_Socket]:
    """What all sockets have alike, of the class: autobahn copies it into each, and writes it down for its log."""
    alike = {name: getattr(factory, name) for name in _Socket.CONFIG_ATTRS}
    plain = {name: staticmethod(value) if callable(value) else value for name, value in alike.items()}
    return type("Socket", (_Socket,), {**plain, "CONFIG_ATTRS": [], "outgoing": Outgoing()})


class _Body:
    """The body of a request, which daphne has received whole: in memory when it is small, else in a file."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._read = False

    async def receive(self, otherwise: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """The next piece of it, then what daphne tells besides: that the client has gone."""
        if not self._read:
            piece = self._content.read(BODY_PIECE_BYTES)
            self._read = len(piece) < BODY_PIECE_BYTES
            if self._read:
                self._content.close()
            return {"type": "http.request", "body": piece, "more_body": not self._read}
        while (message := await otherwise())["type"] == "http.request":
            pass  # the empty body in the place of the one that was read
        return message


class _Flow:
    """Twisted's IPushProducer: `ready` while the network takes more, and for ever once the connection is gone."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.ready.set()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.ready.clear()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.ready.set()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        self.ready.set()


async def _ended(calls: list[asyncio.Future[Any]]) -> None:
    if calls:
        await asyncio.wait(calls, timeout=FLUSH_SECONDS)
