"""A refused body: what the client is told, and how long it may go on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from netra import body_limit
from netra.body_limit import OTHER_BYTES, BodyLimit

END = {"type": "http.response.body", "body": b""}


class Client:
    """The two ends of a request whose application reads all of it and says nothing."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def send(self, body: bytes, *, more: bool = True) -> None:
        """The piece before this one has been taken then."""
        await self.sent.put({"type": "http.request", "body": body, "more_body": more})

    async def refusal(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return await self.told.get(), await self.told.get()


async def _read_all(_scope: dict[str, Any], receive: Any, _send: Any) -> None:
    while (await receive())["type"] == "http.request":
        pass


@contextlib.asynccontextmanager
async def asking(*headers: tuple[bytes, bytes]) -> AsyncIterator[Client]:
    """At the end the application has returned."""
    client = Client()
    scope = {"type": "http", "method": "POST", "path": "/api/threads", "headers": list(headers)}
    application = BodyLimit(_read_all, max_file_bytes=1)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(application(scope, client.sent.get, client.told.put))
        yield client


async def test_the_answer_comes_at_once_and_its_end_with_the_end_of_what_is_sent() -> None:
    async with asking() as client:
        await client.send(b"x" * (OTHER_BYTES + 1))
        start, told = await client.refusal()
        assert start["status"] == 413
        assert dict(start["headers"])[b"content-length"] == str(len(told["body"])).encode()
        assert b"MESSAGE_TOO_LARGE" in told["body"]
        for _ in range(3):
            await client.send(b"x")
        assert client.told.empty()
        await client.send(b"x", more=False)
        assert await client.told.get() == END


async def test_a_body_that_was_whole_already_is_not_waited_for() -> None:
    async with asking() as client:
        await client.send(b"x" * (OTHER_BYTES + 1), more=False)
        await client.refusal()
        assert await client.told.get() == END


async def test_a_client_that_never_ends_is_left_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "LINGER_SECONDS", 0.01)
    async with asking((b"content-length", b"10000000000")) as client:
        await client.refusal()
        assert await client.told.get() == END
