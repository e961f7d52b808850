"""One page in Chromium as its person handles it, for whom everything may break at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Error, Page

from tests.browser import Cable
from tests.chaos.page_record import PageRecord, PageView, QueuedMessage, ShownMessage, even
from tests.clients import Account

PATIENCE_SECONDS = 180.0
ACTION_SECONDS = 60.0
AGAIN_SECONDS = 20.0
FORM_SECONDS = 10.0
GLANCE_SECONDS = 0.25
_LOOK = Path(__file__).with_name("look.js").read_text()


class Impatient(Exception):
    """What must come has not come."""


class PageWindow:
    """A page that is opened again when a fault has left none, as a person does."""

    def __init__(
        self, context: BrowserContext, cable: Cable, account: Account, record: PageRecord, patience: float
    ) -> None:
        self.record = record
        self.cable = cable
        self.account = account
        self.patience = patience
        self.view = PageView("blank")
        self._context = context
        self._page: Page | None = None

    @property
    def page(self) -> Page:
        assert self._page is not None, "the page was not opened"
        return self._page

    async def open(self) -> None:
        """Sign in, unless another tab has."""
        page = self._page = await self._context.new_page()
        page.set_default_timeout(ACTION_SECONDS * 1000)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.record.page_errors.append(str(error)))
        page.on("websocket", self._dialled)
        await self._visit(self.cable.url)
        await self.until(lambda view: view.screen != "blank", "the page to open")
        if self.view.screen == "sign-in":
            await self.sign_in()

    async def sign_in(self) -> None:
        """Again when the server could not do it just now, and said so."""
        deadline = time.monotonic() + self.patience
        while self.view.screen == "sign-in":
            if time.monotonic() > deadline:
                raise Impatient("it cannot be signed in")
            if not await self._submit():
                # Another tab has signed in, and this one with it.
                await self.until(lambda view: view.screen != "blank", "the page to go on")
                continue
            refused = self.page.get_by_test_id("sign-in-error")
            while await self.sees(lambda view: view.screen == "sign-in", 0.5) and not await refused.is_visible():
                if time.monotonic() > deadline:
                    raise Impatient("signing in does not end")
                await asyncio.sleep(GLANCE_SECONDS)
        await self.until(lambda view: view.screen == "chat", "the chat after signing in")

    async def _submit(self) -> bool:
        """False when the form went away meanwhile."""
        try:
            await self.page.get_by_test_id("username").fill(self.account.username, timeout=FORM_SECONDS * 1000)
            await self.page.get_by_test_id("password").fill(self.account.password, timeout=FORM_SECONDS * 1000)
            await self.page.get_by_test_id("sign-in").click(timeout=FORM_SECONDS * 1000)
        except Error:
            return False
        return True

    def _console(self, message: ConsoleMessage) -> None:
        self.record.told(message.type, message.text, message.location["url"])

    def _dialled(self, _socket: Any) -> None:
        self.record.sockets += 1

    # What it shows

    async def look(self) -> PageView:
        """Blank while the page is being loaded."""
        try:
            seen: dict[str, Any] = await self.page.evaluate(_LOOK)
        except Error:  # it goes to another page just now
            self.view = PageView("blank")
            return self.view
        messages = tuple(
            dataclasses.replace(each, text=even(each.text)) if each.role == "assistant" else each
            for each in (ShownMessage(**shown) for shown in seen["messages"])
        )
        queued = tuple(QueuedMessage(**each) for each in seen["queued"])
        self.view = PageView(**seen | {"messages": messages, "queued": queued, "moving": tuple(seen["moving"])})
        self.record.saw(self.view)
        return self.view

    async def until(self, wanted: Callable[[PageView], object], what: str, seconds: float | None = None) -> PageView:
        """Look again and again. A page that a fault has left blank is opened again."""
        seconds = self.patience if seconds is None else seconds
        deadline = time.monotonic() + seconds
        blank_since: float | None = None
        while not wanted(await self.look()):
            if time.monotonic() > deadline:
                raise Impatient(f"waited {seconds:g} s in vain for {what}: {self.view}")
            if self.view.screen != "blank":
                blank_since = None
            elif blank_since is None:
                blank_since = time.monotonic()
            elif time.monotonic() - blank_since > AGAIN_SECONDS:
                blank_since = None
                self.record.opened_again += 1
                await self._visit(self.page.url)
            await asyncio.sleep(GLANCE_SECONDS)
        return self.view

    async def sees(self, wanted: Callable[[PageView], object], seconds: float) -> bool:
        """Whether it comes within this time."""
        with contextlib.suppress(Impatient):
            await self.until(wanted, "it", seconds)
            return True
        return False

    # What is done to it

    async def reload(self) -> None:
        await self._visit(self.page.url)
        await self.until(lambda view: view.screen == "chat" and view.loaded, "the page after a reload")

    async def _visit(self, url: str) -> None:
        """The browser's own error page is blank, too."""
        if not url.startswith("http"):
            url = self.cable.url
        with contextlib.suppress(Error):
            await self.page.goto(url, wait_until="commit", timeout=AGAIN_SECONDS * 1000)

    async def ask(self, content: str) -> str:
        """Send it, and return the id under which the page shows it."""
        await self.until(lambda view: view.screen == "chat" and view.loaded, "a page in which to write")
        before = {shown.id for shown in self.view.messages} | {each.id for each in self.view.queued}
        await self.page.get_by_test_id("composer").fill(content)
        await self.page.get_by_test_id("composer").press("Enter")
        self.record.sent[content] += 1

        def sent(view: PageView) -> list[str]:
            own = [shown.id for shown in view.messages if shown.role == "user" and shown.text == content]
            waiting = [each.id for each in view.queued if each.text == content]
            return [each for each in (*own, *waiting) if each is not None and each not in before]

        return sent(await self.until(sent, f"the question {content!r} in the page"))[-1]

    async def choose(self, selector: str) -> None:
        """In the sidebar, which is a drawer on a phone."""
        drawer = self.page.get_by_test_id("open-drawer")
        if await drawer.is_visible():
            await drawer.click()
        await self.page.locator(selector).click()

    async def click(self, selector: str, seconds: float = 5) -> bool:
        """Press the first of these; False when it went away meanwhile, as what can be stopped ends by itself."""
        try:
            await self.page.locator(selector).first.click(timeout=seconds * 1000)
        except Error:
            return False
        return True

    @contextlib.asynccontextmanager
    async def offline(self) -> AsyncIterator[None]:
        """The browser knows it: navigator.onLine is false, in all tabs."""
        await self._context.set_offline(True)
        try:
            yield
        finally:
            await self._context.set_offline(False)

    @contextlib.asynccontextmanager
    async def unplugged(self) -> AsyncIterator[None]:
        """The browser does not know it: its connections break, and no further one is made."""
        await asyncio.to_thread(self.cable.cut)
        try:
            yield
        finally:
            self.cable.join()

    @contextlib.asynccontextmanager
    async def asleep(self) -> AsyncIterator[None]:
        """Nothing in the page runs, no timer and no event; its socket stays open, as in a frozen tab."""
        session = await self._context.new_cdp_session(self.page)
        await session.send("Debugger.enable")
        await session.send("Debugger.pause")
        try:
            yield
        finally:
            await session.send("Debugger.disable")
            await session.detach()
