"""The short form of the chaos; the long one is `make chaos MINUTES=20`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.checker import check
from tests.chaos.driver import Outcome, restart_in_turn, unleash
from tests.e2e.conftest import new_data_dir


@pytest.fixture
def folder() -> Iterator[Path]:
    yield from new_data_dir()


@pytest.mark.timeout(900)
async def test_nothing_is_lost_whatever_breaks(folder: Path) -> None:
    outcome = await unleash(folder, seconds=110, seed="ci", clients=30, between_faults=5, between_messages=8)
    print(outcome.report())
    assert outcome.verdict.is_clean, outcome.report()
    assert len(outcome.faults) >= 8, outcome.faults
    assert len(outcome.log) >= 100
    the_checker_sees_a_fault_in_what_was_recorded(outcome)


@pytest.mark.timeout(600)
async def test_a_rolling_restart_is_not_seen_but_as_a_reconnect(folder: Path) -> None:
    outcome = await restart_in_turn(folder, seed="ci", clients=30, between_messages=4)
    print(outcome.report())
    assert outcome.verdict.is_clean, outcome.report()
    # The only answer but acceptance: to a message that was not to wait.
    assert outcome.errors.keys() <= {"RUN_ACTIVE"}, outcome.report()
    assert outcome.closes.keys() <= {"4412", "1000"}, outcome.report()
    assert outcome.drains >= len(outcome.clients), outcome.report()


def the_checker_sees_a_fault_in_what_was_recorded(outcome: Outcome) -> None:
    """One event dropped, one repeated, two swapped: of the real record."""
    connection = max((each for client in outcome.clients for each in client.connections), key=lambda c: len(c.events))
    events = list(connection.events)
    place = next(
        at for at in range(1, len(events)) if events[at].run_id == events[at - 1].run_id and events[at - 1].seq > 1
    )
    before, after = events[place - 1], events[place]
    for kind, faulty in (
        ("lost", [after]),
        ("repeated", [before, before, after]),
        ("reordered", [after, before]),
    ):
        connection.events = [*events[: place - 1], *faulty, *events[place + 1 :]]
        assert check(outcome.log, outcome.clients).counts[kind] > 0, kind
    connection.events = events
