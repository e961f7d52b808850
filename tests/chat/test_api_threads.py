"""A person's threads and messages over REST."""

from __future__ import annotations

import base64
import datetime
import json
import uuid
from collections.abc import Callable
from typing import Any, cast

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from chat.apps import ChatConfig
from chat.branches import adopt_waiting
from chat.models import Message, Role, Run, RunStatus, Thread, UserCounters
from chat.own_threads import MATCH_LENGTH
from chat.protocol import MessageAccepted, UserMessage
from chat.run_event import now
from chat.thread_removal import purge_deleted
from chat.threads import ThreadService
from chat.tokens import AccessToken
from netra.testing import rebuild

pytestmark = pytest.mark.django_db

USAGE = {"model": "offline", "input_tokens": 3, "output_tokens": 4, "requests": 1, "cost_usd": None}
THREADS = "/api/threads"
JSON = "application/json"
Api = Client


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


@pytest.fixture
def threads() -> ThreadService:
    service = cast("ChatConfig", apps.get_app_config("chat")).thread_service
    assert service is not None
    return service


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def bob() -> Any:
    return get_user_model().objects.create_user("bob")


@pytest.fixture
def api(ann: Any) -> Api:
    """What ann asks."""
    return Client(headers={"Authorization": f"Bearer {AccessToken.for_user(ann)}"})


def post(threads: ThreadService, user: Any, content: str = "Hello", **fields: Any) -> MessageAccepted:
    return threads.post_message(user.pk, UserMessage(type="user_message", content=content, **fields))


def answer(accepted: MessageAccepted, content: str) -> None:
    """The run ended with this answer."""
    run = Run.objects.get(id=accepted.run_id)
    run.output_message = Message.objects.create(
        user_id=run.user_id,
        thread_id=run.thread_id,
        parent=run.input_message,
        role=Role.ASSISTANT,
        content=content,
        run_number=run.run_number,
        created_at=now(),
    )
    run.status = RunStatus.COMPLETED
    run.started_at = run.created_at
    run.finished_at = run.created_at + datetime.timedelta(seconds=1.5)
    run.usage = USAGE
    run.save()
    adopt_waiting(run.output_message)


def refused(response: Any, status: int, code: str) -> None:
    assert (response.status_code, response.json()["error_code"]) == (status, code), response.content


def ids(page: Any) -> list[str]:
    return [thread["id"] for thread in page.json()["threads"]]


# The list


def test_nobody_has_no_threads(api: Api) -> None:
    assert api.get(THREADS).json() == {"threads_version": 0, "threads": [], "matches": [], "next": None}


def test_the_list_has_the_threads_last_written_in_first_and_the_version(
    api: Api, threads: ThreadService, ann: Any
) -> None:
    first, second = post(threads, ann, "One"), post(threads, ann, "Two")
    assert ids(api.get(THREADS)) == [second.thread_id, first.thread_id]
    post(threads, ann, "And one more", thread_id=first.thread_id)
    page = api.get(THREADS)
    assert ids(page) == [first.thread_id, second.thread_id]
    body = page.json()
    assert body["threads_version"] == UserCounters.objects.get(user=ann).threads_version == 3
    thread = Thread.objects.get(id=first.thread_id)
    stamp = thread.updated_at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{thread.updated_at.microsecond // 1000:03d}Z"
    assert body["threads"][0].keys() == {"id", "title", "created_at", "updated_at", "open_runs", "archived"}
    assert (body["threads"][0]["title"], body["threads"][0]["updated_at"]) == ("One", stamp)
    assert [row["open_runs"] for row in body["threads"]] == [2, 1]


def test_only_the_persons_own_threads_that_are_not_deleted_are_listed(
    api: Api, threads: ThreadService, ann: Any, bob: Any
) -> None:
    post(threads, bob)
    deleted, kept = post(threads, ann), post(threads, ann)
    threads.delete_thread(ann.pk, uuid.UUID(deleted.thread_id))
    assert ids(api.get(THREADS)) == [kept.thread_id]


def make_threads(user: Any, number: int, *, at: datetime.datetime | None = None) -> list[str]:
    """Threads of one moment, or else of moments a microsecond apart; the newest first."""
    began = now()
    made = [
        Thread(
            user=user,
            title=f"Thread {place}",
            created_at=began,
            updated_at=at or began + datetime.timedelta(microseconds=place),
        )
        for place in range(number)
    ]
    Thread.objects.bulk_create(made)
    return [str(thread.id) for thread in sorted(made, key=lambda row: (row.updated_at, row.id), reverse=True)]


@pytest.mark.parametrize("at", [None, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)])
@pytest.mark.parametrize("limit", [1, 3, 7, 8])
def test_pages_together_are_the_whole_list(api: Api, ann: Any, limit: int, at: datetime.datetime | None) -> None:
    expected = make_threads(ann, 7, at=at)
    seen: list[str] = []
    cursor = None
    while True:
        page = api.get(THREADS, {"limit": limit, **({"cursor": cursor} if cursor else {})})
        assert len(ids(page)) <= limit
        seen += ids(page)
        assert len(seen) <= len(expected)
        cursor = page.json()["next"]
        if cursor is None:
            break
    assert seen == expected


