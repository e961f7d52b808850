"""What is done to a server below HTTP: requests that are never whole, that are two, or huge; frames that are bombs.

One server of each kind, whose patience is seconds where that of others is minutes.
"""

from __future__ import annotations

import base64
import socket
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from netra.config import SERVERS
from tests.clients import PASSWORD, SECRET_KEY, Account, refusal, sign_in, signing_key
from tests.e2e.conftest import new_data_dir
from tests.live import LiveServer
from tests.processes import HOST, until

HEAD_SECONDS, BODY_SECONDS = 2.0, 3.0
HOST_LINE = b"Host: localhost\r\n"
UPGRADE = HOST_LINE + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
JSON = HOST_LINE + b"Content-Type: application/json\r\n"
LOGOUT = b"POST /api/auth/logout HTTP/1.1\r\n" + JSON
# The second of two requests, which one of two parsers takes for the body of the first.
HIDDEN = b"GET /health HTTP/1.1\r\n" + HOST_LINE + b"\r\n"

pytestmark = pytest.mark.timeout(300)


class HastyServer(LiveServer):
    """`manage.py serve` that waits for nobody."""

    def _command(self) -> list[str]:
        patched = (
            "from netra import serving; serving.SLOWEST_BYTES_PER_SECOND = 10**6; "
            f"serving.HEAD_SECONDS = serving.KEEP_ALIVE_SECONDS = {HEAD_SECONDS}; serving.BODY_SECONDS = {BODY_SECONDS}"
        )
        begun = f"import runpy, sys; sys.argv = {super()._command()[1:]!r}"
        return [sys.executable, "-c", f"{patched}\n{begun}\nrunpy.run_path('manage.py', run_name='__main__')"]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """At the end nothing secret is in its log, and no traceback."""
    for folder in new_data_dir():
        with HastyServer(folder, form="serve", asgi_server=request.param) as server:
            yield server
        assert not server.traceback(), server.traceback()
        log = server.log_text()
        for secret in (PASSWORD, SECRET_KEY, signing_key(), "eyJ"):
            assert secret not in log


@pytest.fixture(scope="module")
def account(server: LiveServer) -> Account:
    return server.add_user("ann")


def opened(server: LiveServer) -> socket.socket:
    return socket.create_connection((HOST, server.port), timeout=30)


def said(server: LiveServer, request: bytes) -> bytes:
    """All that is answered until the server closes, or says nothing for a while."""
    with closing(opened(server)) as connection:
        found = b""
        try:
            connection.sendall(request)
            connection.settimeout(1.5)
            while piece := connection.recv(65_536):
                found += piece
        except (TimeoutError, ConnectionError):
            pass
        return found


def is_cut_off(connection: socket.socket, piece: bytes, seconds: float) -> bool:
    """Send a piece now and then until the server ends the connection."""
    connection.settimeout(0.1)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            connection.sendall(piece)
            if not connection.recv(4096):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def statuses(answers: bytes) -> list[int]:
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


# Slowly

SLOW = {
    "says nothing": (b"", b""),
    "the first line": (b"GET /hea", b"l"),
    "headers": (b"GET /health HTTP/1.1\r\n" + HOST_LINE, b"X-a: b\r\n"),
    "one header": (b"GET /health HTTP/1.1\r\n" + HOST_LINE + b"X-a: ", b"b"),
    "a handshake": (b"GET /ws HTTP/1.1\r\n" + UPGRADE, b"X-a: b\r\n"),
    "a body": (b"POST /api/auth/token HTTP/1.1\r\n" + JSON + b"Content-Length: 100000\r\n\r\n{", b" "),
    "the second request": (b"GET /health HTTP/1.1\r\n" + HOST_LINE + b"\r\nGET /hea", b"l"),
}


@pytest.mark.parametrize("what", SLOW)
def test_who_is_slow_is_cut_off_and_nobody_else_waits(server: LiveServer, what: str) -> None:
    first, piece = SLOW[what]
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(opened(server))) for _ in range(50)]
        for connection in connections:
            connection.sendall(first)
        assert server.http("GET", "/health").status == 200, "while they are there"
        # Each of them gets no more than its time; twice that is for a machine that is slow itself.
        assert is_cut_off(connections[0], piece, 10 * BODY_SECONDS)
        for connection in connections[1:]:
            assert is_cut_off(connection, b"", 10 * BODY_SECONDS)
    assert server.http("GET", "/health").status == 200


