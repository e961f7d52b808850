"""What so many users need, from what was measured last: `python -m bench.scaling` prints it, `--write` puts it into
docs/scaling.md.

Arithmetic only. What a connection, a connect, a run and an event cost comes from `bench/results.json`. How busy people
are, and what a machine is, are assumptions, which stand here and in the document.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

RESULTS = Path(__file__).with_name("results.json")
DOCUMENT = Path(__file__).parent.with_name("docs") / "scaling.md"
MARKERS = "<!-- computed: {0} -->", "<!-- /computed: {0} -->"
SUBJECT = "netra, cluster, uvicorn"
# As many as `idle` holds with one process: more are not promised.
MOST_CONNECTIONS = 10_000
USERS = (10_000, 1_000_000, 100_000_000)
DAY_SECONDS = 86_400

Results = Mapping[str, Any]


class NotMeasured(Exception):
    """results.json has not all that is needed."""


@dataclass(frozen=True, slots=True)
class Activity:
    """How busy people are: assumed."""

    connected: float = 0.10
    connected_minutes: float = 20.0
    runs_a_day: float = 5.0
    peak: float = 4.0
    tokens_a_run: float = 400.0
    tokens_a_second: float = 50.0
    window_seconds: float = 0.04
    days_kept: float = 30.0

    @property
    def run_seconds(self) -> float:
        return self.tokens_a_run / self.tokens_a_second

    @property
    def events_a_run(self) -> float:
        """Those of text; the few others are in what a run costs."""
        return self.run_seconds / self.window_seconds


@dataclass(frozen=True, slots=True)
class Machine:
    """What things run on: assumed. A core is one as fast as that of the measurement."""

    busy: float = 0.6
    database_cores: int = 32
    database_connections: int = 500
    connections_a_process: int = 8
    wal_megabytes: float = 400.0
    network_megabits: float = 10_000.0


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds and bytes of a connection (for each second of it), a connect, a run and an event, by part."""

    connection: Mapping[str, float]
    connect: Mapping[str, float]
    run: Mapping[str, float]
    event: Mapping[str, float]
    connection_bytes: float
    run_bytes: Mapping[str, float]
    event_bytes: Mapping[str, float]
    base_bytes: Mapping[str, float]

    @classmethod
    def measured(cls, results: Results) -> Self:
        """Raises NotMeasured."""
        idle, connect, costs = (_figures(results, name) for name in ("idle", "connect", "costs"))
        try:
            parts, kinds = ("web", "worker", "postgres", "redis"), ("tables", "wal", "redis", "wire")
            return cls(
                connection={
                    "web": (idle["cpu_percent"] - idle["alone_percent"]) / 100 / idle["connections"],
                    "postgres": idle["postgres_percent"] / 100 / idle["connections"],
                },
                connect={"web": connect["cpu_ms"] / 1e3, "postgres": connect["postgres_ms"] / 1e3},
                run={part: costs[f"{part}_run_ms"] / 1e3 for part in parts},
                event={part: costs[f"{part}_event_us"] / 1e6 for part in parts},
                connection_bytes=idle["kb_per_connection"] * 1024,
                run_bytes={kind: costs[f"{kind}_run_bytes"] for kind in kinds},
                event_bytes={kind: costs[f"{kind}_event_bytes"] for kind in kinds},
                base_bytes={part: costs[f"{part}_base_mb"] * 2**20 for part in ("web", "worker")},
            )
        except (KeyError, TypeError) as error:
            raise NotMeasured(f"bench/results.json has no {error} of {SUBJECT}") from error


def _figures(results: Results, scenario: str) -> Mapping[str, float]:
    try:
        found: Mapping[str, float] = results[scenario]["subjects"][SUBJECT]["figures"]
    except KeyError as error:
        raise NotMeasured(f"make bench SCENARIO={scenario} has not measured {SUBJECT}") from error
    return found