def test_a_page_is_stable_while_threads_are_added_removed_and_written_in(
    api: Api, threads: ThreadService, ann: Any
) -> None:
    expected = make_threads(ann, 6)
    first = api.get(THREADS, {"limit": 3})
    post(threads, ann, "New")
    threads.delete_thread(ann.pk, uuid.UUID(expected[2]))  # the one that the cursor names
    post(threads, ann, "Old", thread_id=expected[0])
    second = api.get(THREADS, {"limit": 3, "cursor": first.json()["next"]})
    assert ids(second) == expected[3:]
    assert second.json()["next"] is None


def test_a_cursor_of_somebody_else_shows_nothing_of_theirs(api: Api, ann: Any, bob: Any) -> None:
    own = make_threads(ann, 1)
    make_threads(bob, 3)
    theirs = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(bob)}"}).get(THREADS, {"limit": 1})
    page = api.get(THREADS, {"cursor": theirs.json()["next"]})
    assert set(ids(page)) <= set(own)


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


STAMP, UUID = "2026-11-23T19:00:00+00:00", str(uuid.UUID(int=7))
BAD_CURSORS = [
    "x",
    "é",
    "\x00",
    "a" * 5000,
    encoded([]),
    encoded({}),
    encoded(None),
    encoded("ab"),
    encoded(STAMP),
    encoded([STAMP]),
    encoded([STAMP, UUID, UUID]),
    encoded([STAMP, 7]),
    encoded([STAMP, None]),
    encoded([STAMP, "x"]),
    encoded([7, UUID]),
    encoded(["x", UUID]),
    encoded(["2026-11-23T19:00:00", UUID]),
    encoded(["2026-11-23T19:00:00+99:00", UUID]),
    encoded({STAMP: 1, UUID: 2}),
    encoded([float("inf"), float("nan")]),
    base64.urlsafe_b64encode(b"[" * 3000).decode(),
    base64.urlsafe_b64encode(b"\xff" * 30).decode(),
]


@pytest.mark.parametrize("cursor", BAD_CURSORS)
def test_a_cursor_that_is_none_of_ours_is_refused(api: Api, threads: ThreadService, ann: Any, cursor: str) -> None:
    accepted = post(threads, ann)
    refused(api.get(THREADS, {"cursor": cursor}), 400, "INVALID_MESSAGE")
    refused(api.get(f"{THREADS}/{accepted.thread_id}/messages", {"before": cursor}), 400, "INVALID_MESSAGE")


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_cursor_at_the_end_of_time_is_a_place_like_any_other(api: Api, ann: Any, stamp: str) -> None:
    expected = make_threads(ann, 2) if stamp > "9" else []
    assert ids(api.get(THREADS, {"cursor": encoded([stamp, UUID])})) == expected


