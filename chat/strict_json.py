"""JSON of others (RFC 8259), read so that everybody reads the same: I-JSON (RFC 7493) and no deeper than can be worked
with.
"""

from __future__ import annotations

import math
from typing import Any

import jiter

from chat.errors import ChatError, ErrorCode

# Objects and arrays inside each other. Nothing that is sent here needs more than a few.
MAX_DEPTH = 32
LONGEST_REASON = 200


def read_json(text: str | bytes, what: str) -> Any:
    """`what` is read, as "The frame". Raises ChatError with INVALID_JSON.

    Refused are, besides what is no JSON: names that an object has twice, numbers that are none or that no float holds,
    and what is nested deeper than MAX_DEPTH.
    """
    try:
        data = text if isinstance(text, bytes) else text.encode()
        value = jiter.from_json(data, allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        reason = str(error)
        if reason.startswith("recursion limit"):
            raise _too_deep(what) from None
        raise ChatError(ErrorCode.INVALID_JSON, f"{what} is not valid JSON: {reason[:LONGEST_REASON]}") from None
    _check(value, what)
    return value


def _check(value: Any, what: str) -> None:
    """Level by level, so that no depth is too deep for looking."""
    level: list[Any] = [value]
    for depth in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, (dict, list)):
                if depth == MAX_DEPTH:
                    raise _too_deep(what)
                inner.extend(each.values() if isinstance(each, dict) else each)
            elif isinstance(each, float) and not math.isfinite(each):
                raise ChatError(ErrorCode.INVALID_JSON, f"{what} is not valid JSON: a number in it is too large")
        if not inner:
            return
        level = inner


def _too_deep(what: str) -> ChatError:
    text = f"{what} is nested too deeply: at most {MAX_DEPTH} objects and arrays inside each other"
    return ChatError(ErrorCode.INVALID_JSON, text, details={"max_depth": MAX_DEPTH})
