"""No request's body is larger than the largest that somebody wants: it is refused before it fills the disk.

Django reads a whole body, into a file, before a view is asked. What is a little too large for a view the view refuses
itself, when it has been read; this is for what is much too large.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pydantic_core
import structlog

from chat.api.errors import error_headers, error_json, status_of
from chat.errors import ChatError, ErrorCode
from chat.handshake import header
from netra.telemetry import new_correlation_id

UPLOADS = "/api/attachments"
# Of everything but files: twice what Django takes into memory.
OTHER_BYTES = 5 * 1024 * 1024
# How long a refused client may go on sending. A connection that is closed on unread data is reset, and a client that is
# reset while it sends may never read the refusal (RFC 9112, section 9.6).
LINGER_SECONDS = 10.0

logger = structlog.get_logger(__name__)

Asgi = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def largest(max_file_bytes: int) -> int:
    """Bytes of the largest body that is read: a file's twice, and what is around it."""
    return 2 * max_file_bytes + OTHER_BYTES


class BodyLimit:
    """An HTTP application behind a limit of its bodies."""

    def __init__(self, application: Asgi, *, max_file_bytes: int) -> None:
        self._application = application
        self._max_file_bytes = max_file_bytes

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        is_upload = scope["path"] == UPLOADS
        limit = largest(self._max_file_bytes) if is_upload else OTHER_BYTES
        declared = header(scope, b"content-length") or ""
        if declared.isdecimal() and int(declared) > limit:
            await self._refuse(is_upload, limit, send, receive)
            return
        body = _Counted(receive, limit)
        await self._application(scope, body.receive, send)
        if body.too_large:
            # For the application the client had gone, so it has answered nothing.
            await self._refuse(is_upload, limit, send, receive if body.goes_on else None)

    async def _refuse(self, is_upload: bool, limit: int, send: Any, rest: Any) -> None:
        """Answer at once, and close when the client has sent the `rest` or had its time."""
        code = ErrorCode.ATTACHMENT_TOO_LARGE if is_upload else ErrorCode.MESSAGE_TOO_LARGE
        details = {"max_attachment_bytes": self._max_file_bytes} if is_upload else {"max_bytes": limit}
        error = ChatError(code, f"The body may have at most {limit} bytes", details=details)
        correlation_id = new_correlation_id()
        logger.info("refused", code=code, stage="body", correlation_id=correlation_id)
        body = pydantic_core.to_json(error_json(error, correlation_id))
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-Correlation-Id": correlation_id,
            "Connection": "close",
            **error_headers(error, status_of(error)),
        }
        start = {
            "type": "http.response.start",
            "status": status_of(error),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if rest is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    while (await rest()).get("more_body", False):
                        pass
        await send({"type": "http.response.body", "body": b""})


class _Counted:
    """What is received, until it is too much: then the client is gone."""

    def __init__(self, receive: Any, limit: int) -> None:
        self._receive = receive
        self._left = limit
        self.too_large = False
        self.goes_on = True

    async def receive(self) -> dict[str, Any]:
        if self.too_large:
            return {"type": "http.disconnect"}
        message: dict[str, Any] = await self._receive()
        self._left -= len(message.get("body", b""))
        self.goes_on = message.get("more_body", False)
        if self._left < 0:
            self.too_large = True
            return {"type": "http.disconnect"}
        return message
