"""The end of an account: out of reach at once, removed in steps that any sweep goes on with, nothing left."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection, models, transaction
from django.test import Client
from rest_framework_simplejwt.tokens import RefreshToken

from agents.account import ModelRequestRecord
from chat import removal, retention
from chat.account import Account
from chat.errors import ChatError, ErrorCode
from chat.event_log import RunFenced
from chat.models import (
    Approval,
    Message,
    MessageFeedback,
    ModelRequest,
    Note,
    Preferences,
    Run,
    RunEvent,
    RunStatus,
    SessionKind,
    Thread,
    UserCounters,
)
from chat.protocol import MessageAccepted, UserMessage
from chat.publisher import Publisher
from chat.rotation import Origin, begin
from chat.run_event import now
from chat.threads import ThreadService
from chat.tokens import AccessToken
from tests.chat.holding import answered, chunk, claimed, completed, fresh, post, posted
from tests.chat.test_api_sessions import ME, REFRESH, me, refused
from tests.chat.test_api_sessions import post as ask

PASSWORD = "correct horse battery"


@database_sync_to_async
def delete(user: Any) -> bool:
    return removal.delete_account(user.pk, Publisher())


def steps_to_the_end() -> list[int]:
    return list(iter(removal.remove_deleted, 0))


remove_all = database_sync_to_async(steps_to_the_end)


def rows_about(user: Any) -> dict[str, int]:
    """How many rows of which tables refer to a user, or to what is the user's, over any number of tables."""
    found: dict[str, int] = {}
    for model in apps.get_models():
        for path in _paths_to_user(model):
            if number := model._default_manager.filter(**{path: user.pk}).count():
                found[f"{model.__name__}.{path}"] = number
    return found


def _paths_to_user(model: type[models.Model]) -> list[str]:
    direct = [f for f in model._meta.fields if f.is_relation]
    paths = [f.attname for f in direct if f.related_model is get_user_model()]
    paths += [f"{f.name}__user_id" for f in direct if f.related_model in (Thread, Run, Message)]
    return paths + (["pk"] if model is get_user_model() else [])


async def everything_of(service: ThreadService, user: Any) -> str:
    """A person with something of each kind. Returns a run that waits for its holder."""
    log = service.event_log
    first = await posted(service, user, "What is 6 * 7?")
    await answered(log, first.run_id, "42")
    again = await posted(service, user, "And 7 * 7?", thread_id=first.thread_id)
    await answered(log, again.run_id, "49")
    await posted(service, user, "Another", thread_id=first.thread_id, edits=again.message_id)
    await _rows(user, first.run_id)
    return (await posted(service, user, "What waits?")).run_id


@database_sync_to_async
def _rows(user: Any, run_id: str) -> None:
    run = Run.objects.get(id=run_id)
    assert run.output_message is not None
    MessageFeedback.objects.create(message=run.output_message, rating="up", updated_at=now())
    Note.objects.create(user=user, content="I live in Lisbon", created_at=now())
    Preferences.objects.create(user=user, default_agent="data")
    Approval.objects.create(
        run=run, tool_call_id="c", agent="data", tool="t", arguments={}, created_at=now(), expires_at=now()
    )
    ModelRequest.objects.create(
        user=user,
        thread=run.thread,
        run=run,
        agent="data",
        model="m",
        outcome="completed",
        duration_ms=1,
        started_at=now(),
    )
    kind = ContentType.objects.get_for_model(get_user_model())
    LogEntry.objects.create(
        user=user, content_type=kind, object_id=str(user.pk), object_repr=user.username, action_flag=CHANGE
    )
    begin(user, SessionKind.PROGRAM, Origin("a browser", "10.0.0.1"))
    RefreshToken.for_user(user)  # of a release before sessions
    user.groups.create(name=f"group of {user.username}")


# At once


