"""What failed among others has a second chance, alone; what fails then, or is not alone, has none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_postgres import REPOSITORY

FAILS_ONCE = """
from pathlib import Path

def test_busy():
    been = Path("been")
    first = not been.exists()
    been.touch()
    assert not first

def test_well():
    assert not Path("been").exists() or Path("alone").exists()
"""


def run(folder: Path, module: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", module]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = nightly\n")
    return tmp_path


def test_what_passes_alone_is_named_and_nothing_else_is_run(folder: Path) -> None:
    (folder / "test_it.py").write_text(FAILS_ONCE.replace("def test_well", "def test_a_well"))
    (folder / "alone").touch()
    assert run(folder, "pytest").returncode == 1
    (folder / "alone").unlink()  # another test would fail now
    again = run(folder, "tests.once_more")
    assert again.returncode == 0, again.stdout
    assert "passed alone:\n  test_it.py::test_busy" in again.stdout


def test_what_fails_alone_has_failed(folder: Path) -> None:
    (folder / "test_it.py").write_text("def test_wrong():\n    assert False\n")
    assert run(folder, "pytest").returncode == 1
    assert run(folder, "tests.once_more").returncode == 1


def test_many_have_no_second_chance(folder: Path) -> None:
    source = "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_wrong(n):\n    assert False\n"
    (folder / "test_it.py").write_text(source)
    assert run(folder, "pytest").returncode == 1
    (folder / "test_it.py").write_text(source.replace("False", "True"))
    again = run(folder, "tests.once_more")
    assert again.returncode == 1
    assert "6 tests failed" in again.stdout


def test_a_run_that_broke_off_has_none(folder: Path) -> None:
    assert run(folder, "tests.once_more").returncode == 1
