"""NETRA_APPS: a Django application beside Netra's own, and what is said of one that cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import REPOSITORY

SCRIPT = """
import django
django.setup()
from django.apps import apps
print([config.name for config in apps.get_app_configs()][-2:])
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    for name, code in {
        "weather": "",
        "broken": "raise RuntimeError('no\\nforecast: password=hunter2hunter2')",
        "curious": "from django.conf import settings\nassert settings.TIME_ZONE == 'UTC'",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(code)
    (tmp_path / "weather" / "models.py").write_text(
        "from django.db import models\nclass Forecast(models.Model):\n    city = models.CharField(max_length=80)\n"
    )
    return tmp_path


def started(packages: Path, apps: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages), "NETRA_DATA_DIR": str(packages / "data")}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=REPOSITORY,
        env=environment | {"DJANGO_SETTINGS_MODULE": "netra.settings", "NETRA_APPS": apps},
        capture_output=True,
        text=True,
        check=False,
    )


def test_own_applications_come_after_ours_and_may_read_the_settings(packages: Path) -> None:
    done = started(packages, "weather, curious")
    assert (done.returncode, done.stdout.strip()) == (0, "['weather', 'curious']"), done.stderr


@pytest.mark.parametrize(
    ("apps", "sentence"),
    [
        ("missing", "NETRA_APPS=missing cannot be used: ModuleNotFoundError: No module named 'missing'."),
        ("weather,broken", "NETRA_APPS=broken cannot be used: RuntimeError: no forecast: password=[removed]."),
        ("chat", "NETRA_APPS=chat cannot be used: there is an application named 'chat' already."),
        ("weather,weather", "NETRA_APPS=weather cannot be used: there is an application named 'weather' already."),
    ],
)
def test_an_application_that_cannot_be_used_ends_the_start_with_one_sentence(
    packages: Path, apps: str, sentence: str
) -> None:
    done = started(packages, apps)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"netra: {sentence}"
    assert "hunter2" not in done.stderr + done.stdout
