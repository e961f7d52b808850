"""What a stream follows of its user's runs, by the same rules as a socket: docs/protocol.md, section 5.

A stream has no acknowledgements: what the network has taken is acknowledged, so that what a slow reader has not read
stays in the log.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings

from chat.connection import Connection
from chat.delivery import Delivery, RunPosition
from chat.errors import CloseCode, ConnectionRefused, ErrorCode, service_unavailable
from chat.handshake import Authentication
from chat.leases import Lease
from chat.listening import Listener
from chat.own_runs import run_not_found
from chat.protocol import Ack, error_frame
from chat.token_clock import TokenClock

if TYPE_CHECKING:
    from chat.apps import ChatConfig

# No run is above it: a stream of one run takes up no other.
ABOVE_ALL_RUNS = 2**62


class Follower:
    """A context manager: inside it, the user's group is heard. It counts as one of the user's connections."""

    connection: Connection
    _lease: Lease

    def __init__(self, chat: ChatConfig, authentication: Authentication) -> None:
        self.chat = chat
        self.user_id = authentication.user_id
        self._authentication = authentication
        self._listener = Listener(self._hear)
        self._clock = TokenClock(warn=lambda _: None, expire=self._expire)
        self._following = False
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1)
        self._taken = 0

    async def __aenter__(self) -> Self:
        if self.chat.connections.draining:
            raise service_unavailable("server_draining")
        self._lease = await self.chat.places.take(self.user_id, self._authentication.limits.connections)
        try:
            await self._listener.join(self.user_id)
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        self._clock.stop()
        if self._following:
            self.connection.abandon()
            self.chat.connections.remove(self.connection)
        self.chat.places.leave(self._lease)
        await self._listener.leave()

    def follow(self, *, baseline: int, threads_version: int = 0) -> Delivery:
        """Begin to hear of runs above `baseline`, and of those that `Delivery.resume` names."""
        delivery = Delivery(baseline=baseline, window_bytes=settings.NETRA.ws_window_bytes)
        self.connection = Connection(
            user_id=self.user_id,
            credential=self._authentication.credential,
            delivery=delivery,
            event_log=self.chat.event_log,
            threads_version=threads_version,
            window_timeout=settings.NETRA.ws_window_timeout,
            check_positions=self.chat.connections.check_soon,
            answered=_nothing_waits,
            send=self._send,
            close=self._close,
            kind="stream",
        )
        self._following = True
        self.chat.connections.add(self.connection)
        self._clock.start(self._authentication.expires_at)
        return delivery

    async def position(self, run_id: uuid.UUID) -> RunPosition:
        """Where a run of the user stands. Raises ChatError with RUN_NOT_FOUND."""
        found = await self.chat.event_log.positions(self.user_id, run_ids=[str(run_id)])
        if not found:
            raise run_not_found()
        return found[0]

    async def frames(self) -> AsyncGenerator[str | None, None]:
        """Frames as they come; None when none has come for a while. Ends when the connection is closed."""
        while True:
            try:
                async with asyncio.timeout(settings.NETRA.sse_keep_alive_seconds):
                    text = await self._frames.get()
            except TimeoutError:
                yield None
                continue
            if text is None:
                return
            yield text
            # Asked for more, the caller has sent it on.
            self._taken += 1
            self.connection.ack(Ack(type="ack", received=self._taken))

    def _hear(self, message: dict[str, Any]) -> None:
        if self._following:
            self.connection.hear(message)

    async def _send(self, text: str) -> None:
        await self._frames.put(text)

    async def _close(self, code: CloseCode, reason: str | None) -> None:  # noqa: ARG002 - a socket's way to close
        await self._frames.put(None)

    def _expire(self) -> None:
        error = ConnectionRefused(ErrorCode.TOKEN_EXPIRED, "The token has expired")
        self.connection.close(error.close_code, last_frame=error_frame(error))


async def _nothing_waits() -> None:
    """A stream takes no commands, so none of them waits for its answer."""
