"""How often people, addresses and sockets may ask in a minute, as clients see it: on REST, streams and sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework_simplejwt.tokens import AccessToken

from chat import auth
from chat.models import Allowance
from netra.testing import Netra, receive, send

pytestmark = pytest.mark.usefixtures("transactional_db")
Limit = Callable[..., None]


@pytest.fixture
def limit(settings: Any) -> Limit:
    """Change settings: what is counted is compared with them at each request."""

    def change(**changes: Any) -> None:
        settings.NETRA = settings.NETRA.model_copy(update=changes)

    return change


@pytest.fixture
def api(ann: Any) -> Client:
    return Client(headers={"Authorization": f"Bearer {AccessToken.for_user(ann)}"})


def left(answer: Any) -> tuple[int, int, int]:
    """What is allowed, what of it is left, and in how many seconds there is more."""
    allowed = re.fullmatch(r'"requests";q=(\d+);w=60', answer["RateLimit-Policy"])
    remaining = re.fullmatch(r'"requests";r=(\d+);t=(\d+)', answer["RateLimit"])
    assert allowed
    assert remaining
    return int(allowed[1]), int(remaining[1]), int(remaining[2])


# REST


def test_each_answer_tells_what_is_left_and_the_last_one_when_there_is_more(
    limit: Limit, api: Client, bob: Any
) -> None:
    limit(requests_per_minute=3)
    nobody_s = "/api/threads/6f1c2a90-2f0a-4c53-9d0e-6a5b1c1f7a10"
    answers = [api.get(path) for path in ("/api/me", nobody_s, "/api/threads", "/api/me")]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 429]
    assert [left(answer)[:2] for answer in answers] == [(3, 2), (3, 1), (3, 0), (3, 0)]
    refusal = answers[-1]
    assert refusal.json()["error_code"] == "RATE_LIMITED"
    assert 55 <= int(refusal["Retry-After"]) <= 60
    assert left(refusal)[2] == int(refusal["Retry-After"])
    other = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(bob)}"})
    assert other.get("/api/me").status_code == 200, "another person is not refused, from the same address"


def test_a_refused_request_asks_the_database_nothing(limit: Limit, api: Client) -> None:
    limit(requests_per_minute=1)
    api.get("/api/me")
    with CaptureQueriesContext(connection) as captured:
        assert api.get("/api/me").status_code == 429
        assert api.post("/api/threads", "{}", content_type="application/json").status_code == 429
    assert len(captured) == 0


def test_whoever_has_no_valid_token_is_counted_by_address(limit: Limit, client: Client, ann: Any) -> None:
    limit(requests_per_minute_per_address=4)
    forged = {"Authorization": "Bearer x.y.z"}
    body = json.dumps({"username": "ann", "password": "wrong"})
    answers = [
        client.get("/api/me"),
        client.get("/api/me", headers=forged),
        client.get("/api/auth/options"),
        client.post("/api/auth/token", body, content_type="application/json"),
        client.get("/api/auth/options"),
        client.get("/api/me", headers=forged),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 200, 401, 429, 429]
    assert left(answers[2])[:2] == (4, 1)
    assert client.get("/api/auth/options", REMOTE_ADDR="192.0.2.7").status_code == 200
    token = {"Authorization": f"Bearer {AccessToken.for_user(ann)}"}
    assert client.get("/api/me", headers=token).status_code == 200, "who has a token is not the address"


def test_a_network_of_ipv6_is_one_address(limit: Limit, client: Client) -> None:
    limit(requests_per_minute_per_address=1)
    addresses = ("2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1")
    answers = [client.get("/api/auth/options", REMOTE_ADDR=address) for address in addresses]
    assert [answer.status_code for answer in answers] == [200, 429, 200]


@pytest.mark.parametrize(("trusted", "codes"), [(True, [200, 429, 200]), (False, [200, 429, 429])])
def test_only_a_trusted_proxy_is_believed(limit: Limit, client: Client, trusted: bool, codes: list[int]) -> None:
    limit(requests_per_minute_per_address=1, trusted_proxy=trusted)
    said = ["198.51.100.9, 203.0.113.5", "192.0.2.200, 203.0.113.5", "198.51.100.9, 203.0.113.6"]
    answers = [client.get("/api/auth/options", headers={"X-Forwarded-For": text}) for text in said]
    assert [answer.status_code for answer in answers] == codes


def test_what_has_no_address_is_not_everybody(limit: Limit, client: Client) -> None:
    limit(requests_per_minute_per_address=1)
    for _ in range(3):
        answer = client.get("/api/me", REMOTE_ADDR="")
        assert answer.status_code == 401
        assert "RateLimit" not in answer


def test_messages_are_limited_over_rest_by_the_person_s_own_number(limit: Limit, ann: Any, api: Client) -> None:
    limit(user_messages_per_minute=60)
    Allowance.objects.create(user=ann, messages_per_minute=2)
    body = json.dumps({"type": "assistant", "message": "Hello"})
    answers = [api.post("/api/agents/execute", body, content_type="application/json") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[2].json()["error_message"] == "At most 2 messages a minute"
    assert left(answers[2])[1] > 0, "requests are another thing"


# Sockets


Headers = list[tuple[bytes, bytes]]


async def refused(netra: Netra, headers: Headers, *, peer: str = "192.0.2.1") -> dict[str, Any] | None:
    """What the first frame says, when it refuses for a limit; the close comes after it."""
    socket = netra.communicator(headers=headers)
    socket.scope["client"] = (peer, 4)
    accepted, _ = await socket.connect()
    assert accepted
    frame = await receive(socket)
    if frame["type"] == "connection_established":
        return None
    close = await socket.receive_output()
    assert (close["type"], close["code"]) == (
        "websocket.close",
        4429 if frame["error_code"] == "RATE_LIMITED" else 4401,
    )
    return frame


async def test_a_person_opens_so_many_sockets_a_minute(
    limit: Limit, netra: Netra, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await netra.user("ann"), await netra.user("bob")
    limit(connects_per_minute=2)
    assert [await refused(netra, netra.headers(ann)) for _ in range(2)] == [None, None]
    asked: list[Any] = []
    monkeypatch.setattr(auth, "user_of", asked.append)
    frame = await refused(netra, netra.headers(ann))
    monkeypatch.undo()
    assert frame is not None
    assert frame["error_code"] == "RATE_LIMITED"
    assert 50 < frame["retry_after"] <= 60
    assert asked == [], "the database is not asked who it is"
    assert await refused(netra, netra.headers(bob)) is None, "another person may, from the same address"


async def test_from_an_address_come_so_many_sockets_a_minute(limit: Limit, netra: Netra) -> None:
    tokens = [netra.headers(await netra.user(f"person {number}")) for number in range(5)]
    limit(connects_per_minute_per_address=2, trusted_proxy=True)
    here, there = [(b"x-forwarded-for", b"192.0.2.9, 203.0.113.5")], [(b"x-forwarded-for", b"203.0.113.6")]
    frames = [await refused(netra, [*token, *here]) for token in tokens[:3]]
    assert [frame and frame["error_code"] for frame in frames] == [None, None, "RATE_LIMITED"]
    assert await refused(netra, [*tokens[3], *there]) is None
    assert await refused(netra, tokens[4]) is None, "where the proxy says nothing, it is its own address"


async def test_a_token_of_nobody_counts_for_the_address_alone(limit: Limit, netra: Netra) -> None:
    ann = await netra.user("ann")
    limit(connects_per_minute=1, connects_per_minute_per_address=3)
    frames = [await refused(netra, [(b"authorization", b"Bearer x.y.z")]) for _ in range(4)]
    assert [frame and frame["error_code"] for frame in frames] == ["INVALID_TOKEN"] * 3 + ["RATE_LIMITED"]
    assert await refused(netra, netra.headers(ann), peer="192.0.2.2") is None


async def test_messages_are_counted_over_all_sockets_of_a_person(limit: Limit, netra: Netra) -> None:
    ann, bob = await netra.user("ann"), await netra.user("bob")
    limit(user_messages_per_minute=60)
    await database_sync_to_async(Allowance.objects.create)(user=ann, messages_per_minute=3, open_runs=50)
    one, other = await netra.connect(ann), await netra.connect(ann)
    replies = []
    for place in range(5):
        socket = (one, other)[place % 2]
        await send(socket, type="user_message", content="Hello", ref=str(place))
        replies.append(await receive(socket, "message_accepted", "error_message"))
    assert [reply["type"] for reply in replies] == ["message_accepted"] * 3 + ["error_message"] * 2
    assert {reply["error_code"] for reply in replies[3:]} == {"RATE_LIMITED"}
    assert all(0 < reply["retry_after"] <= 60 for reply in replies[3:])
    await netra.ask(await netra.connect(bob), "Hello")


async def test_a_refreshed_token_brings_the_person_s_newer_number(netra: Netra) -> None:
    ann = await netra.user("ann")
    allowance = await database_sync_to_async(Allowance.objects.create)(user=ann, messages_per_minute=1)
    socket = await netra.connect(ann)
    await netra.ask(socket, "Hello")
    allowance.messages_per_minute = 5
    await database_sync_to_async(allowance.save)()
    await send(socket, type="refresh_token", token=netra.token(ann))
    await receive(socket, "token_refreshed")
    await netra.ask(socket, "Hello again")


# Streams


@pytest.mark.parametrize("kind", ["requests", "streams"])
async def test_requests_and_streams_are_one_number(limit: Limit, netra: Netra, kind: str) -> None:
    """A stream is no way around it: it is answered beside Django, and counted with the rest."""
    ann = await netra.user("ann")
    limit(requests_per_minute=2)
    codes = [await stream_status(netra, ann, "/api/runs/6f1c2a90-2f0a-4c53-9d0e-6a5b1c1f7a10/events") for _ in range(2)]
    assert [code for code, _ in codes] == [404, 404]
    assert [headers[b"ratelimit"].decode().partition(";t=")[0] for _, headers in codes] == [
        '"requests";r=1',
        '"requests";r=0',
    ]
    if kind == "streams":
        status, headers = await stream_status(netra, ann, "/api/events")
        assert (status, headers[b"ratelimit-policy"]) == (429, b'"requests";q=2;w=60')
        assert 50 < int(headers[b"retry-after"]) <= 60
    else:
        client = Client(headers={"Authorization": f"Bearer {netra.token(ann)}"})
        assert (await database_sync_to_async(client.get)("/api/me")).status_code == 429


async def stream_status(netra: Netra, user: Any, path: str) -> tuple[int, dict[bytes, bytes]]:
    """How a stream is answered; it is left then."""
    sent: list[dict[str, Any]] = []

    async def receive_nothing() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def keep(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "client": ["192.0.2.1", 4],
        "headers": [*netra.headers(user), (b"accept", b"text/event-stream"), (b"host", b"testserver")],
    }
    await netra.application(scope, receive_nothing, keep)
    return sent[0]["status"], dict(sent[0]["headers"])
