"""Clients, faults and a verdict on one cluster. `make chaos MINUTES=20 SEED=1`, or `python -m tests.chaos --help`."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.checker import Verdict, check
from tests.chaos.client import ChaosClient, Habits
from tests.chaos.faults import FaultInjector, roll
from tests.chaos.pages import Audience, PagesOutcome, audience, persons_of
from tests.chaos.record import ClientRecord, LoggedRun, read_log
from tests.clients import Account
from tests.cluster import Cluster
from tests.processes import eventually, until
from tests.scripted_agent import written

HEARTBEAT_SECONDS = 3.0
STALLED_SECONDS = 12.0
SETTLE_SECONDS = 240.0
CLIENTS_PER_USER = 2
SETTINGS: dict[str, Any] = {
    "worker_heartbeat_seconds": HEARTBEAT_SECONDS,
    "worker_stalled_seconds": STALLED_SECONDS,
    "sweep_seconds": 5,
    "run_attempts": 20,
    "max_open_runs": 50,
    "max_connections": 50,
    "user_messages_per_minute": 600,
    "ws_window_bytes": 32_768,
    "offline_tokens_per_second": 25,
    "agents": "tests.scripted_agent:scripted",
}


@dataclass(slots=True)
class Outcome:
    """What was done, what was seen, and the verdict on it."""

    verdict: Verdict
    faults: Counter[str]
    log: dict[str, LoggedRun]
    clients: list[ClientRecord]
    drains: int
    seconds: float
    errors: Counter[str] = field(default_factory=Counter)
    closes: Counter[str] = field(default_factory=Counter)
    pages: PagesOutcome | None = None

    @property
    def is_clean(self) -> bool:
        return self.verdict.is_clean and (self.pages is None or self.pages.verdict.is_clean)

    def report(self) -> str:
        runs, events = len(self.log), sum(len(run.events) for run in self.log.values())
        received = sum(len(connection.events) for client in self.clients for connection in client.connections)
        restarted = sum(event.type == "agent_restarted" for run in self.log.values() for event in run.events)
        statuses = Counter(run.status for run in self.log.values())
        answers = Counter(approved for run in self.log.values() for approved in run.decisions().values())
        interrupted = sum(run.was_interrupted for run in self.log.values())
        connections = sum(len(client.connections) for client in self.clients)
        told = _list(self.errors) or "no error"
        lines = [
            f"{self.seconds:.0f} s, {len(self.clients)} clients, {connections} connections",
            f"{runs} runs ({_list(statuses)}), {restarted} begun anew, {events} events, {received} received",
            f"{answers[True]} calls approved, {answers[False]} not; {interrupted} runs interrupted after one had begun",
            f"faults: {sum(self.faults.values())} ({_list(self.faults)})",
            f"told to clients: {told}; {self.drains} times server_draining; closes: {_list(self.closes)}",
            _list(self.verdict.counts),
            f"completed of those that were not stopped: {100 * self.verdict.completed_share:.2f} %",
            *self.verdict.examples,
            "CLEAN" if self.verdict.is_clean else "NOT CLEAN",
        ]
        return "\n".join([*lines, *([self.pages.report()] if self.pages else [])])


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))


async def unleash(
    folder: Path,
    *,
    seconds: float,
    seed: str,
    clients: int = 100,
    web: int = 2,
    workers: int = 2,
    between_faults: float = 6.0,
    between_messages: float = 25.0,
    pages: int = 0,
    between_deeds: float = 2.0,
) -> Outcome:
    """Chaos for `seconds`; then what is left must end well. Beside the clients, `pages` in Chromium."""
    environment = _environment(folder)
    with Cluster(folder, web=web, workers=workers, links=True, environment=environment, **SETTINGS) as cluster:
        injector = FaultInjector(
            cluster, seed=f"{seed} faults", between=between_faults, stalled_seconds=STALLED_SECONDS
        )
        urls = [*(server.url for server in cluster.web), cluster.url]
        habits = Habits(between_messages=between_messages)
        company = Company(clients, urls, seed, habits, pages, between_deeds)
        return await _act(cluster, company, lambda: injector.run(seconds), injector.struck)


async def restart_in_turn(
    folder: Path, *, seed: str, clients: int = 100, rounds: int = 1, between_messages: float = 15.0
) -> Outcome:
    """A rolling restart of everything, while steady clients come through the proxy."""
    struck: Counter[str] = Counter()

    async def roll_all() -> None:
        for _ in range(rounds):
            await asyncio.sleep(5)
            await roll(cluster)
            struck["rolling restart"] += 1
        await asyncio.sleep(5)

    with Cluster(folder, environment=_environment(folder), **SETTINGS) as cluster:
        habits = Habits(
            between_messages=between_messages, stays=1e9, reads_slowly=0, drops_in_replay=0, stops=0, asks=0
        )
        return await _act(cluster, Company(clients, [cluster.url], seed, habits), roll_all, struck)


def _environment(folder: Path) -> dict[str, str]:
    """Where the scripted agent writes."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"SCRIPTED_FOLDER": str(folder)}


