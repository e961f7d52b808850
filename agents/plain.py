"""Text and values as every JSON reader and PostgreSQL accept them."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic_core import to_jsonable_python

REPLACEMENT = "\ufffd"
# Beyond the range of a double; Python itself refuses to read integers of more than 4,300 digits.
LONGEST_INTEGER_BITS = 1024
# Objects and arrays inside each other, of which readers take some hundred: what is deeper is told as its JSON text.
DEEPEST = 100


def plain_text(text: str) -> str:
    """The text without what JSONB and UTF-8 refuse: NUL and halves of surrogate pairs."""
    if "\x00" in text:
        text = text.replace("\x00", REPLACEMENT)
    if not text.isascii():
        # Two halves that stand together are one character; a half alone is none.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def plain_value(value: Any) -> Any:
    """The value as JSON. Raises ValueError when it refers to itself."""
    return _plain(to_jsonable_python(value, bytes_mode="base64", fallback=str))


def plain_object(value: dict[str, Any]) -> dict[str, Any]:
    """`plain_value` for an object."""
    result: dict[str, Any] = plain_value(value)
    return result


def _plain(value: Any, depth: int = 0) -> Any:
    if depth == DEEPEST and isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    match value:
        case str():
            return plain_text(value)
        case float() if not math.isfinite(value):
            return str(value)
        case int() if value.bit_length() > LONGEST_INTEGER_BITS:
            return hex(value)
        case dict():
            return {plain_text(str(key)): _plain(item, depth + 1) for key, item in value.items()}
        case list():
            return [_plain(item, depth + 1) for item in value]
        case _:
            return value


def capped(value: Any, limit: int) -> Any:
    """The JSON value; when its JSON is longer than `limit` characters, the start of it with a marker."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= limit:
        return value
    return f"{text[:limit]}… [cut: the first {limit} of {len(text)} characters]"
