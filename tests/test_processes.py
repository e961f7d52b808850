"""The ports that tests give to servers."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import processes
from tests.processes import HOST, REPOSITORY, free_port

ANOTHER_PROCESS = "from tests.processes import free_port; print(*(free_port() for _ in range(20)))"


def test_a_port_is_given_once_also_by_other_processes_at_the_same_time() -> None:
    mine = [free_port() for _ in range(20)]
    others = [
        subprocess.Popen([sys.executable, "-c", ANOTHER_PROCESS], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    given = [int(port) for other in others for port in other.communicate()[0].split()]
    assert len(given) == 40
    # The second of the others may be given what the first had, when that has ended.
    assert not set(mine) & set(given)


def test_a_port_is_none_that_the_system_gives_to_connections() -> None:
    limits = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(limits.read_text().split()[0]) if limits.exists() else 32_768
    assert free_port() < lowest


def test_a_port_on_which_something_listens_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, free = free_port(), free_port()
    monkeypatch.setattr(processes, "_PORTS", iter([busy, free]))
    with socket.socket() as listening:
        listening.bind((HOST, busy))
        listening.listen()
        assert free_port() == free
