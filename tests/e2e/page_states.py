"""The states of the page that a person meets, one after the other: for pictures, and for what holds in each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser import Cable, answers, ask, choose_agent, sign_in
from tests.clients import Account
from tests.e2e.applications.showcase import GO, LONG, SHORT
from tests.e2e.conftest import inherited, new_data_dir
from tests.live import LiveServer

CALCULATION = "What is 17.5 % of 2480, and what time is it in Tokyo?"
USAGE = "What did I spend this week, on what, and how do I halve it?"
WEB_PAGE = "Read https://example.org/retries"


@dataclass
class Showcase:
    """A server with the roster and two agents more, and the network between it and the page."""

    server: LiveServer
    cable: Cable
    go: Path

    def states(self, page: Page, account: Account) -> Iterator[str]:
        """The name of each state while the page is in it. `page` is a new one that nobody has signed in to."""
        page.goto(self.cable.url)
        expect(page.get_by_test_id("sign-in")).to_be_visible()
        yield "sign-in"
        sign_in(page, self.cable.url, account)
        yield "empty"
        yield from self._answers(page)
        yield from self._agents(page)
        yield from self._failures(page)
        yield from self._list(page)
        yield from self._settings(page)

    def _answers(self, page: Page) -> Iterator[str]:
        self.go.unlink(missing_ok=True)
        choose_agent(page, "writer")
        ask(page, LONG)
        expect(page.get_by_role("table")).to_contain_text("3.5 s")
        yield "streaming"
        self.go.touch()
        expect(answers(page)).to_have_count(1)
        ask(page, SHORT)
        expect(answers(page)).to_have_count(2)
        expect(page.locator("code .hljs-keyword").first).to_be_visible()
        yield "code"

    def _agents(self, page: Page) -> Iterator[str]:
        new_chat(page)
        choose_agent(page, "assistant")
        ask(page, CALCULATION)
        expect(answers(page)).to_have_count(1)
        page.get_by_test_id("step").first.get_by_role("button").first.click()
        yield "tool"
        new_chat(page)
        ask(page, WEB_PAGE)
        expect(page.get_by_test_id("approval")).to_be_visible()
        yield "approval"
        new_chat(page)
        choose_agent(page, "triage")
        ask(page, USAGE)
        expect(answers(page)).to_have_count(1)
        page.locator('[data-testid="step"][data-tool="ask_data"]').get_by_role("button").first.click()
        yield "sub-agents"

    def _failures(self, page: Page) -> Iterator[str]:
        new_chat(page)
        choose_agent(page, "unlucky")
        ask(page, "Which of the three servers is slow?")
        expect(page.get_by_test_id("retry")).to_be_visible()
        yield "error"
        self.cable.cut()
        ask(page, "And the third one?")
        expect(page.get_by_test_id("connection")).to_contain_text("1 message waits")
        yield "offline"
        self.cable.join()
        expect(page.get_by_test_id("retry")).to_have_count(2)

    def _list(self, page: Page) -> Iterator[str]:
        if page.get_by_test_id("open-drawer").is_visible():
            page.get_by_test_id("open-drawer").click()
        page.get_by_test_id("search").fill("servers")
        expect(page.get_by_test_id("search-state")).to_have_text("1 conversation found")
        yield "search"
        page.get_by_test_id("clear-search").click()
        page.get_by_test_id("thread").first.focus()
        page.keyboard.press("Delete")
        expect(page.get_by_test_id("toast")).to_be_visible()
        yield "undo"
        page.keyboard.press("Control+/")
        expect(page.get_by_test_id("shortcuts")).to_be_visible()
        yield "shortcuts"
        page.keyboard.press("Escape")

    def _settings(self, page: Page) -> Iterator[str]:
        for section in ("general", "usage", "account"):
            page.goto(f"{self.cable.url}/settings/{section}")
            expect(page.get_by_test_id(f"section-{section}")).to_be_visible()
            yield f"settings-{section}"


def new_chat(page: Page) -> None:
    page.keyboard.press("Control+Shift+O")
    expect(page.get_by_test_id("message")).to_have_count(0)


@contextmanager
def showcase() -> Iterator[Showcase]:
    for folder in new_data_dir():
        go = folder / "go"
        server = LiveServer(folder, agents="tests.e2e.applications.showcase:AGENTS")
        server.inherited = inherited(**{GO: str(go)})
        with server:
            cable = Cable(server.port)
            yield Showcase(server, cable, go)
            cable.close()