@pytest.mark.parametrize("number", ["-1", "0", str(2**63), str(10**30), "-" + "9" * 30])
def test_a_cursor_with_a_number_that_nothing_has_shows_nothing(
    api: Api, threads: ThreadService, ann: Any, number: str
) -> None:
    accepted = post(threads, ann)
    page = api.get(f"{THREADS}/{accepted.thread_id}/messages", {"before": encoded([number])})
    if 0 <= int(number) < 2**63:
        assert page.json()["messages"] == []
    else:
        refused(page, 400, "INVALID_MESSAGE")


@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "1.5", "1e1", "9" * 30])
def test_a_limit_out_of_bounds_is_refused(api: Api, threads: ThreadService, ann: Any, limit: str) -> None:
    accepted = post(threads, ann)
    for path in (THREADS, f"{THREADS}/{accepted.thread_id}/messages"):
        refused(api.get(path, {"limit": limit}), 400, "INVALID_MESSAGE")


# One thread


def test_a_thread_is_created_read_renamed_and_deleted(api: Api, ann: Any) -> None:
    created = api.post(THREADS, {"title": " Plans "}, content_type=JSON)
    assert created.status_code == 201
    thread = created.json()
    assert (thread["title"], thread["open_runs"]) == ("Plans", 0)
    place = f"{THREADS}/{thread['id']}"
    assert api.get(place).json() == thread

    renamed = api.patch(place, {"title": "Other plans"}, content_type=JSON)
    assert renamed.json() == {**thread, "title": "Other plans"}, "a new name is no activity"
    assert api.get(place).json()["title"] == "Other plans"
    assert api.get(THREADS).json()["threads_version"] == 2

    deleted = api.delete(place)
    assert (deleted.status_code, deleted.content) == (204, b"")
    refused(api.get(place), 404, "THREAD_NOT_FOUND")
    assert ids(api.get(THREADS)) == []
    assert Thread.objects.get(id=thread["id"]).deleted_at is not None, "the sweep removes it later"


def test_a_thread_needs_no_title_and_is_named_by_its_first_message(api: Api, threads: ThreadService, ann: Any) -> None:
    thread = api.post(THREADS, {}, content_type=JSON).json()
    assert thread["title"] == ""
    post(threads, ann, "What is 6 * 7?", thread_id=thread["id"])
    assert api.get(f"{THREADS}/{thread['id']}").json()["title"] == "What is 6 * 7?"


def test_deleting_a_thread_cancels_its_runs_and_hides_its_messages(api: Api, threads: ThreadService, ann: Any) -> None:
    first = post(threads, ann)
    post(threads, ann, thread_id=first.thread_id)
    api.delete(f"{THREADS}/{first.thread_id}")
    assert set(Run.objects.values_list("status", "cancelled_by")) == {("cancelled", "deleted")}
    for answer_ in (
        api.get(f"{THREADS}/{first.thread_id}/messages"),
        api.patch(f"{THREADS}/{first.thread_id}", {"title": "x"}, content_type=JSON),
        api.delete(f"{THREADS}/{first.thread_id}"),
    ):
        refused(answer_, 404, "THREAD_NOT_FOUND")


@pytest.mark.parametrize(
    "ask",
    [
        lambda api, place: api.get(place),
        lambda api, place: api.get(f"{place}/messages"),
        lambda api, place: api.get(f"{place}/messages", {"limit": 1, "before": encoded(["9", "9"])}),
        lambda api, place: api.patch(place, {"title": "Mine"}, content_type=JSON),
        lambda api, place: api.delete(place),
    ],
)
def test_somebody_elses_thread_is_like_one_that_there_is_not(
    api: Api, threads: ThreadService, bob: Any, ask: Callable[[Api, str], Any]
) -> None:
    theirs = post(threads, bob, "Secret")
    answers = [ask(api, f"{THREADS}/{thread_id}") for thread_id in (theirs.thread_id, uuid.uuid4())]
    for answer_ in answers:
        refused(answer_, 404, "THREAD_NOT_FOUND")
    bodies = [answer_.json() | {"correlation_id": ""} for answer_ in answers]
    assert bodies[0] == bodies[1]
    thread = Thread.objects.get(id=theirs.thread_id)
    assert (thread.title, thread.deleted_at) == ("Secret", None)
    assert Run.objects.get().status == "queued"


