"""The length of a body that came in chunks (RFC 9112, section 7.1)."""

from __future__ import annotations

import os

from django.http import HttpRequest, HttpResponse

from chat.async_middleware import AsyncMiddleware


class BodyLengthMiddleware(AsyncMiddleware):
    """Says how long a body is whose client did not: Django takes one without a length for empty, and for small.

    Django has received it whole before its middleware is called, in memory or in a temporary file.
    """

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        if "HTTP_TRANSFER_ENCODING" in request.META and "CONTENT_LENGTH" not in request.META:
            body = request._stream  # the file that Django reads it from
            request.META["CONTENT_LENGTH"] = str(body.seek(0, os.SEEK_END))
            body.seek(0)
        return await self.get_response(request)
