"""One WebSocket connection: its handshake, its frames, and the acknowledgement of what came (docs/protocol.md)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from chat.fold import ClientState

Frame = dict[str, Any]

PROTOCOL = "netra.v1"
TERMINAL = frozenset({"agent_completed", "agent_error", "agent_cancelled"})
# Section 5.6: at the latest after a second, or after 64 frames.
ACK_SECONDS = 1.0
ACK_FRAMES = 64


def frame_text(frame: Frame) -> str:
    """A frame as it is sent: UTF-8, which is shorter than escapes. A lone surrogate can only be escaped."""
    text = json.dumps(frame, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(frame)
    return text


class Socket:
    """Frames are folded into `state` as they are received."""

    def __init__(self, connection: ClientConnection, *, state: ClientState | None = None, acks: bool = True) -> None:
        self.connection = connection
        self.state = state or ClientState()
        self._acks = acks
        self._unacknowledged = 0
        self._ack_timer: asyncio.TimerHandle | None = None
        self._acking: asyncio.Task[None] | None = None

    @property
    def subprotocol(self) -> str | None:
        return self.connection.subprotocol

    @property
    def close_code(self) -> int | None:
        """None while it is open; 1006 when it ended without a close frame."""
        return self.connection.close_code

    async def send(self, **frame: Any) -> None:
        """Raises websockets.exceptions.ConnectionClosed."""
        await self.connection.send(frame_text(frame))

    async def receive(self) -> Frame:
        """The next frame. Raises websockets.exceptions.ConnectionClosed, and chat.fold.ProtocolViolation for a gap."""
        frame: Frame = json.loads(await self.connection.recv())
        self.state.fold(frame)
        if self._acks:
            self._unacknowledged += 1
            if frame["type"] in TERMINAL or self._unacknowledged >= ACK_FRAMES:
                await self.ack()
            elif self._ack_timer is None:
                self._ack_timer = asyncio.get_running_loop().call_later(ACK_SECONDS, self._ack_soon)
        return frame

    async def ack(self) -> None:
        """Acknowledge all that came."""
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        self._unacknowledged = 0
        if (ack := self.state.ack()) is not None:
            with contextlib.suppress(ConnectionClosed):
                await self.send(**ack)

    def _ack_soon(self) -> None:
        self._acking = asyncio.ensure_future(self.ack())

    def left(self) -> None:
        """The connection is over: nothing more is acknowledged."""
        if self._ack_timer is not None:
            self._ack_timer.cancel()
        if self._acking is not None:
            self._acking.cancel()


def credential_subprotocols(token: str, names: Sequence[str] = (PROTOCOL,)) -> list[str]:
    """How a browser brings its token: section 1."""
    return [*names, f"jwt.{base64.urlsafe_b64encode(token.encode()).decode().rstrip('=')}"]


@contextlib.asynccontextmanager
async def opened(
    base_url: str,
    *,
    token: str | None = None,
    credential: Literal["header", "subprotocol"] = "header",
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] | None = None,
    origin: str | None = None,
    path: str = "/ws",
    open_timeout: float = 30.0,
    close_timeout: float = 10.0,
    max_queue: int | None = 16,
    ping_interval: float | None = 20.0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[ClientConnection]:
    """A WebSocket whose handshake was accepted; the server may still refuse it with a frame.

    It is read while no more than `max_queue` frames wait. Raises OSError, TimeoutError and
    websockets.exceptions.InvalidHandshake.
    """
    given, names = dict(headers or {}), list(subprotocols or ())
    if token is not None and credential == "header":
        given["Authorization"] = f"Bearer {token}"
    elif token is not None:
        names = credential_subprotocols(token, names or (PROTOCOL,))
    async with connect(
        "ws" + base_url.removeprefix("http").rstrip("/") + path,
        additional_headers=given,
        subprotocols=[Subprotocol(name) for name in names] or None,
        origin=Origin(origin) if origin else None,
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        max_size=None,
        max_queue=max_queue,
        ping_interval=ping_interval,
        compression=None,
        proxy=None,
        ssl=tls,
    ) as connection:
        try:
            yield connection
        finally:
            # Whatever ends it, it is no fault of the protocol: left to the library, an exception closes with 1011.
            await connection.close()


@contextlib.asynccontextmanager
async def dial(
    base_url: str, *, state: ClientState | None = None, acks: bool = True, **options: Any
) -> AsyncIterator[Socket]:
    """As `opened`, with frames that are folded and acknowledged."""
    async with opened(base_url, **options) as connection:
        socket = Socket(connection, state=state, acks=acks)
        try:
            yield socket
        finally:
            socket.left()
