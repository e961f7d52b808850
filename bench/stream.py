"""Scenarios of answers: as fast as possible, at a model's pace, as many as possible, and how soon one begins."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from bench import bare_loop, tokens
from bench.asking import (
    BEGUN_PER_SECOND,
    PATIENCE_SECONDS,
    START_SECONDS,
    Asker,
    Refused,
    askers,
    join,
    leave,
    stream_at_pace,
    stream_fast,
)
from bench.forms import Netra
from bench.load import Lost
from bench.peers.chainlit import Chainlit
from bench.peers.limit import Bare
from bench.peers.tutorial.subject import Tutorial
from bench.scenario import Figure, Figures, Scenario, Target, quantile
from bench.subjects import Subject, cpu_seconds

MOST_LAG_MS = 250.0
PAUSE_SECONDS = 0.1
CALM_SECONDS, CALM_CORES = 0.5, 0.1
# Of an answer's tokens: with all of them it would take ten minutes.
TUTORIALS_PART = 20
BARE_LOOP = "pydantic-ai's bare loop"

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
    """The limit, Netra's forms, and Chainlit: what 5,000 tokens a second are within reach of."""
    forms = [Netra("embedded", "uvicorn"), Netra("embedded", "daphne"), Netra("cluster", "uvicorn")]
    return [Bare("uvicorn"), *forms, Chainlit()]


def as_fast_as_possible() -> Sequence[Subject]:
    modelled = Netra("embedded", "uvicorn", agent="modelled", what="pydantic-ai")
    return [*subjects(), Tutorial("uvicorn"), modelled]


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
        subjects=as_fast_as_possible,
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
