"""Agents in the web chat, in Chromium against a real server: who is asked, what they do, and what a person allows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser import Cable, answers, ask, choose_agent, sign_in
from tests.clients import Account
from tests.e2e.applications.scripted_agents import (
    BOOK,
    DELEGATE,
    DELEGATE_IN_VAIN,
    HOSTILE,
    HOSTILE_TEXT,
    LARGE,
    LETTER,
    WRITE,
    WRITE_TWICE,
)
from tests.e2e.conftest import own_server
from tests.live import LiveServer
from tests.processes import PATIENCE_SECONDS

FIGURES = ["Model", "Duration", "Requests to models", "Tokens read", "Tokens written", "Cost"]
WHO_HAS_THE_FOCUS = "document.activeElement.dataset.testid ?? document.activeElement.className"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    yield from own_server(agents="tests.e2e.applications.scripted_agents:AGENTS", sweep_seconds=0.2)


@pytest.fixture
def asked(page: Page) -> Page:
    """The clerk wants to send a letter."""
    choose_agent(page, "clerk")
    ask(page, WRITE)
    expect(cards(page)).to_have_count(1)
    return page


def cards(page: Page) -> Locator:
    return page.get_by_test_id("approval")


def steps(page: Page, kind: str, status: str = "completed") -> Locator:
    return page.locator(f'[data-testid="step"][data-kind="{kind}"][data-status="{status}"]')


def unfold(step: Locator) -> None:
    """Agents that were seen at work are open, others are not."""
    head = step.locator("> .step-head")
    if head.get_attribute("aria-expanded") == "false":
        head.click()


def another_tab(page: Page) -> Page:
    tab = page.context.new_page()
    tab.goto(page.url)
    return tab


def titled(text: str) -> str:
    return f"{text} \u2013 Netra"


class Held:
    """Requests of the page that wait for the test."""

    def __init__(self, page: Page, address: str) -> None:
        self._page = page
        self._routes: list[Route] = []
        page.route(address, self._hold)

    def _hold(self, route: Route) -> None:
        self._routes.append(route)

    def next(self) -> Route:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._routes:
            assert time.monotonic() < deadline, "no request came"
            self._page.wait_for_timeout(20)
        return self._routes.pop()


def stored(server: LiveServer, account: Account) -> list[tuple[Any, ...]]:
    """What the server keeps of the requests for approval."""
    with server.database() as connection:
        rows = connection.execute(
            """SELECT a.approved, a."by", a.reason FROM chat_approval a JOIN chat_run r ON r.id = a.run_id
               WHERE r.user_id = %s ORDER BY a.id""",
            (account.id,),
        )
        return rows.fetchall()


def test_what_is_asked_for_is_shown_whole_and_approved_from_another_tab_after_a_reload(
    asked: Page, server: LiveServer, account: Account
) -> None:
    expect(cards(asked)).to_contain_text("clerk wants to use Send letter")
    expect(cards(asked).get_by_test_id("approval-time")).to_have_text("24 hours left")
    expect(cards(asked).locator("dt")).to_have_text(["to", "text"])
    assert cards(asked).locator("dd").nth(1).inner_text() == LETTER
    expect(asked.get_by_label("It waits for your approval")).to_be_visible()
    other = another_tab(asked)
    asked.reload()
    expect(cards(asked)).to_have_count(1)
    other.get_by_test_id("approve").click()
    for tab in (other, asked):
        expect(answers(tab)).to_have_count(1)
        expect(cards(tab)).to_have_count(0)
        expect(steps(tab, "tool")).to_contain_text("approved")
        expect(tab.get_by_test_id("answer")).to_contain_text("I have a draft.")
        expect(tab.get_by_test_id("answer")).to_contain_text("That is all.")
    assert stored(server, account) == [(True, "user", "")]


def test_a_denial_tells_the_agent_why_and_the_tool_does_not_run(
    asked: Page, server: LiveServer, account: Account
) -> None:
    asked.get_by_test_id("deny-with-reason").click()
    expect(asked.get_by_test_id("deny-reason")).to_be_focused()
    asked.keyboard.type("She is on holiday.")
    asked.keyboard.press("Enter")
    expect(answers(asked)).to_have_count(1)
    expect(steps(asked, "tool")).to_have_count(0)
    denied = steps(asked, "approval", "denied")
    expect(denied).to_contain_text("denied")
    expect(denied).to_contain_text("She is on holiday.")
    assert stored(server, account) == [(False, "user", "She is on holiday.")]


def test_two_requests_are_answered_by_keyboard_alone_and_the_focus_is_never_lost(page: Page) -> None:
    choose_agent(page, "clerk")
    ask(page, WRITE_TWICE)
    expect(cards(page)).to_have_count(2)
    expect(page.get_by_test_id("composer")).to_be_focused()
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if page.evaluate(WHO_HAS_THE_FOCUS) == "approve":
            break
    page.keyboard.press("Enter")
    expect(cards(page)).to_have_count(1)
    expect(cards(page)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_test_id("approve")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_test_id("deny")).to_be_focused()
    page.keyboard.press("Enter")
    expect(answers(page)).to_have_count(1)
    expect(page.get_by_test_id("composer")).to_be_focused()
    expect(steps(page, "tool")).to_have_count(1)
    expect(steps(page, "approval", "denied")).to_have_count(1)


def test_a_request_does_not_take_the_focus_from_somebody_who_writes(asked: Page) -> None:
    expect(asked.get_by_test_id("composer")).to_be_focused()
    asked.keyboard.type("And then")
    expect(asked.get_by_test_id("composer")).to_have_value("And then")
    expect(cards(asked)).to_have_count(1)


def test_what_is_hostile_in_the_arguments_is_shown_as_what_it_is(page: Page) -> None:
    choose_agent(page, "clerk")
    ask(page, HOSTILE)
    values = cards(page).locator("dd")
    expect(values).to_have_count(2)
    name, text = (value.inner_text() for value in values.all())
    assert name == 'grace⟨U+202E⟩gro.elpmaxe@<img src=x onerror="document.title=1">⟨U+200B⟩'
    assert text == HOSTILE_TEXT.replace("\u0007", "⟨U+0007⟩")
    assert cards(page).locator("img, script, a, strong").count() == 0
    page.get_by_test_id("approve").click()
    expect(answers(page)).to_have_count(1)
    steps(page, "tool").locator(".step-head").click()
    assert steps(page, "tool").locator("img, script, a, strong").count() == 0
    assert page.title() not in ("1", "2")


def test_large_arguments_can_be_approved_when_all_of_them_are_there(page: Page) -> None:
    held = Held(page, "**/approvals")
    choose_agent(page, "clerk")
    ask(page, LARGE)
    expect(cards(page)).to_contain_text("This is the beginning.")
    expect(cards(page)).to_contain_text("word0 word1")
    expect(page.get_by_test_id("approve")).to_be_disabled()
    expect(page.get_by_test_id("deny")).to_be_enabled()
    held.next().abort()
    expect(cards(page)).to_contain_text("could not be loaded")
    expect(page.get_by_test_id("approve")).to_be_disabled()
    cards(page).get_by_text("Try again").click()
    expect(cards(page)).to_contain_text("being loaded")
    held.next().continue_()
    expect(page.get_by_test_id("approve")).to_be_enabled()
    assert cards(page).locator("dd").nth(1).inner_text() == BOOK
    page.get_by_test_id("approve").click()
    expect(answers(page)).to_have_count(1)


def test_whoever_answers_first_decides_and_the_other_tab_follows(
    page: Page, cable: Cable, server: LiveServer, account: Account
) -> None:
    slow = page.context.new_page()
    sign_in(slow, cable.url, account)
    choose_agent(page, "clerk")
    ask(page, WRITE)
    expect(cards(page)).to_have_count(1)
    slow.get_by_test_id("thread").click()
    expect(cards(slow)).to_have_count(1)
    cable.cut()
    expect(slow.locator('[data-testid="connection"]:not([data-state="connected"])')).to_have_count(1)
    slow.get_by_test_id("approve").click()
    expect(slow.get_by_test_id("approval-sending")).to_contain_text("sent when the connection is back")
    page.get_by_test_id("deny").click()
    expect(answers(page)).to_have_count(1)
    cable.join()
    expect(answers(slow)).to_have_count(1, timeout=30_000)
    expect(cards(slow)).to_have_count(0)
    expect(steps(slow, "approval", "denied")).to_contain_text("denied")
    expect(slow.get_by_test_id("error")).to_have_count(0)
    assert stored(server, account) == [(False, "user", "")]


def test_a_request_that_nobody_answers_expires(asked: Page, server: LiveServer, account: Account) -> None:
    with server.database() as connection:
        connection.execute(
            """UPDATE chat_approval SET expires_at = now() WHERE run_id IN
               (SELECT id FROM chat_run WHERE user_id = %s)""",
            (account.id,),
        )
    expect(asked.get_by_test_id("error")).to_contain_text("Nobody approved the step in time.")
    expect(cards(asked)).to_have_count(0)
    expect(steps(asked, "approval", "denied")).to_contain_text("not answered in time")
    asked.get_by_test_id("retry").click()
    expect(cards(asked)).to_have_count(1)


def test_stopping_the_answer_takes_its_request_along(asked: Page, server: LiveServer, account: Account) -> None:
    asked.get_by_test_id("stop").click()
    expect(cards(asked)).to_have_count(0)
    expect(steps(asked, "approval", "denied")).to_contain_text("cancelled")
    asked.reload()
    expect(steps(asked, "approval", "denied")).to_contain_text("cancelled")
    assert stored(server, account) == [(False, "cancelled", "")]


def test_what_other_agents_do_stands_within_the_call_that_asked_them(page: Page) -> None:
    choose_agent(page, "manager")
    ask(page, DELEGATE)
    expect(cards(page)).to_contain_text("clerk wants to use Send letter")
    waiting = steps(page, "subagent", "waiting")
    expect(waiting).to_contain_text("waits for you")
    assert waiting.get_attribute("data-agent") == "clerk"
    page.get_by_test_id("approve").click()
    expect(answers(page)).to_have_count(1)
    agents = steps(page, "subagent")
    expect(agents).to_have_count(2)
    first, second = agents.all()
    unfold(first)
    unfold(second)
    expect(first.locator('[data-kind="tool"]')).to_have_attribute("data-tool", "send_letter")
    expect(first).to_contain_text("That is all.")
    expect(second.locator('[data-kind="tool"]')).to_have_attribute("data-tool", "count")
    expect(second).to_contain_text("Seven words.")
    second.locator('[data-kind="thinking"] > .step-head').click()
    expect(second).to_contain_text("It must be counted.")
    page.reload()
    expect(steps(page, "subagent")).to_have_count(2)
    expect(page.locator('[data-kind="subagent"] [data-kind="tool"]')).to_have_count(0)


def test_the_supervising_agent_shows_whom_it_asked_and_what_they_used(page: Page) -> None:
    choose_agent(page, "triage")
    ask(page, "What did I spend this week, on what, and how do I halve it?")
    expect(answers(page)).to_have_count(1)
    agents = steps(page, "subagent")
    expect(agents).to_have_count(2)
    assert [agent.get_attribute("data-agent") for agent in agents.all()] == ["data", "optimization"]
    for agent, tool in zip(agents.all(), ("usage_summary", "savings"), strict=True):
        unfold(agent)
        expect(agent.locator(f'[data-kind="tool"][data-tool="{tool}"]')).to_have_count(1)


def test_a_tool_that_failed_within_another_agent_says_so(page: Page) -> None:
    choose_agent(page, "manager")
    ask(page, DELEGATE_IN_VAIN)
    expect(answers(page)).to_have_count(1)
    unfold(steps(page, "subagent"))
    expect(steps(page, "tool", "failed")).to_contain_text("the archive burned down")


def test_a_context_that_was_cut_is_a_quiet_line(page: Page) -> None:
    choose_agent(page, "forgetful")
    for number in (1, 2):
        ask(page, f"{number}: " + "so many words " * 20)
        expect(answers(page)).to_have_count(number)
    notice = page.locator('[data-kind="context"]')
    expect(notice).to_have_text("To fit the model's context, 2 earlier messages were left out")
    expect(notice).to_have_attribute("title", re.compile(r"About \d+ tokens; the model takes 150"))


def test_the_chosen_agent_is_asked_named_and_remembered(page: Page, server: LiveServer, account: Account) -> None:
    picker = page.get_by_test_id("agent-picker")
    expect(picker).to_have_attribute("data-agent", "assistant")
    picker.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator('[data-testid="agent-option"][data-agent="assistant"]')).to_be_focused()
    page.keyboard.press("Escape")
    expect(picker).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator('[data-testid="agent-option"][data-agent="clerk"]')).to_contain_text("Writes letters")
    page.keyboard.press("End")
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(picker).to_have_attribute("data-agent", "clerk")
    expect(page.get_by_test_id("composer")).to_be_focused()
    ask(page, "Who are you?")
    expect(answers(page)).to_have_attribute("data-agent", "clerk")
    expect(page.get_by_test_id("usage")).to_contain_text("script")
    page.get_by_test_id("usage").click()
    expect(page.get_by_test_id("figures").locator("dt")).to_have_text(FIGURES)
    expect(page.get_by_test_id("figures").locator("dd").nth(2)).to_have_text("1")
    choose_agent(page, "manager")
    ask(page, "And you?")
    expect(answers(page)).to_have_count(2)
    with server.database() as connection:
        rows = connection.execute("SELECT agent FROM chat_run WHERE user_id = %s ORDER BY run_number", (account.id,))
        assert rows.fetchall() == [("clerk",), ("manager",)]
    page.reload()
    expect(picker).to_have_attribute("data-agent", "manager")
    page.get_by_test_id("new-thread").click()
    expect(picker).to_have_attribute("data-agent", "clerk")


def test_a_title_that_changes_elsewhere_is_shown_in_every_place(
    page: Page, server: LiveServer, account: Account
) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    thread = page.get_by_test_id("thread")
    path = f"/api/threads/{thread.get_attribute('data-thread-id')}"
    assert server.http("PATCH", path, token=account.token(), body={"title": "Greetings"}).status == 200
    expect(thread).to_have_text("Greetings")
    expect(page).to_have_title(titled("Greetings"))


def test_a_thread_that_the_list_does_not_show_has_its_title(page: Page, server: LiveServer, account: Account) -> None:
    made = [
        server.http("POST", "/api/threads", token=account.token(), body={"title": f"Thread {number}"}).body["id"]
        for number in range(51)
    ]
    page.goto(f"{server.url}/t/{made[0]}")
    expect(page).to_have_title(titled("Thread 0"))
    expect(page.get_by_test_id("thread").first).to_be_visible()
    assert page.locator(f'[data-thread-id="{made[0]}"]').count() == 0
    renamed = server.http("PATCH", f"/api/threads/{made[0]}", token=account.token(), body={"title": "The first"})
    assert renamed.status == 200
    expect(page).to_have_title(titled("The first"))


def test_a_conversation_begins_with_a_question_that_its_agent_answers_well(page: Page, server: LiveServer) -> None:
    """The roster comes first: `assistant` is asked unless somebody chooses."""
    offered = page.get_by_test_id("example")
    expect(offered.first).to_have_text("What is 17.5 % of 2480, and what time is it in Tokyo?")
    choose_agent(page, "data")
    expect(offered).to_have_text(
        ["What did I spend this month, by agent?", "How many tokens did I use in the last 7 days?"]
    )
    choose_agent(page, "clerk")
    expect(offered).to_have_count(0)
    choose_agent(page, "data")
    page.get_by_test_id("composer").fill("a draft that stays")
    offered.last.click()
    expect(answers(page)).to_have_count(1)
    expect(page.locator('[data-role="user"]')).to_have_text("How many tokens did I use in the last 7 days?")
