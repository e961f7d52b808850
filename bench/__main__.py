"""`python -m bench [SCENARIO ...]`, `make bench`: Netra, its limit and its peers under the same loads.

In each round the subjects of a scenario take turns, each started anew, so that what else the machine does meets all
alike. One JSON line for each turn; at the end tables of the medians and what must be reached. Ratios are the result:
figures of one machine mean nothing on another.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from bench import cores, load, memory, report
from bench.scenario import Figures, Row, Scenario, median_of
from bench.subjects import Subject

# In the order in which they are run. A module of scenarios is added here.
MODULES = (
    "bench.stream",
    "bench.connect",
    "bench.idle",
    "bench.resume_storm",
    "bench.history",
    "bench.fan_out",
    "bench.costs",
)
ROUNDS = 5
LONGEST_FAILURE = 500


def scenarios() -> dict[str, Scenario]:
    found = [scenario for name in MODULES for scenario in importlib.import_module(name).SCENARIOS]
    return {scenario.name: scenario for scenario in found}


def measure(scenario: Scenario, *, rounds: int, quick: bool, only: str) -> list[Row]:
    """The subjects, with the medians of the rounds."""
    found: dict[str, list[Row]] = {}
    for number in range(1, rounds + 1):
        for turn in turns(scenario, quick=quick, only=only):
            found.setdefault(turn.subject, []).append(turn)
            line: dict[str, object] = {"scenario": scenario.name, "round": number, "subject": turn.subject}
            line |= {**turn.figures, **({"failures": turn.failures} if turn.failures else {})}
            print(f"{json.dumps(line)}\n{report.shown(scenario, turn)}", flush=True)
    return [median_of(rows) for rows in found.values()]


def turns(scenario: Scenario, *, quick: bool, only: str) -> Iterator[Row]:
    for name, alone in scenario.before.items():
        if re.search(only, name):
            memory_ns = memory.step_ns()
            yield Row(name, "", alone(quick), memory_ns=memory_ns)
    for subject in scenario.subjects():
        if re.search(only, subject.name):
            yield under_load(scenario, subject, quick=quick)


def under_load(scenario: Scenario, subject: Subject, *, quick: bool) -> Row:
    """A subject that fails under the load has no figures in this round, and the others go on."""

    async def measured() -> Figures:
        return await scenario.measure(subject, quick)

    memory_ns = memory.step_ns()
    try:
        with subject:
            return Row(subject.name, subject.frames, load.run(measured()), memory_ns=memory_ns)
    except Exception as error:  # noqa: BLE001 - whatever it is: it is told, and stands in the table
        traceback.print_exception(error)
        failure = f"{type(error).__name__}: {error}"[:LONGEST_FAILURE]
        return Row(subject.name, subject.frames, {}, (failure,), memory_ns=memory_ns)


def arguments(known: dict[str, Scenario]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"of {', '.join(known)}; otherwise all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works, not how fast it is")
    parser.add_argument("--only", default="", help="only subjects in whose name this regular expression is found")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    given = parser.parse_args()
    for name in given.scenario:
        if name not in known:
            parser.error(f"there is no scenario {name}: they are {', '.join(known)}")
    return given


def main() -> None:
    # Told to end, it ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    known = scenarios()
    given = arguments(known)
    cores.stay_with_the_rest()
    load.have_files()
    print(cores.statement(), flush=True)
    results = report.Results(Path(__file__).with_name("results.json"))
    for name in given.scenario or known:
        rows = measure(known[name], rounds=given.rounds, quick=given.quick, only=given.only)
        print(f"\n{report.table(known[name], rows)}\n", flush=True)
        if not given.quick:
            results.put(known[name], rows)
    if given.write:
        results.write_tables(known)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
