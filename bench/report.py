"""Rows, tables, results.json and the tables of docs/performance.md."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import cores
from bench.scenario import Row, Scenario

DOCUMENT = Path(__file__).parent.with_name("docs") / "performance.md"
MARKERS = "<!-- measured: {0} -->", "<!-- /measured: {0} -->"


def shown(scenario: Scenario, row: Row) -> str:
    """A row of the table."""
    figures = [figure.shown(row.figures.get(figure.name)) for figure in scenario.figures]
    failed = f" (failed {len(row.failures)} times)" if row.failures else ""
    memory = "" if row.memory_ns is None else f"{row.memory_ns:.0f} ns"
    return f"| {row.subject}{failed} | {row.frames} | {' | '.join(figures)} | {memory} | {row.rounds} |"


def table(scenario: Scenario, rows: Sequence[Row]) -> str:
    """The medians, and below them what must be reached."""
    lines = [
        f"`{scenario.name}`: {scenario.text} Medians of so many rounds as the last column says.",
        "",
        f"| subject | a frame is | {' | '.join(figure.heading for figure in scenario.figures)} | memory | rounds |",
        "|---|---|" + "---|" * len(scenario.figures) + "---|---|",
        *(shown(scenario, row) for row in rows),
    ]
    if scenario.targets:
        lines += ["", *(f"- {each.shown(each.found(rows), scenario.figures)}" for each in scenario.targets)]
    return "\n".join(lines)


class Results:
    """results.json: of each scenario what was measured last, and on what."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}
        return found

    def put(self, scenario: Scenario, rows: Sequence[Row]) -> None:
        """Rows of subjects that were not measured now stay."""
        found = self.read()
        of_subjects = found.get(scenario.name, {}).get("subjects", {})
        of_subjects |= {row.subject: _stored(row) for row in rows}
        found[scenario.name] = {
            "measured": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": {"cores": os.cpu_count(), "processor": _processor(), "python": platform.python_version()},
            "placement": cores.statement(),
            "subjects": of_subjects,
        }
        self._file.write_text(json.dumps(found, indent=2) + "\n")

    def rows(self, name: str) -> list[Row]:
        """Of a scenario what was measured last."""
        return [Row(subject, **each) for subject, each in self.read()[name]["subjects"].items()]

    def write_tables(self, known: Mapping[str, Scenario]) -> None:
        """Of each scenario that has a place in the document."""
        text, measured = DOCUMENT.read_text(), self.read()
        for name, scenario in known.items():
            begin, end = (marker.format(name) for marker in MARKERS)
            before, found, rest = text.partition(begin)
            if name in measured and found:
                made = table(scenario, self.rows(name))
                text = f"{before}{begin}\n{made}\n{end}{rest.partition(end)[2]}"
        DOCUMENT.write_text(text)


def _stored(row: Row) -> dict[str, Any]:
    """Four digits of a figure count: more nobody has measured."""
    figures = {name: None if value is None else float(f"{value:.4g}") for name, value in row.figures.items()}
    memory = None if row.memory_ns is None else round(row.memory_ns)
    return {
        "frames": row.frames,
        "figures": figures,
        "failures": list(row.failures),
        "rounds": row.rounds,
        "memory_ns": memory,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE) if info.exists() else []
    return names[0] if names else platform.processor()