class Load:
    """What so many users do in a second of the busiest hour, and what it takes."""

    def __init__(self, users: float, activity: Activity, costs: Costs) -> None:
        self.costs = costs
        self.connections = users * activity.connected
        self.connects = self.connections / activity.connected_minutes / 60
        self.runs = users * activity.runs_a_day / DAY_SECONDS * activity.peak
        self.active = self.runs * activity.run_seconds
        self.events = self.runs * activity.events_a_run
        self._runs_a_day = users * activity.runs_a_day
        self._events_a_run = activity.events_a_run
        self._days = activity.days_kept

    def cores(self, part: str) -> float:
        costs = self.costs
        return (
            self.connections * costs.connection.get(part, 0.0)
            + self.connects * costs.connect.get(part, 0.0)
            + self.runs * max(costs.run[part], 0.0)
            + self.events * costs.event[part]
        )

    def bytes(self, kind: str) -> float:
        """A second."""
        return self.runs * self.costs.run_bytes[kind] + self.events * self.costs.event_bytes[kind]

    @property
    def stored_a_day(self) -> float:
        run, event = self.costs.run_bytes["tables"], self.costs.event_bytes["tables"]
        return self._runs_a_day * (run + self._events_a_run * event)

    @property
    def events_kept(self) -> float:
        return self._runs_a_day * self._events_a_run * self.costs.event_bytes["tables"] * self._days

    @property
    def stored_a_year(self) -> float:
        """What stays when events go: threads, messages, runs."""
        return self._runs_a_day * self.costs.run_bytes["tables"] * 365


class Needs:
    """How many of each part a load takes."""

    def __init__(self, load: Load, machine: Machine) -> None:
        self.web = max(_ceil(load.cores("web") / machine.busy), _ceil(load.connections / MOST_CONNECTIONS))
        self.workers = _ceil(load.cores("worker") / machine.busy)
        self.redis = _ceil(load.cores("redis") / machine.busy)
        database = load.cores("postgres") / machine.busy / machine.database_cores
        wal = load.bytes("wal") / 1e6 / machine.wal_megabytes
        connections = (self.web + self.workers) * machine.connections_a_process / machine.database_connections
        self.databases = _ceil(max(database, wal, connections))
        self.web_bytes = self.web * load.costs.base_bytes["web"] + load.connections * load.costs.connection_bytes
        self.worker_bytes = self.workers * load.costs.base_bytes["worker"]


def _ceil(value: float) -> int:
    return max(1, math.ceil(value))


# Tables -----------------------------------------------------------------------------------------------------


def tables(results: Results, activity: Activity, machine: Machine) -> dict[str, str]:
    """By the names of their places in the document. Raises NotMeasured."""
    costs = Costs.measured(results)
    loads = [Load(users, activity, costs) for users in USERS]
    return {
        "assumptions": assumptions(activity, machine),
        "constants": constants(costs),
        "needs": needs(loads, machine),
        "ends": ends(Load(1, activity, costs), machine),
    }


def assumptions(activity: Activity, machine: Machine) -> str:
    answer = (
        f"{activity.tokens_a_run:g} tokens, {activity.tokens_a_second:g} a second: {activity.run_seconds:g} s, "
        f"{activity.events_a_run:g} events of {activity.window_seconds * 1000:g} ms"
    )
    database = (
        f"{machine.database_cores} cores, {machine.wal_megabytes:g} MB/s of log written ahead, "
        f"{machine.database_connections} connections, {machine.connections_a_process} of each process"
    )
    rows = [
        ("connected at once, in the busiest hour", f"{activity.connected * 100:g} % of all users, each with one page"),
        ("a page is open", f"{activity.connected_minutes:g} minutes, then it connects anew"),
        (
            "questions",
            f"{activity.runs_a_day:g} a user and day; the busiest hour has {activity.peak:g} times the average",
        ),
        ("an answer", answer),
        ("events are kept", f"{activity.days_kept:g} days (`NETRA_EVENT_RETENTION`); messages for good"),
        ("a core, a process, a Redis", f"is used to {machine.busy * 100:g} % in the busiest hour"),
        ("a PostgreSQL server", database),
    ]
    return _table(("assumed", ""), rows)


def constants(costs: Costs) -> str:
    def microseconds(of: Mapping[str, float]) -> list[str]:
        parts = ("web", "worker", "postgres", "redis")
        return [f"{_number(of[part] * 1e6)} µs" if of.get(part, 0) > 0 else "" for part in parts]

    def sizes(of: Mapping[str, float]) -> list[str]:
        return [_size(of[kind]) if of.get(kind, 0) > 0 else "" for kind in ("tables", "wal", "redis", "wire")]

    head = ("one", "web", "worker", "PostgreSQL", "Redis", "tables", "log ahead", "Redis, both ways", "to the client")
    rows = [
        ("connection, each second", *microseconds(costs.connection), *sizes({})),
        ("connect", *microseconds(costs.connect), *sizes({})),
        ("run, without its text", *microseconds(costs.run), *sizes(costs.run_bytes)),
        ("event", *microseconds(costs.event), *sizes(costs.event_bytes)),
    ]
    base = ", ".join(
        f"a {part} {'process ' if part == 'web' else ''}{_size(of)}" for part, of in costs.base_bytes.items()
    )
    memory = f"Memory: {base}; an idle connection {_size(costs.connection_bytes)}."
    return f"{_table(head, rows)}\n\n{memory}"


