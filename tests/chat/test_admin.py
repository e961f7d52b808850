"""The pages of the administration: what is listed, found and shown; that nobody changes it, and it harms nobody."""

from __future__ import annotations

import io
import re
import uuid
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.html import escape
from rest_framework_simplejwt.tokens import RefreshToken

from chat.admin import timeline
from chat.admin.conversation import PER_PAGE
from chat.models import McpServer, Message, Run, RunEvent, Thread
from chat.protocol import Regenerate
from chat.run_event import now
from chat.threads import ThreadService
from netra.testing import rebuild
from tests.chat.administering import (
    RUNS,
    THREADS,
    USERS,
    add_event,
    browser,
    cell,
    ended,
    found,
    page,
    superuser,
    supporter,
    thread_service,
)
from tests.chat.holding import post

pytestmark = pytest.mark.django_db

# What a template would make of it is 98766.
HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)>"'{{ 98765|add:1 }}{% debug %}</table><b>bold</b>"""


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


@pytest.fixture
def threads() -> ThreadService:
    return thread_service()


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def root() -> Client:
    return browser(superuser())


def answer(run_id: str, content: str, **fields: Any) -> Message:
    """The run has this answer."""
    run = Run.objects.get(id=run_id)
    message = Message.objects.create(
        user_id=run.user_id,
        thread_id=run.thread_id,
        parent_id=run.input_message_id,
        role="assistant",
        content=content,
        run_number=run.run_number,
        created_at=now(),
        **fields,
    )
    ended(run_id, "completed", output_message=message)
    return message


# Lists


def test_the_front_page_leads_everywhere_and_to_no_tokens(root: Client) -> None:
    text = page(root, "/admin/")
    for path in (THREADS, RUNS, USERS, "/admin/agents/", "/admin/chat/auditentry/", "/admin/chat/approval/"):
        assert f'href="{path}"' in text
    assert "token_blacklist" not in text
    assert "procrastinate" not in text


def test_who_sees_less_is_led_to_less() -> None:
    text = page(browser(supporter()), "/admin/")
    assert f'href="{THREADS}"' in text
    for path in ("/admin/chat/auditentry/", "/admin/auth/group/"):
        assert f'href="{path}"' not in text


def test_threads_are_listed_last_written_in_first(root: Client, threads: ThreadService, ann: Any) -> None:
    first, second = post(threads, ann, "First"), post(threads, ann, "Second")
    post(threads, ann, "More", thread_id=first.thread_id)
    threads.delete_thread(ann.pk, uuid.UUID(second.thread_id))
    text = page(root, THREADS)
    assert cell(text, "named") == ["First", "Second"]
    assert cell(text, "message_count") == ["2", "1"]
    assert cell(text, "state")[1].startswith(f"deleted {now():%Y-%m-%d}")
    assert found(root, THREADS, deleted_at__isempty="1") == [first.thread_id]
    assert found(root, THREADS, deleted_at__isempty="0") == [second.thread_id]


def test_a_thread_without_a_title_is_listed_by_its_id(root: Client, threads: ThreadService, ann: Any) -> None:
    thread = threads.create_thread(ann.pk, "")
    assert cell(page(root, THREADS), "named") == [str(thread.id)[:8]]
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
    assert found(root, THREADS, q="bob") == found(root, THREADS, q=str(bob.pk)) == [his.thread_id]
    assert found(root, THREADS, q=hers.run_id.upper()) == found(root, THREADS, q=hers.thread_id) == [hers.thread_id]
    assert found(root, THREADS, q="about", user__id__exact=str(bob.pk)) == [his.thread_id]
    for nothing in ("%_'\"\\;--", "ann ships", str(uuid.uuid4()), "9" * 40):
        assert found(root, THREADS, q=nothing) == []


def test_runs_are_listed_newest_first_with_their_outcome(root: Client, threads: ThreadService, ann: Any) -> None:
    done, failed, stopped, queued = [post(threads, ann, f"Run {place}") for place in range(4)]
    ended(done.run_id, "completed")
    ended(failed.run_id, "failed", error_code="MODEL_ERROR", error_message="Broken")
    threads.stop_run(ann.pk, uuid.UUID(stopped.run_id))
    assert found(root, RUNS) == [queued.run_id, stopped.run_id, failed.run_id, done.run_id]
    text = page(root, RUNS)
    assert cell(text, "outcome") == ["Queued", "Cancelled by user", "Failed: MODEL_ERROR", "Completed"]
    assert cell(text, "took") == ["-", "-", "1.25 s", "1.25 s"]
    assert cell(text, "thread")[3] == done.thread_id[:8]

    assert found(root, RUNS, status__exact="failed") == found(root, RUNS, error_code="MODEL_ERROR") == [failed.run_id]
    assert found(root, RUNS, error_code="RUN_TIMEOUT") == []
    assert len(found(root, RUNS, agent="assistant")) == 4
    assert found(root, RUNS, agent="data") == []
    assert found(root, RUNS, thread__id__exact=done.thread_id) == [done.run_id]