@pytest.mark.parametrize(
    "body",
    [[], "x", None, {"title": None}, {"title": "a" * 201}, {"title": "\x00"}, {"title": []}, {"title": {}}],
)
def test_what_is_no_title_is_refused(api: Api, threads: ThreadService, ann: Any, body: Any) -> None:
    accepted = post(threads, ann, "Title")
    for method, place in ((api.post, THREADS), (api.patch, f"{THREADS}/{accepted.thread_id}")):
        refused(method(place, json.dumps(body), content_type=JSON), 400, "INVALID_MESSAGE")
    refused(api.patch(f"{THREADS}/{accepted.thread_id}", {}, content_type=JSON), 400, "INVALID_MESSAGE")
    assert Thread.objects.get().title == "Title"


@pytest.mark.parametrize("place", ["", "/{id}", "/{id}/messages"])
def test_without_a_token_there_is_nothing(threads: ThreadService, ann: Any, place: str) -> None:
    path = THREADS + place.format(id=post(threads, ann).thread_id)
    refused(Client().get(path), 401, "NO_TOKEN")


# Messages


def conversation(threads: ThreadService, user: Any, number: int) -> str:
    accepted = post(threads, user, "Question 1")
    answer(accepted, "Answer 1")
    for place in range(2, number + 1):
        answer(post(threads, user, f"Question {place}", thread_id=accepted.thread_id), f"Answer {place}")
    return accepted.thread_id


def test_messages_come_with_their_runs_oldest_first(api: Api, threads: ThreadService, ann: Any) -> None:
    message_id = uuid.uuid4()
    accepted = post(threads, ann, "Question", message_id=message_id, agent="assistant")
    answer(accepted, "Answer")
    page = api.get(f"{THREADS}/{accepted.thread_id}/messages").json()
    question, reply = page["messages"]
    assert question == {
        "id": str(message_id),
        "role": "user",
        "content": "Question",
        "parent_id": None,
        "partial": False,
        "run_id": accepted.run_id,
        "created_at": question["created_at"],
        "attachments": [],
        "siblings": [str(message_id)],
        "feedback": None,
    }
    assert (reply["role"], reply["content"], reply["parent_id"]) == ("assistant", "Answer", str(message_id))
    assert reply["run_id"] == accepted.run_id
    [run] = page["runs"]
    assert run == {
        "id": accepted.run_id,
        "run_number": 1,
        "thread_id": accepted.thread_id,
        "status": "completed",
        "agent": "assistant",
        "attempt": 1,
        "last_seq": 1,
        "input_message_id": str(message_id),
        "output_message_id": reply["id"],
        "error_code": None,
        "error_message": None,
        "cancelled_by": None,
        "usage": USAGE,
        "duration_ms": 1500,
        "created_at": run["created_at"],
        "started_at": run["created_at"],
        "finished_at": run["finished_at"],
    }
    assert page["previous"] is None


def test_a_question_that_waited_is_read_after_the_answer_before_it(api: Api, threads: ThreadService, ann: Any) -> None:
    first = post(threads, ann, "First question")
    second = post(threads, ann, "Second question", thread_id=first.thread_id)
    answer(first, "First answer")
    answer(second, "Second answer")
    page = api.get(f"{THREADS}/{first.thread_id}/messages").json()
    said = [message["content"] for message in page["messages"]]
    assert said == ["First question", "First answer", "Second question", "Second answer"]


