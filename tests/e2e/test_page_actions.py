"""What a person can do with a message in the web chat, in Chromium against a real server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser import PHONE, Cable, answers, ask, assert_accessible, choose_agent, profile, sign_in
from tests.clients import Account
from tests.e2e.applications.moody_agents import SOURCE
from tests.e2e.conftest import new_data_dir, scripted_server
from tests.live import LiveServer

AGENTS = "tests.e2e.applications.moody_agents:AGENTS"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("moody")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[LiveServer]:
    for data in new_data_dir():
        yield from scripted_server(data, folder, agents=AGENTS, sweep_seconds=0.2)


@pytest.fixture
def page(context: BrowserContext, server: LiveServer, account: Account) -> Page:
    return signed_in(context, server, account)


@pytest.fixture
def word() -> str:
    """No two tests ask the same: the agents count."""
    return uuid.uuid4().hex[:8]


def signed_in(context: BrowserContext, server: LiveServer, account: Account) -> Page:
    page = context.new_page()
    sign_in(page, server.url, account)
    choose_agent(page, "echo")
    return page


def questions(page: Page) -> Locator:
    return page.locator('[data-testid="message"][data-role="user"]')


def shows(page: Page, *texts: str) -> None:
    """Questions and answers, in their order."""
    expect(page.locator("#conversation .bubble, #conversation .answer")).to_have_text(list(texts))


def version(message: Locator, text: str) -> None:
    expect(message.get_by_test_id("version")).to_have_text(text)


def another_tab(page: Page) -> Page:
    tab = page.context.new_page()
    tab.goto(page.url)
    return tab


def edit(page: Page, number: int, text: str) -> None:
    question = questions(page).nth(number)
    question.hover()
    question.get_by_test_id("edit").click()
    page.get_by_test_id("edit-text").fill(text)
    page.get_by_test_id("edit-save").click()


def stored(server: LiveServer, account: Account, statement: str) -> list[tuple[Any, ...]]:
    with server.database() as connection:
        return connection.execute(statement, (account.id,)).fetchall()


def stored_questions(server: LiveServer, account: Account) -> list[str]:
    found = "SELECT content FROM chat_message WHERE user_id = %s AND role = 'user' ORDER BY id"
    return [row[0] for row in stored(server, account, found)]


def test_another_answer_stands_beside_the_first_and_the_switcher_goes_between_them(page: Page, word: str) -> None:
    ask(page, word)
    shows(page, word, f"{word}, answer 1")
    expect(page.get_by_test_id("switcher")).to_have_count(0)
    page.get_by_test_id("regenerate").click()
    shows(page, word, f"{word}, answer 2")
    version(answers(page), "2 / 2")
    page.get_by_test_id("version-before").click()
    shows(page, word, f"{word}, answer 1")
    version(answers(page), "1 / 2")
    expect(page.get_by_test_id("version-before")).to_be_focused()
    expect(page.get_by_test_id("announcer")).to_have_text("Version 1 of 2")
    page.get_by_test_id("show-newest").click()
    shows(page, word, f"{word}, answer 2")
    expect(page.get_by_test_id("older-branch")).to_have_count(0)


def test_another_agent_is_asked_from_the_menu(page: Page, word: str) -> None:
    ask(page, word)
    expect(answers(page)).to_have_attribute("data-agent", "echo")
    page.get_by_test_id("regenerate-with").click()
    page.get_by_test_id("menu-parrot").click()
    version(answers(page), "2 / 2")
    expect(answers(page)).to_have_attribute("data-agent", "parrot")


def test_an_edit_makes_a_branch_and_both_go_on_by_themselves(
    page: Page, server: LiveServer, account: Account, word: str
) -> None:
    one, two, better, more = (f"{word} {text}" for text in ("one", "two", "better", "more"))
    ask(page, one)
    shows(page, one, f"{one}, answer 1")
    ask(page, two)
    shows(page, one, f"{one}, answer 1", two, f"{two}, answer 1")
    edit(page, 0, better)
    shows(page, better, f"{better}, answer 1")
    version(questions(page).first, "2 / 2")
    questions(page).first.get_by_test_id("version-before").click()
    shows(page, one, f"{one}, answer 1", two, f"{two}, answer 1")
    # It survives a reload of this tab, and what is said here goes on from here.
    page.reload()
    shows(page, one, f"{one}, answer 1", two, f"{two}, answer 1")
    expect(page.get_by_test_id("older-branch")).to_be_visible()
    ask(page, more)
    whole = [one, f"{one}, answer 1", two, f"{two}, answer 1", more, f"{more}, answer 1"]
    shows(page, *whole)
    expect(page.get_by_test_id("older-branch")).to_have_count(0)
    page.reload()
    shows(page, *whole)
    version(questions(page).first, "1 / 2")
    assert stored_questions(server, account) == [one, two, better, more]


def test_a_tab_that_looks_stays_where_it_is_while_another_edits(page: Page, word: str) -> None:
    one, two, better = (f"{word} {text}" for text in ("one", "two", "better"))
    ask(page, one)
    expect(answers(page)).to_have_count(1)
    ask(page, two)
    expect(answers(page)).to_have_count(2)
    looking = another_tab(page)
    before = [one, f"{one}, answer 1", two, f"{two}, answer 1"]
    shows(looking, *before)
    edit(page, 0, better)
    shows(page, better, f"{better}, answer 1")
    version(questions(looking).first, "1 / 2")
    expect(looking.get_by_test_id("older-branch")).to_be_visible()
    shows(looking, *before)
    looking.get_by_test_id("show-newest").click()
    shows(looking, better, f"{better}, answer 1")
    # A reload shows the newest: nobody chose the other.
    page.reload()
    shows(page, better, f"{better}, answer 1")


def test_a_failed_run_is_tried_again_without_asking_twice(
    page: Page, server: LiveServer, account: Account, word: str
) -> None:
    question = f"fail {word}"
    ask(page, question)
    expect(page.get_by_test_id("error")).to_be_visible()
    page.get_by_test_id("retry").click()
    shows(page, question, f"{question}, answer 2")
    expect(page.get_by_test_id("error")).to_have_count(0)
    expect(page.get_by_test_id("switcher")).to_have_count(0)
    page.reload()
    shows(page, question, f"{question}, answer 2")
    assert stored_questions(server, account) == [question]


def test_what_a_broken_run_had_said_stays_a_version(page: Page, word: str) -> None:
    question = f"break {word}"
    ask(page, question)
    expect(page.get_by_test_id("error")).to_be_visible()
    page.get_by_test_id("retry").click()
    shows(page, question, f"{question}, answer 2")
    page.reload()
    version(answers(page), "2 / 2")
    page.get_by_test_id("version-before").click()
    shows(page, question, "This is half of")


def test_an_opinion_survives_a_reload_and_can_be_taken_back(
    page: Page, server: LiveServer, account: Account, word: str
) -> None:
    ask(page, word)
    expect(answers(page)).to_have_count(1)
    up, down = page.get_by_test_id("thumb-up"), page.get_by_test_id("thumb-down")
    down.click()
    expect(down).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_test_id("feedback-text")).to_be_focused()
    page.keyboard.type("It is too short.")
    with page.expect_response("**/feedback"):
        page.keyboard.press("Enter")
    expect(page.get_by_test_id("feedback")).to_have_count(0)
    expect(down).to_be_focused()
    page.reload()
    expect(down).to_have_attribute("aria-pressed", "true")
    expect(up).to_have_attribute("aria-pressed", "false")
    opinions = """SELECT f.rating, f.text FROM chat_messagefeedback f JOIN chat_message m ON m.id = f.message_id
                  WHERE m.user_id = %s"""
    assert stored(server, account, opinions) == [("down", "It is too short.")]
    with page.expect_response("**/feedback"):
        down.click()
    expect(down).to_have_attribute("aria-pressed", "false")
    assert stored(server, account, opinions) == []
    page.reload()
    expect(answers(page)).to_have_count(1)
    expect(down).to_have_attribute("aria-pressed", "false")


def test_an_opinion_that_the_server_does_not_take_is_not_shown_as_given(page: Page, word: str) -> None:
    ask(page, word)
    expect(answers(page)).to_have_count(1)
    page.route("**/feedback", lambda route: route.abort())
    page.get_by_test_id("thumb-up").click()
    expect(page.get_by_test_id("toast")).to_contain_text("cannot be reached")
    expect(page.get_by_test_id("thumb-up")).to_have_attribute("aria-pressed", "false")


def test_copying_puts_the_source_into_the_clipboard(browser: Browser, server: LiveServer, account: Account) -> None:
    with profile(browser, permissions=["clipboard-read", "clipboard-write"]) as context:
        page = signed_in(context, server, account)
        ask(page, "source of it")
        expect(answers(page)).to_have_count(1)
        clipboard = "() => navigator.clipboard.readText()"
        answers(page).get_by_role("button", name="Copy", exact=True).click()
        expect(page.get_by_test_id("announcer")).to_have_text("Copied")
        assert page.evaluate(clipboard) == SOURCE
        questions(page).hover()
        questions(page).get_by_role("button", name="Copy").click()
        expect(questions(page).get_by_role("button", name="Copy")).to_have_attribute("data-state", "copied")
        assert page.evaluate(clipboard) == "source of it"
        page.keyboard.press("Control+Shift+C")
        expect(answers(page)).to_have_count(1)
        assert page.evaluate(clipboard) == SOURCE


def test_a_block_of_code_is_copied_by_itself(browser: Browser, server: LiveServer, account: Account) -> None:
    with profile(browser, permissions=["clipboard-read", "clipboard-write"]) as context:
        page = signed_in(context, server, account)
        ask(page, "source of it")
        expect(answers(page)).to_have_count(1)
        page.get_by_role("button", name="Copy the code").click()
        expect(page.get_by_test_id("announcer")).to_have_text("Copied")
        code = SOURCE.split("```python\n")[1].split("\n```")[0]
        assert page.evaluate("() => navigator.clipboard.readText()") == code
        page.reload()
        expect(page.get_by_role("button", name="Copy the code")).to_have_count(1)


def test_a_question_is_edited_by_keyboard_alone(page: Page, word: str) -> None:
    ask(page, word)
    expect(answers(page)).to_have_count(1)
    press = page.keyboard.press
    # Text in the field keeps the key.
    page.keyboard.type("x")
    press("ArrowUp")
    expect(page.get_by_test_id("editor")).to_have_count(0)
    press("Backspace")
    press("Delete")
    press("ArrowUp")
    field = page.get_by_test_id("edit-text")
    expect(field).to_be_focused()
    expect(field).to_have_value(word)
    press("Escape")
    expect(page.get_by_test_id("editor")).to_have_count(0)
    expect(page.get_by_test_id("composer")).to_be_focused()
    press("Control+Shift+E")
    expect(field).to_be_focused()
    press("Shift+Enter")
    page.keyboard.type("better")
    press("Enter")
    shows(page, f"{word}\nbetter", f"{word} better, answer 1")
    expect(page.get_by_test_id("composer")).to_be_focused()
    # To the switcher, and back to the first version.
    press("Shift+Tab")
    questions(page).get_by_role("button", name="Copy").focus()
    press("End")
    press("ArrowLeft")
    expect(page.get_by_test_id("version-before")).to_be_focused()
    press("Enter")
    shows(page, word, f"{word}, answer 1")
    expect(page.get_by_test_id("version-before")).to_be_focused()


def test_an_input_method_keeps_its_enter_and_escape(page: Page, word: str) -> None:
    ask(page, word)
    expect(answers(page)).to_have_count(1)
    page.keyboard.press("ArrowUp")
    for key in ("Enter", "Escape"):
        page.get_by_test_id("edit-text").dispatch_event("keydown", {"key": key, "isComposing": True, "bubbles": True})
        page.get_by_test_id("edit-text").dispatch_event("keydown", {"key": key, "keyCode": 229, "bubbles": True})
    expect(page.get_by_test_id("edit-text")).to_have_value(word)
    expect(questions(page)).to_have_count(1)


def test_an_edit_while_the_answer_is_written_says_that_it_stops_it(page: Page, word: str) -> None:
    ask(page, f"wait {word}")
    expect(page.get_by_test_id("answer")).to_have_text("I wait.")
    page.get_by_test_id("composer").focus()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_test_id("editor")).to_contain_text("It is stopped when you send this.")
    page.get_by_test_id("edit-text").fill(word)
    page.get_by_role("button", name="Stop and send").click()
    shows(page, word, f"{word}, answer 1")
    page.get_by_test_id("version-before").click()
    shows(page, f"wait {word}", "I wait.")
    expect(page.get_by_text("Interrupted by your next message")).to_be_visible()


def test_an_edit_that_was_overtaken_is_refused_in_words_and_kept(
    context: BrowserContext, cable: Cable, server: LiveServer, account: Account, word: str
) -> None:
    page = context.new_page()
    sign_in(page, cable.url, account)
    choose_agent(page, "echo")
    better = f"{word} better"
    ask(page, word)
    expect(answers(page)).to_have_count(1)
    thread = page.url.rpartition("/")[2]
    page.keyboard.press("ArrowUp")
    page.get_by_test_id("edit-text").fill(better)
    cable.cut()
    expect(page.locator('[data-testid="connection"]:not([data-state="connected"])')).to_have_count(1)
    page.keyboard.press("Enter")
    expect(questions(page)).to_have_attribute("data-status", "waiting")
    body = {"content": f"wait {word}", "agent": "echo"}
    assert server.http("POST", f"/api/threads/{thread}/messages", token=account.token(), body=body).status == 202
    cable.join()
    expect(page.get_by_test_id("error")).to_contain_text("An answer is still being written here.", timeout=30_000)
    page.get_by_test_id("error").get_by_role("button", name="Edit").click()
    expect(page.get_by_test_id("edit-text")).to_have_value(better)
    page.get_by_role("button", name="Stop and send").click()
    shows(page, better, f"{better}, answer 1")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_among_actions_editors_and_versions(
    browser: Browser, server: LiveServer, account: Account, word: str, theme: str
) -> None:
    with profile(browser, color_scheme=theme) as context:
        page = signed_in(context, server, account)
        ask(page, f"source {word}")
        expect(answers(page)).to_have_count(1)
        page.get_by_test_id("regenerate").click()
        version(answers(page), "2 / 2")
        page.get_by_test_id("version-before").click()
        version(answers(page), "1 / 2")
        page.get_by_test_id("thumb-up").click()
        expect(page.get_by_test_id("feedback")).to_be_visible()
        assert_accessible(page)
        page.get_by_test_id("composer").focus()
        page.keyboard.press("ArrowUp")
        expect(page.get_by_test_id("editor")).to_be_visible()
        assert_accessible(page)


def test_under_a_finger_the_actions_are_there_and_large(
    browser: Browser, server: LiveServer, account: Account, word: str
) -> None:
    with profile(browser, **PHONE) as context:
        page = signed_in(context, server, account)
        ask(page, f"source {word}")
        expect(answers(page)).to_have_count(1)
        page.get_by_test_id("regenerate").tap()
        version(answers(page), "2 / 2")
        for button in page.locator(".tool").all():
            box = button.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= 44
            assert button.evaluate("(tool) => getComputedStyle(tool).opacity") in ("1", "0.4")
        assert_accessible(page)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
