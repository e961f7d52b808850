"""What is done in the administration: by whom, only by POST, told in the audit log, and refused to others."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.test import AsyncClient, Client

from chat import removal
from chat.models import AuditEntry, Message, Run, UserCounters
from chat.publisher import Publisher
from chat.threads import ThreadService
from netra.testing import Netra, rebuild, receive
from tests.chat.administering import (
    ADDRESS,
    RUNS,
    THREADS,
    USERS,
    browser,
    ended,
    page,
    secrets_of,
    signed_in,
    staff,
    superuser,
    supporter,
    thread_service,
    told,
)
from tests.chat.holding import post

MANAGER = ("chat.view_run", "chat.change_run")


@pytest.fixture
def threads(db: None) -> ThreadService:
    rebuild()
    return thread_service()


@pytest.fixture
def ann(db: None) -> Any:
    return get_user_model().objects.create_user("ann")


def after(client: Client, path: str, **given: str) -> str:
    """Where the deed leads, with what is told there."""
    answer = client.post(path, given, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


# Runs


def test_staff_cancel_a_run_and_the_person_is_told_who_did(threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann)
    manager = staff("manager", *MANAGER)
    client = browser(manager)
    assert "Cancel the run" in page(client, f"{RUNS}{accepted.run_id}/change/")
    assert "The run is cancelled." in after(client, f"{RUNS}{accepted.run_id}/cancel/")
    run = Run.objects.get()
    assert (run.status, run.cancelled_by) == ("cancelled", "staff")
    assert run.events.get(type="agent_cancelled").data == {"by": "staff"}
    assert told() == [("administration", manager.pk, ann.pk, f"run {run.id}")]
    entry = AuditEntry.objects.get()
    assert (entry.details, entry.address) == ({"what": "cancelled"}, ADDRESS)
    assert "The run had ended already: cancelled." in after(client, f"{RUNS}{accepted.run_id}/cancel/")
    assert Run.objects.get().events.count() == 2


def test_the_run_behind_a_cancelled_one_begins(threads: ThreadService, ann: Any) -> None:
    first = post(threads, ann)
    second = post(threads, ann, thread_id=first.thread_id)
    assert Run.objects.get(id=second.run_id).job_id is None
    after(browser(superuser()), f"{RUNS}{first.run_id}/cancel/")
    assert Run.objects.get(id=second.run_id).job_id is not None


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_staff_try_a_run_again_in_its_person_s_name(threads: ThreadService, ann: Any, status: str) -> None:
    accepted = post(threads, ann, "A question")
    ended(accepted.run_id, status)
    manager = staff("manager", *MANAGER)
    text = after(browser(manager), f"{RUNS}{accepted.run_id}/retry/")
    again = Run.objects.get(run_number=2)
    assert f'It is asked again: <a href="{RUNS}{again.id}/change/">run #2</a>' in text
    assert (again.user_id, again.input_message.content, again.status) == (ann.pk, "A question", "queued")
    assert Message.objects.count() == 1
    assert told() == [("administration", manager.pk, ann.pk, f"run {accepted.run_id}")]


def test_what_the_service_refuses_is_told_and_nothing_is_done(threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann)
    client = browser(superuser())
    assert "RUN_ACTIVE: The question has an open run." in after(client, f"{RUNS}{accepted.run_id}/retry/")
    ended(accepted.run_id, "completed")
    assert "RUN_COMPLETED: It has its answer" in after(client, f"{RUNS}{accepted.run_id}/retry/")
    threads.delete_thread(ann.pk, uuid.UUID(accepted.thread_id))
    assert "RUN_NOT_FOUND" in after(client, f"{RUNS}{accepted.run_id}/retry/")
    assert Run.objects.count() == 1
    assert told(action="administration") == []


@pytest.mark.parametrize("deed", ["cancel", "retry"])
def test_runs_are_left_alone_by_who_may_only_look(threads: ThreadService, ann: Any, deed: str) -> None:
    accepted = post(threads, ann)
    if deed == "retry":
        ended(accepted.run_id, "failed")
    path = f"{RUNS}{accepted.run_id}/"
    clerk = browser(supporter())
    assert f"{path}{deed}/" not in page(clerk, f"{path}change/")
    assert clerk.post(f"{path}{deed}/").status_code == 403
    for client in (Client(), browser(ann)):
        assert client.post(f"{path}{deed}/")["Location"].startswith("/admin/login/")
    assert Run.objects.filter(status__in=("queued", "failed")).count() == 1
    assert told() == []


def deeds_of(run_id: str, thread_id: str, user_id: int) -> list[str]:
    return [
        f"{RUNS}{run_id}/cancel/",
        f"{RUNS}{run_id}/retry/",
        f"{THREADS}{thread_id}/export/md/",
        f"{USERS}{user_id}/sessions/",
        f"{USERS}{user_id}/active/",
        f"{USERS}{user_id}/export/",
    ]


def test_deeds_are_posted_and_with_a_token_of_the_page(threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann)
    root = superuser()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(root)
    for path in deeds_of(accepted.run_id, accepted.thread_id, ann.pk):
        assert browser(root).get(path).status_code == 405, path
        assert strict.post(path).status_code == 403, path
    assert told() == []
    assert Run.objects.get().status == "queued"


def test_there_is_nothing_to_do_to_what_there_is_not(threads: ThreadService) -> None:
    client = browser(superuser())
    for path in deeds_of(str(uuid.uuid4()), str(uuid.uuid4()), 10**6):
        assert client.post(path)["Location"] == "/admin/", path
    assert told() == []


# Threads


def test_a_thread_is_exported_as_its_person_would(threads: ThreadService, ann: Any) -> None:
    secrets = secrets_of(ann)
    reader = staff("reader", "chat.view_thread", "chat.view_content")
    client = browser(reader)
    text = client.post(f"{THREADS}{secrets.thread_id}/export/md/")
    assert text["Content-Type"].startswith("text/markdown")
    assert text["Content-Disposition"].startswith("attachment; filename=")
    assert secrets.words["answer"] in text.content.decode()
    data = client.post(f"{THREADS}{secrets.thread_id}/export/json/").json()
    assert [message["content"] for message in data["messages"]] == [secrets.words["question"], secrets.words["answer"]]
    entry = ("export", reader.pk, ann.pk, f"thread {secrets.thread_id}")
    assert told() == [entry, entry]
    assert client.post(f"{THREADS}{secrets.thread_id}/export/exe/").status_code == 302


# People


def me(token: str) -> int:
    return Client(headers={"Authorization": f"Bearer {token}"}).get("/api/me").status_code


def test_all_sessions_of_a_person_end(threads: ThreadService, ann: Any) -> None:
    token = signed_in(ann)
    manager = staff("manager", "auth.view_user", "auth.change_user")
    assert me(token) == 200
    assert "all sessions have ended" in after(browser(manager), f"{USERS}{ann.pk}/sessions/")
    assert me(token) == 401
    assert me(signed_in(ann)) == 200
    assert told(refused="") == [("sessions_ended", manager.pk, ann.pk, f"user {ann.pk}")]


def test_a_person_is_deactivated_and_activated(
    threads: ThreadService, ann: Any, django_capture_on_commit_callbacks: Any
) -> None:
    token = signed_in(ann)
    accepted = post(threads, ann)
    manager = staff("manager", "auth.view_user", "auth.change_user")
    client = browser(manager)
    assert "Deactivate" in page(client, f"{USERS}{ann.pk}/change/")
    with django_capture_on_commit_callbacks(execute=True):
        after(client, f"{USERS}{ann.pk}/active/", active="0")
    assert Run.objects.get(id=accepted.run_id).cancelled_by == "deactivated"
    assert not get_user_model().objects.get(pk=ann.pk).is_active
    assert me(token) == 401
    assert "Activate" in page(client, f"{USERS}{ann.pk}/change/")
    after(client, f"{USERS}{ann.pk}/active/", active="1")
    assert get_user_model().objects.get(pk=ann.pk).is_active
    assert me(token) == 401, "what ended stays ended"
    done = AuditEntry.objects.filter(refused="").order_by("id")
    assert [entry.details["what"] for entry in done] == ["deactivated", "activated"]


def test_several_people_are_deactivated_from_the_list_but_not_staff(threads: ThreadService, ann: Any) -> None:
    bob, chief = get_user_model().objects.create_user("bob"), superuser("chief")
    manager = staff("manager", "auth.view_user", "auth.change_user")
    chosen = [str(person.pk) for person in (ann, bob, chief, manager)]
    answer = browser(manager).post(USERS, {"action": "deactivate", "_selected_action": chosen}, follow=True)
    text = answer.content.decode()
    assert "ann, bob: deactivated." in text
    assert "only a superuser may: chief, manager." in text
    inactive = get_user_model().objects.filter(is_active=False)
    assert set(inactive.values_list("username", flat=True)) == {"ann", "bob"}
    assert [entry[2] for entry in told()] == [ann.pk, bob.pk]


@pytest.mark.parametrize("action", ["deactivate", "activate", "end_sessions", "delete_selected"])
def test_the_list_offers_nothing_to_who_may_only_look(threads: ThreadService, ann: Any, action: str) -> None:
    clerk = browser(supporter())
    assert f'value="{action}"' not in page(clerk, USERS)
    clerk.post(USERS, {"action": action, "_selected_action": [str(ann.pk)], "post": "yes"})
    assert get_user_model().objects.get(pk=ann.pk).is_active
    assert UserCounters.objects.filter(deleted_at__isnull=False).count() == 0
    assert told() == []


def test_a_person_is_erased_after_a_page_that_says_what_goes(threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann)
    signed_in(ann)
    root = superuser()
    text = page(browser(root), f"{USERS}{ann.pk}/delete/")
    assert "Erase ann?" in text
    for part in ("threads: 1", "messages: 1", "runs, with all their events: 1", "attached files: 0", "sessions: 1"):
        assert part in text, part
    assert "What stays" in text
    after(browser(root), f"{USERS}{ann.pk}/delete/", post="yes")
    assert Run.objects.get(id=accepted.run_id).status == "cancelled"
    assert UserCounters.objects.get(user=ann).deleted_at is not None
    assert told(action="account_deleted") == [("account_deleted", root.pk, ann.pk, f"user {ann.pk}")]
    assert browser(root).get(f"{USERS}{ann.pk}/delete/").status_code == 302


@pytest.mark.django_db(transaction=True)
async def test_everything_of_a_person_is_exported_as_long_as_who_asks_may_have_it() -> None:
    def prepare() -> tuple[Any, Any, Any]:
        rebuild()
        ann = get_user_model().objects.create_user("ann")
        reader = staff("reader", "auth.view_user", "chat.view_content")
        return ann, secrets_of(ann), reader

    ann, secrets, reader = await sync_to_async(prepare)()
    client = AsyncClient()
    await sync_to_async(client.force_login)(reader)
    path = f"{USERS}{ann.pk}/export/"
    answer: Any = await client.post(path)
    archive = b"".join([piece async for piece in answer.streaming_content])
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert json.loads(opened.read("profile.json"))["username"] == "ann"
        assert secrets.words["answer"] in opened.read("threads.json").decode()
    assert await sync_to_async(told)() == [("export", reader.pk, ann.pk, f"user {ann.pk}")]

    broken: Any = await client.post(path)
    pieces = broken.streaming_content
    await sync_to_async(get_user_model().objects.filter(pk=reader.pk).update)(is_staff=False)
    assert not zipfile.is_zipfile(io.BytesIO(b"".join([piece async for piece in pieces])))
    answer = await client.post(path)
    assert answer.status_code == 302


@pytest.mark.parametrize(
    "permissions", [("auth.view_user",), ("chat.view_content",), ("auth.view_user", "auth.change_user")]
)
def test_nobody_else_exports_a_person(threads: ThreadService, ann: Any, permissions: tuple[str, ...]) -> None:
    client = browser(staff("clerk", *permissions))
    assert client.post(f"{USERS}{ann.pk}/export/").status_code == 403
    assert told() == []


async def test_an_open_socket_of_a_deactivated_person_is_closed(netra: Netra) -> None:
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    root = await sync_to_async(superuser)()
    client = await sync_to_async(browser)(root)
    await sync_to_async(client.post)(f"{USERS}{ann.pk}/active/", {"active": "0"})
    assert (await receive(socket, "error_message"))["error_code"] in ("INVALID_TOKEN", "USER_INACTIVE")
    assert (await socket.receive_output())["code"] in (4401, 4403)


def test_what_deleted_people_have_left_is_out_of_reach(threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann)
    removal.delete_account(ann.pk, Publisher())
    client = browser(superuser())
    for path in deeds_of(accepted.run_id, accepted.thread_id, ann.pk):
        assert client.post(path)["Location"] == "/admin/", path
    assert told() == []
