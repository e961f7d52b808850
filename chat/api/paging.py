"""Pages: an opaque cursor names a place in an order, so that what is written meanwhile moves nothing."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import StrictStr, TypeAdapter
from rest_framework import serializers
from rest_framework.request import Request

from chat.errors import ChatError, ErrorCode

MAX_PAGE = 200
MAX_BIGINT = 2**63 - 1
PARTS = TypeAdapter(list[StrictStr])
T = TypeVar("T")


class PageSerializer(serializers.Serializer[Any]):
    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_PAGE, default=50, help_text="How many there are on a page at most."
    )
    cursor = serializers.CharField(required=False, help_text="`next` of a page: the page after it.")


def query_of(kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """What the query of a request asks for. An empty value is a value. Raises rest_framework's ValidationError."""
    asked = kind(data=request.query_params.dict())
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def encode_cursor(*place: Any) -> str:
    """An opaque name for a place in an order."""
    return base64.urlsafe_b64encode(json.dumps([str(part) for part in place]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: Callable[[str], Any]) -> list[Any]:
    """Raises ChatError with INVALID_MESSAGE for what `encode_cursor` has not made."""
    try:
        encoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = PARTS.validate_json(encoded)
        return [kind(part) for kind, part in zip(kinds, parts, strict=True)]
    except (ValueError, OverflowError):
        raise ChatError(ErrorCode.INVALID_MESSAGE, "The cursor is not one of this server's") from None


def moment(text: str) -> datetime.datetime:
    """A time in a cursor. Raises ValueError."""
    parsed = datetime.datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError("a time without a zone")
    return parsed


def number(text: str) -> int:
    """A number in a cursor that the database knows. Raises ValueError."""
    if not 0 <= (parsed := int(text)) <= MAX_BIGINT:
        raise ValueError("not a number of this database")
    return parsed


def cut(rows: Iterable[T], limit: int) -> tuple[list[T], bool]:
    """Of one row more than a page: the page, and whether more follows."""
    found = list(rows)
    return found[:limit], len(found) > limit
