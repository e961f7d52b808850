"""What a run and an event cost each part of a cluster: the constants of `bench/scaling.py`.

Short runs give what a run costs by itself, long ones at a model's pace what each event adds. What the processes do
meanwhile without any run (heartbeats, sweeps, position checks) is measured before and taken off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import tokens
from bench.asking import BEGUN_PER_SECOND, PER_SECOND, Answer, Asker, askers, ended
from bench.forms import Netra
from bench.parts import PARTS, Parts, moved
from bench.scenario import Figure, Figures, Scenario
from bench.subjects import Subject
from netra.config import SERVERS

# As many as one core bears: beyond that events are larger and fewer.
RUNS, QUICK_RUNS = 20, 5
SHORT_ROUNDS, QUICK_SHORT_ROUNDS = 25, 4
LONG_SECONDS, QUICK_LONG_SECONDS = 20.0, 3.0
IDLE_SECONDS, QUICK_IDLE_SECONDS = 10.0, 2.0
SHORT_TOKENS = 1
SHORT_AT_ONCE = 10
EVENT_BYTES = ("tables", "wal", "redis", "wire")


def subjects() -> Sequence[Subject]:
    return [Netra("cluster", server) for server in SERVERS]


@dataclass(frozen=True, slots=True)
class Spent:
    """By the parts of a cluster, for so many runs and events. `bytes` are those of tables, WAL, Redis and the wire."""

    runs: int
    events: int
    cpu: Mapping[str, float]
    bytes: Mapping[str, float]


class Meter:
    """Reads the parts before and after, without what they do when idle."""

    def __init__(self, parts: Parts, asking: Sequence[Asker]) -> None:
        self._parts = parts
        self._asking = asking
        self._idle: Mapping[str, float] = dict.fromkeys(PARTS, 0.0)

    async def look_at_idleness(self, seconds: float) -> None:
        cpu = self._parts.cpu_seconds()
        await asyncio.sleep(seconds)
        self._idle = {part: spent / seconds for part, spent in moved(cpu, self._parts.cpu_seconds()).items()}

    async def asked(self, question: str, *, times: int, at_once: int) -> Spent:
        """All ask so often; not more of them at once than so many."""
        cpu, stored, wire = self._parts.cpu_seconds(), self._parts.bytes(), self._wire()
        began, events = time.perf_counter(), 0
        waiting, beginning = asyncio.Semaphore(at_once), asyncio.Lock()

        async def answered(asker: Asker) -> Answer:
            async with waiting:
                async with beginning:
                    await asyncio.sleep(1 / BEGUN_PER_SECOND)
                answer = asker.ask(question)
                await ended([answer])
                return answer

        for _ in range(times):
            answers = await asyncio.gather(*map(answered, self._asking))
            events += sum(b'"seq":' in payload for answer in answers for _, payload, _ in answer.frames)
        seconds = time.perf_counter() - began
        spent = moved(cpu, self._parts.cpu_seconds())
        return Spent(
            runs=times * len(self._asking),
            events=events,
            cpu={part: max(0.0, spent[part] - self._idle[part] * seconds) for part in PARTS},
            bytes={**moved(stored, self._parts.bytes()), "wire": self._wire() - wire},
        )

    def _wire(self) -> float:
        return float(sum(asker.client.bytes for asker in self._asking))


async def measure(subject: Subject, quick: bool) -> Figures:
    assert isinstance(subject, Netra)
    parts = Parts(subject)
    base = parts.memory_kb()
    async with askers(subject, QUICK_RUNS if quick else RUNS) as asking:
        meter = Meter(parts, asking)
        await meter.look_at_idleness(QUICK_IDLE_SECONDS if quick else IDLE_SECONDS)
        short = await meter.asked(
            tokens.question(SHORT_TOKENS), times=QUICK_SHORT_ROUNDS if quick else SHORT_ROUNDS, at_once=SHORT_AT_ONCE
        )
        seconds = QUICK_LONG_SECONDS if quick else LONG_SECONDS
        long = await meter.asked(tokens.question(round(PER_SECOND * seconds), PER_SECOND), times=1, at_once=RUNS)
    return constants(short, long) | {f"{part}_base_mb": base[part] / 1024 for part in base}


def constants(short: Spent, long: Spent) -> dict[str, float | None]:
    """Two equations for each part: what a run costs and what an event adds, from runs with few events and with many."""
    found: dict[str, float | None] = {}
    added_events = long.events - long.runs / short.runs * short.events
    for part in PARTS:
        event = max(0.0, long.cpu[part] - long.runs / short.runs * short.cpu[part]) / added_events
        found[f"{part}_event_us"] = event * 1e6
        found[f"{part}_run_ms"] = max(0.0, short.cpu[part] - event * short.events) / short.runs * 1e3
    for kind in EVENT_BYTES:
        event = max(0.0, long.bytes[kind] - long.runs / short.runs * short.bytes[kind]) / added_events
        found[f"{kind}_event_bytes"] = event
        found[f"{kind}_run_bytes"] = max(0.0, short.bytes[kind] - event * short.events) / short.runs
    return found


_HEADINGS = {"tables": "tables", "wal": "WAL", "redis": "Redis", "wire": "wire"}

SCENARIOS = [
    Scenario(
        name="costs",
        text=f"{RUNS} runs at once of {PER_SECOND:g} tokens/s, and many short ones: what an event and a run cost each "
        "part.",
        figures=(
            *(Figure(f"{part}_event_us", f"event: {part}", "µs", 1) for part in PARTS),
            *(Figure(f"{part}_run_ms", f"run: {part}", "ms", 2) for part in PARTS),
            *(Figure(f"{kind}_event_bytes", f"event: {name}", "B") for kind, name in _HEADINGS.items()),
            *(Figure(f"{kind}_run_bytes", f"run: {name}", "B") for kind, name in _HEADINGS.items()),
            *(Figure(f"{part}_base_mb", f"{part}, nobody there", "MB") for part in ("web", "worker")),
        ),
        subjects=subjects,
        measure=measure,
    )
]
