"""Requests as an attacker writes them, to the whole application (`netra.asgi`) in the test's own process.

Nothing is normalised on the way: the path, each header and each byte of the body are what is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from asgiref.testing import ApplicationCommunicator

HOST = "testserver"
PATIENCE_SECONDS = 20.0
Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` has the names in lower case, in the order in which they were sent; a stream has its first piece."""

    status: int
    headers: Sequence[Header]
    body: bytes

    def header(self, name: str) -> str | None:
        """Its one value. A header that is there twice is a fault."""
        found = [value for given, value in self.headers if given == name.lower()]
        assert len(found) <= 1, f"{name} is there {len(found)} times"
        return found[0] if found else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


async def ask(
    application: Any,
    method: str,
    target: str,
    *,
    token: str | None = None,
    body: Any = None,
    headers: Mapping[str, str] | Sequence[Header] = (),
    host: str | None = HOST,
    client: str = "192.0.2.7",
    scheme: str = "http",
    root_path: str = "",
) -> Answer:
    """One request. `target` is what stands in the request line; bytes in `body` are sent as they are, the rest is JSON.

    Of a stream, which may never end, the first piece is read.
    """
    path, _, query = target.partition("?")
    given = list(headers.items() if isinstance(headers, Mapping) else headers)
    named = {name.lower() for name, _ in given}
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    beside = [("host", host)] if host is not None else []
    if token is not None:
        beside.append(("authorization", f"Bearer {token}"))
    if body is not None:
        beside += [("content-type", "application/json"), ("content-length", str(len(content)))]
    given += [header for header in beside if header[0] not in named]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": root_path,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given],
        "client": (client, 50_000),
        "server": ("127.0.0.1", 8000),
    }
    communicator: Any = ApplicationCommunicator(application, scope)  # type: ignore[no-untyped-call]
    await communicator.send_input({"type": "http.request", "body": content, "more_body": False})
    start = await communicator.receive_output(PATIENCE_SECONDS)
    answered = [(bytes(name).decode().lower(), bytes(value).decode("latin-1")) for name, value in start["headers"]]
    pieces = []
    while True:
        message = await communicator.receive_output(PATIENCE_SECONDS)
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
        if ("content-type", "text/event-stream; charset=utf-8") in answered and any(pieces):
            await communicator.send_input({"type": "http.disconnect"})
            break
    await communicator.wait(PATIENCE_SECONDS)
    return Answer(start["status"], answered, b"".join(pieces))
