"""Persons before pages of one Chromium, while faults strike: `python -m tests.chaos --pages 6`."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, async_playwright

from tests.browser import ARGUMENTS, CHROMIUM, Cable
from tests.chaos.page_checker import PageVerdict, check_pages
from tests.chaos.page_record import PageRecord, StoredThread
from tests.chaos.page_window import PATIENCE_SECONDS, PageWindow
from tests.chaos.person import Person
from tests.chaos.record import LoggedRun
from tests.chaos.rendering import Rendering
from tests.chaos.rest import Rest
from tests.clients import Account

TABS_OF_THE_FIRST = 2
FINISHING_ROUNDS = 40
VIEWPORTS = ({"width": 1100, "height": 760}, {"width": 390, "height": 780}, {"width": 820, "height": 1100})

Prepare = Callable[[BrowserContext], Any]


@dataclass(slots=True)
class PagesOutcome:
    """What was done in the pages, and the verdict on them."""

    verdict: PageVerdict
    records: list[PageRecord]
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def answers_compared(self) -> int:
        return sum(record.answers_compared for record in self.records)

    def report(self) -> str:
        records = self.records
        deeds = sum((record.deeds for record in records), Counter[str]())
        sent = sum(record.sent.total() for record in records)
        threads = sum(record.threads_compared for record in records)
        sockets = sum(record.sockets for record in records)
        again = sum(record.opened_again for record in records)
        failed = sum(record.network_errors for record in records)
        lines = [
            f"{len(records)} pages: {sent} questions, {self.answers_compared} answers and {threads} threads compared",
            f"deeds: {_list(deeds)}",
            f"{sockets} sockets, {failed} network errors on the console, {again} times opened again",
            _list(self.verdict.counts),
            *self.verdict.examples,
            "PAGES CLEAN" if self.verdict.is_clean else "PAGES NOT CLEAN",
        ]
        return "\n".join(lines)


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))


class Audience:
    """The persons. `live` returns after `calm`; `settle` when nothing is open any more and everything was compared."""

    def __init__(self, persons: Sequence[Person], rests: Mapping[int, Rest], rendering: Rendering) -> None:
        self._rendering = rendering
        self.persons = persons
        self._rests = rests

    async def live(self) -> None:
        await asyncio.gather(*(person.live() for person in self.persons))

    def calm(self) -> None:
        for person in self.persons:
            person.calm()

    async def settle(self) -> None:
        for _ in range(FINISHING_ROUNDS):
            waiting = [(person, await self._open_threads(person)) for person in self.persons]
            if not any(threads for _, threads in waiting):
                break
            await asyncio.gather(*(person.finish(threads) for person, threads in waiting))
            await asyncio.sleep(1)
        await asyncio.gather(*(person.settle() for person in self.persons))

    async def _open_threads(self, person: Person) -> list[dict[str, Any]]:
        rest = self._rests[person.record.user_id]
        threads = await rest.threads()
        stored = [await rest.thread(thread["id"]) for thread in threads]
        return [thread for thread, whole in zip(threads, stored, strict=True) if not whole.has_ended]

    async def outcome(self, log: Mapping[str, LoggedRun]) -> PagesOutcome:
        records = [person.record for person in self.persons]
        stored: dict[int, list[StoredThread]] = {}
        for user_id, rest in self._rests.items():
            stored[user_id] = [await rest.whole_thread(thread["id"]) for thread in await rest.threads()]
        return PagesOutcome(check_pages(records, stored, log, self._rendering.text), records)


@contextlib.asynccontextmanager
async def audience(
    accounts: Sequence[Account],
    port: int,
    folder: Path,
    *,
    pages: int,
    seed: str,
    between_deeds: float,
    patience: float = PATIENCE_SECONDS,
    prepare: Prepare | None = None,
) -> AsyncIterator[Audience]:
    """So many pages at the server or proxy of this port, each person's behind a cable of their own.

    The first person has two tabs. `prepare` is told each browser profile before its first page.
    """
    assert CHROMIUM, "Chromium is not installed: `make test` installs it"
    persons: list[Person] = []
    rests: dict[int, Rest] = {}
    async with async_playwright() as playwright, contextlib.AsyncExitStack() as stack:
        rendering = stack.enter_context(Rendering())
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        stack.push_async_callback(browser.close)
        for place, account in enumerate(accounts):
            cable = Cable(port)
            stack.callback(cable.close)
            viewport: Any = VIEWPORTS[place % len(VIEWPORTS)]
            context = await browser.new_context(viewport=viewport)
            if prepare is not None:
                await prepare(context)
            rest = rests[account.id] = Rest(f"http://127.0.0.1:{port}", account)
            tabs = TABS_OF_THE_FIRST if place == 0 and pages > 1 else 1
            for tab in range(tabs):
                name = f"page-{place}{'ab'[tab] if tabs > 1 else ''}"
                window = PageWindow(context, cable, account, PageRecord(name, account.id), patience)
                persons.append(
                    Person(window, rest, rendering, folder, seed=f"{seed} {name}", between_deeds=between_deeds)
                )
        yield Audience(persons, rests, rendering)


def persons_of(pages: int) -> int:
    """How many people have so many pages."""
    return max(1, pages - TABS_OF_THE_FIRST + 1)
