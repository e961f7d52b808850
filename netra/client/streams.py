"""Runs as server-sent events over HTTP, resumed by the last event's id: docs/api.md."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from netra.client.session import ApiError, Session
from netra.client.socket import TERMINAL, Frame


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """An event of a stream (the HTML standard, section 9.2), or, with neither frame nor id, a comment."""

    frame: Frame | None = None
    id: str | None = None


class EventStream:
    """One open stream. `last_id` is what the next request sends as Last-Event-ID."""

    def __init__(self, response: httpx.Response, last_id: str | None = None) -> None:
        self.response = response
        self.last_id = last_id

    async def events(self) -> AsyncIterator[ServerEvent]:
        """What comes, until the server ends the stream. Raises httpx.TransportError when it breaks."""
        given, data = self.last_id, ""
        async for line in self.response.aiter_lines():
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                given = value
            elif name == "data":
                data = value
            elif line.startswith(":"):
                yield ServerEvent()
            elif not line and data:
                self.last_id = given
                yield ServerEvent(json.loads(data), given)
                data = ""


@contextlib.asynccontextmanager
async def open_stream(
    session: Session, path: str, *, last_id: str | None = None, body: Any = None
) -> AsyncIterator[EventStream]:
    """Raises ApiError where the server refuses."""
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {await session.token()}"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    method = "GET" if body is None else "POST"
    async with session.http.stream(method, path, json=body, headers=headers) as response:
        if response.is_error:
            await response.aread()
            raise ApiError.of_response(response)
        yield EventStream(response, last_id)


async def run_events(session: Session, run_id: str, *, after: int = 0) -> AsyncIterator[Frame]:
    """The events of a run after a cursor, each once, over as many connections as it takes.

    Ends with the run, or where it waits for a person. Raises ApiError.
    """
    last_id: str | None = str(after)
    while True:
        frame: Frame | None = None
        with contextlib.suppress(httpx.TransportError):
            async with open_stream(session, f"/api/runs/{run_id}/events", last_id=last_id) as stream:
                if stream.response.status_code == httpx.codes.NO_CONTENT:
                    return
                async for event in stream.events():
                    frame, last_id = event.frame, stream.last_id
                    if frame is not None and "seq" in frame:
                        yield frame
                        if frame["type"] in TERMINAL:
                            return
                if frame is not None and frame["type"] == "approval_required":
                    return
