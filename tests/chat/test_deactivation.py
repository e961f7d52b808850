"""Who is deactivated is out, by whatever way: sockets, runs, tokens; and is not in again with tokens of before."""

from __future__ import annotations

from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test import Client

from chat import deactivation, removal
from chat.api.serving import thread_service
from chat.models import CancelledBy, Run, Session
from chat.publisher import Publisher
from chat.run_event import now
from chat.sweep import sweep_runs
from chat.threads import ThreadService
from netra.testing import Netra, receive, send
from tests.admin_form import filled
from tests.chat.holding import claimed, fresh, post, posted
from tests.chat.test_api_sessions import REFRESH, me, refused
from tests.chat.test_api_sessions import post as ask
from tests.chat.test_approvals import paused
from tests.chat.test_rotation import assert_closed, begun, opened
from tests.chat.test_sessions import nothing_is_sent
from tests.chat.test_tasks import Scripted, begin


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def threads() -> ThreadService:
    return thread_service()


def by_save(user: Any) -> None:
    found = get_user_model().objects.get(pk=user.pk)
    found.is_active = False
    found.save()


def by_the_admin_form(user: Any, **changes: str | None) -> None:
    root = get_user_model().objects.filter(username="root").first()
    client = Client()
    client.force_login(root or get_user_model().objects.create_superuser("root"))
    path = f"/admin/auth/user/{user.pk}/change/"
    answer = client.post(path, filled(client.get(path).content.decode(), **(changes or {"is_active": None})))
    assert answer.status_code == 302, answer.content.decode()


