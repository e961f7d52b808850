"""How a run is shown in the web chat, in Chromium against a real server: steps, the queue, its end, what it took."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.browser import answers, ask, assert_accessible, choose_agent
from tests.clients import Account
from tests.e2e.applications.held_agents import COMPARE, FAIL, LIST, ROWS, TELL, THINK, USE, WEEKS
from tests.e2e.conftest import new_data_dir
from tests.live import LiveServer


class Holds:
    """What the agents wait for. A name is let go once and for all: until `again`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def let_go(self, name: str) -> None:
        (self._folder / name).touch()

    def again(self) -> None:
        for file in self._folder.iterdir():
            file.unlink()


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("held")


@pytest.fixture(scope="module")
def server(held: Path) -> Iterator[LiveServer]:
    for folder in new_data_dir():
        server = LiveServer(folder, agents="tests.e2e.applications.held_agents:AGENTS", sweep_seconds=0.2)
        server.inherited = {**os.environ, "HELD_FOLDER": str(held)}
        with server:
            yield server
        assert not server.traceback(), server.traceback()


@pytest.fixture
def holds(held: Path) -> Iterator[Holds]:
    holds = Holds(held)
    holds.again()
    yield holds
    for name in ("thought", "said", "story", "failure", "weeks", "dug"):
        holds.let_go(name)


@pytest.fixture
def page(page: Page, holds: Holds) -> Page:
    choose_agent(page, "worker")
    return page


def step(page: Page | Locator, kind: str, status: str) -> Locator:
    return page.locator(f'[data-testid="step"][data-kind="{kind}"][data-status="{status}"]')


def ended(page: Page, status: str) -> Locator:
    return page.locator(f'[data-testid="message"][data-role="assistant"][data-status="{status}"]')


def another_tab(page: Page) -> Page:
    tab = page.context.new_page()
    tab.goto(page.url)
    return tab


def assert_accessible_in_both_themes(page: Page) -> None:
    for theme in ("dark", "light"):
        page.emulate_media(color_scheme=theme)
        assert_accessible(page)


def shot(page: Page, name: str) -> None:
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


def test_a_thought_is_counted_while_it_goes_on_and_read_when_opened(page: Page, holds: Holds) -> None:
    ask(page, THINK)
    going = step(page, "thinking", "running")
    expect(going).to_contain_text(re.compile(r"Thinking for ([2-9]|\d\d)s"))
    expect(going).to_contain_text("2. the long one")
    page.reload()
    counted = int(going.locator(".step-title").inner_text().removeprefix("Thinking for ").removesuffix("s"))
    assert counted >= 2, "the counter does not begin anew"
    going.locator(".step-head").click()
    expect(going.locator("ol > li")).to_have_text(["the short one", "the long one"])
    expect(going.locator("strong")).to_have_text("two")
    shot(page, "thinking")
    assert_accessible_in_both_themes(page)
    holds.let_go("thought")
    done = step(page, "thinking", "completed")
    expect(done).to_contain_text("Thought for ")
    told = done.locator(".step-title").inner_text()
    holds.let_go("said")
    expect(answers(page)).to_have_count(1)
    page.reload()
    expect(done.locator(".step-title")).to_have_text(told)


def test_tools_say_their_name_status_and_time_and_large_results_are_fetched_when_wanted(page: Page) -> None:
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url) if "/result" in request.url else None)
    ask(page, LIST)
    expect(answers(page)).to_have_count(1)
    large, small = step(page, "tool", "completed").all()
    expect(large).to_contain_text("List rows")
    expect(large).to_contain_text("done")
    expect(step(page, "tool", "failed")).to_contain_text("the machine broke down")
    large.locator(".step-head").click()
    expect(large).to_contain_text('"many": 3000')
    assert asked_for == []
    expect(large.get_by_test_id("show-result")).to_contain_text("Show all (1")
    large.get_by_test_id("show-result").click()
    expect(large).to_contain_text(f'"row": {ROWS - 1}')
    assert len(asked_for) == 1
    assert json.loads(large.locator("pre").last.inner_text())[-1] == {"row": ROWS - 1, "name": f"name {ROWS - 1}"}
    small.locator(".step-head").click()
    expect(small.locator("pre").last).not_to_contain_text('"row": 39')
    small.get_by_test_id("fold").click()
    expect(small.locator("pre").last).to_contain_text('"row": 39')
    shot(page, "tools")
    assert_accessible_in_both_themes(page)
    small.get_by_test_id("fold").click()
    expect(small.locator("pre").last).not_to_contain_text('"row": 39')


