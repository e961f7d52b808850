"""`manage.py serve`: what it says, and how it begins and ends."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.live import REPOSITORY, LiveServer, sign_in, until

PASSWORD_LINE = re.compile(r"Sign in as demo with the password (\S+) \(shown only this once\)")


def test_it_prints_its_address_and_once_the_password_of_the_demo_user(data_dir: Path) -> None:
    with LiveServer(data_dir) as server:
        until(lambda: f"Netra is open at http://localhost:{server.port}/" in server.log_text(), what="the address")
        password = PASSWORD_LINE.findall(server.log_text())
        assert len(password) == 1
        assert sign_in(server.url, "demo", password[0])["access"]
        server.stop()
        server.start()
        assert PASSWORD_LINE.findall(server.log_text()) == password


def test_its_worker_starts_without_any_connection(data_dir: Path) -> None:
    with LiveServer(data_dir, ready=False) as server:
        until(lambda: "worker_started" in server.log_text(), what="the worker")


def test_a_port_that_is_taken_is_named(data_dir: Path) -> None:
    with LiveServer(data_dir) as server:
        second = subprocess.run(
            [sys.executable, "manage.py", "serve", "--port", str(server.port)],
            cwd=REPOSITORY,
            env=server._environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert second.returncode != 0
    assert f"Port {server.port} of 127.0.0.1 is not free" in second.stderr