def test_runs_are_found_by_id_person_and_thread(root: Client, threads: ThreadService, ann: Any) -> None:
    one, other = post(threads, ann, "Whales"), post(threads, ann, "Ships")
    assert found(root, RUNS, q=one.run_id) == found(root, RUNS, q=one.run_id.upper()) == [one.run_id]
    assert found(root, RUNS, q=other.thread_id) == [other.run_id]
    assert len(found(root, RUNS, q="ann")) == 2
    assert found(root, RUNS, q="no-such-id") == []


def test_a_list_is_of_a_time(root: Client, threads: ThreadService, ann: Any) -> None:
    new, old = post(threads, ann), post(threads, ann)
    Run.objects.filter(id=old.run_id).update(created_at="2026-03-02T10:00:00Z")
    assert found(root, RUNS, since="2026-03-03") == [new.run_id]
    assert found(root, RUNS, until="2026-03-02") == [old.run_id]
    assert found(root, RUNS, since="2026-03-02T10:00:00Z", until="2026-03-02T10:00:01Z") == [old.run_id]
    assert found(root, RUNS, until="2026-03-01") == []
    for nonsense in ("yesterday", "2026-13-01", "2026-02-30", "'"):
        assert root.get(RUNS, {"since": nonsense}).status_code == 302
    text = page(root, RUNS, {"since": "2026-03-03", "status__exact": "queued"})
    assert '<input type="date" name="since" value="2026-03-03">' in text
    assert '<input type="hidden" name="status__exact" value="queued">' in text


