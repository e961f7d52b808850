"""Markup wherever anybody writes, on every page of the administration that there is: shown as text, or not at all.

What the pages show well is in tests/chat/test_admin.py. Here every text of every row is hostile, and every address is
opened: of a class that is registered tomorrow, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import DatabaseError, models, transaction
from django.test import Client
from django.urls import reverse

from netra.testing import rebuild
from tests.chat.administering import browser, secrets_of, superuser

PAYLOADS = {
    "a script": "<script>alert(1)</script>",
    "a handler": '"><img src=x onerror=alert(1)>',
    "the end of a script": "</script><script>alert(1)</script>",
    "an attribute": "' onmouseover='alert(1)' x='",
    "a drawing": "<svg/onload=alert(1)>",
    "a template": '{{ "rendered-"|add:"here" }}<b>{% debug %}</b>',
    "an expression of Alpine": "<b x-data x-init='alert(1)'>",
}
# What a payload must never be in: markup that a browser reads. Escaped, it has none of these.
RAW = ("<script>alert", "<img src=x", "<svg/onload", "<b x-data", "<b>{%", "' onmouseover='alert", "rendered-here")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


def made_hostile(payload: str) -> int:
    """Put it into every text of every row. Returns how many columns took it."""
    taken = 0
    for kind in (*apps.get_app_config("chat").get_models(), get_user_model()):
        for column in kind._meta.concrete_fields:
            if not isinstance(column, models.CharField | models.TextField | models.JSONField) or column.choices:
                continue
            if column.unique or column.name in ("password", "username", "storage_name"):
                continue
            value: Any = {payload: payload, "text": payload} if isinstance(column, models.JSONField) else payload
            value = value[: column.max_length] if isinstance(column, models.CharField) else value
            try:
                with transaction.atomic():
                    taken += kind._default_manager.update(**{column.name: value})
            except DatabaseError:  # a constraint does not let it be
                continue
    return taken


def addresses() -> Iterator[str]:
    """Every list and every row's pages."""
    yield reverse("admin:index")
    for kind in admin.site._registry:
        name = f"admin:{kind._meta.app_label}_{kind._meta.model_name}"
        yield reverse(f"{name}_changelist")
        for row in kind._default_manager.all()[:3]:
            for page in ("change", "history", "delete"):
                yield reverse(f"{name}_{page}", args=[row.pk])


@pytest.mark.parametrize("what", PAYLOADS)
def test_markup_is_text_on_every_page(what: str) -> None:
    mallory = get_user_model().objects.create_user("mallory")
    secrets = secrets_of(mallory)
    assert made_hostile(PAYLOADS[what]) > 20
    root: Client = browser(superuser())
    opened = shown = 0
    for path in (*addresses(), *secrets.pages):
        answer = root.get(path)
        assert answer.status_code in (200, 302, 403, 404, 405), path
        text = answer.content.decode()
        opened += answer.status_code == 200
        shown += "alert(1)" in text or "|add:" in text
        for raw in RAW:
            assert raw not in text, (path, raw)
    assert opened > 15
    assert shown > 3, "it was on some of them"


@pytest.mark.parametrize("query", ["q", "o", "p", "e", "_changelist_filters", "next", "run", "status__exact", "agent"])
def test_markup_in_an_address_is_text(query: str) -> None:
    root: Client = browser(superuser())
    for path in ("/admin/chat/thread/", "/admin/chat/run/", "/admin/auth/user/", "/admin/"):
        for payload in PAYLOADS.values():
            text = root.get(path, {query: payload}, follow=True).content.decode()
            for raw in RAW:
                assert raw not in text, (path, query, raw)
