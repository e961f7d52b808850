"""Known vulnerabilities of the packages that are pinned: `make audit`, a part of `make check`.

    python -m tests.advisories

pip-audit asks PyPI, npm its registry. Where nobody answers that knows advisories, as a mirror may not, one line says
so and nothing fails. A vulnerability fails unless pyproject.toml has it in `[tool.netra.accepted-advisories]`, as
`GHSA-… = "2026-11-29: the function is not used here"`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Those of the tests have those of the program in them.
PIP_AUDIT = (
    *("pip_audit", "--requirement", "requirements-dev.txt", "--no-deps", "--disable-pip", "--format", "json"),
    *("--progress-spinner", "off", "--timeout", "15"),
)
NPM_AUDIT = ("npm", "audit", "--json", "--package-lock-only")
DATED = re.compile(r"\d{4}-\d\d-\d\d: .{10,}")
PATIENCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Advisory:
    """`ids` are the names that one vulnerability has."""

    package: str
    ids: frozenset[str]
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out. `unreached` says why nothing was; `unknown` are packages that nobody could be asked about."""

    advisories: list[Advisory] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unreached: str = ""


def of_pip_audit(output: str, errors: str) -> Found:
    try:
        dependencies = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Found(unreached=last_line(errors) or "pip-audit said nothing")
    unknown = [each["name"] for each in dependencies if "skip_reason" in each]
    if len(unknown) == len(dependencies):
        return Found(unreached="the index knows no advisories")
    advisories = [
        Advisory(
            f"{each['name']} {each['version']}",
            frozenset({vulnerability["id"], *vulnerability.get("aliases", ())}),
            f"fixed in {', '.join(vulnerability.get('fix_versions') or ['no version'])}",
        )
        for each in dependencies
        for vulnerability in each.get("vulns", ())
    ]
    return Found(advisories, unknown)


def of_npm_audit(output: str, errors: str) -> Found:
    try:
        told = json.loads(output)
        vulnerabilities: Mapping[str, Any] = told["vulnerabilities"]
    except (ValueError, KeyError, TypeError):
        said = re.findall(r'"message": "(.+)"', output)
        return Found(unreached=last_line(said[0] if said else errors) or "npm audit said nothing")
    # A package that only depends on one that is vulnerable names it instead of an advisory.
    return Found(
        [
            Advisory(name, frozenset({via["url"].rpartition("/")[2]}), via["title"])
            for name, each in vulnerabilities.items()
            for via in each["via"]
            if isinstance(via, dict)
        ]
    )


def last_line(errors: str) -> str:
    """The cause, without what a mirror is called."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return re.sub(r"https?://\S+", "…", lines[-1])[:200] if lines else ""


def accepted(pyproject: str) -> dict[str, str]:
    """What is known and accepted, with its date and reason. Raises ValueError for one without."""
    found: dict[str, str] = tomllib.loads(pyproject).get("tool", {}).get("netra", {}).get("accepted-advisories", {})
    for name, reason in found.items():
        if not DATED.fullmatch(reason):
            raise ValueError(f'{name} is accepted without a date and a reason, as "2026-11-29: it is not used here"')
    return found


def report(what: str, found: Found, known: Mapping[str, str]) -> tuple[list[str], bool]:
    """Lines, and whether all is well."""
    if found.unreached:
        return [f"{what}: advisories cannot be reached from here ({found.unreached})."], True
    lines = [f"{what}: nobody knows of {', '.join(found.unknown)}."] if found.unknown else []
    open_ones = [each for each in found.advisories if not each.ids & set(known)]
    lines += [f"{what}: {each.package}: {', '.join(sorted(each.ids))}: {each.text}" for each in open_ones]
    if not open_ones:
        lines.append(f"{what}: no known vulnerability that is not accepted.")
    return lines, not open_ones


def asked(command: Sequence[str], folder: Path) -> tuple[str, str]:
    try:
        ended = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", type(error).__name__
    return ended.stdout, ended.stderr


def not_needed(known: Iterable[str], everything: Sequence[Found]) -> list[str]:
    """Accepted ones that nobody has any more, where everybody was reached."""
    if any(found.unreached for found in everything):
        return []
    there = {name for found in everything for each in found.advisories for name in each.ids}
    return sorted(set(known) - there)


def main() -> int:
    known = accepted((ROOT / "pyproject.toml").read_text())
    of_python = of_pip_audit(*asked([sys.executable, "-m", *PIP_AUDIT], ROOT))
    of_node = of_npm_audit(*asked(NPM_AUDIT, ROOT / "web"))
    well = True
    for what, found in (("Python", of_python), ("npm", of_node)):
        lines, is_well = report(what, found, known)
        well &= is_well
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    for name in not_needed(known, [of_python, of_node]):
        sys.stdout.write(f"{name} is accepted in pyproject.toml and not there any more.\n")
    return 0 if well else 1


if __name__ == "__main__":
    raise SystemExit(main())
