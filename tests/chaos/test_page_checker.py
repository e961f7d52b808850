"""The checker of pages is checked: what is whole passes, and each kind of fault in it is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.page_checker import PageVerdict, check_pages
from tests.chaos.page_record import PageRecord, PageView, ShownMessage, StoredThread, differences, text_of, unfit
from tests.chaos.record import LoggedEvent, LoggedRun

ANN = 1
ICON = "http://127.0.0.1:1/favicon.ico"


def message(role: str, number: int, content: str) -> dict[str, Any]:
    return {"id": f"{role}-{number}", "role": role, "content": content}


def run(number: int, status: str = "completed", *, answered: bool = True) -> dict[str, Any]:
    output = f"assistant-{number}" if answered else None
    asked = {"input_message_id": f"user-{number}", "output_message_id": output}
    return {"id": f"run-{number}", "run_number": number, "status": status, **asked}


STORED = StoredThread(
    "t",
    (
        message("user", 1, "One"),
        message("assistant", 1, "Answer one"),
        message("user", 2, "Two"),
        message("assistant", 2, "Answer two"),
        message("user", 3, "Three"),
    ),
    (run(3, "failed", answered=False), run(1), run(2, "cancelled")),
)
SHOWN = (
    ShownMessage("user", "user-1", None, "sent", "One"),
    ShownMessage("assistant", "assistant-1", "run-1", "completed", "Answer one"),
    ShownMessage("user", "user-2", None, "sent", "Two"),
    ShownMessage("assistant", "assistant-2", "run-2", "cancelled", "Answer two"),
    ShownMessage("user", "user-3", None, "sent", "Three"),
    ShownMessage("assistant", None, "run-3", "failed", ""),
)
VIEW = PageView("chat", "t", loaded=True, connection="connected", messages=SHOWN, composer=True)


def with_message(place: int, **changes: Any) -> PageView:
    return replace(VIEW, messages=(*SHOWN[:place], replace(SHOWN[place], **changes), *SHOWN[place + 1 :]))


def test_a_page_that_shows_what_is_stored_differs_in_nothing() -> None:
    assert differences(VIEW, STORED, str) == []
    assert STORED.has_ended


@pytest.mark.parametrize(
    "view",
    [
        replace(VIEW, thread_id="another"),
        replace(VIEW, messages=SHOWN[:-1]),
        replace(VIEW, messages=(*SHOWN, SHOWN[-1])),
        replace(VIEW, messages=(*SHOWN[2:4], *SHOWN[:2], *SHOWN[4:])),
        replace(VIEW, moving=("spinner",)),
        replace(VIEW, approvals=1),
        replace(VIEW, sideways=3),
        replace(VIEW, composer=False),
        PageView("sign-in"),
        with_message(0, status="sending"),
        with_message(0, text="One "),
        with_message(1, text="Answer on"),
        with_message(1, text="Answer oneone"),
        with_message(1, status="running"),
        with_message(3, status="completed"),
        with_message(5, text="Something"),
    ],
)
def test_whatever_a_page_shows_otherwise_is_found(view: PageView) -> None:
    assert differences(view, STORED, str)


def test_a_question_that_stands_there_twice_makes_a_page_unfit_while_runs_are_open() -> None:
    assert unfit(VIEW) == []
    assert unfit(replace(VIEW, messages=(*SHOWN, SHOWN[0])))


def test_an_answer_on_another_branch_is_not_expected() -> None:
    again = run(4) | {"input_message_id": "user-1", "output_message_id": "elsewhere"}
    assert differences(VIEW, replace(STORED, runs=(*STORED.runs, again)), str) == []


def test_the_text_of_html_is_that_of_its_elements() -> None:
    html = '<p>a &amp; <b>b</b></p>\n<pre><code>x &lt; 1\n</code></pre><ul>\n<li>c</li>\n<li title="d">e</li></ul>'
    assert text_of(html) == "a & b x < 1 c e"


# The whole record


def logged(*events: tuple[str, dict[str, Any]]) -> LoggedRun:
    listed = [LoggedEvent(seq, kind, "", data) for seq, (kind, data) in enumerate(events, start=1)]
    return LoggedRun("run-1", ANN, 1, "completed", len(listed), 1, "user-1", "Answer one", listed)


RESOLVED = ("approval_resolved", {"tool_call_id": "c", "approved": True, "by": "user"})


def record() -> PageRecord:
    page = PageRecord("page", ANN, sent=Counter({"One": 1, "Two": 1, "Three": 1}), decided={"One": True})
    page.saw(with_message(1, status="running", text="Answ"))
    page.saw(with_message(1, status="running", text="Answer o"))
    page.told("error", "Failed to load resource: net::ERR_INTERNET_DISCONNECTED", "")
    page.told("error", "Failed to load resource: the server responded with a status of 503 (Service Unavailable)", "")
    page.told("error", "WebSocket connection to 'ws://127.0.0.1:1/ws' failed: Error during WebSocket handshake", "")
    page.told("log", "whatever", "")
    page.told("error", "Failed to load resource: the server responded with a status of 404 (Not Found)", ICON)
    return page


def verdict_on(*pages: PageRecord, run: LoggedRun | None = None) -> PageVerdict:
    return check_pages(pages, {ANN: [STORED]}, {"run-1": run or logged(RESOLVED)}, str)


def test_a_whole_record_passes() -> None:
    page = record()
    verdict = verdict_on(page)
    assert verdict.is_clean, verdict
    assert page.network_errors == 4


def drop_a_chunk(page: PageRecord) -> None:
    page.saw(with_message(1, status="running", text="Answ o"))


def apply_a_chunk_twice(page: PageRecord) -> None:
    page.saw(with_message(1, status="running", text="AnswAnswer"))


def send_twice(page: PageRecord) -> None:
    page.sent["Two"] -= 1


def lose(page: PageRecord) -> None:
    page.sent["Four"] += 1


FAULTS: list[tuple[str, Callable[[PageRecord], object]]] = [
    ("broken_growth", drop_a_chunk),
    ("broken_growth", apply_a_chunk_twice),
    ("posted_twice", send_twice),
    ("lost", lose),
    ("different", lambda page: page.faulty.append("thread t: the stop button is left")),
    ("page_errors", lambda page: page.page_errors.append("TypeError")),
    (
        "console",
        lambda page: page.told("error", "Failed to load resource: the server responded with a status of 500 ()", ""),
    ),
    (
        "console",
        lambda page: page.told(
            "error", "Failed to load resource: the server responded with a status of 404 ()", "http://h/api/me"
        ),
    ),
    ("console", lambda page: page.told("warning", "something is deprecated", "")),
    ("policy", lambda page: page.told("error", "Refused: it violates the Content Security Policy directive …", "")),
    ("not_decided", lambda page: page.decided.update({"One": False})),
]


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
def test_each_fault_of_a_record_is_found(kind: str, fault: Callable[[PageRecord], object]) -> None:
    page = record()
    fault(page)
    verdict = verdict_on(page)
    assert verdict.counts[kind] == 1
    assert sum(verdict.counts.values()) == 1, verdict


def test_what_a_lost_worker_has_said_need_not_be_in_the_answer() -> None:
    page = record()
    drop_a_chunk(page)
    assert verdict_on(page, run=logged(("agent_restarted", {}), RESOLVED)).is_clean


def test_of_two_tabs_that_answer_differently_either_may_hold() -> None:
    other = PageRecord("other", ANN, decided={"One": False})
    assert verdict_on(record(), other).is_clean