def test_a_socket_that_is_open_is_not_cut_off(server: LiveServer, account: Account) -> None:
    request = b"GET /ws HTTP/1.1\r\n" + UPGRADE + KEY + f"Authorization: Bearer {account.token()}\r\n\r\n".encode()
    with closing(opened(server)) as connection:
        connection.sendall(request)
        assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
        assert not is_cut_off(connection, b"", 2 * HEAD_SECONDS)


# Too large


def own_memory(server: LiveServer) -> int:
    lines = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


@pytest.mark.parametrize(
    "beginning",
    [b"GET /health?", b"GET /health HTTP/1.1\r\n" + HOST_LINE + b"X-a: ", b"GET /ws HTTP/1.1\r\n" + UPGRADE + b"X-a: "],
    ids=["an address", "a header", "a handshake"],
)
def test_a_head_without_end_is_refused_and_not_kept(server: LiveServer, beginning: bytes) -> None:
    before = own_memory(server)
    answer = said(server, beginning + b"a" * 30_000_000)
    assert statuses(answer) in ([], [400], [431])
    assert own_memory(server) - before < 20_000_000
    assert server.http("GET", "/health").status == 200


def test_headers_without_number_are_bounded(server: LiveServer) -> None:
    many = b"".join(b"X-%d: a\r\n" % number for number in range(100_000))
    answer = said(server, b"GET /health HTTP/1.1\r\n" + HOST_LINE + many + b"\r\n")
    assert statuses(answer) in ([], [400], [431])


def test_a_body_without_end_fills_no_disk(server: LiveServer, tmp_path: Path) -> None:
    """In chunks, whose number nobody says. What is kept is bounded, and it is refused with its code."""
    with closing(opened(server)) as connection:
        connection.sendall(b"POST /api/threads HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
        largest = 0
        try:
            for _ in range(80):
                connection.sendall(chunk)
                largest = max(largest, *temporary_bytes(server), 0)
            connection.sendall(b"0\r\n\r\n")
        except ConnectionError:
            pass  # refused before the end
        assert largest < 40_000_000
    assert server.http("GET", "/health").status == 200


def temporary_bytes(server: LiveServer) -> list[int]:
    """The sizes of files that the server has open and nobody else sees."""
    found = [0]
    for entry in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            if "(deleted)" in str(entry.readlink()):
                found.append(entry.stat().st_size)
        except OSError:
            continue
    return found


# Two requests in one

SMUGGLED = {
    "a length and chunks": LOGOUT
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    + HIDDEN,
    "chunks and a length": LOGOUT
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    + HIDDEN,
    "two lengths": LOGOUT + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + HIDDEN,
    "a list of lengths": LOGOUT + b"Content-Length: 2, 40\r\n\r\n{}" + HIDDEN,
    "a length with a sign": LOGOUT + b"Content-Length: +2\r\n\r\n{}" + HIDDEN,
    "a length below nothing": LOGOUT + b"Content-Length: -1\r\n\r\n{}" + HIDDEN,
    "a length of hex": LOGOUT + b"Content-Length: 0x2\r\n\r\n{}" + HIDDEN,
    "another coding": LOGOUT + b"Content-Length: 2\r\nTransfer-Encoding: xchunked\r\n\r\n{}" + HIDDEN,
    "a space before the colon": LOGOUT + b"Content-Length: 2\r\nTransfer-Encoding : chunked\r\n\r\n{}" + HIDDEN,
    "a space in a name": LOGOUT + b"Content-Length: 2\r\nTransfer Encoding: chunked\r\n\r\n{}" + HIDDEN,
    "a lone carriage return": LOGOUT + b"Content-Length: 2\r\nX-a: b\rTransfer-Encoding: chunked\r\n\r\n{}" + HIDDEN,
    "a NUL": LOGOUT + b"Content-Length: 2\r\nX-a: b\0c\r\n\r\n{}" + HIDDEN,
}


@pytest.mark.parametrize("how", SMUGGLED)
def test_what_could_be_two_requests_is_refused_and_the_connection_closed(server: LiveServer, how: str) -> None:
    assert statuses(said(server, SMUGGLED[how])) == [400]


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (b"GET /api/auth/options HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", [400]),
        (b"GET /api/auth/options HTTP/1.1\r\nHost: evil.example\r\n\r\n", [400]),
        (b"GET /x/health HTTP/1.1\r\nDaphne-Root-Path: /x\r\n" + HOST_LINE + b"\r\n", [404]),
        (b"GET /x/metrics HTTP/1.1\r\nDaphne-Root-Path: /x\r\n" + HOST_LINE + b"\r\n", [404]),
        (b"GET /health HTTP/9.9\r\n" + HOST_LINE + b"\r\n", [400]),
        (b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST_LINE + b"\r\n", [400, 404]),
        (b"GET /static/../../../../../../etc/passwd HTTP/1.1\r\n" + HOST_LINE + b"\r\n", [400, 404]),
        (b"GET /static/%2e%2e/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" + HOST_LINE + b"\r\n", [400, 404]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600 + b"\r\n\r\n", [400]),
    ],
    ids=["two hosts", "another host", "a root", "the metrics' root", "a version", "a tunnel", "a path", "%2e", "TLS"],
)
def test_what_is_no_request_for_this_server_is_refused(server: LiveServer, request_: bytes, allowed: list[int]) -> None:
    answer = said(server, request_)
    assert statuses(answer) in ([], *[[status] for status in allowed])
    assert b"root:" not in answer


