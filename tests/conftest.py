from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netra.postgres import EmbeddedPostgres
from tests.environment import DATA_DIR

pytest_plugins = ["netra.testing"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> Iterator[None]:
    """PostgreSQL runs while tests need a database."""
    with EmbeddedPostgres(DATA_DIR):
        yield


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis on a free port."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed: `make test` installs it"
    port = free_port()
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(timeout=10)


@pytest.fixture(params=["in process", "redis"])
def layer(request: pytest.FixtureRequest, settings: Any) -> str:
    """The channel layer: a test that uses this runs on each."""
    name: str = request.param
    if name == "redis":
        url = request.getfixturevalue("redis_url")
        settings.CHANNEL_LAYERS = {
            "default": {
                "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
                "CONFIG": {"hosts": [{"address": url, "socket_timeout": None}]},
            }
        }
    return name


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure, unless docs/testing.md names it with its reason."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    named = Path(__file__).parent.with_name("docs").joinpath("testing.md").read_text()
    unnamed = [report.nodeid for report in reporter.stats.get("skipped", []) if report.nodeid not in named]
    if unnamed:
        reporter.write_line(f"Skipped, and not named in docs/testing.md: {', '.join(unnamed)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
