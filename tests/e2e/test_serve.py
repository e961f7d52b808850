"""`manage.py serve`: what it says, and how it begins and ends."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from netra.config import SERVERS, ServerName
from netra.serving import MAX_FRAME_BYTES
from tests.clients import sign_in
from tests.e2e.conftest import Start, new_data_dir
from tests.live import LiveServer
from tests.processes import REPOSITORY, until

PASSWORD_LINE = re.compile(r"Sign in as demo with the password (\S+) \(shown only this once\)")


@pytest.fixture
def empty_data_dir() -> Iterator[Path]:
    yield from new_data_dir(is_empty=True)


def test_it_makes_its_database_and_prints_its_address_and_once_the_password_of_the_demo_user(
    empty_data_dir: Path,
) -> None:
    with LiveServer(empty_data_dir) as server:
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
        for asgi_server in SERVERS:
            second = subprocess.run(
                [sys.executable, "manage.py", "serve", "--port", str(server.port), "--server", asgi_server],
                cwd=REPOSITORY,
                env=server._environment(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert second.returncode == 1
            assert f"Port {server.port} of 127.0.0.1 is not free" in second.stderr
            assert "Netra is open" not in second.stdout
            assert "Traceback" not in second.stderr


def test_the_option_names_the_server_whatever_the_setting_says(data_dir: Path) -> None:
    """uvicorn dates its answers, daphne does not."""
    for setting, option in (("daphne", "uvicorn"), ("uvicorn", "daphne")):
        with LiveServer(data_dir, asgi_server=setting, options=["--server", option]) as server:
            assert "Ctrl-C ends it." in server.log_text()
            headers = server.http("GET", "/health").headers
            assert headers["Server"] == "netra"
            assert ("Date" in headers) == (option == "uvicorn")
            assert server.stop() == 0


async def test_a_frame_above_the_hard_limit_closes_the_socket(start_server: Start, asgi_server: ServerName) -> None:
    server = start_server(asgi_server=asgi_server)
    async with server.connect(server.add_user()) as client:
        with contextlib.suppress(ConnectionClosed):  # the server does not wait for the end of it
            await client.socket.send("x" * (MAX_FRAME_BYTES + 1))
        assert await client.closed() in (1009, 1006)
    async with server.connect(server.add_user()) as client:
        await client.socket.send("x" * (MAX_FRAME_BYTES - 1))
        assert (await client.receive("error_message"))["error_code"] == "MESSAGE_TOO_LARGE"
