"""`/api/attachments`: the person's own files: sent here first, then named by a message."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import attachments
from chat.allowances import limits_of
from chat.api import bodies, schemas
from chat.api.documented import documented
from chat.api.exports import OneForm
from chat.api.parsers import FileParser, unreadable
from chat.api.serving import chat_config, thread_service
from chat.errors import ErrorCode
from chat.file_kinds import IMAGE_TYPES, READ_BYTES, SUPPORTED
from chat.security_headers import NOTHING

# Whatever a file pretends to be, where it is shown it can do nothing.
INERT = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": NOTHING,
    # A file that was deleted is not shown from a cache.
    "Cache-Control": "private, no-cache",
}


class Attachments(APIView):
    """`POST` multipart/form-data {file} → 201 {id, name, media_type, bytes, href}."""

    parser_classes = [FileParser]

    @documented(
        "upload_attachment",
        "Send a file, for a message that names it.",
        description="Images (PNG, JPEG, GIF, WebP) and text in UTF-8, or in UTF-16 with a byte order mark. What it is "
        "its content says. A file that no message has after a day is removed.",
        body=bodies.UploadBody,
        form=True,
        answer=schemas.Attachment,
        code=status.HTTP_201_CREATED,
        errors=[
            ErrorCode.ATTACHMENT_TOO_LARGE,
            ErrorCode.ATTACHMENT_TYPE_NOT_SUPPORTED,
            ErrorCode.ATTACHMENT_SPACE_FULL,
        ],
        tag="attachments",
    )
    def post(self, request: Request) -> Response:
        limits = thread_service().attachment_limits
        chat_config().rate_limits.file(request.user.pk, limits_of(request.user).messages_per_minute)
        given: Any = request.data
        if "file" not in given:
            raise unreadable("field required")  # no parser is asked about an empty body
        with given["file"] as file:
            attachment = attachments.store(request.user.pk, file, given["name"], limits)
        return Response(attachments.attachment_json(attachment), status=status.HTTP_201_CREATED)


class AttachmentDetail(APIView):
    """`GET`: the file. `DELETE`: take it back, as long as no message has it."""

    content_negotiation_class = OneForm

    @documented(
        "get_attachment",
        "A file of the person's.",
        description="An image is to be shown (`inline`), text to be saved (`attachment`). Nothing in it is run.",
        answer=SUPPORTED,
        given="The file.",
        empty={304: "It is the one that `If-None-Match` names."},
        errors=[ErrorCode.ATTACHMENT_NOT_FOUND],
        headers=["Content-Disposition"],
        negotiated=False,
        tag="attachments",
    )
    def get(self, request: Request, attachment_id: uuid.UUID) -> HttpResponseBase:
        found = attachments.get(request.user.pk, attachment_id)
        etag = f'"{found.digest}"'
        headers = INERT | {"ETag": etag}
        unchanged = get_conditional_response(request._request, etag=etag)
        if unchanged is not None:
            for name, value in headers.items():
                unchanged[name] = value
            return unchanged
        is_image = found.media_type in IMAGE_TYPES
        headers["Content-Disposition"] = content_disposition_header(not is_image, found.name) or "attachment"
        headers["Content-Length"] = str(found.bytes)
        file = attachments.opened(found)
        # Servers ask for pieces as the network takes them; Django's own server and tests are not asynchronous.
        pieces = _pieces_later(file) if isinstance(request._request, ASGIRequest) else _pieces(file)
        response = StreamingHttpResponse(pieces, content_type=_content_type(found.media_type), headers=headers)
        response._resource_closers.append(file.close)  # type: ignore[attr-defined]  # as Django's FileResponse does
        return response

    @documented(
        "delete_attachment",
        "Take a file back that no message has.",
        code=204,
        errors=[ErrorCode.ATTACHMENT_NOT_FOUND, ErrorCode.ATTACHMENT_SENT],
        negotiated=False,
        tag="attachments",
    )
    def delete(self, request: Request, attachment_id: uuid.UUID) -> HttpResponse:
        attachments.remove_unsent(request.user.pk, attachment_id)
        return HttpResponse(status=status.HTTP_204_NO_CONTENT)


def _content_type(media_type: str) -> str:
    # A byte order mark counts for more than this.
    return media_type if media_type in IMAGE_TYPES else f"{media_type}; charset=utf-8"


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(READ_BYTES):
        yield piece


async def _pieces_later(file: IO[bytes]) -> AsyncIterator[bytes]:
    read = sync_to_async(file.read, thread_sensitive=False)
    while piece := await read(READ_BYTES):
        yield piece
