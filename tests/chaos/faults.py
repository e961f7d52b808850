"""The fault injector: kills, pauses, ends and cuts off parts of a cluster at random moments, and mends them again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.cluster import Cluster
from tests.processes import LiveProcess


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault. `targets` are the parts that it may meet; it lasts between `shortest` and `longest` seconds."""

    kind: str
    targets: tuple[Any, ...]
    strike: Callable[[Any, float], Awaitable[None]]
    shortest: float
    longest: float
    weight: int = 2


class FaultInjector:
    """`run` strikes for `seconds`, then mends everything. The seed decides what strikes whom for how long."""

    def __init__(self, cluster: Cluster, *, seed: str, between: float, stalled_seconds: float) -> None:
        self.struck: Counter[str] = Counter()
        self._cluster = cluster
        self._random = random.Random(seed)
        self._between = between
        self._busy: set[Any] = set()
        self._faults = _faults(cluster, stalled_seconds)

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        weights = [fault.weight for fault in self._faults]
        async with asyncio.TaskGroup() as strikes:
            # Every kind comes once, in random order, before chance decides.
            first = self._random.sample(self._faults, len(self._faults))
            while (pause := self._random.uniform(0.5, 1.5) * self._between) < ends - loop.time():
                await asyncio.sleep(pause)
                chosen = first.pop() if first else self._random.choices(self._faults, weights)[0]
                target = self._random.choice(chosen.targets)
                lasts = self._random.uniform(chosen.shortest, chosen.longest)
                if target in self._busy:
                    continue
                self.struck[chosen.kind] += 1
                strikes.create_task(self._strike(chosen, target, lasts))
            await asyncio.sleep(ends - loop.time())

    async def _strike(self, fault: Fault, target: Any, seconds: float) -> None:
        name = target.name if isinstance(target, LiveProcess) else target
        print(f"  {fault.kind}: {name}, {seconds:.1f} s", flush=True)
        self._busy.add(target)
        try:
            await fault.strike(target, seconds)
        finally:
            self._busy.discard(target)


def _faults(cluster: Cluster, stalled_seconds: float) -> list[Fault]:
    web, workers, links = tuple(cluster.web), tuple(cluster.workers), tuple(cluster.links)
    postgres = ("postgres",)

    async def stop_postgres(_: str, seconds: float) -> None:
        await asyncio.to_thread(cluster.postgres.release)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(cluster.postgres.acquire)

    async def kill_postgres(_: str, seconds: float) -> None:
        """Its guard starts it again at once."""
        pid_file = cluster.folder / "postgres" / "data" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
        await asyncio.sleep(seconds)

    faults = [
        Fault("kill -9 a worker", workers, _kill, 0.2, 5, weight=3),
        Fault("kill -9 a web process", web, _kill, 0.2, 5, weight=3),
        Fault("end a worker in order", workers, _end, 0.1, 1),
        Fault("end a web process in order", web, _end, 0.1, 1),
        Fault("pause a worker until it is declared dead", workers, _pause, stalled_seconds + 2, stalled_seconds + 8),
        Fault("pause a web process", web, _pause, 1, 6),
        Fault("kill -9 redis", (cluster.redis,), _kill, 0.1, 5),
        Fault("kill -9 postgres", postgres, kill_postgres, 2, 4),
        Fault("stop postgres", postgres, stop_postgres, 1, 8, weight=1),
    ]
    if links:
        faults += [
            Fault("cut a link", links, _kill, 0.2, 8, weight=3),
            Fault("freeze a link", links, _pause, 1, stalled_seconds + 4, weight=3),
        ]
    return faults


async def _kill(process: LiveProcess, seconds: float) -> None:
    await asyncio.to_thread(process.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(process.start)


async def _end(process: LiveProcess, seconds: float) -> None:
    await asyncio.to_thread(process.stop)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(process.start)


async def _pause(process: LiveProcess, seconds: float) -> None:
    process.pause()
    try:
        await asyncio.sleep(seconds)
    finally:
        process.go_on()


async def roll(cluster: Cluster) -> None:
    """Restart every web process and worker in order, one at a time, each ready before the next goes."""
    for process in cluster.netra:
        await _end(process, 0)