def needs(loads: Sequence[Load], machine: Machine) -> str:
    found = [(load, Needs(load, machine)) for load in loads]

    def row(name: str, shown: Any) -> tuple[str, ...]:
        return (name, *(shown(load, need) for load, need in found))

    rows = [
        row("connections", lambda load, _: _number(load.connections)),
        row("connects a second", lambda load, _: _number(load.connects)),
        row("runs begun a second", lambda load, _: _number(load.runs)),
        row("runs under way", lambda load, _: _number(load.active)),
        row("events a second", lambda load, _: _number(load.events)),
        row("**web processes**", lambda load, need: f"{_number(need.web)} ({_number(load.cores('web'))} cores busy)"),
        row("their memory", lambda _, need: _size(need.web_bytes)),
        row("**workers**", lambda load, need: f"{_number(need.workers)} ({_number(load.cores('worker'))} cores busy)"),
        row("their memory", lambda _, need: _size(need.worker_bytes)),
        row(
            "**PostgreSQL servers**",
            lambda load, need: f"{_number(need.databases)} ({_number(load.cores('postgres'))} cores busy)",
        ),
        row("of each of them: workers woken", lambda load, need: f"{_number(woken(load, need))}/s"),
        row("log written ahead", lambda load, _: f"{_size(load.bytes('wal'))}/s"),
        row("tables grow", lambda load, _: f"{_size(load.stored_a_day)} a day"),
        row("of it events, kept", lambda load, _: _size(load.events_kept)),
        row("of it for good", lambda load, _: f"{_size(load.stored_a_year)} a year"),
        row(
            "**Redis servers**", lambda load, need: f"{_number(need.redis)} ({_number(load.cores('redis'))} cores busy)"
        ),
        row("through them", lambda load, _: f"{_size(load.bytes('redis'))}/s"),
        row("to the clients", lambda load, _: f"{_number(load.bytes('wire') * 8 / 1e6)} Mbit/s"),
    ]
    return _table(("users", *(f"{users:,}" for users in USERS)), rows)


def woken(load: Load, need: Needs) -> float:
    """A job wakes each worker of its database."""
    return load.runs / need.databases * need.workers / need.databases


def ends(one: Load, machine: Machine) -> str:
    """`one` is the load of one user."""
    wal, wire = one.bytes("wal") / 1e6, one.bytes("wire") * 8 / 1e6
    processes = (one.cores("web") + one.cores("worker")) / machine.busy
    rows = [
        ("a web process", "its core", machine.busy / one.cores("web")),
        ("a worker", "its core", machine.busy / one.cores("worker")),
        ("a Redis server", "its core: it uses one", machine.busy / one.cores("redis")),
        (
            "PostgreSQL",
            f"its {machine.database_cores} cores",
            machine.busy * machine.database_cores / one.cores("postgres"),
        ),
        ("PostgreSQL", f"{machine.wal_megabytes:g} MB/s of log written ahead", machine.wal_megabytes / wal),
        (
            "PostgreSQL",
            f"{machine.database_connections} connections, {machine.connections_a_process} of each process",
            machine.database_connections / machine.connections_a_process / processes,
        ),
        ("a network of 10 Gbit/s", "what goes to clients", machine.network_megabits / wire),
    ]
    return _table(("part", "what ends first", "users"), [(part, what, _number(users)) for part, what, users in rows])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _number(value: float) -> str:
    """Two digits that count: more nobody knows."""
    if value == 0 or (isinstance(value, int) and value < 100):
        return str(value)
    places = 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(0, places)}f}"


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{_number(count)} {unit}"
        count /= 1000
    return f"{_number(count)} PB"


# The document -----------------------------------------------------------------------------------------------


def written(text: str, made: Mapping[str, str]) -> str:
    """The document with these tables in their places."""
    for name, table in made.items():
        begin, end = (marker.format(name) for marker in MARKERS)
        assert begin in text, f"{DOCUMENT.name} has no place for {name}"
        pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
        text = re.sub(pattern, lambda _, new=f"{begin}\n{table}\n{end}": new, text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description="What so many users need.")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scaling.md")
    given = parser.parse_args()
    made = tables(json.loads(RESULTS.read_text()), Activity(), Machine())
    if given.write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(), made))
    else:
        print("\n\n".join(made.values()))


if __name__ == "__main__":
    main()
