"""How the API reads a body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import pydantic_core
from rest_framework import parsers
from rest_framework.exceptions import ParseError


class JSONParser(parsers.JSONParser):
    """JSON as RFC 8259 has it: UTF-8 whatever charset is named; and no deeper than can be read."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002 - a parser's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        try:
            return pydantic_core.from_json(stream.read(), allow_inf_nan=False)
        except ValueError as error:
            raise ParseError(f"The body is not valid JSON: {error}") from None
