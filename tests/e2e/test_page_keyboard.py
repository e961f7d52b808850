"""The page by keyboard alone, and as axe sees it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser import PHONE, answers, ask, assert_accessible, profile, sign_in
from tests.clients import PASSWORD, Account
from tests.live import LiveServer


@pytest.fixture
def server(daphne: LiveServer) -> LiveServer:
    return daphne


def focused(page: Page) -> str:
    """What has the focus, by its test id or its words."""
    name: str = page.evaluate("() => document.activeElement.dataset.testid ?? document.activeElement.innerText")
    return name


def has_focus(page: Page, test_id: str) -> None:
    """Soon: views are drawn a moment after a key was pressed."""
    expect(page.locator(f'[data-testid="{test_id}"]:focus')).to_have_count(1)


def test_everything_of_the_list_is_done_by_keyboard_alone(
    context: BrowserContext, server: LiveServer, account: Account
) -> None:
    page = context.new_page()
    page.goto(server.url)
    press = page.keyboard.press
    expect(page.get_by_test_id("username")).to_be_focused()
    page.keyboard.type(account.username)
    press("Tab")
    page.keyboard.type(PASSWORD)
    press("Enter")
    expect(page.get_by_test_id("composer")).to_be_focused()
    page.keyboard.type("hello")
    press("Enter")
    expect(answers(page)).to_have_count(1)
    press("Control+Shift+O")
    expect(page.get_by_role("heading", name="Hello,")).to_be_visible()
    has_focus(page, "composer")
    page.keyboard.type("What is 6 * 7?")
    press("Enter")
    expect(answers(page)).to_have_count(1)
    expect(page.get_by_test_id("thread")).to_have_count(2)
    # Search, and into the result.
    press("Control+k")
    page.keyboard.type("6 * 7")
    expect(page.get_by_test_id("search-state")).to_have_text("1 conversation found")
    press("ArrowDown")
    expect(page.get_by_test_id("thread")).to_be_focused()
    press("Control+k")
    press("Escape")
    expect(page.get_by_test_id("thread")).to_have_count(2)
    # Rename.
    press("ArrowDown")
    has_focus(page, "thread")
    press("F2")
    has_focus(page, "rename")
    page.keyboard.type("The answer")
    press("Enter")
    expect(page.locator(".thread-title").first).to_have_text("The answer")
    has_focus(page, "thread")
    # Archive by the menu.
    press("Tab")
    has_focus(page, "thread-menu")
    press("Enter")
    has_focus(page, "menu-rename")
    press("ArrowDown")
    has_focus(page, "menu-archive")
    press("Enter")
    expect(page.get_by_test_id("thread")).to_have_count(1)
    expect(page.get_by_test_id("thread")).to_be_focused()
    press("Control+z")
    expect(page.get_by_test_id("thread")).to_have_count(2)
    # Delete, and undo.
    has_focus(page, "thread")
    press("Delete")
    expect(page.get_by_test_id("thread")).to_have_count(1)
    expect(page.get_by_test_id("thread")).to_be_focused()
    press("Control+z")
    expect(page.get_by_test_id("thread")).to_have_count(2)
    # Back to writing.
    press("Escape")
    expect(page.get_by_test_id("composer")).to_be_focused()
    press("Alt+ArrowDown")
    press("Alt+ArrowUp")
    expect(page.locator("h1")).to_have_text("The answer")


def test_tab_goes_through_the_page_in_order_beginning_with_the_skip_link(page: Page) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    page.locator(".skip").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the conversation"
    seen = []
    for _ in range(6):
        page.keyboard.press("Tab")
        seen.append(focused(page))
    assert seen == ["new-thread", "search", "thread", "thread-menu", "show-archive", "person"]
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "conversation"


def test_the_sheet_shows_the_shortcuts_that_work(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_test_id("composer")).to_have_value("?")
    page.get_by_test_id("new-thread").focus()
    page.keyboard.press("?")
    sheet = page.get_by_test_id("shortcuts")
    expect(sheet).to_be_visible()
    shown = {item.get_attribute("data-shortcut") for item in sheet.locator("[data-shortcut]").all()}
    assert shown >= {"newChat", "search", "previous", "next", "compose", "stop", "undo", "sheet", "rename", "delete"}
    assert_accessible(page)
    page.get_by_label("Single keys").uncheck()
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(page.get_by_test_id("new-thread")).to_be_focused()
    page.keyboard.press("?")
    expect(sheet).to_have_count(0)
    page.keyboard.press("Control+/")
    expect(sheet).to_be_visible()
    page.get_by_label("Single keys").check()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_either_theme(browser: Browser, server: LiveServer, account: Account, theme: str) -> None:
    with profile(browser, color_scheme=theme) as context:
        page = context.new_page()
        page.goto(server.url)
        expect(page.get_by_test_id("username")).to_be_visible()
        assert_accessible(page)
        sign_in(page, server.url, account)
        ask(page, "What is 17.5 % of 2480, and what time is it in Tokyo?")
        expect(answers(page)).to_have_count(1)
        page.locator(".step-head").first.click()
        page.get_by_test_id("thread").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert_accessible(page)
        page.get_by_test_id("menu-delete").click()
        expect(page.get_by_test_id("undo")).to_be_visible()
        expect(page.get_by_role("heading", name="Hello,")).to_be_visible()
        assert_accessible(page)
        page.get_by_test_id("undo").click()
        expect(page.get_by_test_id("thread")).to_have_count(1)
        page.get_by_test_id("search").fill("tokyo")
        expect(page.locator("mark").first).to_be_visible()
        assert_accessible(page)
        page.get_by_test_id("person").click()
        assert_accessible(page)


def test_on_a_phone_the_list_is_a_drawer_that_keeps_the_focus(
    browser: Browser, server: LiveServer, account: Account
) -> None:
    with profile(browser, **PHONE) as context:
        page = context.new_page()
        sign_in(page, server.url, account)
        ask(page, "hello")
        expect(answers(page)).to_have_count(1)
        expect(page.get_by_test_id("new-thread")).to_be_hidden()
        assert_accessible(page)
        page.get_by_test_id("open-drawer").click()
        expect(page.get_by_label("Close the list")).to_be_focused()
        assert_accessible(page)
        for _ in range(12):
            page.keyboard.press("Tab")
            assert page.evaluate("() => document.activeElement.closest('main') === null")
        page.keyboard.press("Escape")
        expect(page.get_by_test_id("open-drawer")).to_be_focused()
        page.get_by_test_id("open-drawer").click()
        page.get_by_test_id("thread").click()
        expect(page.get_by_test_id("new-thread")).to_be_hidden()
        assert page.evaluate("() => document.activeElement.id") == "conversation"
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
