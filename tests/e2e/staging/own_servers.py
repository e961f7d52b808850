"""The servers that the checks start when they are given none: one process, or a cluster."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.clients import Account, add_users, request
from tests.cluster import Cluster
from tests.e2e import staging_test_config
from tests.e2e.staging_test_config import MCP_SERVER, SECRETS, StagingTestConfig
from tests.live import LiveServer
from tests.processes import REPOSITORY, until

KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
# Runs that end by it are waited for in a check, and no other run of the checks takes as long.
RUN_TIMEOUT = 12


def settings(folder: Path) -> dict[str, Any]:
    """By their names in `netra.config.Config`. Answers come as fast as they do by default: they can be stopped."""
    program = [str(REPOSITORY / "tests" / "mcp_server.py"), str(folder)]
    server = {
        "command": sys.executable,
        "args": program,
        "env": {"TOKEN": "${MCP_TOKEN}"},
        "agents": ["data"],
    }
    return {
        "offline_tokens_per_second": 40,
        "agents": "tests.e2e.staging.endless_agent:endless",
        "run_timeout": RUN_TIMEOUT,
        "mcp_servers": json.dumps({"mcpServers": {MCP_SERVER: server}}),
    }


def environment() -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT if name in os.environ} | SECRETS


@contextmanager
def own_server(folder: Path) -> Iterator[StagingTestConfig]:
    """`manage.py serve` with everything inside. It may write no traceback."""
    server = LiveServer(folder, **settings(folder))
    server.inherited = environment()

    def restart() -> None:
        server.stop()
        server.start()

    with server:
        yield staging_test_config.of_own_server(server.url, _adding_to(server.database), restart)
    assert not server.traceback(), server.traceback()


@contextmanager
def own_cluster(folder: Path) -> Iterator[StagingTestConfig]:
    """A proxy, two web processes, two workers and Redis. No process may write a traceback."""
    with Cluster(folder, web=2, workers=2, environment=environment(), **settings(folder)) as cluster:

        def restart() -> None:
            for process in cluster.netra:
                process.process.terminate()
            for process in cluster.netra:
                process.wait()
            for process in cluster.netra:
                process.launch()
            for process in cluster.netra:
                process.wait_until_ready()
            until(lambda: _answers(cluster.url), what="the proxy to have noticed")

        yield staging_test_config.of_own_server(cluster.url, _adding_to(cluster.database), restart)
    for process in cluster.netra:
        assert not process.traceback(), process.traceback()


def _answers(base_url: str) -> bool:
    return request(base_url, "GET", "/health/ready").status == 200


def _adding_to(database: Any) -> Any:
    def add(number: int, *, is_active: bool = True) -> list[Account]:
        connection: psycopg.Connection[Any]
        with database() as connection:
            return add_users(connection, number, "staging", is_active=is_active)

    return add
