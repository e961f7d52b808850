"""What a scenario is: a load, the subjects that take turns under it, figures, and what they must reach.

A module of scenarios has `SCENARIOS: list[Scenario]`; `bench/__main__.py` knows the modules and runs them.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.subjects import Subject

# By name, in the order in which tables have them. None where a subject has no such figure.
Figures = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of a subject: the medians of `rounds`. A failure is a round without figures. `frames` is what a
    frame of its text is, `memory_ns` what `bench.memory` found just before.
    """

    subject: str
    frames: str
    figures: Figures
    failures: Sequence[str] = ()
    rounds: int = 1
    memory_ns: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A column: its name in results.json, its heading, its unit, and how many decimal places it is shown with."""

    name: str
    heading: str
    unit: str = ""
    places: int = 0

    def shown(self, value: float | None) -> str:
        return "" if value is None else f"{value:,.{self.places}f}{' ' if self.unit else ''}{self.unit}"


@dataclass(frozen=True, slots=True)
class Target:
    """What must be reached: `figure` of the subject `of`, as it is, or its ratio to the same figure of `than`."""

    figure: str
    of: str
    bound: float
    side: Literal["at least", "at most"] = "at least"
    than: str | None = None

    def found(self, rows: Sequence[Row]) -> float | None:
        """The figure or ratio; None when a subject was not measured."""
        values = {row.subject: row.figures.get(self.figure) for row in rows}
        value = values.get(self.of)
        if value is None or self.than is None:
            return value
        other = values.get(self.than)
        return value / other if other else None

    def is_reached(self, value: float) -> bool:
        return value >= self.bound if self.side == "at least" else value <= self.bound

    def shown(self, value: float | None, figures: Iterable[Figure]) -> str:
        """One line: what was wanted, and what was found."""
        figure = next(each for each in figures if each.name == self.figure)
        if self.than is not None:
            wanted = f"{self.of}: {figure.heading} {self.side} {self.bound:g} times {self.than}"
            got = "not measured" if value is None else f"{value:.2f} times"
        else:
            wanted = f"{self.of}: {figure.heading} {self.side} {figure.shown(self.bound)}"
            got = "not measured" if value is None else figure.shown(value)
        verdict = "" if value is None else " (reached)" if self.is_reached(value) else " (NOT reached)"
        return f"{wanted}: {got}{verdict}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`subjects` makes those that take turns in a round, none of them started. `measure` puts one under the load and
    runs on the load generator's loop, after the subject has started. With `quick` sizes are those of a smoke test.
    `before` are figures that need no subject, by the name that their row has: measured once a round.
    """

    name: str
    text: str
    figures: Sequence[Figure]
    subjects: Callable[[], Sequence[Subject]]
    measure: Callable[[Subject, bool], Awaitable[Figures]]
    targets: Sequence[Target] = ()
    before: Mapping[str, Callable[[bool], Figures]] = field(default_factory=dict)


def median_of(rows: Sequence[Row]) -> Row:
    """Of the rounds of one subject: of each figure the median of the rounds that have it."""
    measured = [row.figures for row in rows if not row.failures]
    figures: dict[str, float | None] = {}
    for name in measured[0] if measured else ():
        known = [value for each in measured if (value := each.get(name)) is not None]
        figures[name] = statistics.median(known) if known else None
    failures = [failure for row in rows for failure in row.failures]
    memory = [row.memory_ns for row in rows if row.memory_ns is not None]
    memory_ns = statistics.median(memory) if memory else None
    return Row(rows[0].subject, rows[0].frames, figures, failures, len(rows), memory_ns)


def quantile(values: Sequence[float], part: float) -> float:
    """The value that `part` of them do not exceed: 0.99 of a hundred is the 99th."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, round(part * len(ordered)) - 1))]
