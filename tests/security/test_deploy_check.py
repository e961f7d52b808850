"""Django's own list for deployments, with the environment of docker-compose.yml: nothing of it is left open."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from netra.config import PROJECT_ROOT
from tests import deployment

# As .env.example says to make them.
FILLED_IN = {
    "NETRA_SECRET_KEY": "4f1c0a5be1d84c4ad2b0a1d7f3a8c9e65b7d2f60913e48ac7d15f0be62a39c84",
    "POSTGRES_PASSWORD": "0c9ae5c1b7d24f6e8a3b5d7f9e1c2a4b6d8f0a1c3e5b7d9f",
    "NETRA_ALLOWED_HOSTS": "chat.example.org",
}


def checked(**changes: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env=inherited | deployment.environment("web", FILLED_IN) | changes,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_containers_settings_pass_without_a_warning() -> None:
    ended = checked()
    assert ended.returncode == 0, ended.stderr
    assert "no issues" in ended.stdout
    # What is silenced stands in netra/settings.py with its reason.
    assert "(3 silenced)" in ended.stdout


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"NETRA_HSTS_SECONDS": "0"}, "security.W004"),
        ({"NETRA_SECRET_KEY": "only forty characters long, though random"}, "security.W009"),
        ({"NETRA_ENVIRONMENT": "development"}, "security.W012"),
    ],
)
def test_what_is_less_safe_is_warned_of(changes: dict[str, str], warning: str) -> None:
    """So the check above can fail."""
    ended = checked(**changes)
    assert ended.returncode == 1
    assert warning in ended.stderr
