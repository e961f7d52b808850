"""A report as a table for people and as JSON for programs: the same content. No I/O."""

from __future__ import annotations

import textwrap
from typing import Any

from netra.probe.observation import Diagnosis, Outcome, Report, StageResult

WIDTH = 110
_SHOWN = {Outcome.FAILED: "FAILED"}
_CONCLUSIONS = {
    "passed": "All stages passed.",
    "degraded": "All stages passed, some of them degraded.",
    "incomplete": "What needs no account passed. With --token or --username the rest is probed, too.",
}


def to_json(report: Report) -> dict[str, Any]:
    """Plain JSON data: docs/probe.md names the fields."""
    failed, diagnosis = report.failed, report.diagnosis
    failure = None
    if failed is not None and diagnosis is not None:
        failure = {
            "stage": str(failed.stage),
            "cause": diagnosis.cause,
            "chain": list(diagnosis.chain),
            "look_at": list(diagnosis.look_at),
        }
    return {
        "url": report.url,
        "result": report.outcome,
        "exit_status": report.exit_status,
        "label": report.label,
        "stages": [_stage(result) for result in report.results],
        "failure": failure,
        "thread": report.thread or None,
    }


def _stage(result: StageResult) -> dict[str, Any]:
    seen = result.observation
    return {
        "stage": str(result.stage),
        "result": str(result.outcome),
        "ms": result.milliseconds,
        "summary": seen.summary if seen else None,
        "notes": list(seen.notes) if seen else [],
        "facts": dict(seen.facts) if seen else {},
    }


def to_text(report: Report) -> str:
    lines = [f"{report.url} (test_label={report.label} in its log)", ""]
    for result in report.results:
        seen = result.observation
        time = "" if result.milliseconds is None else f"{result.milliseconds:,.0f} ms"
        shown = _SHOWN.get(result.outcome, str(result.outcome))
        line = f"  {result.stage:<22}{shown:<13}{time:>9}  {_one_line(seen.summary) if seen else ''}"
        lines.append(line.rstrip())
        lines += [part for note in (seen.notes if seen else ()) for part in _wrapped(_one_line(note), "      note: ")]
    lines.append("")
    if report.failed is not None and report.diagnosis is not None:
        lines += _failure(report.failed, report.diagnosis)
    else:
        lines.append(_CONCLUSIONS[report.outcome])
    if report.thread:
        lines += ["", *_wrapped(f"{report.thread}.", "")]
    return "\n".join(lines) + "\n"


def _failure(failed: StageResult, diagnosis: Diagnosis) -> list[str]:
    first, *reasons = (f"{sentence.rstrip('.')}." for sentence in diagnosis.chain)
    lines = [f"{failed.stage} failed: {diagnosis.cause}", "", *_wrapped(first, "  ")]
    lines += [part for reason in reasons for part in _wrapped(reason, "  → ")]
    lines += ["", "  Look at:"]
    return [*lines, *(part for place in diagnosis.look_at for part in _wrapped(place, "  - "))]


def _wrapped(text: str, begin: str) -> list[str]:
    """Lines of a readable width; what can be copied, such as an address, is not cut."""
    return textwrap.wrap(
        _one_line(text),
        width=WIDTH,
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _one_line(text: str) -> str:
    """What a server sends cannot move the cursor or begin a line."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
