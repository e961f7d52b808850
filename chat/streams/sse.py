"""Server-sent events as text. Source: the HTML standard, section 9.2. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass

RETRY_MS = 2000
OPENING = f"retry: {RETRY_MS}\n\n".encode()
KEEP_ALIVE = b": keep-alive\n\n"
_SEPARATORS = [(character, f"\\u{ord(character):04x}") for character in "\x85\u2028\u2029"]
_NO_WEIGHT = re.compile(r"q\s*=\s*0(\.0*)?")
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx passes on each event at once, and not a buffer of them.
    (b"x-accel-buffering", b"no"),
]


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """`data` has no line breaks: it is one JSON value. Without an `id` the last one stays."""

    data: str
    id: str | None = None

    def encode(self) -> bytes:
        """Inside JSON only strings have these characters, and strings may have them escaped.

        They end no line of a stream, but many clients split lines as Python's `splitlines` does.
        """
        data = self.data
        for character, escape in _SEPARATORS:
            data = data.replace(character, escape)
        place = f"id: {self.id}\n" if self.id is not None else ""
        return f"{place}data: {data}\n\n".encode()


def accepts_events(accept: str | None) -> bool:
    """Whether an Accept header (RFC 9110, section 12.5.1) names event streams, and not with a weight of nothing."""
    for part in (accept or "").split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if kind == "text/event-stream":
            return not any(
                parameter.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for parameter in parameters
            )
    return False