def by_sql(user: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE auth_user SET is_active = false WHERE id = %s", [user.pk])


def new_password_by_the_admin_form(user: Any) -> None:
    root = get_user_model().objects.create_superuser("root")
    client = Client()
    client.force_login(root)
    path = f"/admin/auth/user/{user.pk}/password/"
    new = {"password1": "staple correct horse", "password2": "staple correct horse"}
    answer = client.post(path, filled(client.get(path).content.decode(), **new))
    assert answer.status_code == 302, answer.content.decode()


def new_password_by_save(user: Any) -> None:
    user.set_password("staple correct horse")
    user.save(update_fields=["password"])


def by_deletion(user: Any) -> None:
    get_user_model().objects.get(pk=user.pk).delete()


TOLD = [by_save, by_the_admin_form, new_password_by_the_admin_form, new_password_by_save, by_deletion]


# Sockets


@pytest.mark.usefixtures("layer")
@pytest.mark.parametrize("happens", TOLD)
async def test_sockets_are_told_at_once(netra: Netra, happens: Any) -> None:
    netra.chat.connections._check_seconds = 600.0
    ann, bob = await netra.user("ann"), await netra.user("bob")
    socket, sessionless = await opened(netra, (await begun(ann)).access), await netra.connect(ann)
    other = await netra.connect(bob)
    await database_sync_to_async(happens)(ann)
    for each in (socket, sessionless):
        await assert_closed(each)
    await send(other, type="ping")
    assert (await receive(other))["type"] == "pong"


async def test_what_nobody_is_told_is_found(netra: Netra, monkeypatch: pytest.MonkeyPatch) -> None:
    netra.chat.connections._check_seconds = 0.05
    monkeypatch.setattr(Publisher, "send", nothing_is_sent)
    ann = await netra.user("ann")
    socket = await opened(netra, (await begun(ann)).access)
    await database_sync_to_async(by_sql)(ann)
    await assert_closed(socket)


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["last_login", "email", "username"])
def test_what_decides_nothing_is_not_told(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    ann = get_user_model().objects.create_user("ann")
    told: list[Any] = []
    monkeypatch.setattr(Publisher, "send_on_commit", lambda *given: told.append(given))
    ann.last_login, ann.email, ann.username = now(), "ann@example.org", "anna"
    ann.save(update_fields=[field])
    get_user_model().objects.create_user("bob")
    assert told == []


# Runs


async def open_runs(service: ThreadService, user: Any) -> list[str]:
    """One that waits for its person, one that waits behind it, and one that runs."""
    waits = await paused(service, user)
    queued = await posted(service, user, thread_id=str(waits.thread_id))
    runs = await posted(service, user)
    await claimed(service.event_log, runs.run_id)
    return [str(waits.id), queued.run_id, runs.run_id]


@pytest.mark.parametrize("happens", [by_save, by_the_admin_form, by_sql])
async def test_open_runs_are_cancelled_and_no_others(service: ThreadService, ann: Any, bob: Any, happens: Any) -> None:
    mine, theirs = await open_runs(service, ann), await open_runs(service, bob)
    await database_sync_to_async(happens)(ann)
    if happens is by_sql:
        assert (await fresh(mine[0])).finished_at is None
        await database_sync_to_async(sweep_runs)()
    for run_id in mine:
        run = await fresh(run_id)
        assert (run.status, run.cancelled_by) == ("cancelled", CancelledBy.DEACTIVATED)
    for run_id in theirs:
        assert (await fresh(run_id)).finished_at is None


async def test_a_worker_stops_at_once(netra: Netra) -> None:
    netra.use_agents((scripted := Scripted()).agent)
    ann = await netra.user("ann")
    run_id = (await begin(await netra.connect(ann)))["run_id"]
    await scripted.waiting.wait()
    await database_sync_to_async(by_save)(ann)
    await scripted.cancelled.wait()
    assert (await netra.run_in_state(run_id, "cancelled")).cancelled_by == "deactivated"


@pytest.mark.django_db(transaction=True)
def test_what_fails_afterwards_is_made_up_for(threads: ThreadService, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = get_user_model().objects.create_user("ann")
    run_id = post(threads, ann).run_id

    def lost(*_: Any) -> None:
        raise RuntimeError("the process is lost")

    with monkeypatch.context() as patch:
        patch.setattr(deactivation, "shut_out", lost)
        by_save(ann)
    assert not get_user_model().objects.get(pk=ann.pk).is_active
    sweep_runs()
    assert Run.objects.get(id=run_id).cancelled_by == "deactivated"


# Tokens


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("happens", [by_save, by_the_admin_form])
def test_who_is_activated_again_signs_in_again(client: Client, happens: Any) -> None:
    ann = get_user_model().objects.create_user("ann", password="correct horse battery")
    tokens = ask(client, "/api/auth/token", {"username": "ann", "password": "correct horse battery"}).json()
    happens(ann)
    refused(me(client, tokens["access"]), 401, "USER_INACTIVE")
    refused(ask(client, REFRESH, {"refresh": tokens["refresh"]}), 401, "INVALID_TOKEN")
    if happens is by_save:
        ann.refresh_from_db()
        ann.is_active = True
        ann.save()
    else:
        by_the_admin_form(ann, is_active="on")
    assert Session.objects.get().ended_by == "all"
    refused(me(client, tokens["access"]), 401, "INVALID_TOKEN")
    refused(ask(client, REFRESH, {"refresh": tokens["refresh"]}), 401, "INVALID_TOKEN")
    again = ask(client, "/api/auth/token", {"username": "ann", "password": "correct horse battery"}).json()
    assert me(client, again["access"]).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_an_activation_that_is_not_committed_changes_nothing(threads: ThreadService) -> None:
    ann = get_user_model().objects.create_user("ann")
    run_id = post(threads, ann).run_id
    with transaction.atomic():
        by_save(ann)
        transaction.set_rollback(True)
    assert Run.objects.get(id=run_id).finished_at is None


@pytest.mark.django_db(transaction=True)
def test_a_deactivation_and_a_deletion_at_once_do_not_wait_for_each_other(threads: ThreadService, at_once: Any) -> None:
    for number in range(10):
        ann = get_user_model().objects.create_user(f"ann-{number}")
        post(threads, ann)

        def deactivate(user: Any = ann) -> None:
            by_save(user)

        def delete(user: Any = ann) -> None:
            removal.delete_account(user.pk, Publisher())

        at_once([deactivate, delete])
        assert not Run.objects.filter(user=ann, finished_at=None).exists()
