"""The admin pages: what administrators find and see, that they cannot change it, and that it cannot harm them."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable
from typing import Any, cast

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape
from rest_framework_simplejwt.tokens import RefreshToken

from chat.admin import MAX_DATA_CHARACTERS
from chat.apps import ChatConfig
from chat.models import Message, Run, RunEvent, Thread
from chat.run_event import now
from chat.threads import ThreadService
from netra.testing import rebuild
from tests.chat.holding import post

pytestmark = pytest.mark.django_db

THREADS, RUNS, USERS = "/admin/chat/thread/", "/admin/chat/run/", "/admin/auth/user/"
# What a template would make of it is 98766.
HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)>"'{{ 98765|add:1 }}{% debug %}</table><b>bold</b>"""


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


@pytest.fixture
def threads() -> ThreadService:
    service = cast("ChatConfig", apps.get_app_config("chat")).thread_service
    assert service is not None
    service.max_open_runs = 1000
    return service


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def root() -> Client:
    """A superuser's browser."""
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    return client


def ended(run_id: str, status: str, **fields: Any) -> None:
    began = now()
    Run.objects.filter(id=run_id).update(
        status=status, started_at=began, finished_at=began + datetime.timedelta(seconds=1.25), **fields
    )


def page(client: Client, path: str, query: dict[str, str] | None = None) -> str:
    answer = client.get(path, query)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def found(client: Client, path: str, **query: str) -> list[str]:
    """The ids of a list's rows."""
    rows = re.findall(rf'<a href="{path}([0-9a-f-]+)/change/', page(client, path, query))
    return list(dict.fromkeys(rows))


# Lists


def test_the_front_page_offers_threads_runs_and_users_and_no_tokens(root: Client) -> None:
    text = page(root, "/admin/")
    for path in (THREADS, RUNS, USERS):
        assert path in text
    assert "token_blacklist" not in text


def test_threads_are_listed_last_written_in_first(root: Client, threads: ThreadService, ann: Any) -> None:
    first, second = post(threads, ann, "First"), post(threads, ann, "Second")
    post(threads, ann, "More", thread_id=first.thread_id)
    threads.delete_thread(ann.pk, uuid.UUID(second.thread_id))
    text = page(root, THREADS)
    assert found(root, THREADS) == [first.thread_id, second.thread_id]
    assert '<td class="field-message_count">2</td>' in text
    assert f'<td class="field-deleted">{now():%Y-%m-%d}' in text
    assert found(root, THREADS, deleted_at__isempty="1") == [first.thread_id]
    assert found(root, THREADS, deleted_at__isempty="0") == [second.thread_id]


def test_a_thread_without_a_title_is_listed_by_its_id(root: Client, threads: ThreadService, ann: Any) -> None:
    thread = threads.create_thread(ann.pk, "")
    assert found(root, THREADS) == [str(thread.id)]
    assert str(thread.id) in page(root, f"{THREADS}{thread.id}/change/")


def test_threads_are_found_by_title_by_person_and_by_what_was_said(
    root: Client, threads: ThreadService, ann: Any
) -> None:
    bob = get_user_model().objects.create_user("bob")
    hers = post(threads, ann, "About whales")
    post(threads, ann, "Are there whales in the North Sea? North, north", thread_id=hers.thread_id)
    his = post(threads, bob, "About ships")
    assert found(root, THREADS, q="WHALES") == [hers.thread_id]
    assert found(root, THREADS, q="north sea") == [hers.thread_id]
    assert found(root, THREADS, q="bob") == [his.thread_id]
    assert found(root, THREADS, q="ann ships") == []
    assert found(root, THREADS, q="%_'\"\\;--") == []
    assert '<td class="field-message_count">2</td>' in page(root, THREADS, {"q": "north"})


