"""What the bench says with its rows."""

from __future__ import annotations

import itertools

from bench import memory
from bench.report import shown
from bench.scenario import Figure, Row, Scenario, median_of


def test_a_walk_through_memory_comes_to_all_places_before_it_comes_back() -> None:
    table = memory._table(memory.NEAR)
    walk = list(itertools.accumulate(itertools.repeat(0, memory.NEAR), lambda place, _: table[place]))
    assert sorted(walk) == list(range(memory.NEAR))
    assert table[walk[-1]] == walk[0]


def test_a_step_to_far_memory_takes_a_measurable_time() -> None:
    assert memory.step_ns() > 0


def test_a_row_has_the_median_of_how_far_memory_was() -> None:
    rounds = [Row("netra", "a token", {"runs": 1.0}, memory_ns=ns) for ns in (20.0, 200.0, 190.0, None)]
    scenario = Scenario(
        name="some",
        text="",
        figures=(Figure("runs", "runs"),),
        subjects=list,
        measure=lambda _, __: never(),
        targets=[],
    )
    assert shown(scenario, median_of(rounds)) == "| netra | a token | 1 | 190 ns | 4 |"


async def never() -> dict[str, float | None]:
    raise AssertionError("nothing is measured here")
