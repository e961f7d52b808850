"""That whatever is changed in the administration is in the audit log; and how that log is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client

from chat import audit
from chat.admin_site import Audited, changed_fields
from chat.models import AuditAction, AuditEntry, McpServer
from chat.run_event import now
from netra.testing import rebuild
from tests.chat.administering import ADDRESS, AUDIT, THREADS, USERS, browser, cell, found, page, staff, superuser, told

pytestmark = pytest.mark.django_db
PASSWORD, NEW = "correct horse battery", "a staple, a horse"


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


# What is written


def test_every_class_that_is_registered_tells_of_its_changes() -> None:
    for registered in admin.site._registry.values():
        assert isinstance(registered, Audited), registered


def test_an_application_of_somebody_else_s_is_told_of_too() -> None:
    class Plain(admin.ModelAdmin):  # type: ignore[type-arg]
        """As an application would write it."""

    admin.site.unregister(McpServer)
    try:
        admin.site.register(McpServer, Plain)
        root = superuser()
        servers = [McpServer.objects.create(name=name, state="idle", changed_at=now(), seen_at=now()) for name in "ab"]
        request: Any = type("Request", (), {"user": root, "META": {"REMOTE_ADDR": ADDRESS}})()
        registered = admin.site._registry[McpServer]
        registered.log_deletions(request, McpServer.objects.order_by("name"))
        assert told() == [("administration", root.pk, None, f"mcpserver {server.name}") for server in servers]
        assert LogEntry.objects.count() == 2
    finally:
        admin.site.unregister(McpServer)
        from chat.admin.servers import McpServerAdmin

        admin.site.register(McpServer, McpServerAdmin)


def test_several_at_once_are_an_entry_each() -> None:
    root = superuser()
    people = [get_user_model().objects.create_user(name) for name in ("ann", "bob")]
    chosen = {"action": "delete_selected", "_selected_action": [str(person.pk) for person in people], "post": "yes"}
    browser(root).post(USERS, chosen)
    entries = told(action="administration")
    assert sorted(entries) == [("administration", root.pk, person.pk, f"user {person.pk}") for person in people]
    assert LogEntry.objects.count() == 2
    assert {entry["address"] for entry in AuditEntry.objects.values("address")} <= {ADDRESS, ""}


def test_names_of_fields_are_told_and_values_are_not() -> None:
    root = superuser()
    group = Group.objects.create(name="Chiefs")
    browser(root).post(f"/admin/auth/group/{group.pk}/change/", {"name": "a secret name"})
    entry = AuditEntry.objects.get()
    assert entry.details == {"what": "changed", "fields": ["Name"]}
    assert (entry.target, entry.subject) == (f"group {group.pk}", None)
    assert "secret" not in json.dumps(list(AuditEntry.objects.values()), default=str)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ([{"changed": {"fields": ["A", "B"]}}], ["A", "B"]),
        ('[{"changed": {"fields": ["A"]}}]', ["A"]),
        ([{"added": {}}], []),
        ([{"changed": {"name": "n", "object": "a secret", "fields": ["C"]}}], ["C"]),
        ([{"added": {"name": "n", "object": "a secret"}}], []),
        ("free text of an application", []),
        ('"text"', []),
        ("", []),
        ([], []),
    ],
)
def test_of_what_django_says_only_names_of_fields_are_taken(message: Any, fields: list[str]) -> None:
    assert changed_fields(message) == fields


def test_signing_in_out_and_a_new_password_are_told() -> None:
    root = get_user_model().objects.create_superuser("root", password=PASSWORD)
    client = Client(REMOTE_ADDR=ADDRESS)
    client.post("/admin/login/", {"username": "root", "password": PASSWORD})
    client.post("/admin/password_change/", {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW})
    client.post("/admin/password_change/", {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW})
    client.post("/admin/logout/")
    client.post("/admin/logout/")
    assert told() == [(action, root.pk, root.pk, "") for action in ("sign_in", "password", "sign_out")]
    assert set(AuditEntry.objects.values_list("address", "details__where")) == {(ADDRESS, "administration")}


# How it is read


def write(number: int, action: AuditAction = AuditAction.SIGN_IN, **fields: Any) -> None:
    for _ in range(number):
        audit.record(action, **fields)


def test_the_log_is_read_with_names_newest_first() -> None:
    ann = get_user_model().objects.create_user("ann")
    write(1, actor=ann.pk, subject=ann.pk, address="192.0.2.9")
    write(1, AuditAction.EXPORT, actor=4711, subject=ann.pk, target="thread x", what="exported")
    text = page(browser(superuser()), AUDIT)
    assert cell(text, "done") == ["Export", "Sign in"]
    assert cell(text, "actor") == ["#4711", "ann"]
    assert cell(text, "subject") == ["ann", "ann"]
    assert cell(text, "target") == ["thread x", "-"]
    assert cell(text, "told") == ["what: exported", "-"]
    assert cell(text, "address") == ["-", "192.0.2.9"]
    entry = AuditEntry.objects.get(action="export")
    shown = page(browser(superuser("other")), f"{AUDIT}{entry.pk}/change/")
    assert "#4711" in shown
    assert "exported" in shown


def test_it_is_filtered_by_each_of_its_parts() -> None:
    ann, bob = (get_user_model().objects.create_user(name) for name in ("ann", "bob"))
    write(1, actor=ann.pk, subject=bob.pk)
    audit.record_refusal(AuditAction.CONNECT, "NO_TOKEN", subject=ann.pk, address="192.0.2.9")
    write(1, AuditAction.LOOK, actor=bob.pk, subject=ann.pk)
    first, second, third = AuditEntry.objects.order_by("id").values_list("pk", flat=True)
    client = browser(superuser())

    def ids(**query: str) -> list[int]:
        return [int(each) for each in found(client, AUDIT, **query)]

    assert ids() == [third, second, first]
    assert ids(action__exact="look") == [third]
    assert ids(refused="1") == [second]
    assert ids(refused="0") == [third, first]
    assert ids(actor="ann") == ids(actor=str(ann.pk)) == [first]
    assert ids(subject="ann") == [third, second]
    assert ids(subject="ann", actor="bob") == [third]
    assert ids(q="bob") == [third, first]
    assert ids(since=f"{now():%Y-%m-%d}") == [third, second, first]
    assert ids(until="2026-01-01") == []
    assert ids(actor="nobody of this name") == []
    for nonsense in ({"details__what": "x"}, {"address__startswith": "1"}):
        assert client.get(AUDIT, nonsense).status_code == 400


def test_names_of_people_who_are_gone_are_not_told() -> None:
    ann = get_user_model().objects.create_user("deleted:77", is_active=False)
    write(1, actor=ann.pk)
    assert cell(page(browser(superuser()), AUDIT), "actor") == [f"#{ann.pk}"]


def test_nobody_changes_the_log() -> None:
    write(1)
    entry = AuditEntry.objects.get()
    client = browser(superuser())
    for path in (f"{AUDIT}{entry.pk}/delete/", f"{AUDIT}add/"):
        assert client.get(path).status_code == 403
        assert client.post(path, {"post": "yes"}).status_code == 403
    client.post(AUDIT, {"action": "delete_selected", "_selected_action": [str(entry.pk)], "post": "yes"})
    client.post(f"{AUDIT}{entry.pk}/change/", {"action": "look"})
    assert told() == [("sign_in", None, None, "")]
    assert browser(staff("clerk", "chat.view_thread")).get(AUDIT).status_code == 403
    assert page(browser(staff("auditor", "chat.view_auditentry")), AUDIT)
    assert browser(staff("looker", "chat.view_auditentry")).get(THREADS).status_code == 403