async def test_at_once_nothing_can_be_reached_and_runs_are_ended(service: ThreadService, ann: Any, bob: Any) -> None:
    waiting = await everything_of(service, ann)
    theirs = await posted(service, bob)
    held = await claimed(service.event_log, waiting)
    assert await delete(ann)
    assert (await fresh(waiting)).status == RunStatus.CANCELLED
    assert not await database_sync_to_async(
        Run.objects.filter(user=ann, status__in=("queued", "running", "awaiting_approval")).exists
    )()
    with pytest.raises(RunFenced):
        await service.event_log.append(held, [chunk("late")])
    with pytest.raises(ChatError) as error:
        await posted(service, ann, "still here")
    assert error.value.code == ErrorCode.USER_INACTIVE
    await database_sync_to_async(ann.refresh_from_db)()
    assert (ann.is_active, ann.email, ann.has_usable_password()) == (False, "", False)
    assert "ann" not in ann.username
    assert (await fresh(theirs.run_id)).status == RunStatus.QUEUED
    assert not await delete(ann), "once"


async def test_every_row_is_removed_and_nothing_of_others(service: ThreadService, ann: Any, bob: Any) -> None:
    for user in (ann, bob):
        await everything_of(service, user)
    before = await database_sync_to_async(rows_about)(bob)
    assert await database_sync_to_async(rows_about)(ann) == before
    assert len(before) >= 15, before
    await delete(ann)
    assert await remove_all()
    assert await database_sync_to_async(rows_about)(ann) == {}
    assert await database_sync_to_async(rows_about)(bob) == before


async def test_a_step_is_bounded_and_another_process_goes_on(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "EVENTS_BATCH", 5)
    monkeypatch.setattr(removal, "RUNS_BATCH", 2)
    monkeypatch.setattr(removal, "ROWS_BATCH", 3)
    await everything_of(service, ann)
    run = (await posted(service, ann)).run_id
    held = await claimed(service.event_log, run)
    await service.event_log.append(held, [chunk(str(number)) for number in range(23)])
    await delete(ann)
    left = [await database_sync_to_async(left_of)(ann)]
    while await database_sync_to_async(removal.remove_deleted)():  # each as if by a process of its own
        left.append(await database_sync_to_async(left_of)(ann))
    assert left[-1] == 0
    # A run goes with its approvals, a message with its feedback.
    assert max(before - after for before, after in itertools.pairwise(left)) <= 8
    assert len(left) > 12


def left_of(user: Any) -> int:
    kinds: list[Any] = [Run, Message, Thread, Note, ModelRequest]
    counts: list[int] = [kind.objects.filter(user=user).count() for kind in kinds]
    return RunEvent.objects.filter(run__user=user).count() + sum(counts)


async def test_a_step_that_fails_half_way_is_done_again(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await everything_of(service, ann)
    await delete(ann)
    steps = removal.STEPS
    dies = (*steps[:3], _dies)
    with monkeypatch.context() as patch:
        patch.setattr(removal, "STEPS", dies)
        with pytest.raises(MemoryError):
            await remove_all()
    await remove_all()
    assert await database_sync_to_async(rows_about)(ann) == {}


def _dies(_: Any) -> int:
    raise MemoryError("the process dies")


async def test_two_sweeps_do_not_wait_for_each_other(
    service: ThreadService, ann: Any, bob: Any, at_once: Callable[[list[Callable[[], int]]], list[int]]
) -> None:
    for user in (ann, bob):
        await everything_of(service, user)
        await delete(user)
    both_hold_one = threading.Barrier(2)

    def meet(user_id: Any) -> int:
        both_hold_one.wait(timeout=10)
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removal, "STEPS", (meet,))
        patch.setattr(get_user_model(), "delete", lambda _: None)
        assert await database_sync_to_async(at_once)([removal.remove_deleted] * 2) == [1, 1]


def test_the_sweep_removes_what_is_deleted(service: ThreadService, ann: Any) -> None:
    post(service, ann)
    removal.delete_account(ann.pk, Publisher())
    retention.tidy_up()
    assert rows_about(ann) == {}


