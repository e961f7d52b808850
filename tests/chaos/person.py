"""A person before a page under chaos: asks, stops, allows, reloads, goes offline, sleeps, and compares."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from playwright.async_api import Error

from tests.chaos.page_record import OPEN, PageView, ShownMessage, differences, unfit
from tests.chaos.page_window import Impatient, PageWindow
from tests.chaos.rendering import Rendering
from tests.chaos.rest import Rest

LONGEST_THREAD = 24


class Person:
    """`live` returns after `calm`, when the last deed is done; then `settle` compares everything."""

    def __init__(
        self, window: PageWindow, rest: Rest, rendering: Rendering, folder: Path, *, seed: str, between_deeds: float
    ) -> None:
        self.window = window
        self.record = window.record
        self._rest = rest
        self._rendering = rendering
        self._folder = folder
        self._random = random.Random(seed)
        self._between = between_deeds
        self._calm = asyncio.Event()
        self._serial = self._random.randrange(10, 99) * 1000
        self._deeds: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {
            "open": (0, self.window.open),
            "ask": (4, self._ask_and_wait),
            "have it allowed": (3, self._have_it_allowed),
            "stop": (2, self._stop),
            "queue": (2, self._queue),
            "reload in mid-answer": (2, self._reload),
            "go offline": (2, self._go_offline),
            "pull the cable": (2, self._pull_the_cable),
            "sleep": (2, self._sleep),
            "look elsewhere": (2, self._look_elsewhere),
        }

    def calm(self) -> None:
        self._calm.set()

    async def live(self) -> None:
        await self.go_through("open")
        names = [name for name, (weight, _) in self._deeds.items() if weight]
        first = self._random.sample(names, len(names))
        while not self._calm.is_set():
            await self._pause(self._random.expovariate(1 / self._between))
            if self._calm.is_set():
                break
            weights = [self._deeds[name][0] for name in names]
            name = first.pop() if first else self._random.choices(names, weights)[0]
            await self.go_through(name)

    async def go_through(self, *names: str) -> None:
        """These deeds, one after the other."""
        for name in names:
            self.record.deeds[name] += 1
            await self._guarded(name, self._deeds[name][1])

    async def _guarded(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        """What a person waits for in vain is a fault of the page."""
        try:
            await act()
            if told := unfit(await self._shown()):
                await self._fault(f"after {name!r}", told)
        except (Impatient, Error, TimeoutError) as problem:
            await self._fault(f"in {name!r}", [f"{type(problem).__name__}: {problem}"])

    async def _shown(self) -> PageView:
        return await self.window.until(lambda view: view.screen == "chat" and view.loaded, "the chat")

    async def _fault(self, where: str, told: list[str]) -> None:
        self.record.faulty += [f"{where}: {each}" for each in told]
        picture = self._folder / f"{self.record.name}-{len(self.record.faulty)}.png"
        print(f"  {self.record.name} {where}: {told[0][:300]} ({picture.name})", flush=True)
        try:
            await self.window.page.screenshot(path=picture, timeout=10_000)
            picture.with_suffix(".html").write_text(await self.window.page.content())
        except Error as error:
            print(f"  no picture of it: {error}", flush=True)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._calm.wait()
        except TimeoutError:
            pass

    # Questions

    def _plain(self) -> str:
        self._serial += 1
        return self._random.choice(
            (
                "help",
                "help",
                f"What is {self._serial} % of 2480, and what time is it in Tokyo?",
                f"Search for Tokyo, and what is {self._serial} ** 7?",
            )
        )

    def _asking(self) -> str:
        """A script of tests/scripted_agent.py: its name is written when that is allowed."""
        self._serial += 1
        name = f"{self.record.name}-{self._serial}"
        return f"One moment, {name}. & write {name}; Then **more**. & read {name}; And the end: `{name}`."

    async def _choose(self, agent: str) -> None:
        """Through the picker."""
        picker = self.window.page.get_by_test_id("agent-picker")
        if await picker.get_attribute("data-agent") == agent:
            return
        await picker.click()
        await self.window.page.locator(f'[data-testid="agent-option"][data-agent="{agent}"]').click()

    async def _ask(self, content: str, agent: str = "assistant") -> str:
        view = await self._shown()
        threads = await self.window.page.get_by_test_id("thread").count()
        if len(view.messages) > LONGEST_THREAD or (threads < 6 and self._random.random() < 0.2):
            await self.window.choose('[data-testid="new-thread"]')
            await self.window.until(lambda view: view.thread_id is None and not view.messages, "a new conversation")
        await self._choose(agent)
        return await self.window.ask(content)

    async def _has_begun(self, message_id: str) -> bool:
        """Whether the answer says something before long."""
        return await self.window.sees(lambda view: any(shown.text for shown in view.answers_to(message_id)), 20)

    async def _await_end(self, message_id: str) -> None:
        """Until the answer has ended in this page, which compares it. What the server refused for now is sent again."""

        def ended(view: PageView) -> bool:
            answers = view.answers_to(message_id)
            return bool(answers) and all(shown.status not in OPEN and not shown.unread for shown in answers)

        waited = 0.0
        while not await self.window.sees(ended, 1.0):
            await self._attend(message_id)
            waited += 1
            if waited > self.window.patience:
                raise Impatient(f"the answer to {message_id} does not end: {self.window.view}")
        await self._compare_answers(message_id, self.window.view.answers_to(message_id))

    async def _attend(self, message_id: str | None = None) -> None:
        """Answer a request for approval, and send again what was refused."""
        view = self.window.view
        question = view.question(message_id) if message_id else None
        if question is not None and question.status == "refused":
            await self.window.click(f'[data-message-id="{message_id}"] [data-testid="retry"]')
        if view.approvals and self._random.random() < 0.6:
            await self._decide()

    async def _decide(self) -> None:
        approved = self._random.random() < 0.75
        content = next(
            (shown.text for shown in reversed(self.window.view.messages) if self._waits(shown)),
            "",
        )
        button = "approve" if approved else "deny"
        if await self.window.click(f'[data-testid="approval"] [data-testid="{button}"]', 2):
            self.record.deeds[button] += 1
            self.record.decided.setdefault(content, approved)

    def _waits(self, shown: ShownMessage) -> bool:
        answers = self.window.view.answers_to(shown.id) if shown.role == "user" and shown.id else []
        return any(answer.status == "awaiting_approval" for answer in answers)

    # Deeds

    async def _ask_and_wait(self) -> None:
        await self._await_end(await self._ask(self._plain()))

    async def _have_it_allowed(self) -> None:
        await self._await_end(await self._ask(self._asking(), "scripted"))

    async def _stop(self) -> None:
        message_id = await self._ask("help")
        await self._has_begun(message_id)
        await self.window.click('[data-testid="stop"]')
        await self._await_end(message_id)

    async def _queue(self) -> None:
        first = await self._ask("help")
        others = [await self.window.ask(self._plain()) for _ in range(self._random.randrange(1, 3))]
        for message_id in (first, *others):
            await self._await_end(message_id)

    async def _reload(self) -> None:
        message_id = await self._ask("help")
        if self._random.random() < 0.7:
            await self._has_begun(message_id)
        await self.window.reload()
        await self._await_end(message_id)

    async def _go_offline(self) -> None:
        message_id = await self._ask(self._plain())
        await self._has_begun(message_id)
        async with self.window.offline():
            await self._pause(self._random.uniform(0.5, 6))
        await self._await_end(message_id)

    async def _pull_the_cable(self) -> None:
        """And ask on meanwhile."""
        asked = [await self._ask("help")]
        await self._has_begun(asked[0])
        async with self.window.unplugged():
            asked.append(await self.window.ask(self._plain()))
            await self._pause(self._random.uniform(0.5, 6))
        for message_id in asked:
            await self._await_end(message_id)

    async def _sleep(self) -> None:
        """Now and then with the lid closed."""
        message_id = await self._ask(self._plain())
        await self._has_begun(message_id)
        async with self.window.asleep():
            if self._random.random() < 0.5:
                async with self.window.unplugged():
                    await self._pause(self._random.uniform(2, 10))
            else:
                await self._pause(self._random.uniform(2, 10))
        await self._await_end(message_id)

    async def _look_elsewhere(self) -> None:
        """Leave a thread in mid-answer, and come back."""
        message_id = await self._ask("help")
        view = await self.window.until(lambda view: view.thread_id, "the thread of a new conversation")
        rows = await self.window.page.get_by_test_id("thread").count()
        await self.window.choose(f'[data-testid="thread"] >> nth={self._random.randrange(rows)}')
        await self._shown()
        await self._pause(self._random.uniform(0.2, 3))
        if view.thread_id:
            await self.show(view.thread_id)
        await self._await_end(message_id)

    async def show(self, thread_id: str) -> None:
        if (await self._shown()).thread_id != thread_id:
            await self.window.choose(f'[data-testid="thread"][data-thread-id="{thread_id}"]')
        await self.window.until(lambda view: view.thread_id == thread_id and view.loaded, f"thread {thread_id}")

    # Comparing

    async def _compare_answers(self, message_id: str, shown: list[ShownMessage]) -> None:
        """At the moment at which they have ended in the page, whose word the server's must be."""
        thread_id = (await self.window.until(lambda view: view.thread_id, "the thread's address")).thread_id
        stored = await self._rest.thread(str(thread_id))
        wanted = {each.run_id: each for each in stored.shown(self._rendering.text) if each.role == "assistant"}
        told = []
        for answer in shown:
            self.record.answers_compared += 1
            known = wanted.get(answer.run_id)
            if known is None or (known.status, known.text) != (answer.status, answer.text):
                told.append(f"shown {answer}, stored {known}")
        if told:
            await self._fault(f"answer to {message_id}", told)

    async def compare_thread(self, thread_id: str) -> None:
        """All of it, once the page has what REST has, or has had the time."""
        stored = await self._rest.thread(thread_id)

        def is_same(view: PageView) -> bool:
            return not differences(view, stored, self._rendering.text)

        self.record.threads_compared += 1
        if not await self.window.sees(is_same, self.window.patience / 2):
            told = differences(self.window.view, stored, self._rendering.text)
            (self._folder / f"{self.record.name}-stored.json").write_text(
                json.dumps([dict(run) for run in stored.runs], indent=1)
            )
            await self._fault(f"thread {thread_id}", told or ["it changes again and again"])
        else:
            self.record.answers_compared += sum(shown.role == "assistant" for shown in self.window.view.messages)

    async def finish(self, threads: list[dict[str, Any]]) -> None:
        """Attend to what waits for this person until no run is open."""
        for thread in threads:
            await self.show(thread["id"])
            if self.window.view.approvals:
                await self._decide()

    async def settle(self) -> None:
        """As the page stands; then each thread; then all of it after a reload."""
        await self._guarded("the end", self._settle)

    async def _settle(self) -> None:
        current = (await self._shown()).thread_id
        threads = [str(thread["id"]) for thread in await self._rest.threads()]
        order = ([current] if current in threads else []) + [each for each in threads if each != current]
        for thread_id in order:
            await self.show(thread_id)
            await self.compare_thread(thread_id)
        if order:
            await self.window.reload()
            await self.compare_thread(order[-1])
        composer = self.window.page.get_by_test_id("composer")
        await composer.fill("Still here")
        if await composer.input_value() != "Still here":
            await self._fault("the end", ["the composer takes no text"])
        await composer.fill("")