# Sockets


def handshake(server: LiveServer, account: Account, *lines: bytes) -> tuple[socket.socket, bytes]:
    authorization = f"Authorization: Bearer {account.token()}\r\n".encode()
    connection = opened(server)
    connection.sendall(b"GET /ws HTTP/1.1\r\n" + UPGRADE + KEY + authorization + b"".join(lines) + b"\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    return connection, head


def test_frames_are_not_compressed_and_a_packed_one_ends_the_connection(server: LiveServer, account: Account) -> None:
    """So a megabyte of zeros in a kilobyte is nothing, and no secret is guessed from a length (CRIME)."""
    offered = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    connection, head = handshake(server, account, offered)
    with closing(connection):
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"permessage-deflate" not in head
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = packer.compress(b"\0" * 50_000_000) + packer.flush(zlib.Z_SYNC_FLUSH)
        before = own_memory(server)
        connection.sendall(struct.pack("!BBH4s", 0xC1, 0xFE, len(bomb[:60_000]), b"\0\0\0\0") + bomb[:60_000])
        assert is_cut_off(connection, b"", 30)
        assert own_memory(server) - before < 20_000_000


@pytest.mark.parametrize(
    "lines",
    [b"Sec-WebSocket-Version: 7\r\n" + KEY, b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n", b""],
    ids=["an old version", "a short key", "no key"],
)
def test_a_handshake_that_is_none_opens_nothing(server: LiveServer, lines: bytes) -> None:
    begin = b"GET /ws HTTP/1.1\r\n" + HOST_LINE + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    assert 101 not in statuses(said(server, begin + lines + b"\r\n"))


async def test_a_token_in_an_address_is_refused_and_in_no_log(server: LiveServer, account: Account) -> None:
    token = account.token()
    for query in (f"token={token}", f"access_token={token}", f"x={base64.b64encode(token.encode()).decode()}"):
        frame, code = await refusal(server.url, path=f"/ws?{query}")
        assert (frame["error_code"], code) == ("NO_TOKEN", 4401)
        assert server.http("GET", f"/api/me?{query}").status == 401
    until(lambda: "NO_TOKEN" in server.log_text(), what="the refusal in the log")
    assert token not in server.log_text()


def test_nothing_of_a_sign_in_is_in_the_log(server: LiveServer, account: Account) -> None:
    tokens = sign_in(server.url, account.username, account.password)
    given = {"username": account.username, "password": "wrong-hunter2"}
    assert server.http("POST", "/api/auth/token", body=given).status == 401
    server.http("POST", "/api/auth/token/refresh", body={"refresh": tokens["refresh"]})
    server.http("GET", "/api/me", token=tokens["access"] + "x")
    log = server.log_text()
    for secret in (tokens["access"], tokens["refresh"], account.password, "hunter2", account.username):
        assert secret not in log
