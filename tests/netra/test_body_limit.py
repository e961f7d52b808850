"""A refused body: what the client is told, and how long it may go on."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from netra import body_limit
from netra.body_limit import OTHER_BYTES, BodyLimit


async def _reader(_scope: dict[str, Any], receive: Any, _send: Any) -> None:
    while (await receive())["type"] == "http.request":
        pass


def refused(*headers: tuple[bytes, bytes]) -> ApplicationCommunicator:
    scope = {"type": "http", "method": "POST", "path": "/api/threads", "headers": list(headers)}
    return ApplicationCommunicator(BodyLimit(_reader, max_file_bytes=1), scope)


def piece(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_the_answer_comes_at_once_and_its_end_with_the_end_of_what_is_sent() -> None:
    client = refused()
    await client.send_input(piece(b"x" * (OTHER_BYTES + 1)))
    start, told = await client.receive_output(), await client.receive_output()
    assert start["status"] == 413
    assert dict(start["headers"])[b"content-length"] == str(len(told["body"])).encode()
    assert b"MESSAGE_TOO_LARGE" in told["body"]
    await client.send_input(piece(b"x"))
    assert await client.receive_nothing()
    await client.send_input(piece(b"x", more=False))
    assert await client.receive_output() == {"type": "http.response.body", "body": b""}


async def test_a_body_that_was_whole_already_is_not_waited_for() -> None:
    client = refused()
    await client.send_input(piece(b"x" * (OTHER_BYTES + 1), more=False))
    assert [(await client.receive_output())["type"] for _ in range(3)][-1] == "http.response.body"
    await client.wait()


async def test_a_client_that_never_ends_is_left_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "LINGER_SECONDS", 0.01)
    client = refused((b"content-length", b"10000000000"))
    assert [(await client.receive_output())["type"] for _ in range(3)][-1] == "http.response.body"
    await client.wait()
