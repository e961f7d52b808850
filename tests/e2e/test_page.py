"""The web chat in Chromium, against a real server: what a person does and sees."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser import Cable, answers, ask, plain, shown, sign_in
from tests.clients import Account
from tests.e2e.conftest import own_server
from tests.live import LiveServer

QUESTION = "What is 17.5 % of 2480, and what time is it in Tokyo?"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """With a database of its own: a worker beside it would answer at another pace."""
    yield from own_server(offline_tokens_per_second=40)


@pytest.fixture
def page(context: BrowserContext, cable: Cable, account: Account) -> Page:
    page = context.new_page()
    sign_in(page, cable.url, account)
    return page


def stored_answers(server: LiveServer, account: Account) -> list[str]:
    with server.database() as connection:
        rows = connection.execute(
            "SELECT content FROM chat_message WHERE user_id = %s AND role = 'assistant' ORDER BY id", (account.id,)
        )
        return [row[0] for row in rows.fetchall()]


def test_a_question_shows_its_tool_calls_and_its_answer(page: Page) -> None:
    ask(page, QUESTION)
    expect(answers(page)).to_have_count(1)
    steps = page.locator('[data-testid="step"][data-kind="tool"][data-status="completed"]')
    expect(steps).to_have_count(2)
    assert [step.get_attribute("data-tool") for step in steps.all()] == ["calculate", "current_time"]
    expect(page.get_by_test_id("answer")).to_contain_text("434")
    expect(page.get_by_test_id("answer")).to_contain_text("Tokyo")
    expect(page.get_by_test_id("thread")).to_have_count(1)


def test_a_wrong_password_is_refused_in_words(context: BrowserContext, cable: Cable, account: Account) -> None:
    page = context.new_page()
    page.goto(cable.url)
    page.get_by_test_id("username").fill(account.username)
    page.get_by_test_id("password").fill("not this one")
    page.get_by_test_id("sign-in").click()
    expect(page.get_by_test_id("password-error")).to_contain_text("password is not right")


def test_a_reload_in_mid_answer_loses_and_repeats_nothing(page: Page, server: LiveServer, account: Account) -> None:
    ask(page, "help")
    expect(page.get_by_test_id("answer")).to_contain_text("offline")
    assert answers(page).count() == 0
    page.reload()
    expect(answers(page)).to_have_count(1)
    expect(page.locator('[data-testid="message"]')).to_have_count(2)
    assert shown(page) == plain(stored_answers(server, account)[0])


def test_a_dropped_socket_in_mid_answer_loses_and_repeats_nothing(
    page: Page, cable: Cable, server: LiveServer, account: Account
) -> None:
    ask(page, "help")
    expect(page.get_by_test_id("answer")).to_contain_text("offline")
    cable.cut()
    expect(page.locator('[data-testid="connection"]:not([data-state="connected"])')).to_have_count(1)
    cable.join()
    expect(answers(page)).to_have_count(1, timeout=30_000)
    expect(page.locator('[data-testid="message"]')).to_have_count(2)
    assert shown(page) == plain(stored_answers(server, account)[0])


def test_a_message_sent_while_offline_goes_out_once(
    page: Page, cable: Cable, server: LiveServer, account: Account
) -> None:
    cable.cut()
    expect(page.locator('[data-testid="connection"]:not([data-state="connected"])')).to_have_count(1)
    ask(page, "hello")
    cable.join()
    expect(answers(page)).to_have_count(1, timeout=30_000)
    assert len(stored_answers(server, account)) == 1


def test_stop_ends_the_run_on_the_server_and_keeps_what_was_said(
    page: Page, server: LiveServer, account: Account
) -> None:
    ask(page, "help")
    expect(page.get_by_test_id("answer")).to_contain_text("offline")
    page.get_by_test_id("stop").click()
    stopped = page.locator('[data-testid="message"][data-role="assistant"][data-status="cancelled"]')
    expect(stopped).to_have_count(1)
    with server.database() as connection:
        row = connection.execute("SELECT status FROM chat_run WHERE user_id = %s", (account.id,)).fetchone()
    assert row == ("cancelled",)
    page.reload()
    expect(stopped).to_have_count(1)
    assert shown(page) == plain(stored_answers(server, account)[0])


def test_two_tabs_see_the_same_answer_as_it_comes(page: Page, context: BrowserContext) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    other = context.new_page()
    other.goto(page.url)
    expect(answers(other)).to_have_count(1)
    ask(page, QUESTION)
    expect(answers(other)).to_have_count(2)
    expect(other.get_by_test_id("answer").last).to_contain_text("434")


def test_another_user_sees_nothing_of_it(page: Page, browser: Browser, cable: Cable, server: LiveServer) -> None:
    ask(page, "My secret is a blue giraffe")
    expect(answers(page)).to_have_count(1)
    context = browser.new_context()
    foreign = context.new_page()
    sign_in(foreign, cable.url, server.add_user("bob"))
    foreign.goto(page.url)
    expect(foreign.get_by_test_id("error")).to_be_visible()
    assert "giraffe" not in foreign.content()
    context.close()


def test_what_is_hostile_in_a_message_is_shown_as_text(page: Page) -> None:
    ask(page, '<img src=x onerror="document.title=1"> [x](javascript:alert(1)) <script>document.title=2</script>')
    expect(answers(page)).to_have_count(1)
    assert page.title() not in ("1", "2")
    assert page.locator('a[href^="javascript"]').count() == 0


def test_a_large_result_is_shown_from_its_beginning_and_whole_on_demand(
    page: Page, server: LiveServer, account: Account
) -> None:
    ask(page, QUESTION)
    expect(answers(page)).to_have_count(1)
    whole = {"rows": [f"row {number}" for number in range(3000)]}
    data = {"result": '{"rows":["row 0","ro', "truncated": {"bytes": 34_891}}
    with server.database() as connection:
        connection.execute(
            """UPDATE chat_runevent SET data = data || %s::jsonb, whole_result = %s::jsonb
               WHERE type = 'tool_completed' AND data->>'tool' = 'calculate'
                 AND run_id IN (SELECT id FROM chat_run WHERE user_id = %s)""",
            (json.dumps(data), json.dumps(whole), account.id),
        )
    page.reload()
    step = page.locator('[data-testid="step"][data-tool="calculate"]')
    step.locator(".step-head").click()
    expect(step).to_contain_text('{"rows":["row 0","ro…')
    step.get_by_text("Show all (35 kB)").click()
    expect(step).to_contain_text('"row 2999"')
    expect(step.get_by_test_id("show-result")).to_have_count(0)