def test_runs_are_listed_newest_first_with_their_outcome(root: Client, threads: ThreadService, ann: Any) -> None:
    done, failed, stopped, queued = [post(threads, ann, f"Run {place}") for place in range(4)]
    ended(done.run_id, "completed")
    ended(failed.run_id, "failed", error_code="MODEL_ERROR", error_message="Broken")
    threads.stop_run(ann.pk, uuid.UUID(stopped.run_id))
    assert found(root, RUNS) == [queued.run_id, stopped.run_id, failed.run_id, done.run_id]
    text = page(root, RUNS)
    for outcome in ("Completed", "Failed: MODEL_ERROR, Broken", "Cancelled: by user", "Queued"):
        assert f'<td class="field-outcome">{outcome}</td>' in text
    assert '<td class="field-duration">1.25 s</td>' in text
    assert '<td class="field-duration">-</td>' in text
    assert f'<a href="{THREADS}{done.thread_id}/change/">Run 0</a>' in text

    assert found(root, RUNS, status__exact="failed") == [failed.run_id]
    assert found(root, RUNS, error_code="MODEL_ERROR") == [failed.run_id]
    assert len(found(root, RUNS, agent="assistant")) == 4
    assert found(root, RUNS, o="0") == [done.run_id, failed.run_id, stopped.run_id, queued.run_id]


def test_runs_are_found_by_id_person_and_thread(root: Client, threads: ThreadService, ann: Any) -> None:
    one, other = post(threads, ann, "Whales"), post(threads, ann, "Ships")
    assert found(root, RUNS, q=one.run_id) == [one.run_id]
    assert found(root, RUNS, q=one.run_id.upper()) == [one.run_id]
    assert found(root, RUNS, q="ships") == [other.run_id]
    assert len(found(root, RUNS, q="ann")) == 2
    assert found(root, RUNS, q="no-such-id") == []


def test_people_are_listed_and_found(root: Client, ann: Any) -> None:
    assert str(ann.pk) in found(root, USERS, q="ann")
    assert "ann" in page(root, f"{USERS}{ann.pk}/change/")


# Details


def test_a_thread_is_shown_with_its_messages_and_runs(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann, "First line\nSecond line")
    run = Run.objects.get()
    Message.objects.create(
        user=ann,
        thread_id=accepted.thread_id,
        role="assistant",
        content="Half an ans",
        run_number=1,
        partial=True,
        created_at=now(),
    )
    text = page(root, f"{THREADS}{accepted.thread_id}/change/")
    assert "First line<br>Second line" in text
    assert "Assistant (partial)" in text
    assert text.index("First line<br>") < text.index("Half an ans")
    assert f"{RUNS}{run.pk}/change/" in text
    assert "last written in" in text


def test_a_run_is_shown_with_its_events_in_order(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann, "Grüße")
    long = "x" * (MAX_DATA_CHARACTERS + 1)
    for seq, data in ((2, {"text": "ein Stück"}), (3, {"text": long})):
        RunEvent.objects.create(
            run_id=accepted.run_id, seq=seq, type="agent_response_chunk", agent="a", data=data, created_at=now()
        )
    usage = {"model": "offline", "input_tokens": 3, "cost_usd": None}
    ended(accepted.run_id, "failed", error_code="RUN_TIMEOUT", last_seq=3, usage=usage)
    text = page(root, f"{RUNS}{accepted.run_id}/change/")
    places = [text.index(part) for part in ("message_created", escape('{"text": "ein Stück"}'), "characters)")]
    assert places == sorted(places)
    assert long not in text
    assert "Failed: RUN_TIMEOUT" in text
    assert "model: offline, input tokens: 3" in text
    assert "cost" not in text


