"""The pins are what pyproject.toml asks for, no more and no less, as far as this environment can tell."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN = PROJECT["dependencies"]
DEV = RUN + PROJECT["optional-dependencies"]["dev"]


def pins(name: str) -> dict[str, str]:
    """The version of each package that this environment needs."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    found: dict[str, str] = {}
    for requirement in map(Requirement, lines):
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        if requirement.marker is None or requirement.marker.evaluate():
            found[canonicalize_name(requirement.name)] = specifier.version
    return found


def needed(roots: list[str], pinned: dict[str, str]) -> tuple[set[str], list[str]]:
    """The packages that `roots` need, by what is installed, and what the pins do not satisfy of it."""
    seen: set[tuple[str, str]] = set()
    unmet: list[str] = []
    waiting = [(Requirement(root), "pyproject.toml") for root in roots]
    while waiting:
        requirement, asker = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in pinned or not requirement.specifier.contains(pinned[name], prereleases=True):
            unmet.append(f"{asker} asks for {requirement}, pinned is {pinned.get(name)}")
            continue
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            children = map(Requirement, metadata.requires(name) or [])
            waiting.extend(
                (child, name) for child in children if child.marker is None or child.marker.evaluate({"extra": extra})
            )
    return {name for name, _ in seen}, unmet


@pytest.mark.parametrize(
    ("file", "roots"), [("requirements.txt", RUN), ("requirements-dev.txt", DEV)], ids=["run", "dev"]
)
def test_the_pins_are_what_the_project_needs(file: str, roots: list[str]) -> None:
    pinned = pins(file)
    found, unmet = needed(roots, pinned)
    assert not unmet, "run `make lock`"
    assert found == set(pinned), "run `make lock`"


def test_the_environment_has_the_pinned_versions() -> None:
    pinned = pins("requirements-dev.txt")
    assert {name: metadata.version(name) for name in pinned} == pinned


def test_tests_run_on_the_pins_that_are_served() -> None:
    assert pins("requirements.txt").items() <= pins("requirements-dev.txt").items()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_pins_name_no_place(name: str) -> None:
    assert not re.search(r"://|file:|^-|^/| @ ", (ROOT / name).read_text(), re.MULTILINE)
