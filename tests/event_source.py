"""A client of event streams as the HTML standard (section 9.2) has it: it reads, and comes back with the last id."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.conformance import assert_conforms
from tests.processes import PATIENCE_SECONDS

EVENTS = "text/event-stream"


@dataclass
class EventSource:
    """One open stream. `last_id` is what the next request sends as Last-Event-ID."""

    response: httpx.Response
    last_id: str | None = None
    comments: list[str] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._events = self._read()

    async def _read(self) -> AsyncIterator[dict[str, Any]]:
        given, data = self.last_id, ""
        async for line in self.response.aiter_lines():
            name, _, value = line.partition(": ")
            match name:
                case "id":
                    given = value
                case "data":
                    data = value
                case "":
                    if line:
                        self.comments.append(line)
                    elif data:
                        frame: dict[str, Any] = json.loads(data)
                        assert_conforms(frame)
                        self.last_id, data = given, ""
                        self.frames.append(frame)
                        self.ids.append(given)
                        yield frame
                case _:
                    assert name == "retry", line

    async def receive(self, *types: str) -> dict[str, Any]:
        """The next frame, or the next of these types. Raises StopAsyncIteration at the end."""
        while True:
            async with asyncio.timeout(PATIENCE_SECONDS):
                frame = await anext(self._events)
            if not types or frame["type"] in types:
                return frame

    async def rest(self) -> list[dict[str, Any]]:
        """Read to the end, and return all frames."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for _ in self._events:
                pass
        return self.frames


@asynccontextmanager
async def event_source(
    base_url: str,
    path: str,
    *,
    token: str | None,
    last_id: str | None = None,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[EventSource]:
    """The answer to a request for a stream, whatever its status."""
    given = {"Accept": EVENTS, **({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
    if last_id is not None:
        given["Last-Event-ID"] = last_id
    async with (
        httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False) as client,
        client.stream("GET" if body is None else "POST", base_url + path, json=body, headers=given) as response,
    ):
        yield EventSource(response, last_id)
