"""The end of a person's connections to a cluster: who is told why, and how soon."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from typing import Any
from urllib.parse import urlsplit

from tests.clients import Client, connected
from tests.cluster import Cluster
from tests.processes import PATIENCE_SECONDS

# The position check's interval at most, and a busy machine.
SECONDS = 6.0


async def all_closed_after(cluster: Cluster, access: str, end: Callable[[], Any]) -> float:
    """A socket and a stream at each process are told why, and closed, within SECONDS. Returns after how many.

    `end` may return the moment (`time.monotonic`) when it began with what ends them: what it does before takes long.
    """
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(connected(server.url, access)) for server in cluster.web]
        opening = [asyncio.to_thread(opened_stream, server.url, access) for server in cluster.web]
        streams = await asyncio.gather(*opening)
        for connection, _ in streams:
            stack.enter_context(closing(connection))
        closes = [asyncio.create_task(_closed(socket)) for socket in sockets]
        reads = [asyncio.create_task(asyncio.to_thread(_read, answer)) for _, answer in streams]
        began = time.monotonic()
        done: float | None = await asyncio.to_thread(end)
        began = began if done is None else done
        async with asyncio.timeout(SECONDS):
            codes = await asyncio.gather(*closes)
            texts = await asyncio.gather(*reads)
    assert [code for code, _ in codes] == [4401] * len(sockets)
    for socket in sockets:
        assert socket.frames[-1]["error_code"] == "INVALID_TOKEN"
    for text, _ in texts:
        assert b'"error_code":"INVALID_TOKEN"' in text
    return max(at for _, at in [*codes, *texts]) - began


async def _closed(socket: Client) -> tuple[int, float]:
    return await socket.closed(), time.monotonic()


def opened_stream(url: str, access: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """A stream whose first event is on its way."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_SECONDS)
    headers = {"Authorization": f"Bearer {access}", "Accept": "text/event-stream"}
    connection.request("GET", "/api/events", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200
    return connection, answer


def _read(answer: http.client.HTTPResponse) -> tuple[bytes, float]:
    return answer.read(), time.monotonic()
