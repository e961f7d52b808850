"""How the API reads a body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, cast

from django.conf import settings
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import multipartparser
from rest_framework import parsers

from chat.errors import ChatError, ErrorCode
from chat.strict_json import read_json


class JSONParser(parsers.JSONParser):
    """JSON as RFC 8259 has it: UTF-8 whatever charset is named."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002 - a parser's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        """Raises ChatError with INVALID_JSON."""
        return read_json(stream.read(), "The body")


class OneFile(TemporaryFileUploadHandler):
    """The one file of a body, as it comes, on the disk: no more of it than is allowed, and no other."""

    chunk_size = 65_536

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes
        self._begun = False
        self._received = 0
        self.finished = False

    def new_file(self, field_name: str, *args: Any, **kwargs: Any) -> None:
        """Raises ChatError with INVALID_MESSAGE."""
        if field_name != "file" or self._begun:
            raise unreadable("the body has one file, whose field is named file")
        self._begun = True
        super().new_file(field_name, *args, **kwargs)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Raises ChatError with ATTACHMENT_TOO_LARGE."""
        self._received += len(raw_data)
        if self._received > self._max_bytes:
            raise ChatError(
                ErrorCode.ATTACHMENT_TOO_LARGE,
                f"A file may have at most {self._max_bytes} bytes",
                details={"max_attachment_bytes": self._max_bytes},
            )
        super().receive_data_chunk(raw_data, start)

    def upload_complete(self) -> None:
        self.finished = True


class _Body(multipartparser.MultiPartParser):
    """`given_name` is what the client calls the file: no name of Django's is made of it, and so none is refused."""

    given_name = ""

    def sanitize_file_name(self, file_name: str) -> str:
        self.given_name = file_name[:1000]
        return "file"


class FileParser(parsers.BaseParser):
    """A body of `multipart/form-data` with one file. Its data are `file`, open at its beginning, and `name`."""

    media_type = "multipart/form-data"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002 - a parser's signature
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Raises ChatError with INVALID_MESSAGE or ATTACHMENT_TOO_LARGE."""
        meta = (parser_context or {})["request"].META
        handler = OneFile(settings.NETRA.max_attachment_bytes)
        try:
            body = _Body(meta, cast("Any", stream), [handler], "utf-8")
            _, files = body.parse()
        except multipartparser.MultiPartParserError as error:
            raise unreadable(f"the body is no multipart/form-data: {error}") from None
        finally:
            if (unfinished := getattr(handler, "file", None)) is not None and not handler.finished:
                unfinished.close()
        file = files.get("file")
        if file is None:
            raise unreadable("field required")
        if not file.size:
            file.close()
            raise unreadable("is empty")
        return {"file": file, "name": body.given_name}


def unreadable(problem: str) -> ChatError:
    """Why a body is no file."""
    details = {"problems": [{"field": "file", "problem": problem}]}
    return ChatError(ErrorCode.INVALID_MESSAGE, f"file: {problem}", details=details)
