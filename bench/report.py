"""Rows, tables, results.json and the tables of docs/performance.md."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import cores
from bench.scenario import Figures, Scenario

DOCUMENT = Path(__file__).parent.with_name("docs") / "performance.md"
MARKERS = "<!-- measured: {0} -->", "<!-- /measured: {0} -->"


def row(scenario: Scenario, subject: str, figures: Figures) -> str:
    shown = [figure.shown(figures.get(figure.name)) for figure in scenario.figures]
    return f"| {subject} | {' | '.join(shown)} |"


def table(scenario: Scenario, figures: Mapping[str, Figures], rounds: int) -> str:
    """The medians, and below them what must be reached."""
    lines = [
        f"`{scenario.name}`: {scenario.text} Median of {rounds} {'round' if rounds == 1 else 'rounds'}.",
        "",
        f"| subject | {' | '.join(figure.heading for figure in scenario.figures)} |",
        "|---|" + "---|" * len(scenario.figures),
        *(row(scenario, subject, each) for subject, each in figures.items()),
    ]
    if scenario.targets:
        lines += ["", *(f"- {each.shown(each.found(figures), scenario.figures)}" for each in scenario.targets)]
    return "\n".join(lines)


class Results:
    """results.json: of each scenario what was measured last, and on what."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}
        return found

    def put(self, scenario: Scenario, figures: Mapping[str, Figures], rounds: int) -> None:
        """Figures of a subject that was not measured now stay."""
        found = self.read()
        earlier = found.get(scenario.name, {}).get("subjects", {})
        found[scenario.name] = {
            "measured": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "rounds": rounds,
            "machine": {"cores": os.cpu_count(), "processor": _processor(), "python": platform.python_version()},
            "placement": cores.statement(),
            "subjects": earlier | {subject: _rounded(each) for subject, each in figures.items()},
        }
        self._file.write_text(json.dumps(found, indent=2) + "\n")

    def write_tables(self, known: Mapping[str, Scenario]) -> None:
        """Of each scenario that has a place in the document."""
        text, found = DOCUMENT.read_text(), self.read()
        for name, scenario in known.items():
            begin, end = (marker.format(name) for marker in MARKERS)
            if name in found and begin in text:
                shown = table(scenario, found[name]["subjects"], found[name]["rounds"])
                pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
                text = re.sub(pattern, lambda _, made=f"{begin}\n{shown}\n{end}": made, text, flags=re.DOTALL)  # type: ignore[misc]
        DOCUMENT.write_text(text)


def _rounded(figures: Figures) -> dict[str, float | None]:
    """Four digits that count: more nobody has measured."""
    return {name: None if value is None else float(f"{value:.4g}") for name, value in figures.items()}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE) if info.exists() else []
    return names[0] if names else platform.processor()
