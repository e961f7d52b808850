"""Chromium and the web chat's page as a person uses it."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.clients import PASSWORD, Account

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
COMPLETED = '[data-testid="message"][data-role="assistant"][data-status="completed"]'


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    assert CHROMIUM, "Chromium is not installed: `make test` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextlib.contextmanager
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile of its own. Any error on the console fails the test: a violation of the policy is one."""
    context = browser.new_context(viewport={"width": 1100, "height": 760})
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        expected = "net::ERR_" in message.text or "WebSocket connection" in message.text or "401" in message.text
        if message.type in ("error", "warning") and not expected:
            problems.append(message.text)

    context.on("console", note)
    context.on("weberror", lambda error: problems.append(str(error.error)))
    yield context
    context.close()
    assert problems == []


def sign_in(page: Page, url: str, account: Account) -> None:
    page.goto(url)
    page.get_by_test_id("username").fill(account.username)
    page.get_by_test_id("password").fill(PASSWORD)
    page.get_by_test_id("sign-in").click()
    expect(page.get_by_test_id("composer")).to_be_visible()


def ask(page: Page, text: str) -> None:
    page.get_by_test_id("composer").fill(text)
    page.keyboard.press("Enter")


def answers(page: Page) -> Locator:
    return page.locator(COMPLETED)


def shown(page: Page, number: int = 0) -> str:
    """The letters and digits of an answer on the page."""
    return re.sub(r"\W", "", page.get_by_test_id("answer").nth(number).inner_text())


def plain(markdown: str) -> str:
    """The letters and digits of Markdown, without the language names of its fences, as `shown` has them."""
    return re.sub(r"\W", "", re.sub(r"```\w+\n", "", markdown))
