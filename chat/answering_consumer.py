"""The shell around a socket: whatever fails in it is answered with a code, and nothing is raised to the server.

An exception that left a consumer would close the socket with 1011.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from autobahn.exception import Disconnected
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from django.conf import settings
from django.db import InterfaceError, OperationalError

from chat import handshake, metrics, protocol, refusals
from chat.addresses import address_of_scope
from chat.connection import Connection, Write, nothing_at_once
from chat.errors import ChatError, CloseCode, ConnectionRefused, ErrorCode, service_unavailable
from chat.pool import UNREACHABLE
from chat.reachability import first_line

logger = structlog.get_logger(__name__)

# Of a socket's scope, among its extensions: netra.serving says what it does.
WRITE = "netra.write"
UNAVAILABLE = (OperationalError, InterfaceError, TimeoutError, *UNREACHABLE)


class AnsweringConsumer(AsyncConsumer):
    """One socket: `connection` once it is greeted. Subclasses `handle` its messages, and `leave` at its end."""

    def __init__(self) -> None:
        self.scope: dict[str, Any]  # type: ignore[assignment]  # channels' type knows no keys of middleware
        self.connection_id = uuid.uuid4().hex
        self.log = logger.bind(connection_id=self.connection_id)
        self.began = 0.0
        self.connection: Connection | None = None

    async def handle(self, message: dict[str, Any]) -> None:
        raise NotImplementedError

    async def leave(self) -> None:
        raise NotImplementedError

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Channels' own loop subscribes to the layer before all else, and closes with 1011 when the layer is away."""
        self.scope, self.base_send = scope, send
        try:
            while True:
                await self.dispatch(await receive())
        except StopConsumer:
            pass
        finally:
            await self.leave()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Channels' own dispatch hops through the database thread at each message; these handlers do so themselves."""
        try:
            command = metrics.UNREAD if message["type"] == "websocket.receive" else None
            await self.answering(lambda: self.handle(message), command=command)
        except (StopConsumer, asyncio.CancelledError):
            raise
        except Exception:
            # Even the answer failed.
            self.log.exception("connection_failed")
            await self.close(CloseCode.SERVICE_UNAVAILABLE)

    async def answering(
        self, handle: Callable[[], Awaitable[None]], *, ref: str | None = None, command: str | None = None
    ) -> None:
        """Whatever fails while a message is handled is answered with a code, and the socket lives.

        `command` is the type of the command that is answered, if it is one.
        """
        try:
            await handle()
        except (StopConsumer, asyncio.CancelledError):
            raise
        except ConnectionRefused as error:
            metrics.answered(command, error.code)
            await self.refuse(error, stage="message" if self.connection else "connect")
        except ChatError as error:
            self.log.info("refused", code=error.code, cause=error.message, stage="message")
            await self.tell(error, ref=ref, command=command)
        except UNAVAILABLE as error:
            self.log.warning("refused", code=ErrorCode.SERVICE_UNAVAILABLE, stage="message", cause=first_line(error))
            await self.tell(unavailable_now(), ref=ref, command=command)
        except Exception:
            correlation_id = uuid.uuid4().hex[:16]
            self.log.exception("handler_failed", correlation_id=correlation_id)
            told = ChatError(
                ErrorCode.INTERNAL_ERROR, "Something went wrong here", details={"correlation_id": correlation_id}
            )
            await self.tell(told, ref=ref, command=command)

    async def tell(self, error: ChatError, *, ref: str | None, command: str | None) -> None:
        metrics.answered(command, error.code)
        if self.connection is not None:
            self.connection.reply(protocol.error_frame(error, ref=ref))
        else:
            await self.refuse(service_unavailable("connection"), stage="connect")

    # Refusing

    def handshake_ended(self, code: str) -> float:
        """Returns how many seconds it took."""
        seconds = asyncio.get_running_loop().time() - self.began
        metrics.HANDSHAKES.labels(code).observe(seconds)
        return seconds

    async def accept(self) -> None:
        subprotocol = handshake.chosen_subprotocol(self.scope.get("subprotocols") or ())
        await self.send({"type": "websocket.accept", "subprotocol": subprotocol})

    async def refuse(self, error: ConnectionRefused, *, stage: str) -> None:
        """Say why, then close. Browsers cannot read the status of a refused handshake, so the default accepts first."""
        self.log.info("refused", code=error.code, cause=error.message, stage=stage, **self.labels())
        frame = protocol.error_frame(error)
        if self.connection is not None:
            self.connection.close(error.close_code, last_frame=frame)
            return
        self.handshake_ended(error.code)
        if settings.NETRA.ws_reject == "handshake":
            await self.send({"type": "websocket.close", "code": error.close_code})
        else:
            await self.accept()
            await self.send_text(frame.encode())
            await self.close(error.close_code, reason=error.code)
        await refusals.record_beside(error, where="socket", address=address_of_scope(self.scope))

    def labels(self) -> dict[str, str]:
        """Test headers label log lines. They grant nothing."""
        value = handshake.header(self.scope, b"x-e2e-test")
        return {"test_label": value[:64]} if value else {}

    # Sending

    async def send(self, message: Any) -> None:
        """Servers raise for a client that has just gone, and its disconnect is on the way here.

        ASGI's rule is OSError; daphne passes on what autobahn raises.
        """
        try:
            await super().send(message)
        except (OSError, Disconnected) as error:
            self.log.debug("client_gone", cause=repr(error))

    async def send_text(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    @property
    def write(self) -> Write:
        """Of a server that offers it: it takes a frame at once, and no task has to send it."""
        found: Write = self.scope.get("extensions", {}).get(WRITE, nothing_at_once)
        return found

    async def close(self, code: CloseCode, reason: str | None = None) -> None:
        metrics.CLOSES.labels(int(code)).inc()
        await self.send({"type": "websocket.close", "code": int(code), **({"reason": reason} if reason else {})})


def unavailable_now() -> ChatError:
    return ChatError(
        ErrorCode.SERVICE_UNAVAILABLE,
        "The database is not available at the moment",
        details={"missing": ["database"]},
        retry_after=2.0,
    )
