"""Whatever is asked of the API, an error has the one shape, and is never a page."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from chat.api import documents
from chat.tokens import AccessToken
from netra import telemetry
from netra.testing import rebuild

pytestmark = pytest.mark.django_db

JSON = "application/json"
ID = "6f1c2a90-2f0a-4c53-9d0e-6a5b1c1f7a10"


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


@pytest.fixture
def api() -> Client:
    ann = get_user_model().objects.create_user("ann")
    return Client(headers={"Authorization": f"Bearer {AccessToken.for_user(ann)}"}, raise_request_exception=False)


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The body of an error, which has the one shape that there is."""
    assert answer["Content-Type"] == JSON, answer.content[:200]
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["error_code"]) == (status, code), body
    assert body.keys() == {"error_code", "error_message", "details", "correlation_id"}
    assert body["error_message"]
    assert isinstance(body["details"], dict)
    assert body["correlation_id"] == answer["X-Correlation-Id"]
    return body


# Paths and methods


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api//",
        "/api/nothing",
        "/api/threads/",
        "/api/threads/7",
        "/api/threads/%00",
        f"/api/threads/{ID}%00",
        f"/api/threads/{ID.upper()}",
        f"/api/threads/{ID}/nothing",
        "/api/runs/%ff%fe",
        "/api/%F0%9F%98%80",
        "/api/../admin",
        f"/api/runs/{ID}/events/-1/result",
        f"/api/runs/{ID}/events/x/result",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PROPFIND"])
