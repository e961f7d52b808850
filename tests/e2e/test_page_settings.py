"""The settings in Chromium: what they change, what they show, and how one comes there and back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser import PHONE, answers, ask, assert_accessible, choose_agent, profile, sign_in
from tests.clients import PASSWORD, Account
from tests.e2e.settings_page import add_notes, add_usage, another_tab, open_section, opens_at, rest
from tests.live import LiveServer

SECTIONS = ("general", "notes", "usage", "data", "account", "about")


@pytest.fixture
def server(daphne: LiveServer) -> LiveServer:
    return daphne


def path_of(page: Page) -> str:
    path: str = page.evaluate("() => location.pathname")
    return path


# Where one is


def test_the_settings_are_opened_from_the_menu_and_closing_leads_back_with_focus_and_scroll(
    page: Page, account: Account
) -> None:
    ask(page, "help")
    expect(answers(page)).to_have_count(1)
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.set_viewport_size({"width": 1100, "height": 320})
    scroller = page.locator(".scroller")
    page.mouse.move(700, 100)
    page.mouse.wheel(0, -100)
    expect(page.get_by_role("button", name="Go to the latest message")).to_be_visible()
    before = scroller.evaluate("element => element.scrollTop")
    assert before > 0
    place = path_of(page)
    page.get_by_test_id("person").click()
    page.get_by_test_id("menu-settings").click()
    expect(page.get_by_test_id("section-general")).to_be_visible()
    expect(page.get_by_role("heading", name="Settings")).to_be_focused()
    expect(page).to_have_title(re.compile("^Settings"))
    opens_at(page, "/settings")
    page.get_by_test_id("to-usage").click()
    opens_at(page, "/settings/usage")
    page.get_by_test_id("settings-close").click()
    opens_at(page, place)
    expect(page.get_by_test_id("settings")).to_have_count(0)
    expect(page.get_by_test_id("person")).to_be_focused()
    assert scroller.evaluate("element => element.scrollTop") == before
    expect(answers(page)).to_have_count(1)
    assert sockets == [], "the connection stays"


def test_an_answer_goes_on_behind_the_settings_and_its_conversation_is_there_afterwards(page: Page) -> None:
    ask(page, "What is 6 * 7?")
    page.keyboard.press("Control+,")
    expect(page.get_by_test_id("settings")).to_be_visible()
    expect(page).to_have_title(re.compile(r"^\(1\) Settings"))
    opens_at(page, "/settings")
    page.keyboard.press("Escape")
    expect(answers(page)).to_have_count(1)
    opens_at(page, page.get_by_test_id("thread").get_attribute("href") or "")
    expect(page.get_by_test_id("composer")).to_be_focused()
    expect(page).to_have_title(re.compile(r"^[^(]"))


def test_back_forward_reload_and_a_link_find_each_section(page: Page, server: LiveServer) -> None:
    page.keyboard.press("Control+,")
    for section in ("notes", "usage"):
        page.get_by_test_id(f"to-{section}").click()
        expect(page.get_by_test_id(f"section-{section}")).to_be_visible()
    page.go_back()
    expect(page.get_by_test_id("section-notes")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("section-notes")).to_be_visible()
    page.go_forward()
    expect(page.get_by_test_id("to-usage")).to_have_attribute("aria-current", "page")
    for _ in range(3):
        page.go_back()
    expect(page.get_by_test_id("settings")).to_have_count(0)
    opens_at(page, "/")
    open_section(page, server, "account")
    page.get_by_test_id("settings-close").click()
    expect(page.get_by_test_id("composer")).to_be_visible()
    opens_at(page, "/")
    page.goto(f"{server.url}/settings/nothing-like-that")
    expect(page.get_by_test_id("section-general")).to_be_visible()


def test_after_a_reload_closing_still_leads_to_the_conversation(page: Page) -> None:
    ask(page, "What is 6 * 7?")
    expect(answers(page)).to_have_count(1)
    place = path_of(page)
    page.keyboard.press("Control+,")
    page.get_by_test_id("to-about").click()
    page.reload()
    expect(page.get_by_test_id("section-about")).to_be_visible()
    page.keyboard.press("Escape")
    opens_at(page, place)
    expect(answers(page)).to_have_count(1)


def test_who_is_signed_out_signs_in_first_and_is_then_where_the_link_leads(
    context: BrowserContext, server: LiveServer, account: Account
) -> None:
    page = context.new_page()
    page.goto(f"{server.url}/settings/account")
    page.get_by_test_id("username").fill(account.username)
    page.get_by_test_id("password").fill(PASSWORD)
    page.get_by_test_id("sign-in").click()
    expect(page.get_by_test_id("account-name")).to_have_text(account.username)


def test_settings_that_cannot_be_loaded_come_when_the_server_is_back(page: Page, server: LiveServer) -> None:
    failed: list[str] = []

    def lose(route: Any) -> None:
        if failed:
            route.continue_()
        else:
            failed.append(route.request.url)
            route.abort()

    page.route("**/chat/settings.js*", lose)
    page.goto(f"{server.url}/settings/about")
    expect(page.get_by_text("The server cannot be reached. Trying again…")).to_be_visible()
    expect(page.get_by_role("button", name="Close the settings")).to_be_focused()
    expect(page.get_by_test_id("section-about")).to_be_visible(timeout=10_000)
    assert failed


def test_the_settings_work_by_keyboard_alone(page: Page, server: LiveServer, account: Account) -> None:
    press = page.keyboard.press
    press("Control+,")
    expect(page.get_by_role("heading", name="Settings")).to_be_focused()
    press("Tab")
    expect(page.get_by_test_id("settings-close")).to_be_focused()
    for section in SECTIONS[:2]:
        press("Tab")
        expect(page.get_by_test_id(f"to-{section}")).to_be_focused()
    press("Enter")
    expect(page.get_by_test_id("section-notes")).to_be_visible()
    expect(page.get_by_test_id("to-notes")).to_be_focused()
    press("Shift+Tab")
    press("Enter")
    expect(page.get_by_test_id("section-general")).to_be_visible()
    for _ in SECTIONS:
        press("Tab")
    press("ArrowRight")
    press("ArrowRight")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    press("Tab")
    expect(page.get_by_test_id("default-agent")).to_be_focused()
    page.keyboard.type("data")
    press("Tab")
    expect(page.get_by_test_id("single-keys")).to_be_focused()
    press("Space")
    press("Control+/")
    expect(page.locator("[data-shortcut]")).to_have_count(5)
    press("Escape")
    expect(page.get_by_test_id("single-keys")).to_be_focused()
    press("?")
    expect(page.get_by_test_id("shortcuts")).to_have_count(0)
    press("Space")
    press("Escape")
    expect(page.get_by_test_id("composer")).to_be_focused()
    assert rest(server, account, "/api/me")["default_agent"] == "data"


@pytest.mark.parametrize(
    ("theme", "form"),
    [
        ("light", {}),
        ("dark", PHONE),
        pytest.param("dark", {}, marks=pytest.mark.nightly),
        pytest.param("light", PHONE, marks=pytest.mark.nightly),
    ],
    ids=["light", "dark phone", "dark", "light phone"],
)
def test_every_section_is_accessible_and_fits(
    browser: Browser, server: LiveServer, account: Account, theme: str, form: dict[str, Any]
) -> None:
    add_usage(server, account)
    add_notes(server, account, 2)
    with profile(browser, color_scheme=theme, **form) as context:
        page = context.new_page()
        sign_in(page, server.url, account)
        for section in SECTIONS:
            open_section(page, server, section)
            if section == "usage":
                expect(page.get_by_test_id("chart")).to_be_visible()
                page.locator("summary").click()
            if section == "notes":
                expect(page.get_by_test_id("note")).to_have_count(2)
            assert_accessible(page)
            assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        page.goto(f"{server.url}/settings")
        expect(page.get_by_test_id("to-about")).to_be_visible()
        assert_accessible(page)


def test_on_a_phone_the_list_leads_to_each_section_and_back(
    browser: Browser, server: LiveServer, account: Account
) -> None:
    with profile(browser, **PHONE) as context:
        page = context.new_page()
        sign_in(page, server.url, account)
        page.get_by_test_id("open-drawer").click()
        page.get_by_test_id("person").click()
        page.get_by_test_id("menu-settings").click()
        expect(page.get_by_test_id("section-general")).to_have_count(0)
        page.get_by_test_id("to-notes").click()
        expect(page.get_by_role("heading", name="Notes")).to_be_focused()
        expect(page.get_by_test_id("to-usage")).to_have_count(0)
        page.get_by_test_id("settings-up").click()
        expect(page.get_by_test_id("to-usage")).to_be_visible()
        page.get_by_test_id("settings-close").click()
        expect(page.get_by_test_id("settings")).to_have_count(0)
        expect(page.get_by_test_id("person")).to_be_focused()


# General


def test_the_default_agent_answers_in_new_conversations_on_every_device(
    page: Page, context: BrowserContext, server: LiveServer, account: Account, elsewhere: Page
) -> None:
    other = another_tab(context, server)
    page.bring_to_front()
    choose_agent(page, "triage")
    open_section(page, server, "general").get_by_test_id("default-agent").select_option("data")
    page.get_by_test_id("settings-close").click()
    picker = page.get_by_test_id("agent-picker")
    expect(picker).to_have_attribute("data-agent", "data")
    expect(other.get_by_test_id("agent-picker")).to_have_attribute("data-agent", "data")
    ask(page, "What did I spend this week?")
    expect(answers(page)).to_have_count(1)
    assert [run["agent"] for run in rest(server, account, "/api/runs")["runs"]] == ["data"]
    for tab in (page, elsewhere):
        tab.goto(server.url)
        expect(tab.get_by_test_id("agent-picker")).to_have_attribute("data-agent", "data")
    choose_agent(page, "triage")
    page.get_by_test_id("new-thread").click()
    expect(picker).to_have_attribute("data-agent", "data")
    open_section(page, server, "general").get_by_test_id("default-agent").select_option("")
    page.get_by_test_id("settings-close").click()
    expect(picker).to_have_attribute("data-agent", "triage")


def test_a_default_agent_that_is_gone_is_said_and_another_one_answers(
    page: Page, server: LiveServer, account: Account
) -> None:
    with server.database() as connection:
        query = "INSERT INTO chat_preferences (user_id, default_agent) VALUES (%s, 'retired')"
        connection.execute(query, (account.id,))
    section = open_section(page, server, "general")
    expect(section.get_by_test_id("default-agent")).to_have_value("retired")
    expect(section.get_by_test_id("default-agent-note")).to_contain_text("assistant is asked")
    page.get_by_test_id("settings-close").click()
    expect(page.get_by_test_id("agent-picker")).to_have_attribute("data-agent", "assistant")
    ask(page, "What is 6 * 7?")
    expect(answers(page)).to_have_count(1)


def test_a_choice_that_the_server_does_not_take_is_as_it_was(page: Page, server: LiveServer) -> None:
    section = open_section(page, server, "general")
    page.route("**/api/me", lambda route: route.abort() if route.request.method == "PATCH" else route.continue_())
    section.get_by_test_id("default-agent").select_option("data")
    expect(section.get_by_test_id("settings-error")).to_have_text("The server cannot be reached.")
    expect(section.get_by_test_id("default-agent")).to_have_value("")


def test_theme_and_keys_are_the_same_in_every_tab(page: Page, context: BrowserContext, server: LiveServer) -> None:
    other = context.new_page()
    theirs = open_section(other, server, "general")
    mine = open_section(page, server, "general")
    mine.get_by_test_id("theme-dark").click()
    mine.get_by_test_id("single-keys").uncheck()
    expect(other.locator("html")).to_have_attribute("data-theme", "dark")
    expect(theirs.get_by_role("radio", name="Dark")).to_be_checked()
    expect(theirs.get_by_test_id("single-keys")).not_to_be_checked()
    mine.get_by_test_id("default-agent").select_option("data")
    expect(theirs.get_by_test_id("default-agent")).to_have_value("data")