def test_two_sub_agents_of_one_name_at_once_each_show_their_own_steps(page: Page, holds: Holds) -> None:
    choose_agent(page, "manager")
    ask(page, COMPARE)
    agents = step(page, "subagent", "running")
    expect(agents).to_have_count(2)
    for agent, question, thought, rows in zip(agents.all(), WEEKS, ("first", "second"), (1, 2), strict=True):
        expect(agent).to_contain_text(question)
        expect(step(agent, "tool", "completed")).to_have_count(1)
        expect(step(agent, "thinking", "completed")).to_have_count(1)
        expect(step(agent, "tool", "completed")).to_contain_text(f"many: {rows}")
        step(agent, "thinking", "completed").locator(".step-head").click()
        expect(agent).to_contain_text(f"I look at the {thought}.")
    shot(page, "subagents")
    assert_accessible_in_both_themes(page)
    holds.let_go("weeks")
    expect(answers(page)).to_have_count(1)
    page.reload()
    done = step(page, "subagent", "completed")
    expect(done).to_have_count(2)
    for agent, rows, said in zip(done.all(), (1, 2), ("One.", "Two."), strict=True):
        agent.locator("> .step-head").click()
        expect(step(agent, "tool", "completed")).to_contain_text(f"many: {rows}")
        expect(agent).to_contain_text(said)


def queued(page: Page) -> Locator:
    return page.get_by_test_id("queued")


def stored_runs(server: LiveServer, account: Account) -> list[tuple[str, str]]:
    with server.database() as connection:
        rows = connection.execute(
            """SELECT m.content, r.status FROM chat_run r JOIN chat_message m ON m.id = r.input_message_id
               WHERE r.user_id = %s ORDER BY r.run_number""",
            (account.id,),
        )
        return rows.fetchall()


def test_messages_that_wait_are_a_queue_in_every_tab_and_can_be_cancelled_and_taken_back(
    page: Page, holds: Holds, server: LiveServer, account: Account
) -> None:
    ask(page, TELL)
    expect(page.get_by_test_id("answer")).to_contain_text("Once upon a time")
    for text in ("One more", "And two", "And three"):
        ask(page, text)
    expect(queued(page)).to_have_count(3)
    expect(page.get_by_test_id("queue")).to_contain_text("3 waiting")
    expect(page.locator('[data-testid="message"]')).to_have_count(2)
    other = another_tab(page)
    page.reload()
    for tab in (page, other):
        expect(queued(tab)).to_have_text(["One more", "And two", "And three"])
    shot(page, "queue")
    assert_accessible_in_both_themes(page)
    queued(other).nth(1).get_by_test_id("queue-cancel").click()
    for tab in (page, other):
        expect(queued(tab)).to_have_text(["One more", "And three"])
    queued(page).nth(1).get_by_test_id("queue-edit").click()
    expect(page.get_by_test_id("composer")).to_have_value("And three")
    expect(page.get_by_test_id("composer")).to_be_focused()
    for tab in (page, other):
        expect(queued(tab)).to_have_text(["One more"])
    holds.let_go("story")
    for tab in (page, other):
        expect(answers(tab)).to_have_count(2)
        expect(queued(tab)).to_have_count(0)
        expect(tab.get_by_test_id("answer").last).to_contain_text("You said: One more")
    expect(page.get_by_test_id("outcome")).to_have_text(["Cancelled before it began"] * 2)
    assert [status for _, status in stored_runs(server, account)] == [
        "completed",
        "completed",
        "cancelled",
        "cancelled",
    ]


def test_a_message_can_interrupt_the_answer_that_is_being_written(
    page: Page, server: LiveServer, account: Account
) -> None:
    ask(page, TELL)
    expect(page.get_by_test_id("answer")).to_contain_text("Once upon a time")
    page.get_by_test_id("composer").fill("Stop that")
    expect(page.get_by_test_id("interrupt")).to_have_text("Interrupt and sendCtrlEnter")
    page.keyboard.press("Control+Enter")
    expect(answers(page)).to_have_count(1)
    for _ in range(2):
        expect(ended(page, "cancelled").get_by_test_id("outcome")).to_have_text("Interrupted by your next message")
        expect(ended(page, "cancelled").get_by_test_id("answer")).to_have_text("Once upon a time")
        page.reload()
    assert stored_runs(server, account) == [(TELL, "cancelled"), ("Stop that", "completed")]
    page.get_by_test_id("composer").fill("Again")
    expect(page.get_by_test_id("interrupt")).to_have_count(0)
    page.keyboard.press("Control+Enter")
    expect(answers(page)).to_have_count(2)


def test_what_was_said_until_a_stop_stays_and_what_ran_says_that_it_was_stopped(page: Page) -> None:
    ask(page, USE)
    expect(step(page, "tool", "running")).to_contain_text(re.compile(r"running\s*\d+s"))
    other = another_tab(page)
    other.get_by_test_id("stop").click()
    for tab in (page, other):
        for _ in range(2):
            stopped = ended(tab, "cancelled")
            expect(stopped.get_by_test_id("outcome")).to_have_text("Stopped by you")
            expect(stopped.get_by_test_id("answer")).to_have_text("I look.")
            expect(step(tab, "tool", "stopped")).to_contain_text("stopped")
            expect(tab.locator(".spinner")).to_have_count(0)
            tab.reload()
    shot(page, "stopped")