@dataclass(frozen=True, slots=True)
class Company:
    """So many clients, at these addresses."""

    number: int
    urls: Sequence[str]
    seed: str
    habits: Habits
    pages: int = 0
    between_deeds: float = 2.0

    def assemble(self, accounts: Sequence[Account]) -> list[ChaosClient]:
        return [
            ChaosClient(
                accounts[place % len(accounts)], self.urls, seed=f"{self.seed} client {place}", habits=self.habits
            )
            for place in range(self.number)
        ]

    @asynccontextmanager
    async def readers(self, cluster: Cluster, accounts: Sequence[Account]) -> AsyncIterator[Audience | None]:
        """Those who sit before pages, if there are any. They come through the proxy."""
        if not self.pages:
            yield None
            return
        async with audience(
            accounts,
            cluster.proxy.port,
            cluster.folder,
            pages=self.pages,
            seed=self.seed,
            between_deeds=self.between_deeds,
        ) as readers:
            yield readers


async def _act(
    cluster: Cluster, company: Company, faults: Callable[[], Awaitable[None]], struck: Counter[str]
) -> Outcome:
    began = time.monotonic()
    accounts = cluster.add_users(-(-company.number // CLIENTS_PER_USER))
    persons = cluster.add_users(persons_of(company.pages), "page") if company.pages else []
    clients = company.assemble(accounts)
    async with company.readers(cluster, persons) as readers:
        async with asyncio.TaskGroup() as living:
            for client in clients:
                living.create_task(client.live())
            reading = living.create_task(readers.live()) if readers else None
            await faults()
            for client in clients:
                client.calm()
            if readers and reading:
                readers.calm()
                await reading
                await readers.settle()
            await _settle(cluster, accounts, clients)
            for client in clients:
                client.leave()
        with cluster.database() as connection:
            log = read_log(connection, [account.id for account in accounts])
            log_of_pages = read_log(connection, [account.id for account in persons])
        pages = await readers.outcome(log_of_pages) if readers else None
    records = [client.record for client in clients]
    connections = [connection for record in records for connection in record.connections]
    return Outcome(
        verdict=check(log, records, jobs_left=_open_jobs(cluster), written=written(cluster.folder)),
        faults=struck,
        log=log,
        clients=records,
        drains=sum(client.drains for client in clients),
        seconds=time.monotonic() - began,
        errors=Counter(error for connection in connections for error in connection.errors),
        closes=Counter(str(connection.close_code) for connection in connections),
        pages=pages,
    )


async def _settle(cluster: Cluster, accounts: Sequence[Account], clients: Sequence[ChaosClient]) -> None:
    """Wait until every run has ended and every client has seen it; the checker tells what has not come that far."""
    try:
        await asyncio.to_thread(
            until,
            lambda: not any(client.record.unanswered for client in clients) and not _open_jobs(cluster),
            SETTLE_SECONDS,
            what="every message to be answered and every run to end",
        )
        with cluster.database() as connection:
            log = read_log(connection, [account.id for account in accounts])
        ends: dict[int, dict[str, tuple[int, int]]] = {}
        for run in log.values():
            ends.setdefault(run.user_id, {})[run.run_id] = (run.run_number, run.last_seq)
        for client in clients:
            of_user = ends.get(client.record.user_id, {})
            await eventually(lambda c=client, e=of_user: c.has_caught_up(e), what="a client to catch up")  # type: ignore[misc]
    except AssertionError as error:
        print(f"not settled: {error}", flush=True)


def _open_jobs(cluster: Cluster) -> int:
    """Jobs and runs that have not ended."""
    query = """SELECT (SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))
                    + (SELECT count(*) FROM chat_run WHERE status IN ('queued', 'running', 'awaiting_approval'))"""
    with cluster.database() as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
