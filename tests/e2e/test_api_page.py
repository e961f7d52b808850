"""`/api/docs` in Chromium: the operations, to read and to try, under a policy that allows nothing from elsewhere."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.answers import operations, strict_document
from tests.browser import profile
from tests.live import LiveServer

NAMES = [(operation["tags"][0], operation["operationId"]) for _, _, operation in operations(strict_document())]


def opened(context: BrowserContext, server: LiveServer) -> Page:
    page = context.new_page()
    answer = page.goto(f"{server.url}/api/docs")
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    expect(page.locator(".opblock").first).to_be_visible()
    return page


def test_every_operation_is_shown_under_the_policy_and_nothing_comes_from_elsewhere(
    context: BrowserContext, daphne: LiveServer
) -> None:
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = opened(context, daphne)
    expect(page.locator(".opblock")).to_have_count(len(NAMES))
    for tag, name in NAMES:
        expect(page.locator(f"#operations-{tag}-{name}")).to_be_visible()
    for name in ("create_thread", "list_threads"):
        page.locator(f"#operations-threads-{name} .opblock-summary-control").click()
        expect(page.locator(f"#operations-threads-{name} .responses-wrapper")).to_be_visible()
    elsewhere = [url for url in asked if not url.startswith((f"{daphne.url}/static/", f"{daphne.url}/api/", "data:"))]
    assert elsewhere == []


def test_an_operation_can_be_tried_with_a_token(context: BrowserContext, daphne: LiveServer) -> None:
    account = daphne.add_user()
    page = opened(context, daphne)
    page.get_by_role("button", name="Authorize").first.click()
    page.locator(".modal-ux input").fill(account.token())
    page.locator(".modal-ux").get_by_role("button", name="Apply credentials").click()
    page.locator(".modal-ux").get_by_role("button", name="Close").last.click()
    operation = page.locator("#operations-threads-create_thread")
    operation.locator(".opblock-summary-control").click()
    operation.locator("textarea.body-param__text").fill('{"title": "From the page"}')
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response .response-col_status")).to_have_text(re.compile("201"))
    [thread] = daphne.http("GET", "/api/threads", token=account.token()).body["threads"]
    assert thread["title"] == "From the page"
    assert page.evaluate("JSON.stringify([localStorage, sessionStorage])") == "[{},{}]", "no token is kept"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_as_light_or_dark_as_the_system(browser: Browser, daphne: LiveServer, scheme: str) -> None:
    with profile(browser) as context:
        page = context.new_page()
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.goto(f"{daphne.url}/api/docs")
        expect(page.locator(".opblock").first).to_be_visible()
        behind = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        written = page.locator(".info .title").evaluate("title => getComputedStyle(title).color")
        assert (lightness(behind) < 80 < lightness(written)) == (scheme == "dark")
        page.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
        expect(page.locator("html")).to_have_class("" if scheme == "dark" else "dark-mode")


def lightness(color: str) -> float:
    """0 is black, 255 white; what is transparent shows the white behind it."""
    parts = [float(part) for part in re.findall(r"[\d.]+", color)]
    return sum(parts[:3]) / 3 if len(parts) == 3 or parts[3] else 255.0
