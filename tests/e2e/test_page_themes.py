"""Light, dark, or as the system: from the first paint on, in every tab."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser import profile, sign_in
from tests.clients import Account
from tests.live import LiveServer


@pytest.fixture
def server(daphne: LiveServer) -> LiveServer:
    return daphne


def background(page: Page) -> str:
    colour: str = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return colour


def choose(page: Page, theme: str) -> None:
    page.get_by_test_id("person").click()
    page.get_by_test_id(f"menu-theme-{theme}").click()


def test_a_chosen_theme_holds_over_reloads_and_in_other_tabs(
    context: BrowserContext, server: LiveServer, account: Account
) -> None:
    page = context.new_page()
    sign_in(page, server.url, account)
    other = context.new_page()
    other.goto(server.url)
    expect(other.get_by_test_id("composer")).to_be_visible()
    light = background(page)
    choose(page, "dark")
    dark = background(page)
    assert dark != light
    expect(other.locator("html")).to_have_attribute("data-theme", "dark")
    assert background(other) == dark
    assert page.locator('meta[name="theme-color"]').get_attribute("content") == dark
    page.reload()
    expect(page.get_by_test_id("composer")).to_be_visible()
    assert background(page) == dark
    page.get_by_test_id("person").click()
    expect(page.get_by_test_id("menu-theme-dark")).to_have_attribute("aria-checked", "true")
    expect(page.get_by_test_id("menu-theme-dark")).to_be_focused()
    page.keyboard.press("Escape")
    choose(page, "system")
    assert background(page) == light


def test_the_first_paint_has_the_theme_already(browser: Browser, server: LiveServer, account: Account) -> None:
    with profile(browser, color_scheme="light") as context:
        page = context.new_page()
        sign_in(page, server.url, account)
        choose(page, "dark")
        dark = background(page)
        # Without the page's own script: what is painted then is what is painted first.
        page.route("**/chat/app.js", lambda route: route.abort())
        page.reload()
        assert background(page) == dark


def test_without_a_choice_the_page_follows_the_system(browser: Browser, server: LiveServer, account: Account) -> None:
    with profile(browser, color_scheme="dark") as context:
        page = context.new_page()
        sign_in(page, server.url, account)
        dark = background(page)
        page.emulate_media(color_scheme="light")
        assert background(page) != dark
        colour = page.locator('meta[name="theme-color"]')
        expect(colour).to_have_attribute("content", background(page))


def test_nothing_moves_for_who_wants_no_motion(browser: Browser, server: LiveServer, account: Account) -> None:
    with profile(browser, reduced_motion="reduce") as context:
        page = context.new_page()
        sign_in(page, server.url, account)
        page.get_by_test_id("person").click()
        durations = page.evaluate(
            """() => [...document.querySelectorAll("*")].flatMap((element) => {
                const { transitionDuration, animationName } = getComputedStyle(element);
                const still = transitionDuration.split(", ").every((each) => parseFloat(each) === 0);
                return still && !/rise|turn/.test(animationName) ? [] : [element.className];
            })"""
        )
        assert durations == []
