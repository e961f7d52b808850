"""Runs as server-sent events over HTTP, resumed by the last event's id: docs/api.md."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx

from chat.backoff import delays
from netra.client.session import ApiError, Session
from netra.client.socket import TERMINAL, Frame

# Of the HTML standard; a carriage return at the end may be half of one. An answer may well have what else ends lines in
# Python, U+2028 for one.
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """An event of a stream, or a comment, which has neither frame nor id."""

    frame: Frame | None = None
    id: str | None = None
    comment: str | None = None


class EventStream:
    """One open stream, read as the HTML standard (section 9.2) says.

    `last_id` is what the next request sends as Last-Event-ID.
    """

    def __init__(self, response: httpx.Response, last_id: str | None = None) -> None:
        self.response = response
        self.last_id = last_id
        self._given_id = last_id
        self._data: list[str] = []

    async def events(self) -> AsyncGenerator[ServerEvent, None]:
        """What comes, until the server ends the stream. Raises httpx.TransportError when it breaks."""
        rest = b""
        async for piece in self.response.aiter_bytes():
            *lines, rest = _LINE_END.split(rest + piece)
            for line in lines:
                event = self.take(line.decode(errors="replace"))
                if event is not None:
                    yield event

    def take(self, line: str) -> ServerEvent | None:
        """The next line, without its end: the event or the comment that it completes."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line and not name:
            return ServerEvent(comment=value)
        if line:
            self.take_field(name, value)
            return None
        self.last_id = self._given_id
        data, self._data = self._data, []
        return ServerEvent(json.loads("\n".join(data)), self.last_id) if data else None

    def take_field(self, name: str, value: str) -> None:
        """Those that are not known are ignored."""
        if name == "id":
            self._given_id = value
        elif name == "data":
            self._data.append(value)


@contextlib.asynccontextmanager
async def open_stream(
    session: Session, path: str, *, last_id: str | None = None, body: Any = None
) -> AsyncIterator[EventStream]:
    """The answer to a request for a stream: a POST where it has a body. Raises ApiError where the server refuses."""
    headers = {"Accept": "text/event-stream"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    method = "GET" if body is None else "POST"
    async with session.response(method, path, json=body, headers=headers) as response:
        yield EventStream(response, last_id)


async def run_events(session: Session, run_id: str, *, after: int = 0) -> AsyncGenerator[Frame, None]:
    """The events of a run after a cursor, each once, over as many connections as it takes.

    Ends with the run, or where it waits for a person; begun there, it goes on. Raises ApiError and SignedOut.
    """
    seq, kind, pauses = after, "", _pauses()
    while True:
        pause = next(pauses)
        try:
            # The stream has ended for that, or broke just then.
            if kind == "approval_required" and await _waits(session, run_id, seq):
                return
            async with open_stream(session, f"/api/runs/{run_id}/events", last_id=str(seq)) as stream:
                if stream.response.status_code == httpx.codes.NO_CONTENT:
                    return
                async with aclosing(stream.events()) as events:
                    async for event in events:
                        if event.frame is None or "seq" not in event.frame:
                            continue
                        yield event.frame
                        seq, kind, pauses = event.frame["seq"], event.frame["type"], _pauses()
                        if kind in TERMINAL:
                            return
        except httpx.TransportError:
            pass
        except ApiError as error:
            if not error.passes:
                raise
            pause = error.retry_after or pause
        await asyncio.sleep(pause)


async def _waits(session: Session, run_id: str, seq: int) -> bool:
    """Whether a run waits for a person behind this event."""
    run = await session.request("GET", f"/api/runs/{run_id}")
    return bool((run["status"], run["last_seq"]) == ("awaiting_approval", seq))


def _pauses() -> Iterator[float]:
    return delays(first=0.2, longest=30.0)
