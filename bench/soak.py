"""Whether anything grows: `python -m bench.soak --minutes 30`, a part of `make nightly`.

People come, ask, and go, some of them in the middle of an answer, while a web process and a worker are looked at. What
each holds is compared between the last third of the time and the third before it: the first one is to warm up, and half
as many people more come in it, since an allocator keeps what a peak took, and without one would go on to find its size
for hours. It has grown when the means differ by more than the means of short times do within the middle third; whatever
rises steadily does, and what comes and goes with the load does not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psycopg
import redis
from picows import WSError

from bench import cores, load, tokens
from bench.forms import Netra
from bench.lists import Asking
from bench.load import Lost
from bench.subjects import Kind
from netra.config import SERVERS, ServerName
from tests.clients import request
from tests.processes import HOST, free_port

PEOPLE, QUICK_PEOPLE = 60, 20
WARMING_PART = 0.5
# So many at most: to take one takes time.
SAMPLES, BLOCK = 360, 10
TOKENS_PER_SECOND = 50
PATIENCE_SECONDS = 60.0
METRICS_TOKEN = "of a server that only the soak reaches"  # noqa: S105
# Below it a difference says nothing, however quiet the samples were: a part of the mean, or so much.
LEAST_PART = 0.01
LEAST = {"rss_kb": 1024.0, "fds": 2.0, "threads": 1.0, "tasks": 3.0, "redis_clients": 2.0, "postgres": 2.0}

Sample = Mapping[str, float]


class Meters:
    """What is read of the processes, by name."""

    def __init__(self, netra: Netra, worker_metrics: int) -> None:
        self._processes = {"web": netra.cluster.web[0], "worker": netra.cluster.workers[0]}
        self._metrics = {"web": netra.url, "worker": f"http://{HOST}:{worker_metrics}"}
        self._redis: Any = redis.Redis.from_url(netra.cluster.redis.url, socket_timeout=PATIENCE_SECONDS)
        self._database: psycopg.Connection[Any] = netra.cluster.database()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._redis.close()
        self._database.close()

    def sample(self) -> Sample:
        found: dict[str, float] = {}
        for name, process in self._processes.items():
            folder = Path("/proc", str(process.process.pid))
            status = (folder / "status").read_text()
            found[f"{name} rss_kb"] = _number(r"^VmRSS:\s+(\d+)", status)
            found[f"{name} threads"] = _number(r"^Threads:\s+(\d+)", status)
            found[f"{name} fds"] = sum(1 for _ in (folder / "fd").iterdir())
            told = request(self._metrics[name], "GET", "/metrics", token=METRICS_TOKEN)
            assert told.status == 200, told
            found[f"{name} tasks"] = _number(r"^netra_event_loop_tasks(?:\{.*\})? (\S+)", told.body)
        found["redis_clients"] = self._redis.info("clients")["connected_clients"]
        row = self._database.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        ).fetchone()
        assert row is not None
        found["postgres"] = row[0]
        return found


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text, re.MULTILINE)
    assert found is not None, f"{pattern} is not there"
    return float(found[1])


class Churn:
    """People who come and go."""

    def __init__(self, netra: Netra) -> None:
        self._netra = netra
        self.connects = 0
        self.answers = 0
        self.left = 0
        self.failures: list[str] = []

    async def go_on(self, people: int, warming_seconds: float) -> None:
        """Without end; for the first so many seconds more of them come."""
        warming = round(people * WARMING_PART)
        self._netra.add_users(people + warming)
        async with asyncio.TaskGroup() as group:
            for user in range(people):
                group.create_task(self._person(user))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(warming_seconds):
                    await asyncio.gather(*map(self._person, range(people, people + warming)))

    async def _person(self, user: int) -> None:
        await asyncio.sleep(random.random())
        while True:
            try:
                await self._visit(user)
            except (Lost, OSError, TimeoutError, WSError, AssertionError) as error:
                self._failed(f"{type(error).__name__}: {error}, at {_place(error)}")
            await asyncio.sleep(random.random())

    async def _visit(self, user: int) -> None:
        """One page: its list, its socket, some questions; some people do not wait for the end of an answer."""
        await asyncio.to_thread(self._look_at_list, user)
        ended = asyncio.Event()

        def hear(kind: Kind, payload: bytes, _arrived: int) -> None:
            if kind is Kind.REFUSED:
                self._failed(f"refused: {payload.decode()}")
            if kind in (Kind.ENDED, Kind.REFUSED):
                ended.set()

        client = await self._netra.open(user, hear)
        self.connects += 1
        try:
            for _ in range(random.randint(1, 3)):
                ended.clear()
                self._netra.ask(client, tokens.question(random.randint(10, 150), TOKENS_PER_SECOND))
                if random.random() < 0.25:
                    await asyncio.sleep(random.random())
                    self.left += 1
                    return
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await ended.wait()
                self.answers += 1
        finally:
            client.close()

    def _failed(self, what: str) -> None:
        """Told at once, with the time, at which logs may have its cause."""
        self.failures.append(what)
        print(f"{time.strftime('%H:%M:%S')} failed: {what}", flush=True)

    def _look_at_list(self, user: int) -> None:
        with contextlib.closing(Asking(self._netra.url, self._netra.account(user).token())) as asking:
            asking.seconds("threads?limit=50&archived=false")


def _place(error: BaseException) -> str:
    """The line that raised it, which is all that an assertion without words says."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{Path(last.filename).name}:{last.lineno} in {last.name}"


