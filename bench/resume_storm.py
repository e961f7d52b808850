"""The web process is killed under many clients while runs go on in a worker, and started again: all come back at once.

Clients do as the web page does: they wait longer after each failure (web/src/protocol/reconnecting.ts), and then ask
for what comes after the last event that they have. Every event is counted by its number.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Sequence

from picows import WSError

from bench import tokens
from bench.asking import Refused
from bench.forms import Netra
from bench.history import seq_of
from bench.load import Client, Lost
from bench.scenario import Figure, Figures, Scenario, Target, quantile
from bench.subjects import Kind, Subject
from netra.config import SERVERS
from tests.processes import accepts

CLIENTS, QUICK_CLIENTS = 2000, 100
RUNS, QUICK_RUNS = 200, 10
TOKENS_PER_SECOND = 10
RUN_SECONDS, QUICK_RUN_SECONDS = 60, 15
ARRIVING_AT_ONCE = 50
ASKING_SECONDS = 0.02
CALM_SECONDS = 2.0
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, GROWTH = 0.5, 30.0, 1.5
PATIENCE_SECONDS = 120.0


def subjects() -> Sequence[Subject]:
    return [Netra("cluster", server) for server in SERVERS]


class Page:
    """A person with one connection, who comes back, and has at most one run."""

    def __init__(self, netra: Netra, user: int) -> None:
        self._netra = netra
        self._user = user
        self._client: Client | None = None
        self._following: asyncio.Task[None] | None = None
        self._awaited_seq: int | None = None
        self.run_id = ""
        self.seq = 0
        self.missing = 0
        self.repeated = 0
        self.texts: list[bytes] = []
        self.refused: bytes | None = None
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.caught_up = asyncio.Event()
        self.caught_up_ns = 0

    async def arrive(self) -> None:
        self._client = await self._netra.open(self._user, self._hear)
        self._following = asyncio.create_task(self._follow(self._client))

    def ask(self, question: str) -> None:
        assert self._client is not None
        self._netra.ask(self._client, question)

    async def leave(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        if self._client is not None:
            self._client.close()

    async def _follow(self, client: Client) -> None:
        failures = 0
        while True:
            with contextlib.suppress(Lost):
                await client.receive()  # its frames are heard elsewhere: this ends with the connection
            while True:
                ceiling = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * GROWTH**failures)
                await asyncio.sleep(ceiling * random.uniform(0.5, 1))
                with contextlib.suppress(Lost, OSError, TimeoutError, WSError):
                    self._client = client = await self._netra.open(self._user, self._hear)
                    client.send(json.dumps(self._resume()))
                    failures = 0
                    break
                failures += 1

    def _resume(self) -> dict[str, object]:
        cursors = {self.run_id: self.seq} if self.run_id and not self.ended.is_set() else {}
        return {"type": "resume", "cursors": cursors, "after_run": 1 if self.run_id else 0}

    def _hear(self, kind: Kind, payload: bytes, arrived: int) -> None:
        if kind is Kind.REFUSED:
            self.refused = payload
            self.begun.set()
        if (seq := seq_of(payload)) is not None:
            self._event(kind, payload, seq)
        elif payload.startswith(b'{"type":"message_accepted"'):
            self.run_id = json.loads(payload)["run_id"]
        elif payload.startswith(b'{"type":"resumed"'):
            runs = json.loads(payload)["runs"]
            self._awaited_seq = runs[self.run_id]["last_seq"] if self.run_id in runs else self.seq
        if self._awaited_seq is not None and self.seq >= self._awaited_seq and not self.caught_up.is_set():
            self.caught_up_ns = arrived
            self.caught_up.set()

    def _event(self, kind: Kind, payload: bytes, seq: int) -> None:
        if seq <= self.seq:
            self.repeated += 1
            return
        self.missing += seq - self.seq - 1
        self.seq = seq
        if kind is Kind.TEXT:
            self.texts.append(payload)
            self.begun.set()
        elif kind is Kind.ENDED:
            self.ended.set()


async def measure(subject: Subject, quick: bool) -> Figures:
    assert isinstance(subject, Netra)
    number = QUICK_CLIENTS if quick else CLIENTS
    subject.add_users(number)
    pages = [Page(subject, user) for user in range(number)]
    try:
        await arrive(pages)
        return await storm(subject, pages, quick)
    finally:
        for page in pages:
            await page.leave()


async def arrive(pages: Sequence[Page]) -> None:
    arriving = asyncio.Semaphore(ARRIVING_AT_ONCE)

    async def one(page: Page) -> None:
        async with arriving:
            await page.arrive()

    async with asyncio.TaskGroup() as group:
        for page in pages:
            group.create_task(one(page))


async def storm(netra: Netra, pages: Sequence[Page], quick: bool) -> Figures:
    asking = pages[: QUICK_RUNS if quick else RUNS]
    said = TOKENS_PER_SECOND * (QUICK_RUN_SECONDS if quick else RUN_SECONDS)
    for page in asking:
        page.ask(tokens.question(said, TOKENS_PER_SECOND))
        await asyncio.sleep(ASKING_SECONDS)
    await all_of([page.begun for page in asking])
    for page in asking:
        if page.refused is not None:
            raise Refused(page.refused.decode())
    await asyncio.sleep(CALM_SECONDS)
    active = sum(not page.ended.is_set() for page in asking)
    killed = time.perf_counter_ns()
    await asyncio.to_thread(netra.web.kill)
    await asyncio.to_thread(netra.web.launch)
    listening = await asyncio.to_thread(listens_since, netra)
    await all_of([page.caught_up for page in pages])
    await all_of([page.ended for page in asking])
    for page in asking:
        tokens.assert_whole("".join(map(netra.text_of, page.texts)), said)
    waits = [max(0, page.caught_up_ns - listening) / 1e9 for page in pages]
    return {
        "runs": float(active),
        "away_s": (listening - killed) / 1e9,
        "half_s": quantile(waits, 0.5),
        "all_s": max(waits),
        "lost": float(sum(page.missing for page in pages)),
        "repeated": float(sum(page.repeated for page in pages)),
    }


def listens_since(netra: Netra) -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not accepts(netra.web.port):
        assert time.monotonic() < deadline, "the web process does not listen again"
        time.sleep(0.005)
    return time.perf_counter_ns()


async def all_of(events: Sequence[asyncio.Event]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        for event in events:
            await event.wait()


SCENARIOS = [
    Scenario(
        name="resume_storm",
        text=f"The web process is killed under {CLIENTS:,} clients, {RUNS} of which have a run of {TOKENS_PER_SECOND} "
        "tokens a second in the worker, and started again. Seconds are from when it listens.",
        figures=(
            Figure("runs", "runs active"),
            Figure("away_s", "not listening", "s", 1),
            Figure("half_s", "half caught up", "s", 1),
            Figure("all_s", "all caught up", "s", 1),
            Figure("lost", "events lost"),
            Figure("repeated", "events repeated"),
        ),
        subjects=subjects,
        measure=measure,
        targets=[
            target
            for server in SERVERS
            for netra in [f"netra, cluster, {server}"]
            for target in (
                Target("all_s", netra, 5, "at most"),
                Target("lost", netra, 0, "at most"),
                Target("repeated", netra, 0, "at most"),
            )
        ],
    )
]