@pytest.mark.usefixtures("service")
def test_what_somebody_else_holds_on_to_does_not_stop_the_sweep(
    ann: Any, bob: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for user in (ann, bob):
        removal.delete_account(user.pk, Publisher())
    deleted = get_user_model().delete

    def protected(user: Any) -> Any:
        if user.pk == ann.pk:
            raise models.ProtectedError("held", set())
        return deleted(user)

    monkeypatch.setattr(get_user_model(), "delete", protected)
    while get_user_model().objects.filter(pk=bob.pk).exists():
        retention.tidy_up()
    assert get_user_model().objects.filter(pk=ann.pk).exists()


# While others write


async def test_a_holder_that_writes_on_and_on_leaves_nothing(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    run_id = (await posted(service, ann)).run_id
    held = await claimed(log, run_id)
    await log.append(held, [chunk("a")])
    await delete(ann)
    await remove_all()
    with pytest.raises(RunFenced):
        await log.append(held, [chunk("b")])
    with pytest.raises(RunFenced):
        await log.finish(held, completed(), pending=[chunk("c")])
    assert await database_sync_to_async(rows_about)(ann) == {}


async def test_what_a_last_request_to_a_model_has_cost_is_not_kept(
    service: ThreadService, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = await fresh((await posted(service, ann)).run_id)
    await delete(ann)
    account = Account(service.event_log.pool)
    await account.record(_request(), user_id=ann.pk, thread_id=run.thread_id, run_id=run.id)
    await remove_all()
    await account.record(_request(), user_id=ann.pk, thread_id=run.thread_id, run_id=run.id)
    await account.close()
    assert await database_sync_to_async(rows_about)(ann) == {}
    assert not await database_sync_to_async(ModelRequest.objects.exists)()
    assert "model_request_not_recorded" not in caplog.text


def _request() -> ModelRequestRecord:
    return ModelRequestRecord(
        agent="data", model="m", provider="p", outcome="cancelled", duration_ms=1, started_at=now()
    )


def test_a_message_that_is_being_posted_is_ended_with_the_account_or_refused(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account is deleted while the message has the lock: deletion waits, and finds its run."""
    deleting = threading.Thread(target=_delete_elsewhere, args=[ann])
    begin_run = service._begin

    def begin_while_deleting(*arguments: Any) -> MessageAccepted:
        deleting.start()
        _until_somebody_waits()
        return begin_run(*arguments)

    monkeypatch.setattr(service, "_begin", begin_while_deleting)
    accepted = post(service, ann)
    deleting.join(timeout=10)
    assert Run.objects.get(id=accepted.run_id).status == RunStatus.CANCELLED
    with pytest.raises(ChatError, match="USER_INACTIVE"):
        service.post_message(ann.pk, UserMessage(type="user_message", content="again"))


def _delete_elsewhere(user: Any) -> None:
    removal.delete_account(user.pk, Publisher())
    connection.close()


def _until_somebody_waits() -> None:
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return


def test_a_row_that_is_being_written_while_the_last_step_is_done_is_not_left_behind(
    service: ThreadService, ann: Any
) -> None:
    removal.delete_account(ann.pk, Publisher())

    def write_while_it_is_removed() -> None:
        with transaction.atomic():
            Note.objects.create(user=ann, content="late", created_at=now())
            removing = threading.Thread(target=_remove_elsewhere)
            removing.start()
            removing.join(timeout=10)
            assert not removing.is_alive(), "it does not wait for us"

    with pytest.raises(IntegrityError):
        write_while_it_is_removed()
    assert rows_about(ann) == {}


def _remove_elsewhere() -> None:
    steps_to_the_end()
    connection.close()


def test_a_title_of_a_deleted_person_is_not_wanted(service: ThreadService, ann: Any) -> None:
    accepted = post(service, ann)
    removal.delete_account(ann.pk, Publisher())
    assert not service.name_thread(ann.pk, accepted.thread_id, "A title")  # type: ignore[arg-type]
    steps_to_the_end()
    assert not service.name_thread(ann.pk, accepted.thread_id, "A title")  # type: ignore[arg-type]
    with pytest.raises(ChatError, match="USER_INACTIVE"):
        service.create_thread(ann.pk, "")
    assert not UserCounters.objects.exists()


# Over REST


def delete_me(client: Client, user: Any, password: str = PASSWORD) -> Any:
    headers = {"Authorization": f"Bearer {AccessToken.for_user(user)}"}
    return client.delete(ME, {"password": password}, content_type="application/json", headers=headers)


@pytest.fixture
def carol(transactional_db: None) -> Any:
    return get_user_model().objects.create_user("carol", "carol@example.org", PASSWORD)


def test_who_knows_the_password_deletes_the_account(client: Client, service: ThreadService, carol: Any) -> None:
    tokens = ask(client, "/api/auth/token", {"username": "carol", "password": PASSWORD}).json()
    refused(delete_me(client, carol, "no"), 403, "WRONG_PASSWORD")
    refused(ask(client, ME, {}), 401, "NO_TOKEN")
    answer = delete_me(client, carol)
    assert (answer.status_code, answer.content, answer.cookies["netra_refresh"].value) == (204, b"", "")
    refused(me(client, tokens["access"]), 401, "USER_INACTIVE")
    refused(ask(client, REFRESH, {"refresh": tokens["refresh"]}), 401, "INVALID_TOKEN")
    refused(ask(client, "/api/auth/token", {"username": "carol", "password": PASSWORD}), 401, "INVALID_CREDENTIALS")
    steps_to_the_end()
    refused(me(client, tokens["access"]), 401, "INVALID_TOKEN")


def test_the_name_is_free_again_at_once(client: Client, service: ThreadService, carol: Any, settings: Any) -> None:
    settings.NETRA = settings.NETRA.model_copy(update={"registration": "open"})
    delete_me(client, carol)
    given = {"username": "Carol", "email": "carol@example.org", "password": PASSWORD}
    tokens = ask(client, "/api/auth/register", given).json()
    steps_to_the_end()
    assert me(client, tokens["access"]).json()["username"] == "Carol"


@pytest.mark.parametrize("body", [{}, {"password": ""}, {"password": 7}, []])
def test_without_a_password_nothing_is_deleted(client: Client, carol: Any, body: Any) -> None:
    headers = {"Authorization": f"Bearer {AccessToken.for_user(carol)}"}
    refused(client.delete(ME, body, content_type="application/json", headers=headers), 400, "INVALID_MESSAGE")
    assert me(client, str(AccessToken.for_user(carol))).status_code == 200


@pytest.fixture
def admin_client(client: Client, transactional_db: None) -> Client:
    client.force_login(get_user_model().objects.create_superuser("root", password=PASSWORD))
    return client


@pytest.mark.parametrize("way", ["one", "selected"])
def test_the_administration_deletes_in_the_same_way(
    admin_client: Client, service: ThreadService, ann: Any, way: str
) -> None:
    accepted = post(service, ann, "a secret of ann's")
    users = "/admin/auth/user/"
    if way == "one":
        page = admin_client.get(f"{users}{ann.pk}/delete/")
        assert page.status_code == 200
        assert "messages: 1" in page.content.decode()
        admin_client.post(f"{users}{ann.pk}/delete/", {"post": "yes"})
    else:
        chosen = {"action": "delete_selected", "_selected_action": [str(ann.pk)], "post": "yes"}
        admin_client.post(users, chosen)
    assert Run.objects.get(id=accepted.run_id).status == RunStatus.CANCELLED
    assert UserCounters.objects.get(user=ann).deleted_at is not None
    assert "deleted:" not in admin_client.get(users).content.decode()
    for path in (
        "/admin/chat/thread/",
        "/admin/chat/run/",
        "/admin/chat/modelrequest/",
        "/admin/chat/messagefeedback/",
    ):
        assert "ann" not in admin_client.get(path).content.decode().partition("result_list")[2]
    assert admin_client.get(f"/admin/chat/thread/{accepted.thread_id}/change/").status_code == 302
    retention.tidy_up()
    assert rows_about(ann) == {}
    assert not LogEntry.objects.filter(object_repr__contains="ann").exists()
