"""The audit log: who did what, from where, without names or content; bounded, and gone when its time is."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from chat import audit, removal, retention
from chat.models import AuditAction, AuditEntry
from chat.run_event import now

pytestmark = pytest.mark.django_db

SIGN_IN, PASSWORD = "/api/auth/token", "correct horse battery"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_refusals", FixedWindowRateLimiter(MemoryStorage()))


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann", password=PASSWORD)


@pytest.fixture
def asked(ann: Any) -> Callable[..., Any]:
    client = Client(REMOTE_ADDR="192.0.2.7")

    def ask(method: str, path: str, **body: Any) -> Any:
        given = client.post(SIGN_IN, {"username": "ann", "password": PASSWORD}, content_type="application/json")
        headers = {"Authorization": f"Bearer {given.json()['access']}"}
        AuditEntry.objects.all().delete()
        return client.generic(method, path, json.dumps(body), content_type="application/json", headers=headers)

    return ask


def entries() -> list[tuple[Any, ...]]:
    return list(AuditEntry.objects.order_by("id").values_list("action", "refused", "actor", "subject", "address"))


def sign_in(**given: str) -> Any:
    return Client(REMOTE_ADDR="192.0.2.7").post(SIGN_IN, given, content_type="application/json")


def test_a_sign_in_and_those_that_were_refused_are_told_with_the_address(ann: Any) -> None:
    assert sign_in(username="ann", password=PASSWORD).status_code == 200
    assert sign_in(username="ann", password="wrong").status_code == 401
    assert sign_in(username="my secret, typed into the wrong field", password="x").status_code == 401
    assert entries() == [
        ("sign_in", "", ann.pk, ann.pk, "192.0.2.7"),
        ("sign_in", "INVALID_CREDENTIALS", None, ann.pk, "192.0.2.7"),
        ("sign_in", "INVALID_CREDENTIALS", None, None, "192.0.2.7"),
    ]
    assert "secret" not in json.dumps(list(AuditEntry.objects.values()), default=str)


def test_who_may_not_guess_any_more_is_told_with_that_code(ann: Any) -> None:
    for _ in range(6):
        sign_in(username="ann", password="wrong")
    assert [code for _, code, *_ in entries()] == ["INVALID_CREDENTIALS"] * 5 + ["RATE_LIMITED"]


def test_the_sign_in_of_the_administration_is_told_as_that_of_the_rest(ann: Any) -> None:
    get_user_model().objects.filter(pk=ann.pk).update(is_staff=True)
    client = Client(REMOTE_ADDR="192.0.2.8")
    client.post("/admin/login/", {"username": "ann", "password": "wrong"})
    client.post("/admin/login/", {"username": "ann", "password": PASSWORD})
    assert entries() == [
        ("sign_in", "INVALID_CREDENTIALS", None, None, "192.0.2.8"),
        ("sign_in", "", ann.pk, ann.pk, "192.0.2.8"),
    ]
    assert set(AuditEntry.objects.values_list("details__where", flat=True)) == {"administration"}


@pytest.mark.parametrize(
    ("what", "action", "code"),
    [
        (("POST", "/api/me/sessions/end", {}), "sessions_ended", ""),
        (("POST", "/api/me/password", {"old_password": PASSWORD, "new_password": "staple horse"}), "password", ""),
        (("POST", "/api/me/password", {"old_password": "no", "new_password": "staple"}), "password", "WRONG_PASSWORD"),
        (("DELETE", "/api/me", {"password": PASSWORD}), "account_deleted", ""),
        (("DELETE", "/api/me", {"password": "no"}), "account_deleted", "WRONG_PASSWORD"),
    ],
)
def test_what_a_person_does_to_the_account_is_told(
    asked: Callable[..., Any], ann: Any, what: tuple[str, str, dict[str, Any]], action: str, code: str
) -> None:
    method, path, body = what
    asked(method, path, **body)
    assert entries() == [(action, code, ann.pk, ann.pk, "192.0.2.7")]


def test_registering_and_signing_out_are_told(settings: Any) -> None:
    settings.NETRA = settings.NETRA.model_copy(update={"registration": "open"})
    client = Client(REMOTE_ADDR="192.0.2.9")
    given = {"username": "bea", "password": "correct horse battery"}
    tokens = client.post("/api/auth/register", given, content_type="application/json").json()
    client.post("/api/auth/logout", {"refresh": tokens["refresh"]}, content_type="application/json")
    client.post("/api/auth/logout", {"refresh": "none"}, content_type="application/json")
    bea = get_user_model().objects.get(username="bea").pk
    assert entries() == [
        ("register", "", bea, bea, "192.0.2.9"),
        ("sign_out", "", bea, bea, "192.0.2.9"),
    ]


def test_a_flood_of_refusals_writes_no_flood_of_rows() -> None:
    for _ in range(40):
        audit.record_refusal(AuditAction.CONNECT, "INVALID_TOKEN", address="192.0.2.1")
    assert AuditEntry.objects.count() == 30
    audit.record_refusal(AuditAction.CONNECT, "INVALID_TOKEN", address="192.0.2.2")
    assert AuditEntry.objects.count() == 31


def test_an_address_that_is_none_is_not_kept() -> None:
    audit.record(AuditAction.SIGN_IN, address="<script>alert(1)</script>")
    assert entries() == [("sign_in", "", None, None, "")]


def test_of_a_removed_account_the_entries_stay_without_addresses(ann: Any) -> None:
    bob = get_user_model().objects.create_user("bob")
    audit.record(AuditAction.SIGN_IN, actor=ann.pk, subject=ann.pk, address="192.0.2.7")
    audit.record(AuditAction.LOOK, actor=bob.pk, subject=ann.pk, address="192.0.2.8", target=f"thread {uuid.uuid4()}")
    audit.record(AuditAction.SIGN_IN, actor=bob.pk, subject=bob.pk, address="192.0.2.8")
    removal.delete_account(ann.pk, _publisher())
    while removal.remove_deleted():
        pass
    assert [(actor, address) for *_, actor, _, address in entries()] == [
        (ann.pk, ""),
        (bob.pk, ""),
        (bob.pk, "192.0.2.8"),
    ]


def test_old_entries_are_removed_by_the_sweep(settings: Any) -> None:
    settings.NETRA = settings.NETRA.model_copy(update={"audit_retention": 30.0})
    for days in (31, 29):
        audit.record(AuditAction.SIGN_IN)
        newest = AuditEntry.objects.order_by("-id")[:1].values("pk")
        AuditEntry.objects.filter(pk__in=newest).update(at=now() - datetime.timedelta(days=days))
    retention.tidy_up()
    assert AuditEntry.objects.count() == 1


def _publisher() -> Any:
    from django.apps import apps

    return apps.get_app_config("chat").event_log.publisher  # type: ignore[attr-defined]
