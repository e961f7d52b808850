"""People who ask, what comes of their questions, and streams of answers: as fast as possible, and at a model's pace.

Whatever a subject makes of tokens on the way, each is found again in what the client received, with the time from when
it was made to when the last byte of its frame was there (bench/tokens.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import tokens
from bench.load import Client, Lost
from bench.scenario import quantile
from bench.subjects import Kind, Subject, cpu_seconds

AT_ONCE = 50
PATIENCE_SECONDS = 300.0
# An answer of which nothing comes for so long does not come.
SILENCE_SECONDS = 30.0
# A model's pace.
PER_SECOND = 50.0
# Runs that begin in a second, since what is measured is not how they begin.
BEGUN_PER_SECOND = 50.0
START_SECONDS = 1.0


class Refused(Exception):
    """A subject did not take a question."""


@dataclass(slots=True)
class Answer:
    """What came of one question. `ended` is set, too, when it was refused."""

    client: Client
    asked_at: int
    frames: list[tuple[Kind, bytes, int]] = field(default_factory=list)
    started_at: int | None = None
    refused: bytes | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, kind: Kind, payload: bytes, arrived: int) -> None:
        self.frames.append((kind, payload, arrived))
        if kind is Kind.TEXT:
            self.begun.set()
        elif kind is Kind.STARTED and self.started_at is None:
            self.started_at = arrived
        elif kind is Kind.ENDED:
            self.ended.set()
        elif kind is Kind.REFUSED:
            self.refused = payload
            self.ended.set()

    async def end(self) -> None:
        """Wait until it is whole. Raises Refused and Lost."""
        await self._until(self.ended)

    async def begin(self) -> None:
        """Wait for its first text. Raises Refused and Lost."""
        await self._until(self.begun)

    async def _until(self, event: asyncio.Event) -> None:
        waited = [asyncio.create_task(each.wait()) for each in (event, self.ended, self.client.lost)]
        try:
            done: set[asyncio.Task[Any]] = set()
            while not done:
                before = len(self.frames)
                done, _ = await asyncio.wait(waited, timeout=SILENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not done and len(self.frames) == before:
                    raise Lost(f"nothing came for {SILENCE_SECONDS:.0f} seconds")
        finally:
            for task in waited:
                task.cancel()
        if self.refused is not None:
            raise Refused(self.refused.decode())
        if not event.is_set():
            raise Lost(f"closed with {self.client.close_code}")

    @property
    def waited_ms(self) -> float:
        """From the question to the first event of its answer."""
        assert self.started_at is not None
        return (self.started_at - self.asked_at) / 1e6

    def pieces(self, subject: Subject) -> list[tuple[str, int]]:
        """The texts, with the times of their arrival."""
        return [(subject.text_of(payload), arrived) for kind, payload, arrived in self.frames if kind is Kind.TEXT]

    def assert_whole(self, subject: Subject, number: int) -> None:
        text = "".join(piece for piece, _ in self.pieces(subject))
        tokens.assert_whole(text, number)
        subject.check([payload for _, payload, _ in self.frames], text)


class Asker:
    """One user with one connection, who asks one question at a time."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._answer: Answer | None = None
        self.client: Client

    async def arrive(self, user: int) -> None:
        self.client = await self._subject.open(user, self._hear)

    def _hear(self, kind: Kind, payload: bytes, arrived: int) -> None:
        if self._answer is not None:
            self._answer.hear(kind, payload, arrived)

    def ask(self, question: str) -> Answer:
        """Begin to ask: wait for its `end`."""
        self._answer = Answer(self.client, time.perf_counter_ns())
        self._subject.ask(self.client, question)
        return self._answer


@contextlib.asynccontextmanager
async def askers(subject: Subject, number: int) -> AsyncIterator[list[Asker]]:
    """So many users with a connection each, who have asked once already: what is made at first use is there."""
    subject.add_users(number)
    there: list[Asker] = []
    try:
        await join(subject, there, number)
        yield there
    finally:
        leave(there)


def leave(there: list[Asker]) -> None:
    for asker in there:
        asker.client.close()
    there.clear()


async def join(subject: Subject, there: list[Asker], number: int) -> None:
    """As many more as are missing."""
    arriving = asyncio.Semaphore(AT_ONCE)

    async def arrive(user: int) -> Asker:
        async with arriving:
            asker = Asker(subject)
            await asker.arrive(user)
            await ended([asker.ask(tokens.question(10))])
            return asker

    subject.add_users(number)
    there += await asyncio.gather(*map(arrive, range(len(there), number)))


async def ended(answers: Sequence[Answer]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        for answer in answers:
            await answer.end()


@dataclass(frozen=True, slots=True)
class Streamed:
    """What clients had of many answers in so many seconds."""

    seconds: float
    pieces: Sequence[tuple[str, int]]
    cpu_seconds: float

    def figures(self) -> dict[str, float | None]:
        lags = [lag for text, arrived in self.pieces for lag in tokens.lags_ms(text, arrived)]
        return {
            "tokens_per_second": len(lags) / self.seconds,
            "frames_per_second": len(self.pieces) / self.seconds,
            "lag_p50_ms": quantile(lags, 0.5),
            "lag_p99_ms": quantile(lags, 0.99),
            "cpu_cores": self.cpu_seconds / self.seconds,
        }


async def stream_fast(subject: Subject, asking: Sequence[Asker], number: int) -> Streamed:
    """All ask at once for so many tokens, as fast as they come."""
    cpu, began = cpu_seconds(subject), time.perf_counter_ns()
    answers = [asker.ask(tokens.question(number)) for asker in asking]
    await ended(answers)
    cpu = cpu_seconds(subject) - cpu
    for answer in answers:
        answer.assert_whole(subject, number)
    pieces = [piece for answer in answers for piece in answer.pieces(subject)]
    return Streamed((max(arrived for _, arrived in pieces) - began) / 1e9, pieces, cpu)


async def stream_at_pace(subject: Subject, asking: Sequence[Asker], seconds: float) -> Streamed:
    """All ask for tokens at a model's pace, one after the other. What counts is the time in which all of them stream,
    from when the last has begun until the first ends: it is as long as `seconds` where the subject keeps up.
    """
    beginning = len(asking) / BEGUN_PER_SECOND
    number = round(PER_SECOND * (seconds + beginning + START_SECONDS))
    question = tokens.question(number, PER_SECOND)
    answers = []
    for asker in asking:
        answers.append(asker.ask(question))
        await asyncio.sleep(1 / BEGUN_PER_SECOND)
    for answer in answers:
        await answer.begin()
    cpu, began = cpu_seconds(subject), time.perf_counter_ns()
    ends = [asyncio.create_task(answer.end()) for answer in answers]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    cpu, until = cpu_seconds(subject) - cpu, time.perf_counter_ns()
    await asyncio.gather(*ends)
    for answer in answers:
        answer.assert_whole(subject, number)
    pieces = [piece for answer in answers for piece in answer.pieces(subject) if began <= piece[1] <= until]
    return Streamed((until - began) / 1e9, pieces, cpu)
