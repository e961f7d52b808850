"""Connections that are held while nothing happens: what each of them costs one web process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Sequence

from bench.connect import close, open_many
from bench.forms import Netra
from bench.load import Client
from bench.parts import Parts
from bench.peers.limit import Bare
from bench.peers.tutorial.subject import Tutorial
from bench.scenario import Figure, Figures, Scenario, Target, quantile
from bench.subjects import Subject, cpu_seconds, memory_kb
from netra.config import SERVERS

CONNECTIONS, QUICK_CONNECTIONS = 10_000, 300
HOLD_SECONDS, QUICK_HOLD_SECONDS = 120.0, 4.0
ALONE_SECONDS, QUICK_ALONE_SECONDS = 10.0, 2.0
# Netra asks its clients for one so often, and all subjects answer it.
HEARTBEAT_SECONDS, QUICK_HEARTBEAT_SECONDS = 25.0, 2.0
PING = '{"type":"ping"}'
PONG_SECONDS = 10.0
# What is left of those who warmed it up is to be gone before anything is measured.
SETTLE_SECONDS = 1.0
WARM_UP = 50


def subjects() -> Sequence[Subject]:
    return [subject for server in SERVERS for subject in (Netra("cluster", server), Tutorial(server), Bare(server))]


async def measure(subject: Subject, quick: bool) -> Figures:
    number = QUICK_CONNECTIONS if quick else CONNECTIONS
    seconds = QUICK_HOLD_SECONDS if quick else HOLD_SECONDS
    heartbeat = QUICK_HEARTBEAT_SECONDS if quick else HEARTBEAT_SECONDS
    subject.add_users(number)
    close(client for client, _ in await open_many(subject, range(WARM_UP)))
    await asyncio.sleep(SETTLE_SECONDS)
    parts = Parts(subject) if isinstance(subject, Netra) else None
    alone = await shares(subject, parts, asyncio.sleep(QUICK_ALONE_SECONDS if quick else ALONE_SECONDS))
    before = memory_kb(subject)
    clients = [client for client, _ in await open_many(subject, range(number))]
    pulse = Pulse(clients, heartbeat)
    held = await shares(subject, parts, pulse.beat(seconds))
    figures = {
        "connections": float(number),
        "kb_per_connection": (memory_kb(subject) - before) / number,
        "cpu_percent": held[0],
        "alone_percent": alone[0],
        "postgres_percent": max(0.0, held[1] - alone[1]) if parts else None,
        "answered_percent": pulse.answered / pulse.sent * 100,
        "pong_p99_ms": quantile(pulse.waits, 0.99) if pulse.waits else None,
        "lost": float(sum(not client.is_open for client in clients)),
    }
    close(clients)
    return figures


async def shares(subject: Subject, parts: Parts | None, meanwhile: Awaitable[None]) -> tuple[float, float]:
    """What the subject's processes, and its PostgreSQL, take of a core, in per cent."""

    def seconds() -> tuple[float, float]:
        return cpu_seconds(subject), parts.cpu_seconds()["postgres"] if parts else 0.0

    before, began = seconds(), time.perf_counter()
    await meanwhile
    lasted, after = time.perf_counter() - began, seconds()
    return (after[0] - before[0]) / lasted * 100, (after[1] - before[1]) / lasted * 100


class Pulse:
    """Each connection sends a ping in each period, spread evenly over it."""

    def __init__(self, clients: Sequence[Client], period: float) -> None:
        self._clients = clients
        self._period = period
        self._sent_at: list[int] = [0] * len(clients)
        self.sent = 0
        # So many answers are waited for at the end.
        self._wanted: int | None = None
        self._answered = asyncio.Event()
        self.waits: list[float] = []
        for number, client in enumerate(clients):
            client.listen(functools.partial(self._heard, number))

    @property
    def answered(self) -> int:
        return len(self.waits)

    async def beat(self, seconds: float) -> None:
        """Go on so long, and wait for the answers that are missing."""
        began = time.perf_counter()
        for turn in range(round(seconds / self._period * len(self._clients))):
            due = began + turn * self._period / len(self._clients)
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            number = turn % len(self._clients)
            if self._clients[number].is_open:
                self._sent_at[number] = time.perf_counter_ns()
                self._clients[number].send(PING)
            self.sent += 1
        self._wanted = self.sent
        if self.answered < self._wanted:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PONG_SECONDS):
                    await self._answered.wait()

    def _heard(self, number: int, payload: bytes, arrived: int) -> None:
        if b'"pong"' in payload and self._sent_at[number]:
            self.waits.append((arrived - self._sent_at[number]) / 1e6)
            self._sent_at[number] = 0
            if self.answered == self._wanted:
                self._answered.set()


SCENARIOS = [
    Scenario(
        name="idle",
        text=f"{CONNECTIONS:,} connections of as many people to one web process, held for {HOLD_SECONDS:g} seconds; "
        f"each sends a ping every {HEARTBEAT_SECONDS:g} seconds. Memory is what the processes have more than before.",
        figures=(
            Figure("connections", "connections"),
            Figure("kb_per_connection", "memory per connection", "KB", 1),
            Figure("cpu_percent", "of a core", "%", 1),
            Figure("alone_percent", "without them", "%", 1),
            Figure("postgres_percent", "more of PostgreSQL", "%", 1),
            Figure("answered_percent", "pings answered", "%", 1),
            Figure("pong_p99_ms", "pong p99", "ms", 1),
            Figure("lost", "connections lost"),
        ),
        subjects=subjects,
        measure=measure,
        targets=[
            target
            for server in SERVERS
            for netra in [f"netra, cluster, {server}"]
            for target in (
                Target("kb_per_connection", netra, 1.0, "at most", than=f"tutorial, {server}"),
                Target("cpu_percent", netra, 10, "at most"),
                Target("answered_percent", netra, 100),
            )
        ],
    )
]
