"""Scenarios of answers that stream: as fast as possible, at a model's pace, as many as possible, and the first event.

Whatever a subject makes of tokens on the way, each is found again in what the client received, with the time from when
it was made to when the last byte of its frame was there (bench/tokens.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import bare_loop, tokens
from bench.forms import Netra
from bench.load import Client, Lost
from bench.peers.chainlit import Chainlit
from bench.peers.limit import Bare
from bench.peers.tutorial.subject import Tutorial
from bench.scenario import Figure, Figures, Scenario, Target, quantile
from bench.subjects import Kind, Subject, cpu_seconds

AT_ONCE = 50
PATIENCE_SECONDS = 300.0
# An answer of which nothing comes for so long does not come: of the tutorial's some never end.
SILENCE_SECONDS = 30.0
# A model's pace.
PER_SECOND = 50.0
# Runs that begin in a second, since what is measured is not how they begin.
BEGUN_PER_SECOND = 50.0
START_SECONDS = 1.0
MOST_LAG_MS = 250.0
PAUSE_SECONDS = 0.1
CALM_SECONDS, CALM_CORES = 0.5, 0.1
# Of an answer's tokens: with all of them it would take ten minutes.
TUTORIALS_PART = 20
BARE_LOOP = "pydantic-ai's bare loop"


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


# stream_max -------------------------------------------------------------------------------------------------


async def measure_max(subject: Subject, quick: bool) -> Figures:
    users, number = (10, 200) if quick else (100, 2000)
    if isinstance(subject, Tutorial):
        number //= TUTORIALS_PART
    async with askers(subject, users) as asking, asyncio.timeout(PATIENCE_SECONDS):
        streamed = await stream_fast(subject, asking, number)
    return {**streamed.figures(), "cpu_seconds_per_100_000": streamed.cpu_seconds / (users * number) * 1e5}


# stream_paced -----------------------------------------------------------------------------------------------


async def measure_paced(subject: Subject, quick: bool) -> Figures:
    users, seconds = (10, 3.0) if quick else (100, 30.0)
    async with askers(subject, users) as asking, asyncio.timeout(PATIENCE_SECONDS):
        return (await stream_at_pace(subject, asking, seconds)).figures()


# stream_most ------------------------------------------------------------------------------------------------


# What a subject held in the round before: there the next one begins, with small steps.
_held_before: dict[str, int] = {}


async def measure_most(subject: Subject, quick: bool) -> Figures:
    """Double the runs until the lag is too long, then halve the interval until it is a twentieth."""
    seconds, most = (2.0, 20) if quick else (10.0, 5000)
    held, failed = 0, most + 1
    tried, best = (10 if quick else 50), {}
    growth = 2.0
    if subject.name in _held_before:
        tried, growth = _held_before[subject.name], 1.05
    async with askers(subject, 0) as asking:
        while failed - held > max(1, failed // 20):
            await join(subject, asking, tried)
            try:
                figures = await try_runs(subject, asking[:tried], seconds)
            except Lost:
                figures = None
                leave(asking)
            if figures is not None:
                held, best = tried, figures
            else:
                failed = tried
            if failed > most:
                tried = min(math.ceil(held * growth), most)
            else:
                tried = (held + failed) // 2 if held else int(failed / growth)
            if tried in (held, failed):
                break
    _held_before[subject.name] = held or 1
    return {"runs": float(held), **best}


async def try_runs(subject: Subject, asking: Sequence[Asker], seconds: float) -> dict[str, float | None] | None:
    """The figures of so many runs; None when their lag is too long."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            streamed = await stream_at_pace(subject, asking, seconds)
    except Refused:
        return None
    if streamed.seconds < seconds / 2 or not streamed.pieces:
        return None  # the first ended before the last had begun, or nearly: it does not keep up
    figures = streamed.figures()
    lag = figures["lag_p99_ms"]
    return figures if lag is not None and lag <= MOST_LAG_MS else None


# first_event ------------------------------------------------------------------------------------------------


async def measure_first_event(subject: Subject, quick: bool) -> Figures:
    """By one user who asks and asks: alone, and while others have their answers at a model's pace.

    There is a moment between an answer and the next question, as with people: what comes of an answer (its thread's
    title) is done then.
    """
    users, number = (5, 10) if quick else (100, 200)
    async with askers(subject, users + 1) as asking, asyncio.timeout(PATIENCE_SECONDS):
        probe = asking.pop()
        await calm(subject)
        idle = await waits(probe, number)
        load = asyncio.create_task(stream_at_pace(subject, asking, number * PAUSE_SECONDS + 1))
        await asyncio.sleep(users / BEGUN_PER_SECOND + START_SECONDS)
        loaded = await waits(probe, number)
        await load
        asking.append(probe)
    return {
        "idle_p50_ms": quantile(idle, 0.5),
        "idle_p99_ms": quantile(idle, 0.99),
        "loaded_p50_ms": quantile(loaded, 0.5),
        "loaded_p99_ms": quantile(loaded, 0.99),
    }