@pytest.mark.parametrize("limit", [1, 3, 4, 9, 10, 11])
def test_pages_go_back_to_the_beginning(api: Api, threads: ThreadService, ann: Any, limit: int) -> None:
    thread_id = conversation(threads, ann, 5)
    pages: list[list[str]] = []
    before = None
    while True:
        asked = {"limit": limit, **({"before": before} if before else {})}
        page = api.get(f"{THREADS}/{thread_id}/messages", asked).json()
        pages.insert(0, [message["content"] for message in page["messages"]])
        assert len(pages) <= 10
        runs = {run["id"] for run in page["runs"]}
        assert {message["run_id"] for message in page["messages"]} == runs
        before = page["previous"]
        if before is None:
            break
    assert [len(page) for page in pages[1:]] == [limit] * (len(pages) - 1)
    expected = [f"{kind} {place}" for place in range(1, 6) for kind in ("Question", "Answer")]
    assert [content for page in pages for content in page] == expected


def test_a_page_of_the_past_is_stable_while_the_thread_goes_on(api: Api, threads: ThreadService, ann: Any) -> None:
    thread_id = conversation(threads, ann, 3)
    newest = api.get(f"{THREADS}/{thread_id}/messages", {"limit": 2}).json()
    answer(post(threads, ann, "Question 4", thread_id=thread_id), "Answer 4")
    older = api.get(f"{THREADS}/{thread_id}/messages", {"limit": 9, "before": newest["previous"]}).json()
    said = [message["content"] for message in older["messages"]]
    assert said == ["Question 1", "Answer 1", "Question 2", "Answer 2"]


def test_a_cursor_of_another_thread_shows_nothing_of_it(api: Api, threads: ThreadService, ann: Any) -> None:
    one, other = conversation(threads, ann, 2), conversation(threads, ann, 2)
    before = api.get(f"{THREADS}/{other}/messages", {"limit": 1}).json()["previous"]
    page = api.get(f"{THREADS}/{one}/messages", {"before": before}).json()
    assert page == {"messages": [], "runs": [], "previous": None}


def test_an_empty_thread_has_an_empty_page(api: Api, ann: Any) -> None:
    thread = api.post(THREADS, {}, content_type=JSON).json()
    page = api.get(f"{THREADS}/{thread['id']}/messages").json()
    assert page == {"messages": [], "runs": [], "previous": None}


def test_hostile_content_comes_back_as_it_was(api: Api, threads: ThreadService, ann: Any) -> None:
    content = "<script>alert(1)</script> \u202e \u2028 \U0001f600 e\u0301 " + "x" * 10_000
    accepted = post(threads, ann, content)
    answer_ = api.get(f"{THREADS}/{accepted.thread_id}/messages")
    assert answer_["Content-Type"] == JSON
    assert answer_["X-Content-Type-Options"] == "nosniff"
    assert answer_.json()["messages"][0]["content"] == content


# Queries


