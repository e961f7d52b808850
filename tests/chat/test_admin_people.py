"""Users in the administration: what they do and may use, and that nobody raises themselves, or gets into an account."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client

from chat import sessions
from chat.models import Allowance, AuditEntry, ModelRequest, Session, UserCounters
from chat.publisher import Publisher
from chat.run_event import now
from netra.testing import rebuild
from tests.chat.administering import (
    USERS,
    browser,
    cell,
    ended,
    found,
    page,
    signed_in,
    staff,
    superuser,
    supporter,
    thread_service,
    told,
)
from tests.chat.holding import post

pytestmark = pytest.mark.django_db
MANAGER = ("auth.view_user", "auth.change_user", "auth.add_user", "auth.delete_user")
NEW = "a staple, a horse"


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann", email="ann@example.org")


def form(user: Any, **changed: Any) -> dict[str, Any]:
    """What the form of a person sends."""
    given = {
        "username": user.username,
        "email": user.email,
        "first_name": "",
        "last_name": "",
        "is_active": "on",
        "identity_links-TOTAL_FORMS": "0",
        "identity_links-INITIAL_FORMS": "0",
        "chat_allowance-TOTAL_FORMS": "1",
        "chat_allowance-INITIAL_FORMS": "0",
        "chat_allowance-0-user": str(user.pk),
    } | changed
    return {name: value for name, value in given.items() if value is not None}


def change(client: Client, user: Any, **changed: Any) -> Any:
    return client.post(f"{USERS}{user.pk}/change/", form(user, **changed))


def fresh(user: Any) -> Any:
    return get_user_model().objects.get(pk=user.pk)


# What they do


def test_people_are_listed_with_what_they_do_and_spend(ann: Any) -> None:
    service = thread_service()
    for _ in range(3):
        accepted = post(service, ann)
    ended(accepted.run_id, "completed")
    for days, cost in ((0, "0.25"), (29, "1.25"), (31, "100")):
        ModelRequest.objects.create(
            user=ann,
            agent="a",
            model="m",
            outcome="completed",
            input_tokens=1000,
            output_tokens=500,
            cost_usd=cost,
            duration_ms=1,
            started_at=now() - datetime.timedelta(days=days),
        )
    signed_in(ann)
    sessions.end_all(ann.pk, Publisher())
    signed_in(ann)
    get_user_model().objects.create_user("bob", is_active=False)
    text = page(browser(superuser()), USERS)
    assert cell(text, "username") == ["ann", "bob", "root"]
    assert cell(text, "standing") == ["-", "inactive", "superuser"]
    assert cell(text, "runs_today") == ["3", "0", "0"]
    assert cell(text, "open_runs") == ["2", "0", "0"]
    assert cell(text, "tokens") == ["3,000", "0", "0"]
    assert cell(text, "cost") == ["$1.50", "$0.00", "$0.00"]
    last = Session.objects.order_by("last_used_at").last()
    assert last is not None
    assert cell(text, "last_activity") == [f"{last.last_used_at:%Y-%m-%d %H:%M:%S}", "-", "-"]
    assert cell(text, "open_sessions") == ["1", "0", "0"]


def test_people_are_found_and_those_who_are_gone_are_not(ann: Any) -> None:
    client = browser(superuser())
    bob = get_user_model().objects.create_user("bob")
    assert found(client, USERS, q="ann@") == [str(ann.pk)]
    assert found(client, USERS, is_superuser__exact="0") == [str(ann.pk), str(bob.pk)]
    UserCounters.objects.update_or_create(user=bob, defaults={"deleted_at": now()})
    assert str(bob.pk) not in found(client, USERS)
    assert client.get(f"{USERS}{bob.pk}/change/").status_code == 302


def test_a_person_s_page_tells_what_is_used_and_allowed(ann: Any) -> None:
    Allowance.objects.create(user=ann, runs_per_day=2)
    post(thread_service(), ann)
    post(thread_service(), ann)
    text = " ".join(page(browser(superuser()), f"{USERS}{ann.pk}/change/").split())
    assert '<dt>Runs per day</dt><dd>2 of 2 <span class="badge badge-waits">nearly used</span></dd>' in text
    assert "<dt>Tokens per day</dt><dd>0</dd>" in text
    assert f'href="/admin/chat/thread/?user__id__exact={ann.pk}"' in text
    signed_in(ann)
    text = page(browser(superuser("other")), f"{USERS}{ann.pk}/change/")
    assert "a program" in text
    assert "192.0.2.9" in text


# What they may use


def test_allowances_are_given_in_the_form_and_told_without_values(ann: Any) -> None:
    root = superuser()
    client = browser(root)
    answer = change(client, ann, **{"chat_allowance-0-runs_per_day": "7", "chat_allowance-0-cost_usd_per_day": "1.5"})
    assert answer.status_code == 302, answer.context["errors"]
    given = Allowance.objects.get()
    assert (given.user_id, given.runs_per_day, given.cost_usd_per_day, given.open_runs) == (
        ann.pk,
        7,
        Decimal("1.5"),
        None,
    )
    again = {"chat_allowance-INITIAL_FORMS": "1", "chat_allowance-0-runs_per_day": "8"}
    assert change(client, ann, **again).status_code == 302
    assert Allowance.objects.get().runs_per_day == 8
    entries = list(AuditEntry.objects.order_by("id").values_list("actor", "subject", "target", "details"))
    assert [entry[:3] for entry in entries] == [(root.pk, ann.pk, f"user {ann.pk}")] * 2
    assert entries[1][3] == {"what": "changed", "fields": ["Runs per day", "Cost usd per day"]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("runs_per_day", "-1"),
        ("open_runs", "0"),
        ("connections", "0"),
        ("messages_per_minute", "1000001"),
        ("tokens_per_day", "many"),
        ("cost_usd_per_day", "-0.1"),
        ("runs_per_day", str(2**31)),
    ],
)
def test_an_impossible_allowance_is_refused(ann: Any, field: str, value: str) -> None:
    answer = change(browser(superuser()), ann, **{f"chat_allowance-0-{field}": value})
    assert answer.status_code == 200
    assert not Allowance.objects.exists()


def test_who_may_not_give_allowances_gives_none(ann: Any) -> None:
    client = browser(staff("manager", *MANAGER))
    assert "chat_allowance-0" not in page(client, f"{USERS}{ann.pk}/change/")
    assert change(client, ann, **{"chat_allowance-0-runs_per_day": "7"}).status_code == 302
    assert not Allowance.objects.exists()
    giver = browser(staff("giver", *MANAGER, "chat.view_allowance", "chat.add_allowance"))
    assert change(giver, ann, **{"chat_allowance-0-runs_per_day": "7"}).status_code == 302
    assert Allowance.objects.get().runs_per_day == 7


# Who may change whom


def test_the_form_deactivates_and_ends_sessions(ann: Any, django_capture_on_commit_callbacks: Any) -> None:
    token = signed_in(ann)
    manager = staff("manager", *MANAGER)
    with django_capture_on_commit_callbacks(execute=True):
        assert change(browser(manager), ann, is_active=None).status_code == 302
    assert not fresh(ann).is_active
    assert fresh(ann).chat_counters.sessions_epoch == 1
    assert told() == [("administration", manager.pk, ann.pk, f"user {ann.pk}")]
    assert AuditEntry.objects.get().details == {"what": "changed", "fields": ["Active"]}
    assert Client(headers={"Authorization": f"Bearer {token}"}).get("/api/me").status_code == 401


def raises(user: Any) -> bool:
    """Whether the person may do anything here."""
    return bool(user.is_staff or user.is_superuser or user.groups.exists() or user.user_permissions.exists())


RAISING = {"is_staff": "on", "is_superuser": "on", "groups": ["{group}"], "user_permissions": ["{permission}"]}


@pytest.mark.parametrize("field", RAISING)
def test_nobody_but_a_superuser_raises_anybody(ann: Any, field: str) -> None:
    group = Group.objects.create(name="Chiefs")
    permission = Permission.objects.get(codename="view_content")
    given = RAISING[field]
    value = (
        [each.format(group=group.pk, permission=permission.pk) for each in given] if isinstance(given, list) else given
    )
    manager = staff("manager", *MANAGER, "auth.view_group", "auth.change_group", "auth.add_group", "chat.view_content")
    assert change(browser(manager), ann, **{field: value}).status_code == 302
    raised = fresh(ann)
    assert not raises(raised)
    assert change(browser(superuser()), ann, **{field: value}).status_code == 302
    raised = fresh(ann)
    assert raises(raised)


@pytest.mark.parametrize("whom", ["themselves", "staff", "superuser"])
def test_nobody_but_a_superuser_changes_an_account_of_staff(whom: str) -> None:
    manager = staff("manager", *MANAGER, "chat.view_content")
    user = {"themselves": manager, "staff": staff("other"), "superuser": superuser()}[whom]
    client = browser(manager)
    path = f"{USERS}{user.pk}/"
    assert page(client, f"{path}change/")
    assert change(client, user, email="mine@example.org").status_code == 403
    assert client.get(f"{path}password/").status_code == 403
    assert client.post(f"{path}password/", {"password1": NEW, "password2": NEW}).status_code == 403
    assert client.get(f"{path}delete/").status_code == 403
    assert client.post(f"{path}delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [str(user.pk)], "post": "yes"}
    assert client.post(USERS, chosen).status_code == 403
    for deed in ("sessions", "active"):
        assert client.post(f"{path}{deed}/", {"active": "0"}).status_code == 403
    assert fresh(user).email == user.email
    assert fresh(user).password == user.password
    assert fresh(user).is_active
    assert told() == []


def test_a_new_user_is_no_staff_whatever_is_sent(ann: Any) -> None:
    client = browser(staff("manager", *MANAGER))
    given = {
        "username": "new",
        "usable_password": "true",
        "password1": NEW,
        "password2": NEW,
        "is_staff": "on",
        "is_superuser": "on",
    }
    assert client.post(f"{USERS}add/", given).status_code == 302
    made = get_user_model().objects.get(username="new")
    assert not raises(made)
    assert told()[-1][0] == "administration"
    assert AuditEntry.objects.get().details["what"] == "added"


@pytest.mark.parametrize("permission", ["auth.change_group", "auth.add_group", "auth.delete_group"])
def test_groups_are_changed_by_superusers_alone(permission: str) -> None:
    group = Group.objects.create(name="Chiefs")
    manager = staff("manager", "auth.view_group", permission)
    client = browser(manager)
    granted = [str(Permission.objects.get(codename="view_content").pk)]
    assert (
        client.post(f"/admin/auth/group/{group.pk}/change/", {"name": "x", "permissions": granted}).status_code == 403
    )
    assert client.post("/admin/auth/group/add/", {"name": "x", "permissions": granted}).status_code == 403
    assert client.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"}).status_code == 403
    assert list(Group.objects.values_list("name", flat=True)) == ["Chiefs"]
    answer = browser(superuser()).post(f"/admin/auth/group/{group.pk}/change/", {"name": "x", "permissions": granted})
    assert answer.status_code == 302
    assert group.permissions.count() == 1


# A way into an account is a way to what is written in it


def test_a_password_or_an_address_is_set_by_who_may_read(ann: Any) -> None:
    client = browser(staff("manager", *MANAGER))
    text = page(client, f"{USERS}{ann.pk}/change/")
    assert "../password/" not in text
    assert 'name="email"' not in text
    assert client.get(f"{USERS}{ann.pk}/password/").status_code == 403
    assert client.post(f"{USERS}{ann.pk}/password/", {"password1": NEW, "password2": NEW}).status_code == 403
    assert change(client, ann, email="mine@example.org").status_code == 302
    assert (fresh(ann).email, fresh(ann).password) == ("ann@example.org", ann.password)

    reader = staff("reader", *MANAGER, "chat.view_content")
    client = browser(reader)
    assert change(client, ann, email="new@example.org").status_code == 302
    given = {"usable_password": "true", "password1": NEW, "password2": NEW, "set-password": "1"}
    assert client.post(f"{USERS}{ann.pk}/password/", given).status_code == 302
    assert fresh(ann).email == "new@example.org"
    assert fresh(ann).check_password(NEW)
    assert NEW not in str(list(AuditEntry.objects.values()))
    assert [entry[:3] for entry in told(actor=reader.pk)] == [("administration", reader.pk, ann.pk)] * 2


def test_support_staff_look_and_change_nothing(ann: Any) -> None:
    client = browser(supporter())
    assert cell(page(client, USERS), "username") == ["ann", "clerk"]
    text = page(client, f"{USERS}{ann.pk}/change/")
    for offered in ('name="_save"', "Export everything", "Deactivate", "End all sessions", "../password/"):
        assert offered not in text
    assert change(client, ann, first_name="x").status_code == 403


# Who somebody is at an identity provider


LINK = {
    "identity_links-TOTAL_FORMS": "1",
    "identity_links-0-provider": "https://login.example.org",
    "identity_links-0-subject": "7f3c",
}


@pytest.mark.parametrize("who", ["superuser", "manager"])
def test_only_a_superuser_links_people_to_identities(ann: Any, who: str) -> None:
    """Whoever can do so can be anybody."""
    asker = superuser() if who == "superuser" else staff("manager", *MANAGER)
    page = browser(asker).get(f"/admin/auth/user/{ann.pk}/change/").content.decode()
    assert ("identity_links-TOTAL_FORMS" in page) == (who == "superuser")
    assert change(browser(asker), ann, **LINK).status_code == 302
    assert ann.identity_links.count() == (1 if who == "superuser" else 0)
