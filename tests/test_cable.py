"""The network between a page and its server, as tests have it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.browser import Cable
from tests.processes import HOST, free_port


def connected(cable: Cable) -> socket.socket:
    return socket.create_connection((HOST, urlsplit(cable.url).port), timeout=10)


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("end", [Cable.cut, Cable.close], ids=["cut", "closed"])
def test_a_connection_that_has_said_nothing_yet_ends_with_it(end: Callable[[Cable], None]) -> None:
    cable = Cable(free_port())
    with connected(cable) as silent, connected(cable) as speaking:
        speaking.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert ended(speaking)  # nobody is at the other end; who came before has been let in, too
        end(cable)
        assert ended(silent)
    if end is Cable.cut:
        cable.close()
