"""How the API reads a body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import pydantic_core
from django.conf import settings
from rest_framework import parsers
from rest_framework.exceptions import ParseError

from chat.errors import ChatError, ErrorCode


class JSONParser(parsers.JSONParser):
    """JSON as RFC 8259 has it: UTF-8 whatever charset is named; and of bounded size and depth."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002 - a parser's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise ChatError(ErrorCode.MESSAGE_TOO_LARGE, f"A body may have at most {limit} bytes")
        try:
            return pydantic_core.from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise ParseError(f"The body is not valid JSON: {error}") from None
