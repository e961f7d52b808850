"""Who may see what: staff see that something was said; what it was, those who are granted it, and each look is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from chat.models import AuditEntry, Thread
from netra.testing import rebuild
from tests.chat.administering import (
    ADDRESS,
    RUNS,
    THREADS,
    Secrets,
    browser,
    cell,
    found,
    page,
    secrets_of,
    staff,
    superuser,
    supporter,
    thread_service,
    told,
)
from tests.chat.holding import post

pytestmark = pytest.mark.django_db
READS = (
    "chat.view_thread",
    "chat.view_run",
    "chat.view_approval",
    "chat.view_messagefeedback",
    "chat.view_modelrequest",
    "chat.view_content",
)


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def secrets(ann: Any) -> Secrets:
    return secrets_of(ann)


@pytest.fixture
def clerk() -> Client:
    """Staff of the group “Support”."""
    return browser(supporter())


def shown(text: str, secrets: Secrets) -> set[str]:
    """The places whose words are in it."""
    return {place for place, word in secrets.words.items() if word in text}


# Without the permission


def test_support_staff_open_every_page_and_see_nothing_that_anybody_wrote(clerk: Client, secrets: Secrets) -> None:
    for path in secrets.pages:
        assert shown(page(clerk, path), secrets) == set(), path
    assert told(action="look") == []


def test_instead_they_see_sizes_kinds_times_and_states(clerk: Client, secrets: Secrets) -> None:
    text = page(clerk, f"{THREADS}{secrets.thread_id}/change/?run={secrets.run_id}")
    size = len(secrets.words["question"])
    assert f"{size} B of text" in text
    assert "a file" in text
    assert "text/plain, 1.2 KB" in text
    for told_of in ("tool_completed", "agent_thinking", "MODEL_ERROR", "tool t, duration ms 4", "approved by user"):
        assert told_of in text, told_of
    assert "kept from who may not see" in page(clerk, f"{RUNS}{secrets.run_id}/change/")
    assert cell(page(clerk, THREADS), "named") == [secrets.thread_id[:8]]


def test_no_search_finds_by_what_was_written(clerk: Client, secrets: Secrets) -> None:
    for path in (THREADS, RUNS, "/admin/chat/approval/", "/admin/chat/messagefeedback/", "/admin/chat/modelrequest/"):
        for place, word in secrets.words.items():
            assert found(clerk, path, q=word) == [], (path, place)
    assert found(clerk, THREADS, q="ann") == found(clerk, THREADS, q=secrets.run_id) == [secrets.thread_id]


@pytest.mark.parametrize(
    ("path", "lookup"),
    [
        (THREADS, "title__startswith"),
        (THREADS, "messages__content__contains"),
        (RUNS, "error_message__contains"),
        (RUNS, "thread__title__startswith"),
        (RUNS, "input_message__content__contains"),
        (RUNS, "user__password__startswith"),
        ("/admin/chat/modelrequest/", "error__startswith"),
        ("/admin/chat/messagefeedback/", "text__startswith"),
        ("/admin/chat/messagefeedback/", "message__content__startswith"),
        ("/admin/chat/approval/", "arguments__contains"),
        ("/admin/auth/user/", "password__startswith"),
    ],
)
def test_no_address_asks_what_a_field_holds(clerk: Client, secrets: Secrets, path: str, lookup: str) -> None:
    """A field that could be asked for would tell its letters one by one."""
    for client in (clerk, browser(superuser())):
        assert client.get(path, {lookup: "z"}).status_code == 400


def test_no_order_tells_what_a_field_holds(clerk: Client, ann: Any) -> None:
    older, newer = post(thread_service(), ann, "Zebra"), post(thread_service(), ann, "Ape")
    Thread.objects.filter(id=newer.thread_id).update(title="Ape")
    for order in ("0", "-0", "1", "2.-0", "nonsense"):
        assert found(clerk, THREADS, o=order) == [newer.thread_id, older.thread_id]


def test_titles_are_not_suggested(clerk: Client, secrets: Secrets) -> None:
    asked = {"app_label": "chat", "model_name": "run", "field_name": "thread", "term": secrets.words["title"][:4]}
    for client in (clerk, browser(superuser())):
        answer = client.get("/admin/autocomplete/", asked)
        assert answer.status_code in (403, 404)
        assert shown(answer.content.decode(), secrets) == set()


def test_whole_events_and_exports_are_refused(clerk: Client, secrets: Secrets) -> None:
    assert clerk.get(f"{RUNS}{secrets.run_id}/event/6/").status_code == 403
    for ending in ("md", "json"):
        assert clerk.post(f"{THREADS}{secrets.thread_id}/export/{ending}/").status_code == 403
    assert told(action="export") == []


def test_what_there_is_not_is_told_without_a_title(clerk: Client, secrets: Secrets) -> None:
    Thread.objects.filter(id=secrets.thread_id).delete()
    for path in secrets.pages:
        assert shown(clerk.get(path, follow=True).content.decode(), secrets) == set(), path


@pytest.mark.parametrize("number", range(12))
def test_staff_without_any_permission_and_people_see_nothing(ann: Any, secrets: Secrets, number: int) -> None:
    path = secrets.pages[number]
    nobody = browser(staff("nobody")).get(path)
    assert nobody.status_code == (200 if path == "/admin/" else 403)
    assert shown(nobody.content.decode(), secrets) == set()
    for client in (Client(), browser(ann)):
        answer = client.get(path)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")


def test_the_front_page_shows_numbers_only_to_who_may_see_what_they_count(secrets: Secrets) -> None:
    text = page(browser(staff("nobody")), "/admin/")
    assert "There is nothing here that you may see" in text
    assert "Newest failures" not in text
    assert "$0.25" not in text
    assert "$0.25" not in page(browser(staff("runner", "chat.view_run")), "/admin/")
    assert "Newest failures" not in page(browser(staff("payer", "chat.view_modelrequest")), "/admin/")


# With it


def test_who_is_granted_it_sees_what_was_written(secrets: Secrets) -> None:
    client = browser(staff("reader", *READS))
    in_thread = {"title", "question", "answer", "given", "gave", "failure", "filename", "allowed"} - {"allowed"}
    assert shown(page(client, f"{THREADS}{secrets.thread_id}/change/"), secrets) >= in_thread
    in_run = {"question", "thought", "given", "gave", "failure", "piece", "why", "allowed", "because"}
    assert shown(page(client, f"{RUNS}{secrets.run_id}/change/"), secrets) >= in_run
    approval, feedback, request = secrets.pages[7], secrets.pages[9], secrets.pages[11]
    assert shown(page(client, approval), secrets) == {"allowed", "because"}
    assert shown(page(client, feedback), secrets) == {"feedback", "answer"}
    assert shown(page(client, request), secrets) == {"provider"}


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (lambda it: f"{THREADS}{it.thread_id}/change/", lambda it: f"thread {it.thread_id}"),
        (lambda it: f"{THREADS}{it.thread_id}/change/?run={it.run_id}", lambda it: f"thread {it.thread_id}"),
        (lambda it: f"{RUNS}{it.run_id}/change/", lambda it: f"run {it.run_id}"),
        (lambda it: f"{RUNS}{it.run_id}/event/6/", lambda it: f"run {it.run_id}"),
        (lambda it: it.pages[7], lambda it: f"run {it.run_id}"),
        (lambda it: it.pages[9], lambda it: f"thread {it.thread_id}"),
        (lambda it: it.pages[11], lambda it: f"model request {it.request_id}"),
        (lambda _it: THREADS, lambda _it: "threads"),
    ],
)
def test_each_look_is_one_entry(
    ann: Any, secrets: Secrets, path: Callable[[Secrets], str], target: Callable[[Secrets], str]
) -> None:
    reader = staff("reader", *READS)
    page(browser(reader), path(secrets))
    assert told() == [("look", reader.pk, ann.pk, target(secrets))]
    assert AuditEntry.objects.get().address == ADDRESS
    assert "zq" not in json.dumps(list(AuditEntry.objects.values()), default=str)


def test_of_a_list_of_titles_each_person_s_is_one_entry(secrets: Secrets, ann: Any) -> None:
    bob = get_user_model().objects.create_user("bob")
    for person in (ann, bob, bob):
        post(thread_service(), person)
    reader = staff("reader", *READS)
    page(browser(reader), THREADS)
    assert told() == [("look", reader.pk, person.pk, "threads") for person in (ann, bob)]


def test_lists_without_words_are_no_look(secrets: Secrets) -> None:
    client = browser(superuser())
    for path in (RUNS, "/admin/", "/admin/chat/approval/", "/admin/chat/messagefeedback/", "/admin/chat/modelrequest/"):
        assert shown(page(client, path), secrets) == set()
    assert told() == []


def test_they_find_threads_by_what_was_said(secrets: Secrets) -> None:
    client = browser(staff("reader", *READS))
    assert "what was said" in page(client, THREADS)
    for place in ("title", "question", "answer"):
        word = secrets.words[place]
        assert found(client, THREADS, q=word.upper()) == [secrets.thread_id]
        assert found(client, THREADS, q=f"{word}x") == []


def test_a_search_that_takes_too_long_says_so_and_finds_people_nonetheless(
    secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.admin.finding.SEARCH_SECONDS", 0.05)
    monkeypatch.setattr("chat.admin.finding._SAYS", "SELECT id FROM chat_thread, pg_sleep(5)")
    text = page(browser(superuser()), THREADS, {"q": "ann"})
    assert "The search took too long" in text
    assert cell(text, "named") == [secrets.words["title"]]


def test_the_permission_to_view_is_needed_beside_it(secrets: Secrets) -> None:
    client = browser(staff("reader", "chat.view_content"))
    for path in secrets.pages[1:]:
        assert client.get(path).status_code == 403
    assert client.get(f"{RUNS}{secrets.run_id}/event/6/").status_code == 403
    assert client.post(f"{THREADS}{secrets.thread_id}/export/md/").status_code == 403
    assert told() == []


def test_who_may_see_threads_and_no_runs_sees_no_events(secrets: Secrets) -> None:
    client = browser(staff("reader", "chat.view_thread", "chat.view_content"))
    text = page(client, f"{THREADS}{secrets.thread_id}/change/?run={secrets.run_id}")
    assert "agent_thinking" not in text
    assert RUNS not in text
