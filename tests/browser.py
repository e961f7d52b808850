"""Chromium and the web chat's page as a person uses it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.clients import PASSWORD, Account
from tests.processes import HOST, REPOSITORY

T = TypeVar("T")


def _installed(*names: str) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


# Without windows of its own Chromium needs a third of the processor's time, and shows pages by the same engine.
WINDOWLESS, WHOLE = "chromium-headless-shell", ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = _installed(WINDOWLESS, *WHOLE)
WHOLE_CHROMIUM = _installed(*WHOLE, WINDOWLESS)
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
AXE = REPOSITORY / "web/node_modules/axe-core/axe.min.js"
# A phone, as a context has it.
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
STILL = """() => {
    const ending = document.getAnimations().filter((each) => each.effect.getTiming().iterations !== Infinity);
    return Promise.allSettled(ending.map((each) => each.finished));
}"""
# A refusal by the server, which the browser notes by itself, is no fault of the page.
REFUSED = "the server responded with a status of 4"
COMPLETED = '[data-testid="message"][data-role="assistant"][data-status="completed"]'
# Three modules are tested at once on two processors: what comes late there has not failed.
expect.set_options(timeout=15_000)


class Cable:
    """Between browser and server: what passes can be cut, as by a closed laptop lid, and connected again."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._connected = True
        self._carries_sockets = True
        self._sockets: set[asyncio.StreamWriter] = set()
        self._silent: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._carry_both_ways, HOST, 0))
        self.url = f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        self._call(self._drop_all(connected=False))

    def join(self) -> None:
        self._connected = self._carries_sockets = True

    def cut_sockets(self) -> None:
        """End the WebSockets and let no other begin; plain requests pass, so that a page can be loaded."""
        self._carries_sockets = False
        self._call(self._drop(self._sockets))

    def silence_sockets(self) -> None:
        """What is sent over the WebSockets of now is lost, and neither end is told: they are half open."""
        self._silent |= self._sockets

    def close(self) -> None:
        self._server.close()
        self._call(self._drop_all(connected=False))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _drop_all(self, *, connected: bool) -> None:
        self._connected = connected
        await self._drop(self._open)

    async def _drop(self, ends: set[asyncio.StreamWriter]) -> None:
        for end in ends:
            end.transport.abort()
        while ends:  # noqa: ASYNC110 - each end closes itself
            await asyncio.sleep(0.01)

    async def _carry_both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A browser connects also before it has something to say: it is dropped then, too."""
        self._open.add(writer)
        try:
            await self._answer(reader, writer)
        finally:
            self._open.discard(writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = b""
        with contextlib.suppress(OSError):
            first = await reader.read(65536)
        is_socket = first.startswith(b"GET /ws")
        if not first or not self._connected or (is_socket and not self._carries_sockets):
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            # The server is away.
            writer.transport.abort()
            return
        if is_socket:
            self._sockets |= {writer, far_writer}
        far_writer.write(first)
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        self._open.add(sink)
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if sink not in self._silent:
                    sink.write(data)
                    await sink.drain()
        sink.close()
        for ends in (self._open, self._sockets, self._silent):
            ends.discard(sink)


@contextlib.contextmanager
def chromium(executable: str | None = CHROMIUM) -> Iterator[Browser]:
    assert executable, "Chromium is not installed: `make test` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextlib.contextmanager
def profile(browser: Browser, **options: Any) -> Iterator[BrowserContext]:
    """A browser profile of its own. Any error on the console fails the test: a violation of the policy is one."""
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 760}, **options})
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        expected = "net::ERR_" in message.text or "WebSocket connection" in message.text or REFUSED in message.text
        if message.type in ("error", "warning") and not expected:
            problems.append(message.text)

    context.on("console", note)
    context.on("weberror", lambda error: problems.append(str(error.error)))
    yield context
    context.close()
    assert problems == [], problems


def sign_in(page: Page, url: str, account: Account) -> None:
    page.goto(url)
    page.get_by_test_id("username").fill(account.username)
    page.get_by_test_id("password").fill(PASSWORD)
    page.get_by_test_id("sign-in").click()
    expect(page.get_by_test_id("composer")).to_be_visible()


def ask(page: Page, text: str) -> None:
    page.get_by_test_id("composer").fill(text)
    page.get_by_test_id("send").click()


def choose_agent(page: Page, name: str) -> None:
    page.get_by_test_id("agent-picker").click()
    page.locator(f'[data-testid="agent-option"][data-agent="{name}"]').click()


def answers(page: Page) -> Locator:
    return page.locator(COMPLETED)


def shown(page: Page, number: int = 0) -> str:
    """The letters and digits of an answer on the page."""
    return re.sub(r"\W", "", page.get_by_test_id("answer").nth(number).inner_text())


def assert_fits(page: Page, what: str) -> None:
    """Nothing stands out at the side."""
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider == 0, f"{what}: the page is wider than its window"


def assert_accessible(page: Page) -> None:
    """Axe finds nothing to complain about in what is shown now, once it stands still."""
    page.evaluate(STILL)
    page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run()).violations")
    assert found == [], [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found]


def plain(markdown: str) -> str:
    """The letters and digits of Markdown, without the language names of its fences, as `shown` has them."""
    return re.sub(r"\W", "", re.sub(r"```\w+\n", "", markdown))
