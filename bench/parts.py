"""What each part of a cluster has computed, held, written and sent: web process, worker, PostgreSQL, Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import psycopg
import redis

from bench.forms import Netra
from bench.subjects import memory_of, seconds_of
from tests.cluster import Cluster

PARTS = ("web", "worker", "postgres", "redis")


class Parts:
    """Of a cluster of one web process and one worker. Readings are sums since the processes began."""

    def __init__(self, netra: Netra) -> None:
        self._cluster: Cluster = netra.cluster
        with self._connect() as connection:
            backend = _row(connection, "SELECT pg_backend_pid()")[0]
            self._postmaster = _parent(backend)

    def cpu_seconds(self) -> dict[str, float]:
        [web], [worker] = self._cluster.web, self._cluster.workers
        return {
            "web": seconds_of(web.process.pid),
            "worker": seconds_of(worker.process.pid),
            "postgres": self._postgres_seconds(),
            "redis": seconds_of(self._cluster.redis.process.pid),
        }

    def memory_kb(self) -> dict[str, float]:
        [web], [worker] = self._cluster.web, self._cluster.workers
        return {"web": memory_of(web.process.pid), "worker": memory_of(worker.process.pid)}

    def bytes(self) -> dict[str, float]:
        """Of the tables with their indices, of the events alone, written ahead of them, and through Redis."""
        with self._connect() as connection:
            tables, events, written = _row(
                connection,
                "SELECT sum(pg_total_relation_size(c.oid)), pg_total_relation_size('chat_runevent'),"
                " pg_current_wal_insert_lsn() - '0/0' FROM pg_class c"
                " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
            )
        with closing(redis.Redis.from_url(self._cluster.redis.url)) as asked:
            told = cast("Mapping[str, Any]", asked.info("stats"))
        return {
            "tables": float(tables),
            "events": float(events),
            "wal": float(written),
            "redis": float(told["total_net_input_bytes"] + told["total_net_output_bytes"]),
        }

    def _connect(self) -> psycopg.Connection[Any]:
        return self._cluster.database()

    def _postgres_seconds(self) -> float:
        """The postmaster has the time of its processes that have ended. One that ends meanwhile is looked for anew."""
        while True:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                return seconds_of(self._postmaster, ended_children=True) + sum(map(seconds_of, self._backends()))

    def _backends(self) -> Iterator[int]:
        for task in Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children").read_text().split():
            yield int(task)


def moved(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in before}


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _row(connection: psycopg.Connection[Any], query: Any) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    found: tuple[Any, ...] = row
    return found
