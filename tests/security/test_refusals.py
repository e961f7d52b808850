"""Who is not let in is in the audit log and in the log, by code and address, and by nothing that was sent."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.test import Client
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from chat import audit, refusals
from chat.errors import ChatError, ConnectionRefused, ErrorCode
from chat.models import AuditEntry
from netra.testing import Netra, rebuild
from tests.security.asking import ask

EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_refusals", FixedWindowRateLimiter(MemoryStorage()))


def entries() -> list[tuple[Any, ...]]:
    """Refusals, in the order of their making."""
    told = AuditEntry.objects.filter(action="connect").order_by("id")
    return [(entry.refused, entry.subject, entry.address, entry.details["where"]) for entry in told]


@pytest.mark.django_db
def test_a_request_that_is_not_let_in_is_told(ann: Any, tokens: dict[str, str]) -> None:
    rebuild()
    client = Client(REMOTE_ADDR="192.0.2.7")
    client.get("/api/me", headers={"Authorization": "Bearer nonsense"})
    ann.is_active = False
    ann.save()
    client.get("/api/me", headers={"Authorization": f"Bearer {tokens['access']}"})
    asked = {"username": "ann", "password": "x"}
    client.post("/api/auth/token", asked, content_type="application/json", headers={"Origin": "https://evil.example"})
    assert entries() == [
        ("INVALID_TOKEN", None, "192.0.2.7", "request"),
        ("USER_INACTIVE", ann.pk, "192.0.2.7", "request"),
        ("ORIGIN_NOT_ALLOWED", None, "192.0.2.7", "request"),
    ]


@pytest.mark.django_db
def test_what_every_client_meets_is_not(tokens: dict[str, str]) -> None:
    rebuild()
    client = Client(REMOTE_ADDR="192.0.2.7")
    client.get("/api/me")
    client.get("/api/threads/nothing", headers={"Authorization": f"Bearer {tokens['access']}"})
    assert client.get("/api/elsewhere").status_code == 404
    for code in (ErrorCode.NO_TOKEN, ErrorCode.TOKEN_EXPIRED, ErrorCode.RATE_LIMITED, ErrorCode.SERVICE_UNAVAILABLE):
        refusals.record(ConnectionRefused(code, ""), where="socket", address="192.0.2.7")
    assert entries() == []


async def test_sockets_and_streams_are_told_with_whom_they_were_about(netra: Netra) -> None:
    user = await netra.user("ann")
    gone = await netra.user("gone", is_active=False)
    for headers in ([(b"authorization", b"Bearer nonsense")], netra.headers(gone)):
        socket = netra.communicator(headers=headers)
        await socket.connect()
        while (await socket.receive_output())["type"] != "websocket.close":
            pass
        await socket.disconnect()
    answer = await ask(netra.application, "GET", "/api/events", token="nonsense", headers=EVENTS, client="192.0.2.9")
    assert answer.status == 401
    told = await sync_to_async(entries)()
    assert [entry[0] for entry in told] == ["INVALID_TOKEN", "USER_INACTIVE", "INVALID_TOKEN"]
    assert [entry[1] for entry in told] == [None, gone.pk, None]
    assert told[2][2:] == ("192.0.2.9", "stream")
    assert {entry[3] for entry in told[:2]} == {"socket"}
    assert not await sync_to_async(AuditEntry.objects.filter(subject=user.pk).exists)()


@pytest.mark.django_db
def test_of_a_flood_a_part_is_told(settings: Any) -> None:
    for _ in range(100):
        refusals.record(ConnectionRefused(ErrorCode.INVALID_TOKEN, ""), where="socket", address="192.0.2.7")
    assert len(entries()) == 30


@pytest.mark.django_db
def test_an_address_that_is_none_is_not_kept() -> None:
    for claimed in ("1.2.3.4\nforged", "<script>", "'; DROP TABLE x; --", "a" * 5000, "", "\0"):
        refusals.record(ConnectionRefused(ErrorCode.INVALID_TOKEN, ""), where="socket", address=claimed)
    assert {address for _, _, address, _ in entries()} == {""}


def test_a_database_that_is_away_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def away(*_: object, **__: object) -> None:
        asked.append(1)
        raise OperationalError

    monkeypatch.setattr(audit, "record_refusal", away)
    refusals.record(ChatError(ErrorCode.INVALID_TOKEN, ""), where="request", address="192.0.2.7")
    assert asked == [1]