def queries(ask: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert ask().status_code == 200
    return len(captured)


def test_the_number_of_queries_does_not_grow_with_the_rows(api: Api, threads: ThreadService, ann: Any) -> None:
    thread_id = conversation(threads, ann, 3)
    make_threads(ann, 2)
    asks: list[Callable[[], Any]] = [
        lambda: api.get(THREADS, {"limit": 200}),
        lambda: api.get(f"{THREADS}/{thread_id}"),
        lambda: api.get(f"{THREADS}/{thread_id}/messages", {"limit": 200}),
    ]
    few = [queries(ask) for ask in asks]
    for place in range(27):
        answer(post(threads, ann, f"More {place}", thread_id=thread_id), "Yes")
    make_threads(ann, 27)
    assert len(api.get(THREADS).json()["threads"]) == 30
    assert len(asks[2]().json()["messages"]) == 60
    assert [queries(ask) for ask in asks] == few
    assert few == [4, 3, 8]


# Put away, searched, changed by two at once


def test_what_is_put_away_is_listed_apart_until_somebody_writes_in_it(
    api: Api, threads: ThreadService, ann: Any
) -> None:
    kept, away = post(threads, ann, "Kept").thread_id, post(threads, ann, "Away").thread_id
    answer_ = api.patch(f"{THREADS}/{away}", {"archived": True}, content_type=JSON)
    assert (answer_.status_code, answer_.json()["archived"]) == (200, True)
    assert ids(api.get(THREADS)) == [kept]
    assert ids(api.get(THREADS, {"archived": "true"})) == [away]
    api.patch(f"{THREADS}/{away}", {"archived": False}, content_type=JSON)
    assert ids(api.get(THREADS)) == [away, kept]
    api.patch(f"{THREADS}/{away}", {"archived": True}, content_type=JSON)
    post(threads, ann, "More", thread_id=away)
    assert ids(api.get(THREADS)) == [away, kept]
    assert api.get(f"{THREADS}/{away}").json()["archived"] is False


def test_threads_are_found_by_title_and_by_text_of_any_branch(
    api: Api, threads: ThreadService, ann: Any, bob: Any
) -> None:
    by_title = api.post(THREADS, {"title": "About RIVERS"}, content_type=JSON).json()["id"]
    by_text = post(threads, ann, "Where does the river 100% go_?")
    answer(by_text, "To the sea")
    post(threads, ann, "Edited", thread_id=by_text.thread_id, edits=by_text.message_id)
    post(threads, ann, "Nothing of the kind")
    post(threads, bob, "A river of bob's")
    assert ids(api.get(THREADS, {"search": "river"})) == [by_text.thread_id, by_title]
    assert ids(api.get(THREADS, {"search": "THE SEA"})) == [by_text.thread_id]
    assert ids(api.get(THREADS, {"search": "100% go_"})) == [by_text.thread_id]
    assert ids(api.get(THREADS, {"search": "%"})) == [by_text.thread_id]
    assert ids(api.get(THREADS, {"search": "river", "archived": "true"})) == []
    page = api.get(THREADS, {"search": "river", "limit": "1"}).json()
    assert [thread["id"] for thread in page["threads"]] == [by_text.thread_id]
    rest = {"search": "river", "limit": "1", "cursor": str(page["next"])}
    assert ids(api.get(THREADS, rest)) == [by_title]
    refused(api.get(THREADS, {"search": "x" * 201}), 400, "INVALID_MESSAGE")


def test_a_search_shows_how_the_newest_message_says_it(api: Api, threads: ThreadService, ann: Any) -> None:
    by_title = api.post(THREADS, {"title": "Otters"}, content_type=JSON).json()["id"]
    asked = post(threads, ann, "An otter")
    answer(asked, "x" * 500 + " and the OTTER, " + "y" * 500)
    page = api.get(THREADS, {"search": "otter"}).json()
    assert [thread["id"] for thread in page["threads"]] == [asked.thread_id, by_title]
    (match,) = page["matches"]
    assert (match["thread_id"], match["role"], len(match["text"])) == (asked.thread_id, "assistant", MATCH_LENGTH)
    assert match["text"].startswith("x" * 30)
    assert " and the OTTER, yyy" in match["text"]
    assert match["message_id"] == str(Message.objects.get(role=Role.ASSISTANT).message_id)
    assert api.get(THREADS, {"search": "nobody"}).json()["matches"] == []


def test_a_deleted_thread_is_restored_as_it_was_but_for_its_runs(api: Api, threads: ThreadService, ann: Any) -> None:
    asked = post(threads, ann, "Keep me")
    path = f"{THREADS}/{asked.thread_id}"
    before = api.get(path).json()
    assert api.delete(path).status_code == 204
    version = UserCounters.objects.get(user=ann).threads_version
    restored = api.post(f"{path}/restore")
    assert (restored.status_code, restored.json()) == (200, before | {"open_runs": 0})
    assert restored["ETag"] == api.get(path)["ETag"]
    assert ids(api.get(THREADS)) == [asked.thread_id]
    assert api.get(f"/api/runs/{asked.run_id}").json()["cancelled_by"] == "deleted"
    assert UserCounters.objects.get(user=ann).threads_version == version + 1
    assert api.post(f"{path}/restore").json() == restored.json(), "what is there stays as it is"
    assert UserCounters.objects.get(user=ann).threads_version == version + 1
    post(threads, ann, "And more", thread_id=asked.thread_id)


def test_what_is_removed_or_another_persons_is_not_restored(
    api: Api, threads: ThreadService, ann: Any, bob: Any
) -> None:
    theirs, gone = post(threads, bob).thread_id, post(threads, ann).thread_id
    threads.delete_thread(bob.pk, uuid.UUID(theirs))
    threads.delete_thread(ann.pk, uuid.UUID(gone))
    Thread.objects.filter(id=gone).update(deleted_at=now() - datetime.timedelta(hours=2))
    assert purge_deleted(older_than=datetime.timedelta(hours=1), limit=5) == 1
    for thread_id in (theirs, gone, str(uuid.uuid4())):
        refused(api.post(f"{THREADS}/{thread_id}/restore"), 404, "THREAD_NOT_FOUND")
    assert Thread.objects.get(id=theirs).deleted_at is not None


def test_of_two_who_change_a_thread_the_later_is_told(api: Api, threads: ThreadService, ann: Any) -> None:
    path = f"{THREADS}/{post(threads, ann).thread_id}"
    seen = api.get(path)["ETag"]
    assert seen.startswith('"')

    def rename(title: str, tag: str) -> Any:
        return api.patch(path, {"title": title}, content_type=JSON, headers={"If-Match": tag})

    renamed = rename("Mine", seen)
    assert (renamed.status_code, renamed["ETag"] != seen) == (200, True)
    refused(rename("Theirs", seen), 412, "PRECONDITION_FAILED")
    assert api.get(path).json()["title"] == "Mine"
    post(threads, ann, "More", thread_id=path.rpartition("/")[2])
    assert rename("Mine again", f'"other", {renamed["ETag"]}').status_code == 200, "an answer is no conflict"
    assert rename("Whatever", "*").status_code == 200
    refused(api.patch(path, {}, content_type=JSON), 400, "INVALID_MESSAGE")


def test_a_message_is_posted_once_whatever_way_it_takes(api: Api, threads: ThreadService, ann: Any) -> None:
    thread_id = post(threads, ann).thread_id
    message_id = str(uuid.uuid4())
    body = {"content": "Once", "message_id": message_id, "agent": "data"}
    first, again = (api.post(f"{THREADS}/{thread_id}/messages", body, content_type=JSON) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (202, again.json())
    assert first["Location"] == f"/api/runs/{first.json()['run_id']}"
    assert api.get(first["Location"]).json()["agent"] == "data"
    changed = api.post(f"{THREADS}/{thread_id}/messages", body | {"content": "Twice"}, content_type=JSON)
    refused(changed, 409, "MESSAGE_ID_CONFLICT")
    assert api.get(f"/api/messages/{message_id}").json()["content"] == "Once"
    rejected = api.post(f"{THREADS}/{thread_id}/messages", {"content": "Now", "when_busy": "reject"}, content_type=JSON)
    refused(rejected, 409, "RUN_ACTIVE")


@pytest.mark.parametrize(
    "body",
    [{}, [], "x", {"content": ""}, {"content": 1}, {"content": "x", "message_id": "x"}, {"content": "x\x00"}],
)
def test_a_body_that_is_no_message_is_refused(api: Api, threads: ThreadService, ann: Any, body: Any) -> None:
    path = f"{THREADS}/{post(threads, ann).thread_id}/messages"
    refused(api.post(path, json.dumps(body), content_type=JSON), 400, "INVALID_MESSAGE")


def test_a_flood_over_rest_is_refused_with_the_time_to_wait(api: Api, threads: ThreadService, ann: Any) -> None:
    path = f"{THREADS}/{post(threads, ann).thread_id}/messages"
    answers = [api.post(path, {"content": "Again"}, content_type=JSON) for _ in range(61)]
    codes = {answer_.json().get("error_code") for answer_ in answers}
    assert codes == {None, "TOO_MANY_RUNS", "RATE_LIMITED"}
    assert answers[-1].status_code == 429
    assert int(answers[-1]["Retry-After"]) >= 1
