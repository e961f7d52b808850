"""Authenticated connects, each to its greeting: with token, user, group and open runs, or what a peer has of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from bench.forms import Netra
from bench.load import Client
from bench.parts import Parts
from bench.peers.limit import Bare
from bench.peers.tutorial.subject import Tutorial
from bench.scenario import Figure, Figures, Scenario, Target, quantile
from bench.subjects import Hear, Kind, Subject, cpu_seconds
from netra.config import SERVERS

CONNECTS, QUICK_CONNECTS = 5000, 200
AT_ONCE = 50


def subjects() -> Sequence[Subject]:
    return [subject for server in SERVERS for subject in (Netra("cluster", server), Tutorial(server), Bare(server))]


async def measure(subject: Subject, quick: bool) -> Figures:
    number = QUICK_CONNECTS if quick else CONNECTS
    subject.add_users(number)
    close(client for client, _ in await open_many(subject, range(AT_ONCE)))  # only to warm up
    parts = Parts(subject) if isinstance(subject, Netra) else None
    database = parts.cpu_seconds()["postgres"] if parts else 0.0
    cpu, began = cpu_seconds(subject), time.perf_counter()
    opened = await open_many(subject, range(number))
    seconds, cpu = time.perf_counter() - began, cpu_seconds(subject) - cpu
    database = parts.cpu_seconds()["postgres"] - database if parts else 0.0
    close(client for client, _ in opened)
    waits = [wait * 1000 for _, wait in opened]
    return {
        "connects_per_second": number / seconds,
        "p50_ms": quantile(waits, 0.5),
        "p99_ms": quantile(waits, 0.99),
        "cpu_ms": cpu / number * 1000,
        "postgres_ms": database / number * 1000 if parts else None,
    }


async def open_many(
    subject: Subject, users: Iterable[int], hearing: Callable[[], Hear] = lambda: unheard
) -> list[tuple[Client, float]]:
    """A connection of each of these users, AT_ONCE being opened at any time, and the seconds that it took to its
    greeting.
    """
    waiting = iter(users)
    opened: list[tuple[Client, float]] = []

    async def arrive() -> None:
        for user in waiting:
            began = time.perf_counter()
            client = await subject.open(user, hearing())
            opened.append((client, time.perf_counter() - began))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(arrive())
    return opened


def unheard(kind: Kind, payload: bytes, arrived: int) -> None:
    """What comes does not matter."""


def close(clients: Iterable[Client]) -> None:
    for client in clients:
        client.close()


SCENARIOS = [
    Scenario(
        name="connect",
        text=f"{CONNECTS:,} connects of as many people, {AT_ONCE} at a time, each until it is greeted. Netra's have a "
        "token, and are greeted with their open runs; the tutorial's have no cookie, so it asks no database.",
        figures=(
            Figure("connects_per_second", "connects/s"),
            Figure("p50_ms", "p50", "ms", 1),
            Figure("p99_ms", "p99", "ms", 1),
            Figure("cpu_ms", "CPU per connect", "ms", 2),
            Figure("postgres_ms", "of PostgreSQL", "ms", 2),
        ),
        subjects=subjects,
        measure=measure,
        targets=[
            target
            for server in SERVERS
            for target in (
                Target("connects_per_second", f"netra, cluster, {server}", 0.8, than=f"tutorial, {server}"),
                Target("p99_ms", f"netra, cluster, {server}", 200, "at most"),
            )
        ],
    )
]
