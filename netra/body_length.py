"""The length of a body that came in chunks (RFC 9112, section 7.1)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest, HttpResponse


class BodyLengthMiddleware:
    """Says how long a body is whose client did not: Django takes one without a length for empty, and for small.

    Django has received it whole before its middleware is called, in memory or in a temporary file.
    """

    sync_capable = False
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        if "HTTP_TRANSFER_ENCODING" in request.META and "CONTENT_LENGTH" not in request.META:
            body = request._stream  # the file that Django reads it from
            request.META["CONTENT_LENGTH"] = str(body.seek(0, os.SEEK_END))
            body.seek(0)
        return await self.get_response(request)
