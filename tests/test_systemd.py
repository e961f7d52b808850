"""deploy/systemd: systemd itself reads the units, and says how much of a machine they leave open."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from netra.config import Config, variable
from tests.deployment import ROOT
from tests.test_deployment import assert_is_a_command

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(path.name for path in FOLDER.iterdir())
SERVICES = [name for name in UNITS if name.endswith(".service")]
# Of 100: what a service could do to the machine. 20 is what systemd itself calls OK.
MOST_EXPOSED = 15


def analyze(*command: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        assert not os.environ.get("CI"), "systemd is not installed: `CI=true make system` installs it"
        pytest.skip("systemd is not installed")
    return subprocess.run([program, *command], capture_output=True, text=True, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units, for a checkout that is there."""
    python = tmp_path / "srv" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    units = tmp_path / "units"
    units.mkdir()
    for name in UNITS:
        (units / name).write_text((FOLDER / name).read_text().replace("/srv/netra", str(tmp_path / "srv")))
    return units


@pytest.mark.parametrize("name", UNITS)
def test_systemd_reads_each_unit_without_a_word(installed: Path, name: str) -> None:
    unit = installed / name
    if "@" in name:
        unit = unit.rename(installed / name.replace("@.", "@8001."))
    ended = analyze("verify", "--man=no", "--recursive-errors=no", unit)
    said = [line for line in (ended.stdout + ended.stderr).splitlines() if str(installed) in line or "netra" in line]
    assert (ended.returncode, said) == (0, [])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_little_to_the_machine(name: str) -> None:
    ended = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", FOLDER / name)
    assert ended.returncode == 0, ended.stdout[-3000:]


@pytest.mark.parametrize("name", SERVICES)
def test_its_command_is_one_that_there_is(name: str) -> None:
    [line] = re.findall(r"^ExecStart=.*manage\.py.*$", (FOLDER / name).read_text(), re.MULTILINE)
    command = re.sub(r"\$\$\(.*\)'?$", "now", line.partition("manage.py ")[2].replace("%i", "8001"))
    assert_is_a_command(shlex.split(command))


@pytest.mark.parametrize("name", SERVICES)
def test_its_settings_are_some_that_there_are(name: str) -> None:
    known = {variable(setting) for setting in Config.model_fields}
    assert set(re.findall(r"^Environment=(\w+)=", (FOLDER / name).read_text(), re.MULTILINE)) <= known


def test_what_is_to_end_in_order_gets_the_time_for_it() -> None:
    for name, setting in (
        ("netra-web@.service", "drain_seconds"),
        ("netra-worker@.service", "worker_shutdown_seconds"),
    ):
        [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", (FOLDER / name).read_text(), re.MULTILINE)
        assert int(seconds) > float(Config.model_fields[setting].default) + 6