async def calm(subject: Subject) -> None:
    """Wait until its processes do next to nothing: what came of the first questions (titles) is done, too."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        busy = True
        while busy:
            before = cpu_seconds(subject)
            await asyncio.sleep(CALM_SECONDS)
            busy = cpu_seconds(subject) - before > CALM_CORES * CALM_SECONDS


async def waits(asker: Asker, number: int) -> list[float]:
    """Milliseconds to the first event, of each question."""
    found = []
    for _ in range(number):
        answer = asker.ask(tokens.question(1))
        await answer.end()
        found.append(answer.waited_ms)
        await asyncio.sleep(PAUSE_SECONDS)
    return found


# What there is of it ----------------------------------------------------------------------------------------

_LAGS = (Figure("lag_p50_ms", "lag p50", "ms"), Figure("lag_p99_ms", "lag p99", "ms"))
_RATES = (Figure("tokens_per_second", "tokens/s"), Figure("frames_per_second", "frames/s"))
_CPU = Figure("cpu_cores", "cores of server and worker", places=2)


def subjects() -> Sequence[Subject]:
    """The limit, Netra's forms, and what people would use instead."""
    forms = [Netra("embedded", "uvicorn"), Netra("embedded", "daphne"), Netra("cluster", "uvicorn")]
    return [Bare("uvicorn"), *forms, Tutorial("uvicorn"), Chainlit()]


def with_pydantic_ai() -> Sequence[Subject]:
    return [*subjects(), Netra("embedded", "uvicorn", agent="modelled", what="pydantic-ai")]


def for_the_most() -> Sequence[Subject]:
    """A search takes minutes, of the limit twenty: what the forms cost beside each other `stream_paced` shows."""
    return [Netra("embedded", "uvicorn"), Tutorial("uvicorn"), Chainlit()]


def with_a_slowdown() -> Sequence[Subject]:
    return [Netra("embedded", "uvicorn"), Netra("embedded", "uvicorn", what="slowed", agents="bench.slowed:agents")]


SCENARIOS = [
    Scenario(
        name="stream_max",
        text="100 users, an answer of 2,000 tokens each, as fast as they come; of the tutorial 100 each.",
        figures=[*_RATES, *_LAGS, _CPU, Figure("cpu_seconds_per_100_000", "CPU of 100,000 tokens", "s", 2)],
        subjects=with_pydantic_ai,
        measure=measure_max,
        before={BARE_LOOP: bare_loop.figures},
        targets=[
            Target("tokens_per_second", "netra, embedded, uvicorn", 5, than="chainlit"),
            Target("tokens_per_second", "netra, embedded, uvicorn, pydantic-ai", 0.8, than=BARE_LOOP),
        ],
    ),
    Scenario(
        name="stream_paced",
        text="100 runs of 50 tokens/s, for 30 s.",
        figures=[*_RATES, *_LAGS, _CPU],
        subjects=subjects,
        measure=measure_paced,
        targets=[
            Target("lag_p50_ms", "netra, embedded, uvicorn", 60, "at most"),
            Target("lag_p99_ms", "netra, embedded, uvicorn", 120, "at most"),
            Target("cpu_cores", "netra, embedded, uvicorn", 1, "at most"),
        ],
    ),
    Scenario(
        name="slowdown",
        text="`stream_paced` beside a server that makes a query for each event: whether the bench shows one.",
        figures=[*_RATES, *_LAGS, _CPU],
        subjects=with_a_slowdown,
        measure=measure_paced,
        targets=[Target("cpu_cores", "netra, embedded, uvicorn, slowed", 1.2, than="netra, embedded, uvicorn")],
    ),
    Scenario(
        name="stream_most",
        text="The most runs of 50 tokens/s of which 99 % of the tokens arrive within 250 ms.",
        figures=[Figure("runs", "runs"), *_RATES, *_LAGS, _CPU],
        subjects=for_the_most,
        measure=measure_most,
        targets=[Target("runs", "netra, embedded, uvicorn", 3, than="chainlit")],
    ),
    Scenario(
        name="first_event",
        text="From a question to the first event of its answer: alone, and beside 100 runs of 50 tokens/s.",
        figures=[
            Figure("idle_p50_ms", "alone p50", "ms", 1),
            Figure("idle_p99_ms", "alone p99", "ms", 1),
            Figure("loaded_p50_ms", "loaded p50", "ms", 1),
            Figure("loaded_p99_ms", "loaded p99", "ms", 1),
        ],
        subjects=subjects,
        measure=measure_first_event,
        targets=[
            Target("idle_p50_ms", "netra, embedded, uvicorn", 15, "at most"),
            Target("idle_p99_ms", "netra, embedded, uvicorn", 50, "at most"),
            Target("loaded_p99_ms", "netra, embedded, uvicorn", 200, "at most"),
        ],
    ),
]
