"""A client of event streams, held against the document: what comes, and nothing but what the server sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from netra.client import EventStream
from tests.conformance import assert_conforms
from tests.processes import PATIENCE_SECONDS

EVENTS = "text/event-stream"


class EventSource(EventStream):
    """One open stream, and all that came."""

    def __init__(self, response: httpx.Response, last_id: str | None = None) -> None:
        super().__init__(response, last_id)
        self.comments: list[str] = []
        self.frames: list[dict[str, Any]] = []
        self.ids: list[str | None] = []
        self._events = self.events()

    def take_field(self, name: str, value: str) -> None:
        assert name in ("id", "data", "retry"), (name, value)
        super().take_field(name, value)

    async def receive(self, *types: str) -> dict[str, Any]:
        """The next frame, or the next of these types. Raises StopAsyncIteration at the end."""
        while True:
            async with asyncio.timeout(PATIENCE_SECONDS):
                event = await anext(self._events)
            if event.frame is None:
                assert event.comment is not None
                self.comments.append(event.comment)
                continue
            assert_conforms(event.frame)
            self.frames.append(event.frame)
            self.ids.append(event.id)
            if not types or event.frame["type"] in types:
                return event.frame

    async def rest(self) -> list[dict[str, Any]]:
        """Read to the end, and return all frames."""
        try:
            while True:
                await self.receive()
        except StopAsyncIteration:
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