def test_rows_are_counted_to_a_bound_and_leafed_through(
    root: Client, threads: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(7):
        post(threads, ann)
    monkeypatch.setattr("chat.admin.rows.MOST_COUNTED", 6)
    monkeypatch.setattr(admin.site._registry[Run], "list_per_page", 3)
    first = page(root, RUNS)
    assert "More than 6 runs: filter to see the rest" in " ".join(first.split())
    assert "Page 1 of 2" in first
    assert cell(first, "number") == ["#7", "#6", "#5"]
    assert cell(page(root, RUNS, {"p": "2"}), "number") == ["#4", "#3", "#2"]
    assert root.get(RUNS, {"p": "3"}).status_code == 302
    monkeypatch.setattr("chat.admin.rows.MOST_COUNTED", 7)
    assert "7 runs" in " ".join(page(root, RUNS).split())


# A thread


def test_a_thread_is_shown_as_the_chat_shows_it(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann, "First line\nSecond line")
    done: list[tuple[str, str, dict[str, Any]]] = [
        (
            "tool_executing",
            "assistant",
            {"tool_call_id": "1", "tool": "ask_data", "arguments": {"question": "How?"}},
        ),
        ("subagent_started", "assistant", {"subagent": "data", "parent_tool_call_id": "1"}),
        ("tool_executing", "data", {"tool_call_id": "2", "tool": "usage", "arguments": {}, "within": "1"}),
        (
            "tool_completed",
            "data",
            {"tool_call_id": "2", "tool": "usage", "error": "No", "duration_ms": 7, "within": "1"},
        ),
        (
            "tool_completed",
            "assistant",
            {"tool_call_id": "1", "tool": "ask_data", "result": "So", "duration_ms": 9},
        ),
        ("approval_required", "assistant", {"tool_call_id": "3", "tool": "fetch_page", "arguments": {"url": "u"}}),
        ("approval_resolved", "assistant", {"tool_call_id": "3", "approved": False, "by": "expired"}),
    ]
    for seq, (kind, agent, data) in enumerate(done, 2):
        add_event(accepted.run_id, seq, kind, agent, **data)
    answer(accepted.run_id, "Half an ans", partial=True)
    text = page(root, f"{THREADS}{accepted.thread_id}/change/")
    assert "First line<br>Second line" in text
    assert "cut short" in text
    order = (
        "First line<br>",
        "<code>ask_data</code>",
        "<code>data</code>",
        "<code>usage</code>",
        "fetch_page",
        "Half an",
    )
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    nested = text[text.index("<code>ask_data</code>") : text.index("<code>usage</code>")]
    assert nested.count('<ul class="steps">') == 1, "the step of the agent that was asked is within the call that asked"
    for told in ("7 ms", "denied", "9 ms", f"{RUNS}{accepted.run_id}/change/"):
        assert told in text


def test_another_branch_is_read_by_its_link(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann, "Question")
    first = answer(accepted.run_id, "The first answer")
    again = threads.regenerate(ann.pk, Regenerate(type="regenerate", message_id=first.message_id))
    answer(again.run_id, "The second answer")
    path = f"{THREADS}{accepted.thread_id}/change/"
    newest = page(root, path)
    assert "The second answer" in newest
    assert "The first answer" not in newest
    assert "2 of 2" in newest
    assert f"?branch={first.message_id}" in newest
    other = page(root, path, {"branch": str(first.message_id)})
    assert "The first answer" in other
    assert "The second answer" not in other
    assert "1 of 2" in other


def test_a_long_thread_is_read_in_pages(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann, "Say 0")
    answer(accepted.run_id, "Said 0")
    for number in range(1, PER_PAGE):
        more = post(threads, ann, f"Say {number}", thread_id=accepted.thread_id)
        answer(more.run_id, f"Said {number}")
    path = f"{THREADS}{accepted.thread_id}/change/"
    seen: list[str] = []
    query: dict[str, str] = {}
    while True:
        text = page(root, path, query)
        seen = re.findall(r'class="said">Say (\d+)<', text) + seen
        earlier = re.search(r'\?upto=([0-9a-f-]+)" rel="prev"', text)
        if earlier is None:
            break
        query = {"upto": earlier[1]}
    assert seen == [str(number) for number in range(PER_PAGE)]
    assert "To the end" in page(root, path, query)


def test_what_has_no_answer_yet_is_told_with_its_question(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann, "Question")
    assert "Queued" in page(root, f"{THREADS}{accepted.thread_id}/change/")
    ended(accepted.run_id, "failed", error_code="MODEL_ERROR", error_message="The model was away")
    text = page(root, f"{THREADS}{accepted.thread_id}/change/")
    assert "Failed: MODEL_ERROR" in text
    assert "The model was away" in text


def test_another_person_s_message_or_run_is_none_of_a_thread(root: Client, threads: ThreadService, ann: Any) -> None:
    bob = get_user_model().objects.create_user("bob")
    hers, his = post(threads, ann, "Hers"), post(threads, bob, "His")
    path = f"{THREADS}{hers.thread_id}/change/"
    for query in ({"branch": his.message_id}, {"upto": his.message_id}, {"run": his.run_id}, {"run": "nonsense"}):
        text = page(root, path, query)
        assert "Hers" in text
        assert "His" not in text
        assert 'id="timeline"' not in text


# A run


def events(run_id: str, last: int) -> None:
    RunEvent.objects.bulk_create(
        RunEvent(
            run_id=run_id, seq=seq, type="agent_thinking", agent="a", data={"step": seq, "text": ""}, created_at=now()
        )
        for seq in range(2, last + 1)
    )
    Run.objects.filter(id=run_id).update(last_seq=last)


def test_a_run_is_shown_with_its_events_in_order(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann, "Grüße")
    add_event(accepted.run_id, 2, "agent_started", model="offline", attempt=1)
    add_event(accepted.run_id, 3, "tool_completed", tool="clock", tool_call_id="1", result="ein Stück", duration_ms=5)
    usage = {"model": "offline", "input_tokens": 3, "cost_usd": None}
    ended(accepted.run_id, "failed", error_code="RUN_TIMEOUT", last_seq=3, usage=usage)
    text = page(root, f"{RUNS}{accepted.run_id}/change/")
    parts = (
        "message_created",
        "Grüße",
        "agent_started",
        "model offline, attempt 1",
        "tool clock, duration ms 5",
        "ein Stück",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert escape('"result": "ein Stück"') in text, "the whole JSON is behind a disclosure"
    for told in ("Failed: RUN_TIMEOUT", "model: offline, input tokens: 3", "3 events, of which 1 to 3 are here"):
        assert told in text
    assert "cost" not in text.partition("Requests to models")[0].partition("spent")[2].partition("</dd>")[0]


def test_a_run_of_thousands_of_events_is_read_in_pages(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann)
    events(accepted.run_id, 2 * timeline.PER_PAGE + 10)
    path = f"{RUNS}{accepted.run_id}/change/"

    def seqs(query: dict[str, str]) -> tuple[int, int, str]:
        text = page(root, path, query)
        found = [int(each) for each in re.findall(r'id="event-(\d+)"', text)]
        assert found == list(range(found[0], found[-1] + 1))
        return found[0], found[-1], text

    first, last, text = seqs({})
    assert (first, last) == (1, 100)
    assert 'rel="prev"' not in text
    assert "after=100" in text
    assert seqs({"after": "100"})[:2] == (101, 200)
    assert seqs({"after": "200"})[:2] == (201, 210)
    assert "after=" not in seqs({"after": "200"})[2]
    assert seqs({"before": "101"})[:2] == (1, 100)
    assert seqs({"before": "2147483647"})[:2] == (111, 210)
    for nonsense in ("-1", "x", "9" * 30, "1e3"):
        assert seqs({"after": nonsense})[0] == 1
    assert "No events here" in page(root, path, {"after": "5000"})


def test_pieces_of_text_can_be_left_out(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann)
    events(accepted.run_id, 150)
    add_event(accepted.run_id, 151, "tool_executing", tool="clock", tool_call_id="1", arguments={})
    text = page(root, f"{RUNS}{accepted.run_id}/change/", {"steps": "1"})
    assert 'id="event-151"' in text
    assert 'id="event-2"' not in text


def test_a_large_event_is_a_page_of_its_own(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann)
    large = "x" * (timeline.JSON_CHARACTERS + 1)
    add_event(accepted.run_id, 2, "tool_completed", tool="t", tool_call_id="1", result=large, duration_ms=1)
    RunEvent.objects.create(
        run_id=accepted.run_id,
        seq=3,
        type="tool_completed",
        agent="a",
        data={"result": "begin"},
        created_at=now(),
        whole_result="begin and <b>end</b>",
    )
    text = page(root, f"{RUNS}{accepted.run_id}/change/")
    assert large not in text
    for seq, expected in ((2, large), (3, "begin and <b>end</b>")):
        path = f"{RUNS}{accepted.run_id}/event/{seq}/"
        assert path in text
        whole = root.get(path)
        assert whole["Content-Type"] == "text/plain; charset=utf-8"
        assert expected in whole.content.decode()
    for nothing in (
        f"{RUNS}{accepted.run_id}/event/9/",
        f"{RUNS}{uuid.uuid4()}/event/2/",
        f"{RUNS}{accepted.run_id}/event/{2**40}/",
    ):
        assert root.get(nothing).status_code == 302


def test_what_a_restart_made_void_is_told(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann)
    add_event(accepted.run_id, 2, "tool_executing", tool="clock", tool_call_id="1", arguments={})
    add_event(accepted.run_id, 3, "agent_restarted", attempt=2, reason="worker_lost")
    Run.objects.update(restart_seq=3, attempt=2)
    add_event(accepted.run_id, 4, "tool_executing", tool="diary", tool_call_id="2", arguments={})
    text = page(root, f"{RUNS}{accepted.run_id}/change/")
    assert text.count("Does not count") == 1
    thread = page(root, f"{THREADS}{accepted.thread_id}/change/")
    assert "<code>diary</code>" in thread
    assert "<code>clock</code>" not in thread


def test_removed_events_are_told(root: Client, threads: ThreadService, ann: Any) -> None:
    accepted = post(threads, ann)
    ended(accepted.run_id, "completed", events_pruned_at=now())
    RunEvent.objects.all().delete()
    assert "Its events were removed on" in page(root, f"{RUNS}{accepted.run_id}/change/")


# Agents


def test_agents_and_servers_are_shown_without_secrets(
    root: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page(root, "/admin/agents/")
    for told in ("assistant", "triage", "asked by default", "calculate", "asks first", "offline", "None is configured"):
        assert told in text
    assert settings.SECRET_KEY not in text
    McpServer.objects.create(
        name="tests",
        state="failed",
        tools=[{"name": "tests_add", "description": HOSTILE, "needs_approval": False}],
        error="it ended",
        changed_at=now(),
        seen_at=now(),
    )
    assert "it ended" in page(root, "/admin/chat/mcpserver/")
    assert "<script>alert" not in page(root, "/admin/chat/mcpserver/tests/change/")


def test_a_server_without_agents_says_so(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from chat.api.serving import agents_config

    monkeypatch.setattr(agents_config(), "supervisor", None)
    assert "This server has no agents" in page(root, "/admin/agents/")
    assert page(root, RUNS)


# Harm


@pytest.mark.parametrize("path", [THREADS, RUNS, USERS, "/admin/chat/approval/", "/admin/chat/auditentry/"])
def test_what_there_is_not_leads_back_to_the_front_page(root: Client, path: str) -> None:
    for name in (uuid.uuid4(), "nonsense", 10**9):
        for page_of_it in ("change", "history"):
            assert root.get(f"{path}{name}/{page_of_it}/").status_code == 302


def test_hostile_content_is_shown_and_does_nothing(root: Client, threads: ThreadService) -> None:
    mallory = get_user_model().objects.create_user("mallory", first_name=HOSTILE[:100], email=HOSTILE[:100])
    accepted = post(threads, mallory, HOSTILE)
    Thread.objects.update(title=HOSTILE)
    add_event(accepted.run_id, 2, HOSTILE[:32], HOSTILE[:64], **{HOSTILE: HOSTILE, "text": HOSTILE})
    call = {"tool_call_id": HOSTILE, "tool": HOSTILE}
    add_event(accepted.run_id, 3, "tool_executing", HOSTILE[:64], arguments={HOSTILE: HOSTILE}, **call)
    add_event(accepted.run_id, 4, "tool_completed", HOSTILE[:64], error=HOSTILE, duration_ms=1, **call)
    ended(accepted.run_id, "failed", error_code=HOSTILE[:40], error_message=HOSTILE, agent=HOSTILE[:64])
    Run.objects.update(usage={HOSTILE: HOSTILE})
    for path in (
        "/admin/",
        THREADS,
        RUNS,
        USERS,
        f"{THREADS}{accepted.thread_id}/change/",
        f"{THREADS}{accepted.thread_id}/change/?run={accepted.run_id}",
        f"{RUNS}{accepted.run_id}/change/",
        f"{USERS}{mallory.pk}/change/",
        f"{THREADS}?q={HOSTILE}",
        f"{RUNS}?q={HOSTILE}",
        f"/admin/chat/auditentry/?actor={HOSTILE}",
    ):
        text = page(root, path)
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert "<b>bold" not in text, path
        assert "&lt;script&gt;alert" in text, path
        assert "98766" not in text, path


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
    given = {
        "title": "Forged",
        "status": "failed",
        "action": "delete_selected",
        "_selected_action": row_id,
        "post": "yes",
    }
    answered = root.post(path, given)
    assert answered.status_code == (200 if action == "actions" else 403)
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


def test_no_page_shows_a_refresh_token(root: Client, ann: Any) -> None:
    token = str(RefreshToken.for_user(ann))
    registered = {model._meta.model_name for model in admin.site._registry}
    assert not {"outstandingtoken", "blacklistedtoken", "procrastinatejob"} & registered
    assert root.get("/admin/token_blacklist/outstandingtoken/").status_code == 404
    assert token not in page(root, f"{USERS}{ann.pk}/change/")


def test_an_access_token_is_no_way_in() -> None:
    token = RefreshToken.for_user(superuser()).access_token
    assert Client(headers={"Authorization": f"Bearer {token}"}).get(THREADS).status_code == 302


def test_nothing_of_a_request_is_kept_for_the_next(root: Client) -> None:
    page(root, RUNS)
    page(root, USERS)
    for registered in admin.site._registry.values():
        assert "request" not in vars(registered)


def test_the_site_s_own_search_which_keeps_what_it_found_is_gone(root: Client) -> None:
    assert root.get("/admin/search/", {"s": "thread"}).status_code == 404
    assert root.get("/admin/chat/")["Location"] == "/admin/"


# The group of those who help people


def test_the_group_is_made_once_and_keeps_what_it_was_given() -> None:
    call_command("support_group", stdout=io.StringIO())
    group = Group.objects.get(name="Support")
    codes = set(group.permissions.values_list("codename", flat=True))
    assert {"view_thread", "view_run", "view_user"} <= codes
    assert not [code for code in codes if not code.startswith("view_") or code == "view_content"]
    group.permissions.remove(group.permissions.get(codename="view_run"))
    group.permissions.add(Permission.objects.get(codename="change_run"))
    supporter("clerk")
    assert set(group.permissions.values_list("codename", flat=True)) == {*codes, "change_run"}


@pytest.mark.parametrize("name", ["nobody", "ann"])
def test_only_staff_come_into_it(ann: Any, name: str) -> None:
    with pytest.raises(CommandError, match=f"no member of staff named {name}"):
        call_command("support_group", "--add", name)
    assert not Group.objects.exists()


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
