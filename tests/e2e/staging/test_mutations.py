"""The priority-1 checks can fail: each does, against a server with one fault, and none against a server without."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netra.postgres import EmbeddedPostgres
from tests.clients import SECRET_KEY
from tests.e2e.conftest import new_data_dir
from tests.e2e.staging import own_servers
from tests.e2e.staging.mutations import MUTATIONS
from tests.live import LiveServer
from tests.processes import REPOSITORY

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

CHECKS = Path("tests/e2e/staging/test_priority1_critical.py")
CLASSES = {
    check: class_name
    for class_name, body in re.findall(
        r"^class (\w+):\n(.*?)(?=^class |\Z)", (REPOSITORY / CHECKS).read_text(), re.MULTILINE | re.DOTALL
    )
    for check in re.findall(r"^    async def (test_\w+)", body, re.MULTILINE)
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A database for one server after the other."""
    for folder in new_data_dir():
        with EmbeddedPostgres(folder):
            yield folder


def server_with(mutation: str, folder: Path) -> LiveServer:
    application = "tests.e2e.applications.mutated:application"
    server = LiveServer(folder, form="uvicorn", application=application, **own_servers.settings(folder))
    server.inherited = {**own_servers.environment(), "STAGING_MUTATION": mutation}
    return server


def run_checks(server: LiveServer, *names: str) -> subprocess.CompletedProcess[str]:
    """Run them as a customer would against a deployment, with everything that may be told of it."""
    one, other = server.add_users(2)
    environment = {
        "STAGING_BASE_URL": server.url,
        "STAGING_USERNAME": one.username,
        "STAGING_PASSWORD": one.password,
        "STAGING_SECOND_USERNAME": other.username,
        "STAGING_SECOND_PASSWORD": other.password,
        "STAGING_SECRET_KEY": SECRET_KEY,
        "STAGING_INACTIVE_USER_ID": str(server.add_user(is_active=False).id),
        "STAGING_ENDLESS_AGENT": "endless",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STAGING_", "CI"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *names, "-q", "--tb=short", "--timeout=90", "--show-capture=no"],
        cwd=REPOSITORY,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_check_has_a_mutation() -> None:
    assert [mutation.check for mutation in MUTATIONS.values()] == list(CLASSES)
    assert list(MUTATIONS) == [f"{number:03}" for number in range(1, 26)]
    documented = (REPOSITORY / "docs" / "testing.md").read_text()
    assert [mutation.what for mutation in MUTATIONS.values() if f"| {mutation.what} |" not in documented] == []


def test_without_a_mutation_all_checks_pass(folder: Path) -> None:
    with server_with("", folder) as server:
        outcome = run_checks(server, str(CHECKS))
    assert outcome.returncode == pytest.ExitCode.OK, outcome.stdout[-6000:]
    assert "25 passed" in outcome.stdout


@pytest.mark.parametrize("number", MUTATIONS)
def test_a_check_fails_when_its_feature_is_broken(number: str, folder: Path) -> None:
    mutation = MUTATIONS[number]
    with server_with(number, folder) as server:
        outcome = run_checks(server, f"{CHECKS}::{CLASSES[mutation.check]}::{mutation.check}")
    assert outcome.returncode == pytest.ExitCode.TESTS_FAILED, outcome.stdout
    assert " error" not in outcome.stdout.splitlines()[-1], outcome.stdout
    assert mutation.shown in outcome.stdout, outcome.stdout