def test_what_is_nobodys_path_is_not_found(api: Client, path: str, method: str) -> None:
    refused(api.generic(method, path), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/me", {"DELETE", "GET", "PATCH"}),
        ("PUT", "/api/threads", {"GET", "POST"}),
        ("TRACE", f"/api/threads/{ID}", {"GET", "PATCH", "DELETE"}),
        ("GET", "/api/agents/execute", {"POST"}),
        ("PROPFIND", f"/api/runs/{ID}/events", {"GET"}),
        ("POST", "/api/openapi.json", {"GET"}),
        ("POST", "/api/docs", {"GET"}),
    ],
)
def test_a_method_that_a_path_has_not_is_refused_with_those_that_it_has(
    api: Client, method: str, path: str, allowed: set[str]
) -> None:
    for accept in ("*/*", "text/event-stream"):
        answer = api.generic(method, path, content_type=JSON, headers={"Accept": accept})
        refused(answer, 405, "METHOD_NOT_ALLOWED")
        assert set(answer["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == allowed


# What is accepted, and what is sent


@pytest.mark.parametrize("path", ["/api/me", "/api/threads", "/api/openapi.json", "/api/events", f"/api/runs/{ID}"])
def test_who_accepts_no_json_is_refused_in_json(api: Client, path: str) -> None:
    refused(api.get(path, headers={"Accept": "text/html"}), 406, "NOT_ACCEPTABLE")


BODIES = [("POST", "/api/threads"), ("PATCH", f"/api/threads/{ID}"), ("POST", f"/api/threads/{ID}/messages")]
BODIES += [("POST", "/api/agents/execute"), ("POST", "/api/agents/assistant"), ("PUT", f"/api/messages/{ID}/feedback")]
BODIES += [("POST", f"/api/messages/{ID}/regenerate"), ("POST", f"/api/runs/{ID}/approvals/call-1")]


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    "body", [b"{", b"{'a': 1}", b"\xff\xfe", b'{"a": "\xff"}', b'{"a": NaN}', b'{"a": "\\ud800"}', b"[" * 100_000]
)
def test_a_body_that_is_no_json_is_said_to_be_none(api: Client, method: str, path: str, body: bytes) -> None:
    refused(api.generic(method, path, body, content_type=JSON), 400, "INVALID_JSON")


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize("body", ["[]", "null", "7", '"text"', "[[]]", "true"])
def test_a_body_that_is_no_object_is_refused_and_it_is_said_where(
    api: Client, method: str, path: str, body: str
) -> None:
    error = refused(api.generic(method, path, body, content_type=JSON), 400, "INVALID_MESSAGE")
    assert error["details"] == {"problems": [{"field": "", "problem": "must be a JSON object"}]}


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense"])
def test_a_body_of_another_type_is_refused(api: Client, method: str, path: str, kind: str) -> None:
    refused(api.generic(method, path, "{}", content_type=kind), 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(("method", "path"), BODIES)
def test_a_body_over_the_limit_is_refused(api: Client, method: str, path: str, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    body = json.dumps({"text": "x" * 1000})
    refused(api.generic(method, path, body, content_type=JSON), 413, "MESSAGE_TOO_LARGE")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/threads", {"title": "a\x00b"}),
        ("PATCH", f"/api/threads/{ID}", {"title": "\x00"}),
        ("POST", f"/api/threads/{ID}/messages", {"content": "a\x00"}),
        ("POST", f"/api/threads/{ID}/messages", {"content": "a", "agent": "\x00"}),
        ("POST", f"/api/threads/{ID}/messages", {"content": "a", "message_id": f"{ID}\x00"}),
        ("POST", "/api/agents/execute", {"type": "a\x00", "message": "a"}),
        ("POST", "/api/agents/%00", {"message": "a"}),
        ("PUT", f"/api/messages/{ID}/feedback", {"rating": "up", "text": "\x00"}),
        ("POST", f"/api/messages/{ID}/regenerate", {"agent": "\x00"}),
        ("POST", f"/api/runs/{ID}/approvals/call-1", {"approved": True, "reason": "\x00"}),
        ("POST", f"/api/runs/{ID}/approvals/%00", {"approved": True}),
        ("GET", "/api/threads?search=%00", None),
        ("GET", "/api/threads?cursor=%00", None),
        ("GET", "/api/runs?status=%00", None),
        ("GET", "/api/runs?thread_id=%00", None),
        ("GET", "/api/usage?by=%00", None),
        ("GET", "/api/usage?since=%00", None),
        ("GET", f"/api/runs/{ID}/events?after=%00", None),
    ],
)
def test_a_nul_is_refused_wherever_it_stands(api: Client, method: str, path: str, body: Any) -> None:
    answer = api.generic(method, path, json.dumps(body) if body is not None else b"", content_type=JSON)
    refused(answer, 400, "INVALID_MESSAGE")


@pytest.mark.parametrize("path", ["/api/threads?limit=x", "/api/runs?status=gone", "/api/usage?by=x"])
def test_what_is_wrong_with_a_query_is_told_as_of_a_body(api: Client, path: str) -> None:
    error = refused(api.get(path), 400, "INVALID_MESSAGE")
    [problem] = error["details"]["problems"]
    assert problem["field"] in path
    assert error["error_message"] == f"{problem['field']}: {problem['problem']}"


@pytest.mark.parametrize(
    "path",
    [
        "/api/threads?cursor=",
        "/api/threads?limit=",
        "/api/threads?archived=",
        "/api/runs?cursor=",
        "/api/runs?thread_id=",
        "/api/runs?status=",
        "/api/threads/{thread}/messages?leaf=",
        "/api/threads/{thread}/messages?through=",
        "/api/threads/{thread}/messages?before=",
        "/api/runs/{run}/events?after=",
        "/api/usage?since=",
        "/api/usage?by=",
    ],
)
def test_an_empty_value_in_a_query_is_not_as_if_there_were_none(api: Client, path: str) -> None:
    begun = api.post("/api/agents/execute", {"type": "assistant", "message": "Q"}, content_type=JSON).json()
    asked = path.format(thread=begun["thread_id"], run=begun["run_id"])
    error = refused(api.get(asked), 400, "INVALID_MESSAGE")
    assert [problem["field"] for problem in error["details"]["problems"]] == [path.partition("?")[2].rstrip("=")]


@pytest.mark.parametrize("path", [f"/api/messages/{ID}/regenerate", f"/api/threads/{ID}/messages"])
def test_too_long_a_name_of_an_agent_is_said_to_be_too_long(api: Client, path: str) -> None:
    error = refused(api.post(path, {"content": "Q", "agent": "a" * 65}, content_type=JSON), 400, "INVALID_MESSAGE")
    assert error["error_message"] == "agent: string should have at most 64 characters"


@pytest.mark.parametrize("agent", ["\x00", "é", "a" * 300, "..", "assistant%20"])
def test_an_agent_that_nobody_has_is_not_found(api: Client, agent: str) -> None:
    refused(api.generic("GET", f"/api/agents/{agent}"), 404, "AGENT_NOT_FOUND")


@pytest.mark.parametrize("seq", ["0", str(2**31), str(2**63), "9" * 200])
def test_an_event_that_no_run_can_have_is_not_found(api: Client, seq: str) -> None:
    refused(api.get(f"/api/runs/{uuid.uuid4()}/events/{seq}/result"), 404, "RUN_NOT_FOUND")


# What goes wrong outside of views


@pytest.mark.parametrize("host", ["evil.example", "a b", "[::1", "", "\u00e9", "localhost,evil"])
@pytest.mark.parametrize("path", ["/api/me", "/api/threads", "/api/nothing", "/api/openapi.json", "/api/docs"])
def test_a_host_that_the_server_has_not_is_refused(api: Client, path: str, host: str) -> None:
    refused(api.get(path, HTTP_HOST=host), 400, "INVALID_MESSAGE")


def test_elsewhere_errors_are_pages(api: Client) -> None:
    assert api.get("/nothing")["Content-Type"].startswith("text/html")
    assert api.get("/", HTTP_HOST="evil.example")["Content-Type"].startswith("text/html")


def test_a_view_with_a_fault_is_an_internal_error_that_tells_nothing_of_it(
    api: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(documents, "openapi", _broken)
    body = refused(api.get("/api/openapi.json"), 500, "INTERNAL_ERROR")
    assert "secret" not in json.dumps(body)
    [line] = [
        record.msg
        for record in caplog.records
        if isinstance(record.msg, dict) and record.msg["event"] == "request_failed"
    ]
    assert line["correlation_id"] == body["correlation_id"]


@pytest.mark.parametrize(("path", "kind"), [("/api/me", JSON), ("/health", "text/html")])
def test_a_fault_outside_of_views_is_an_internal_error_too(
    api: Client, monkeypatch: pytest.MonkeyPatch, path: str, kind: str
) -> None:
    monkeypatch.setattr("django.middleware.clickjacking.XFrameOptionsMiddleware.process_response", _broken)
    answer = api.get(path)
    assert answer["Content-Type"].startswith(kind)
    assert answer.status_code == 500
    assert b"secret" not in answer.content
    if kind == JSON:
        refused(answer, 500, "INTERNAL_ERROR")


def _broken(*_: Any) -> Any:
    raise RuntimeError("a secret")


def test_the_id_of_an_error_is_that_of_its_request(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "new_correlation_id", lambda: "0123456789abcdef")
    assert refused(api.get("/api/nothing"), 404, "NOT_FOUND")["correlation_id"] == "0123456789abcdef"