async def soak(netra: Netra, meters: Meters, *, people: int, seconds: float) -> tuple[Churn, list[Sample]]:
    churn, samples = Churn(netra), []
    task = asyncio.create_task(churn.go_on(people, warming_seconds=seconds / 3))
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        period = seconds / SAMPLES
        await asyncio.sleep(period - passed % period)
        samples.append(await asyncio.to_thread(meters.sample))
        assert not task.done(), "nobody comes any more"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return churn, samples


def grown(name: str, values: Sequence[float]) -> tuple[float, float, float, bool]:
    """The mean of the middle third and of the last one, what they may differ by, and whether they differ by more."""
    third = len(values) // 3
    middle, last = values[third : 2 * third], values[2 * third :]
    before, after = statistics.fmean(middle), statistics.fmean(last)
    block = max(1, min(BLOCK, third // 6))
    shorter = [statistics.fmean(middle[start : start + block]) for start in range(0, third - block + 1, block)]
    noise = max(2 * statistics.stdev(shorter), LEAST_PART * before, LEAST[name.rpartition(" ")[2]])
    return before, after, noise, after - before > noise


def report(samples: Sequence[Sample]) -> list[str]:
    """Print what was held; return what has grown."""
    print("| held | middle third | last third | may differ by | |\n|---|---|---|---|---|")
    found = []
    for name in samples[0]:
        before, after, noise, has_grown = grown(name, [sample[name] for sample in samples])
        print(f"| {name} | {before:,.1f} | {after:,.1f} | {noise:,.1f} | {'GROWN' if has_grown else ''} |")
        if has_grown:
            found.append(name)
    return found


def run(server: ServerName, *, people: int, seconds: float) -> bool:
    """Whether nothing has grown and nothing has failed."""
    port = free_port()
    netra = Netra("cluster", server, metrics_token=METRICS_TOKEN, metrics_listen=f"{HOST}:{port}")
    with netra, Meters(netra, port) as meters:
        churn, samples = load.run(soak(netra, meters, people=people, seconds=seconds))
    done = {"connects": churn.connects, "answers": churn.answers, "left": churn.left, "failures": len(churn.failures)}
    print(json.dumps({"soak": netra.name, "seconds": seconds, "people": people, **done}))
    found = report(samples)
    return not found and not churn.failures


def main() -> int:
    # Told to end, it ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--server", choices=SERVERS, default="daphne", help="what serves the web process")
    parser.add_argument("--quick", action="store_true", help="half a minute: whether it works, not whether it grows")
    given = parser.parse_args()
    cores.stay_with_the_rest()
    load.have_files()
    print(cores.statement(), flush=True)
    seconds, people = (30.0, QUICK_PEOPLE) if given.quick else (given.minutes * 60, PEOPLE)
    is_well = run(given.server, people=people, seconds=seconds)
    return 0 if is_well or given.quick else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
