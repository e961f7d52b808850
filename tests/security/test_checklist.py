"""docs/security.md names code and tests that there are, and says of each point whether it holds."""

from __future__ import annotations

import ast
import functools
import re

import pytest

from netra.config import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`([\w/.-]+(?:::\w+)?)`", PAGE)
TESTS = sorted({name for name in NAMED if name.startswith("tests/")})
FILES = sorted({name for name in NAMED if "/" in name and re.match(r"(?:agents|chat|deploy|netra|web|docs)/", name)})
STATES = ("holds", "partly", "no")


@functools.cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((PROJECT_ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def rows() -> list[list[str]]:
    """Of the tables that say what holds: point, state, code, tests."""
    found = []
    for table in re.findall(r"^\| \w+ \| \| by \| shown by \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", PAGE, re.MULTILINE):
        found += [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
    return found


@pytest.mark.parametrize("name", TESTS)
def test_a_test_that_is_named_is_one(name: str) -> None:
    path, _, function = name.partition("::")
    assert (PROJECT_ROOT / path).is_file()
    assert not function or function in functions_of(path)


@pytest.mark.parametrize("name", FILES)
def test_code_that_is_named_is_there(name: str) -> None:
    assert (PROJECT_ROOT / name).exists()


def test_every_point_says_whether_it_holds_and_what_holds_is_shown() -> None:
    assert len(rows()) >= 90
    for point, state, code, tests in rows():
        assert state.startswith(STATES), (point, state)
        if state == "holds" or state.startswith(("partly", "holds ")):
            assert "tests/" in tests, f"{point}: {state}, and no test shows it"
            assert "`" in code, point
        if state.startswith("no"):
            assert state == "no" or len(state) > 10, point


def test_nothing_is_said_twice() -> None:
    points = [point for point, *_ in rows()]
    assert len(points) == len(set(points))