def test_only_the_first_events_of_an_endless_run_are_shown(
    root: Client, threads: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.admin.MAX_SHOWN", 3)
    accepted = post(threads, ann)
    RunEvent.objects.bulk_create(
        RunEvent(
            run_id=accepted.run_id, seq=seq, type="agent_thinking", agent="a", data={"step": seq}, created_at=now()
        )
        for seq in range(2, 9)
    )
    Run.objects.update(last_seq=8)
    text = page(root, f"{RUNS}{accepted.run_id}/change/")
    assert "The first 3 of 8 events." in text
    assert text.count("agent_thinking") == 2


@pytest.mark.parametrize("path", [THREADS, RUNS, USERS])
def test_what_there_is_not_leads_back_to_the_front_page(root: Client, path: str) -> None:
    for name in (uuid.uuid4(), "nonsense", 10**9):
        assert root.get(f"{path}{name}/change/").status_code == 302


def test_hostile_content_is_shown_and_does_nothing(root: Client, threads: ThreadService) -> None:
    mallory = get_user_model().objects.create_user("mallory", first_name=HOSTILE[:100], email=HOSTILE[:100])
    accepted = post(threads, mallory, HOSTILE)
    Thread.objects.update(title=HOSTILE)
    RunEvent.objects.create(
        run_id=accepted.run_id, seq=2, type=HOSTILE[:32], agent=HOSTILE[:64], data={HOSTILE: HOSTILE}, created_at=now()
    )
    ended(accepted.run_id, "failed", error_code=HOSTILE[:40], error_message=HOSTILE, agent=HOSTILE[:64])
    Run.objects.update(usage={HOSTILE: HOSTILE})
    for path in (
        THREADS,
        RUNS,
        USERS,
        f"{THREADS}{accepted.thread_id}/change/",
        f"{RUNS}{accepted.run_id}/change/",
        f"{USERS}{mallory.pk}/change/",
        f"{THREADS}?q={HOSTILE}",
        f"{RUNS}?q={HOSTILE}",
    ):
        text = page(root, path)
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert "<b>bold" not in text, path
        assert "&lt;script&gt;alert" in text, path
        assert "98766" not in text, path


# Nobody changes anything


@pytest.mark.parametrize("kind", ["thread", "run"])
@pytest.mark.parametrize("action", ["change", "delete", "add", "actions"])
def test_not_even_a_superuser_changes_a_thread_or_a_run(
    root: Client, threads: ThreadService, ann: Any, kind: str, action: str
) -> None:
    accepted = post(threads, ann, "Title")
    row_id = accepted.thread_id if kind == "thread" else accepted.run_id
    path = {
        "change": f"/admin/chat/{kind}/{row_id}/change/",
        "delete": f"/admin/chat/{kind}/{row_id}/delete/",
        "add": f"/admin/chat/{kind}/add/",
        "actions": f"/admin/chat/{kind}/",
    }[action]
    answer = root.post(
        path,
        {"title": "Forged", "status": "failed", "action": "delete_selected", "_selected_action": row_id, "post": "yes"},
    )
    assert answer.status_code == (200 if action == "actions" else 403)
    if action in ("delete", "add"):
        assert root.get(path).status_code == 403
    assert Thread.objects.get().title == "Title"
    assert Run.objects.get().status == "queued"


def test_the_pages_offer_no_way_to_change(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann)
    for path in (f"{THREADS}{accepted.thread_id}/change/", f"{RUNS}{accepted.run_id}/change/", THREADS, RUNS):
        text = page(root, path)
        assert 'name="_save"' not in text
        assert "/delete/" not in text
        assert 'name="action"' not in text


def test_who_has_written_is_not_deleted_by_hand(root: Client, threads: ThreadService, ann: Any) -> None:
    post(threads, ann)
    root.post(f"{USERS}{ann.pk}/delete/", {"post": "yes"})
    assert get_user_model().objects.filter(pk=ann.pk).exists()
    assert Run.objects.count() == 1


def test_no_page_shows_a_refresh_token(root: Client, ann: Any) -> None:
    token = str(RefreshToken.for_user(ann))
    registered = {model._meta.model_name for model in admin.site._registry}
    assert not {"outstandingtoken", "blacklistedtoken"} & registered
    assert root.get("/admin/token_blacklist/outstandingtoken/").status_code == 404
    assert token not in page(root, f"{USERS}{ann.pk}/change/")


# Who may look


PATHS = [THREADS, RUNS, f"{THREADS}{{thread}}/change/", f"{RUNS}{{run}}/change/"]


@pytest.mark.parametrize("path", PATHS)
def test_staff_without_the_permission_see_nothing(threads: ThreadService, ann: Any, path: str) -> None:
    accepted = post(threads, ann, "Secret")
    client = Client()
    client.force_login(get_user_model().objects.create_user("clerk", is_staff=True))
    answer = client.get(path.format(thread=accepted.thread_id, run=accepted.run_id))
    assert answer.status_code == 403
    assert "Secret" not in answer.content.decode()


@pytest.mark.parametrize("path", PATHS)
def test_people_and_strangers_are_sent_to_sign_in(threads: ThreadService, ann: Any, path: str) -> None:
    accepted = post(threads, ann, "Secret")
    person = Client()
    person.force_login(ann)
    for client in (Client(), person):
        answer = client.get(path.format(thread=accepted.thread_id, run=accepted.run_id))
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")


def test_an_access_token_is_no_way_in(threads: ThreadService) -> None:
    root = get_user_model().objects.create_superuser("root")
    token = RefreshToken.for_user(root).access_token
    assert Client(headers={"Authorization": f"Bearer {token}"}).get(THREADS).status_code == 302


def test_staff_with_the_permission_to_view_see_it(threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann, "Seen")
    clerk = get_user_model().objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(*Permission.objects.filter(codename__in=("view_thread", "view_run")))
    client = Client()
    client.force_login(clerk)
    assert "Seen" in page(client, f"{THREADS}{accepted.thread_id}/change/")
    assert found(client, RUNS) == [accepted.run_id]


# Queries


def test_the_number_of_queries_does_not_grow_with_the_rows(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann, "Needle")

    def fill(number: int) -> None:
        for place in range(number):
            post(threads, ann, f"Needle {place}")
            post(threads, ann, "More", thread_id=accepted.thread_id)
        RunEvent.objects.bulk_create(
            RunEvent(run_id=accepted.run_id, seq=seq, type="x", agent="a", data={}, created_at=now())
            for seq in range(number * 100, number * 101)
        )

    asks: list[Callable[[], Any]] = [
        lambda: root.get(THREADS),
        lambda: root.get(THREADS, {"q": "Needle"}),
        lambda: root.get(RUNS),
        lambda: root.get(RUNS, {"q": "ann"}),
        lambda: root.get(f"{THREADS}{accepted.thread_id}/change/"),
        lambda: root.get(f"{RUNS}{accepted.run_id}/change/"),
    ]

    def queries(ask: Callable[[], Any]) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert ask().status_code == 200
        return len(captured)

    fill(3)
    few = [queries(ask) for ask in asks]
    fill(30)
    assert [queries(ask) for ask in asks] == few
    assert max(few) <= 12, few


# Signing in


def test_the_administration_lets_nobody_guess_more_often(client: Client) -> None:
    get_user_model().objects.create_superuser("root", password="correct horse battery")
    path = "/admin/login/"
    guesses = [client.post(path, {"username": "root", "password": "no"}).content.decode() for _ in range(6)]
    assert all("Too many attempts" not in guess for guess in guesses[:5])
    assert "Too many attempts: try again in" in guesses[5]
    right = {"username": "root", "password": "correct horse battery", "next": "/admin/"}
    assert client.post(path, right).status_code == 200, "over REST it would be the same"
    answer = client.post("/api/auth/token", right, content_type="application/json")
    assert answer.json()["error_code"] == "RATE_LIMITED"


def test_who_signs_in_to_the_administration_is_in(client: Client) -> None:
    get_user_model().objects.create_superuser("root", password="correct horse battery")
    right = {"username": "root", "password": "correct horse battery", "next": "/admin/"}
    for _ in range(8):
        answer = client.post("/admin/login/", right)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
        client.logout()
