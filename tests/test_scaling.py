"""docs/scaling.md: its tables are what `bench/scaling.py` makes of the figures measured last; and the arithmetic."""

import dataclasses
import json

import pytest

from bench import scaling
from bench.scaling import Activity, Costs, Load, Machine, Needs, NotMeasured

COSTS = Costs(
    connection={"web": 1e-5, "postgres": 1e-6},
    connect={"web": 2e-3, "postgres": 1e-3},
    run={"web": 2e-3, "worker": 4e-3, "postgres": 3e-3, "redis": 1e-4},
    event={"web": 1e-4, "worker": 2e-4, "postgres": 1e-4, "redis": 2e-5},
    connection_bytes=30_000,
    run_bytes={"tables": 10_000, "wal": 12_000, "redis": 1000, "wire": 2000},
    event_bytes={"tables": 200, "wal": 500, "redis": 1000, "wire": 350},
    base_bytes={"web": 2e8, "worker": 1.5e8},
)
ACTIVITY = Activity(
    connected=0.1,
    connected_minutes=10,
    runs_a_day=4.32,
    peak=2,
    tokens_a_run=100,
    tokens_a_second=50,
    window_seconds=0.04,
    days_kept=10,
)


def test_the_tables_are_what_was_measured_last() -> None:
    made = scaling.tables(json.loads(scaling.RESULTS.read_text()), Activity(), Machine())
    text = scaling.DOCUMENT.read_text()
    assert scaling.written(text, made) == text, "write them: python -m bench.scaling --write"


def test_what_people_do_in_a_second_of_the_busiest_hour() -> None:
    load = Load(60_000, ACTIVITY, COSTS)
    assert load.connections == 6000
    assert load.connects == pytest.approx(10)
    assert load.runs == pytest.approx(6)
    assert load.active == pytest.approx(12)
    assert load.events == pytest.approx(6 * 50)


def test_cores_are_those_of_connections_connects_runs_and_events() -> None:
    load = Load(60_000, ACTIVITY, COSTS)
    assert load.cores("web") == pytest.approx(0.06 + 0.02 + 0.012 + 0.03)
    assert load.cores("redis") == pytest.approx(6e-4 + 6e-3)
    assert load.bytes("wal") == pytest.approx(6 * 12_000 + 300 * 500)


def test_what_is_stored_is_of_days_and_not_of_the_busiest_hour() -> None:
    load = Load(1000, ACTIVITY, COSTS)
    assert load.stored_a_day == pytest.approx(4320 * (10_000 + 50 * 200))
    assert load.events_kept == pytest.approx(10 * 4320 * 50 * 200)


def test_each_part_is_there_once_at_least_and_as_often_as_it_ends() -> None:
    few, many = (Needs(Load(users, ACTIVITY, COSTS), Machine()) for users in (10, 10_000_000))
    assert (few.web, few.workers, few.redis, few.databases) == (1, 1, 1, 1)
    assert many.web >= 1_000_000 / scaling.MOST_CONNECTIONS
    assert many.databases > 1


def test_connections_of_processes_can_be_what_ends_a_database() -> None:
    load = Load(10_000_000, ACTIVITY, COSTS)
    usual = Needs(load, Machine())
    tight = Needs(load, dataclasses.replace(Machine(), connections_a_process=100))
    assert tight.databases == -(-(usual.web + usual.workers) * 100 // 500)


def test_figures_that_are_missing_are_named() -> None:
    with pytest.raises(NotMeasured, match="SCENARIO=idle"):
        scaling.tables({}, Activity(), Machine())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.01234, "0.012"), (1.25, "1.2"), (12.6, "13"), (1234, "1,200"), (99_999, "100,000")],
)
def test_two_digits_count(value: float, shown: str) -> None:
    assert scaling._number(value) == shown
