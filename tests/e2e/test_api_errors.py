"""Errors of the API from real servers, over what is between a client and Django, too."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.clients import request
from tests.live import LiveServer
from tests.processes import HOST, PATIENCE_SECONDS

STREAM = {"Accept": "text/event-stream"}
LARGE = b'{"type": "assistant", "message": "' + b"x" * 70_000 + b'"}'


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


EVIL = {"Host": "evil.example"}
ERRORS: dict[str, tuple[Asked, int, str]] = {
    "another host": (Asked("GET", "/api/me", EVIL), 400, "INVALID_MESSAGE"),
    "another host, nothing": (Asked("GET", "/api/nothing", EVIL), 400, "INVALID_MESSAGE"),
    "another host, page": (Asked("GET", "/api/docs", EVIL), 400, "INVALID_MESSAGE"),
    "another host, stream": (Asked("GET", "/api/events", EVIL | STREAM), 400, "INVALID_MESSAGE"),
    "no UTF-8 in the path": (Asked("GET", "/api/%ff%fe"), 404, "NOT_FOUND"),
    "NUL in an id": (Asked("GET", "/api/threads/%00"), 404, "NOT_FOUND"),
    "NUL in the query": (Asked("GET", "/api/threads?search=%00"), 400, "INVALID_MESSAGE"),
    "no UTF-8 in a cursor": (Asked("GET", "/api/threads?cursor=%ff%fe"), 400, "INVALID_MESSAGE"),
    "another method": (Asked("PROPFIND", "/api/me"), 405, "METHOD_NOT_ALLOWED"),
    "another method for HTML": (Asked("DELETE", "/api/threads", {"Accept": "text/html"}), 405, "METHOD_NOT_ALLOWED"),
    "no UTF-8 in the body": (Asked("POST", "/api/threads", body=b'{"title": "\xff"}'), 400, "INVALID_JSON"),
    "a large body": (Asked("POST", "/api/threads", body=b" " * 3_000_000), 413, "MESSAGE_TOO_LARGE"),
    "a large message": (Asked("POST", "/api/agents/execute", body=LARGE), 413, "MESSAGE_TOO_LARGE"),
    "a large message, stream": (Asked("POST", "/api/agents/execute", STREAM, body=LARGE), 413, "MESSAGE_TOO_LARGE"),
    "a large stream": (Asked("POST", "/api/agents/execute", STREAM, b" " * 3_000_000), 413, "MESSAGE_TOO_LARGE"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_has_the_one_shape(server: LiveServer, name: str) -> None:
    asked, status, code = ERRORS[name]
    token = server.add_user().token()
    answer = request(server.url, asked.method, asked.path, token=token, body=asked.body, headers=asked.headers)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json"), answer.body
    assert answer.body.keys() == {"error_code", "error_message", "details", "correlation_id"}
    assert (answer.body["error_code"], answer.body["correlation_id"]) == (code, answer.headers["X-Correlation-Id"])
    assert ("Allow" in answer.headers) or status != 405


def in_chunks(server: LiveServer, chunks: Iterable[bytes]) -> tuple[int, Any]:
    """Status and body of the answer to a new thread, whose length is not said before it is sent."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=PATIENCE_SECONDS)
    headers = {"Authorization": f"Bearer {server.add_user().token()}", "Content-Type": "application/json"}
    connection.request("POST", "/api/threads", iter(chunks), headers, encode_chunked=True)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def test_a_body_in_chunks_is_read_and_bounded_as_any_other(server: LiveServer) -> None:
    status, thread = in_chunks(server, [b'{"title":', b'"In chunks"}'])
    assert (status, thread["title"]) == (201, "In chunks")
    status, error = in_chunks(server, [b'{"title": "', *[b"x" * 100_000] * 30, b'"}'])
    assert (status, error["error_code"]) == (413, "MESSAGE_TOO_LARGE")