def test_what_was_said_until_a_failure_stays_with_what_happened_and_what_can_be_done(page: Page, holds: Holds) -> None:
    ask(page, FAIL)
    expect(page.get_by_test_id("answer")).to_have_text("Half of it")
    holds.let_go("failure")
    for _ in range(2):
        failed = ended(page, "failed")
        expect(failed.get_by_test_id("answer")).to_have_text("Half of it")
        expect(failed.get_by_test_id("outcome")).to_have_text("The answer is incomplete")
        expect(failed.get_by_test_id("error")).to_contain_text("The language model failed.")
        expect(failed.get_by_test_id("error")).to_contain_text("Ask again, or choose another agent.")
        expect(page.locator(".spinner")).to_have_count(0)
        page.reload()
    shot(page, "failed")
    assert_accessible_in_both_themes(page)


def test_nothing_jumps_when_an_answer_ends(page: Page, holds: Holds) -> None:
    ask(page, TELL)
    answer = page.locator('[data-testid="message"][data-role="assistant"]')
    expect(page.get_by_test_id("answer")).to_contain_text("Once upon a time")
    page.evaluate(
        """() => {
            const article = document.querySelector("article.answer-message");
            window.heights = [article.offsetHeight];
            new ResizeObserver(() => window.heights.push(article.offsetHeight)).observe(article);
        }"""
    )
    holds.let_go("story")
    expect(answers(page)).to_have_count(1)
    expect(answer).to_contain_text("it ended.")
    heights = page.evaluate("window.heights")
    assert max(heights) - min(heights) <= 2, heights


def test_what_an_answer_and_a_conversation_took_is_what_the_server_counted(
    page: Page, server: LiveServer, account: Account
) -> None:
    ask(page, LIST)
    expect(answers(page)).to_have_count(1)
    ask(page, "Say something")
    expect(answers(page)).to_have_count(2)
    page.get_by_test_id("usage").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("figures").locator("dd").nth(2)).to_have_text("2")
    # The title is asked of a model, too.
    expect(page).to_have_title(re.compile("A held conversation"))
    with server.database() as connection:
        connection.execute("UPDATE chat_modelrequest SET cost_usd = 0.0123 WHERE user_id = %s", (account.id,))
    page.get_by_test_id("thread-usage").click()
    thread = page.url.rsplit("/", 1)[-1]

    def counted() -> tuple[str, str]:
        total = server.http("GET", f"/api/usage?thread_id={thread}", token=account.token()).body["total"]
        return str(total["input_tokens"] + total["output_tokens"]), total["cost_usd"]

    figures = page.get_by_test_id("thread-figures")
    expect(figures).to_have_attribute("data-tokens", counted()[0])
    assert counted()[1] == "0.04920000", "four requests"
    expect(figures).to_contain_text("$0.0492")
    shot(page, "usage")
    assert_accessible_in_both_themes(page)
    before = counted()
    # By keyboard: a click elsewhere closes what is open.
    page.get_by_test_id("composer").fill("Say more")
    page.keyboard.press("Enter")
    expect(answers(page)).to_have_count(3)
    assert counted() != before
    expect(figures).to_have_attribute("data-tokens", counted()[0])
    expect(figures).to_have_attribute("data-cost", counted()[1])
    page.get_by_test_id("thread-usage").focus()
    page.keyboard.press("Escape")
    expect(figures).to_have_count(0)
    expect(page.get_by_test_id("thread-usage")).to_be_focused()


def test_when_the_server_wants_to_be_left_alone_the_button_counts_down_and_comes_back(page: Page) -> None:
    refused: list[str] = []

    def stand_between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(frame: str | bytes) -> None:
            command = json.loads(frame)
            if command["type"] != "user_message" or refused:
                server.send(frame)
                return
            refused.append(command["message_id"])
            error = {"type": "error_message", "error_code": "RATE_LIMITED", "error_message": "slowly", "retry_after": 3}
            socket.send(json.dumps({**error, "ref": command["ref"]}))

        socket.on_message(pass_on)

    page.route_web_socket("**/ws", stand_between)
    page.reload()
    ask(page, "Quickly")
    error = page.get_by_test_id("error")
    expect(error).to_contain_text("You are sending messages faster than the server allows. Wait a moment.")
    expect(error.get_by_test_id("wait")).to_have_text(re.compile(r"Try again in \d seconds?\."))
    expect(error.get_by_test_id("retry")).to_be_disabled()
    expect(error.get_by_test_id("retry")).to_be_enabled()
    expect(error.get_by_test_id("wait")).to_have_text("You can try again now.")
    error.get_by_test_id("retry").click()
    expect(answers(page)).to_have_count(1)
    assert len(refused) == 1
