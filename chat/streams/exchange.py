"""One HTTP request that is answered by a stream of events, or else by a coded error as everywhere in the API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pydantic_core
import structlog
from autobahn.exception import Disconnected
from django.conf import settings
from django.http.request import validate_host
from django.urls import resolve

from chat import metrics, refusals
from chat.addresses import address_of_scope
from chat.api.errors import error_headers, error_json, status_of
from chat.api.rate_limit import rate_headers
from chat.auth import authenticate
from chat.errors import ChatError, ErrorCode
from chat.handshake import Authentication, find_token, header
from chat.limits import too_many_requests
from chat.pool import UNREACHABLE, database_is_away, on_any_thread
from chat.protocol import error_frame
from chat.rates import Count
from chat.reachability import first_line
from chat.streams.sse import HEADERS, KEEP_ALIVE, OPENING, ServerEvent
from chat.strict_json import read_json

if TYPE_CHECKING:
    from chat.apps import ChatConfig

logger = structlog.get_logger(__name__)

# Nothing that is not an event: a comment that keeps proxies from taking the stream for dead.
Events = AsyncGenerator[ServerEvent | None, None]
BODY_SECONDS = 30.0


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Exchange:
    """A request, and its one answer.

    `on_disconnect` is called when the client leaves before the stream has ended, `last_events` for an error when it has
    begun.
    """

    def __init__(
        self, chat: ChatConfig, scope: dict[str, Any], receive: Any, send: Any, *, correlation_id: str
    ) -> None:
        self.chat = chat
        self.scope = scope
        self.correlation_id = correlation_id
        self.query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        self.log = logger.bind(path=scope["path"])
        self.streamed = False
        self.on_disconnect: Callable[[], Awaitable[object]] | None = None
        self.last_events: Callable[[ChatError], Sequence[ServerEvent]] = _error_frames
        self._receive = receive
        self._send = send
        self._arrived_at = time.perf_counter()
        self._begun = asyncio.Event()
        self._body_read = False
        self._gone = False
        self._count: Count | None = None

    # The request

    def header(self, name: bytes) -> str | None:
        return header(self.scope, name)

    async def authenticate(self) -> Authentication:
        """The bearer of the token. Raises ChatError with the code that applies."""
        host = urlsplit(f"//{self.header(b'host') or ''}").hostname or ""
        if not validate_host(host, settings.ALLOWED_HOSTS):
            raise ChatError(ErrorCode.INVALID_MESSAGE, "This server is not known by that host name")
        if self.header(b"authorization") is None:
            await asyncio.to_thread(self._count_request, None)
            raise ChatError(ErrorCode.NO_TOKEN, "The request has no Authorization header with an access token")
        token = find_token(self.scope)
        authentication = await on_any_thread(lambda: authenticate(token, count=self._count_request))
        self.log = self.log.bind(user_id=str(authentication.user_id))
        return authentication

    def _count_request(self, user_id: Any | None) -> None:
        self._count = self.chat.rate_limits.request(user_id, address_of_scope(self.scope))
        if self._count is not None and not self._count.had_room:
            raise too_many_requests(self._count)

    async def json(self, *, max_bytes: int) -> Any:
        """The body. Raises ChatError with UNSUPPORTED_MEDIA_TYPE, MESSAGE_TOO_LARGE or INVALID_JSON, and ClientGone."""
        kind = (self.header(b"content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ChatError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "The body must be application/json")
        async with asyncio.timeout(BODY_SECONDS):
            body = await self._read_body(max_bytes)
        # On a thread: a whole conversation takes a while.
        return await asyncio.to_thread(read_json, body, "The body")

    async def _read_body(self, max_bytes: int) -> bytes:
        body = bytearray()
        while not self._body_read:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += message.get("body", b"")
            self._body_read = not message.get("more_body", False)
            if len(body) > max_bytes:
                raise ChatError(
                    ErrorCode.MESSAGE_TOO_LARGE,
                    f"The body may have at most {max_bytes} bytes",
                    details={"max_bytes": max_bytes},
                )
        return bytes(body)

    # The answer

    async def answer(self, events: Events) -> None:
        """Send the events until they end or the client leaves. No event at all is 204: there is nothing to stream."""
        streaming = asyncio.ensure_future(self._stream(events))
        leaving = asyncio.ensure_future(self._until_disconnect())
        try:
            await asyncio.wait({streaming, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if (self._gone or not streaming.done()) and self.on_disconnect is not None:
                await self._left(self.on_disconnect)
        finally:
            for task in (streaming, leaving):
                task.cancel()
            await asyncio.wait({streaming, leaving})
        if not streaming.cancelled():
            streaming.result()

    async def _left(self, on_disconnect: Callable[[], Awaitable[object]]) -> None:
        try:
            await on_disconnect()
        except Exception as error:  # noqa: BLE001 - there is nobody left to be told but the log
            self._coded(error)

    async def _until_disconnect(self) -> None:
        """Until the answer begins, what is received is the body."""
        await self._begun.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _stream(self, events: Events) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    await self._start()
                    await self._write(event.encode() if event is not None else KEEP_ALIVE, more=True)
            if self._begun.is_set():
                await self._write(b"", more=False)
            else:
                await self._respond(204, b"", {})
        except (ClientGone, OSError, Disconnected) as error:
            self._gone = True
            self.log.debug("client_gone", cause=repr(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered with a code
            coded = self._coded(error)
            await self._fail(coded)
            await refusals.record_beside(coded, where="stream", address=address_of_scope(self.scope))

    def _coded(self, error: Exception) -> ChatError:
        """The error as it is told, and its line in the log."""
        if isinstance(error, ChatError):
            self.log.info("refused", code=error.code, cause=error.message, stage="stream")
            return error
        if isinstance(error, (TimeoutError, *UNREACHABLE)) or database_is_away(error):
            self.log.warning("refused", code=ErrorCode.SERVICE_UNAVAILABLE, cause=first_line(error), stage="stream")
            return ChatError(
                ErrorCode.SERVICE_UNAVAILABLE,
                "The database is not available at the moment",
                details={"missing": ["database"]},
                retry_after=2.0,
            )
        self.log.error("stream_failed", exc_info=error)
        details = {"correlation_id": self.correlation_id}
        return ChatError(ErrorCode.INTERNAL_ERROR, "Something went wrong here", details=details)

    async def _fail(self, error: ChatError) -> None:
        if self._begun.is_set():
            await self._write(b"".join(event.encode() for event in self.last_events(error)), more=False)
            return
        code = status_of(error)
        body = pydantic_core.to_json(error_json(error, self.correlation_id))
        await self._respond(code, body, {"Content-Type": "application/json", **error_headers(error, code)})

    async def _start(self) -> None:
        if not self._begun.is_set():
            self._begun.set()
            self.streamed = True
            await self._head(200, HEADERS)
            await self._write(OPENING, more=True)

    async def _respond(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self._begun.set()
        await self._head(code, [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()])
        await self._write(body, more=False)

    async def _head(self, code: int, headers: list[tuple[bytes, bytes]]) -> None:
        seconds = time.perf_counter() - self._arrived_at
        metrics.http_request(f"/{resolve(self.scope['path']).route}", self.scope["method"], code, seconds)
        shared = [
            (b"x-correlation-id", self.correlation_id.encode()),
            *((name.lower().encode(), value.encode()) for name, value in rate_headers(self._count).items()),
        ]
        await self._send({"type": "http.response.start", "status": code, "headers": [*headers, *shared]})

    async def _write(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def _error_frames(error: ChatError) -> list[ServerEvent]:
    return [ServerEvent(error_frame(error).encode())]
