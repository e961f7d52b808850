"""In each state that a person meets axe finds nothing, and nothing stands out at the side; and a day by keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import answers, assert_accessible, assert_fits, profile
from tests.clients import PASSWORD
from tests.e2e.applications.showcase import LONG
from tests.e2e.page_states import WEB_PAGE, Showcase, showcase

WIDE = {"viewport": {"width": 1200, "height": 800}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def shown() -> Iterator[Showcase]:
    with showcase() as shown:
        yield shown


@pytest.mark.parametrize("form", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_state_is_accessible_and_fits_its_window(
    browser: Browser, shown: Showcase, theme: str, form: dict[str, object]
) -> None:
    with profile(browser, color_scheme=theme, **form) as context:
        page = context.new_page()
        for state in shown.states(page, shown.server.add_user("ann")):
            assert_accessible(page)
            assert_fits(page, state)


def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    """Press the key until the button of this name has the focus, and then Enter."""
    for _ in range(40):
        page.keyboard.press(key)
        if page.get_by_role("button", name=name, exact=True).and_(page.locator(":focus")).count():
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"no button {name!r} was reached by {key}")


def test_send_stop_approve_rename_and_delete_by_keyboard_alone(browser: Browser, shown: Showcase) -> None:
    account = shown.server.add_user("ann")
    shown.go.unlink(missing_ok=True)
    with profile(browser) as context:
        page = context.new_page()
        page.goto(shown.server.url)
        keys = page.keyboard
        expect(page.get_by_test_id("username")).to_be_focused()
        keys.type(account.username)
        keys.press("Tab")
        keys.type(PASSWORD)
        keys.press("Enter")
        composer = page.get_by_test_id("composer")
        expect(composer).to_be_focused()
        # Another agent, a question, and a stop in mid-answer.
        tab_to(page, "Agent: assistant")
        expect(page.locator('[data-testid="agent-option"]:focus')).to_have_attribute("data-agent", "assistant")
        for name in ("triage", "data", "optimization", "writer"):
            keys.press("ArrowDown")
            expect(page.locator('[data-testid="agent-option"]:focus')).to_have_attribute("data-agent", name)
        keys.press("Enter")
        expect(composer).to_be_focused()
        keys.type(LONG)
        keys.press("Enter")
        expect(page.get_by_role("table")).to_contain_text("3.5 s")
        keys.press("Control+.")
        expect(page.locator('[data-role="assistant"][data-status="cancelled"]')).to_have_count(1)
        expect(page.get_by_role("table")).to_contain_text("3.5 s")
        # A tool that waits for a word.
        keys.press("Control+Shift+O")
        expect(page.get_by_role("heading", name="Hello,")).to_be_visible()
        expect(composer).to_be_focused()
        tab_to(page, "Agent: writer")
        expect(page.locator('[data-testid="agent-option"]:focus')).to_have_attribute("data-agent", "writer")
        keys.press("Home")
        keys.press("Enter")
        expect(composer).to_be_focused()
        keys.type(WEB_PAGE)
        keys.press("Enter")
        expect(page.get_by_test_id("approval")).to_be_visible()
        tab_to(page, "Approve", "Shift+Tab")
        expect(answers(page)).to_have_count(1)
        # What it is called, once it has its name, and its end.
        expect(page.locator("h1")).to_have_text("Read example.org")
        keys.press("Control+k")
        keys.press("ArrowDown")
        expect(page.get_by_test_id("thread").first).to_be_focused()
        keys.press("F2")
        expect(page.get_by_test_id("rename")).to_be_focused()
        keys.press("Control+a")
        keys.type("A page on retries")
        keys.press("Enter")
        expect(page.locator("h1")).to_have_text("A page on retries")
        expect(page.get_by_test_id("thread").first).to_be_focused()
        keys.press("Delete")
        expect(page.get_by_test_id("thread")).to_have_count(1)
