"""Generated frames against the parser and against whole servers: whatever comes, it is answered with a code, or is no
question; no traceback, no 1011, no memory that is not given back.

`python -m tests.security.test_fuzz --frames 1000000` does by hand what the nightly tests do, and prints what was seen.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from chat.errors import ChatError, ErrorCode
from chat.protocol import Ack, error_frame, parse_command
from netra.config import SERVERS, ServerName
from tests.clients import Account
from tests.conformance import assert_conforms
from tests.live import LiveServer
from tests.security.frames import named, sequences

# Much is sent, on a machine that may have much else to do.
pytestmark = pytest.mark.timeout(400)

MAX_BYTES = 65_536
OF_PARSING = {"INVALID_JSON", "INVALID_MESSAGE", "UNKNOWN_TYPE", "MESSAGE_TOO_LARGE"}
# What may answer a command that is well formed, too.
CODES = OF_PARSING | {
    *("BINARY_NOT_SUPPORTED", "THREAD_NOT_FOUND", "RUN_NOT_FOUND", "MESSAGE_NOT_FOUND", "AGENT_NOT_FOUND"),
    *("APPROVAL_NOT_FOUND", "ATTACHMENT_NOT_FOUND", "TOO_MANY_ATTACHMENTS", "MESSAGE_ID_CONFLICT", "RUN_ACTIVE"),
    *("TOO_MANY_RUNS", "RATE_LIMITED", "INVALID_TOKEN", "TOKEN_EXPIRED"),
    "SERVICE_UNAVAILABLE",  # a machine that has much else to do
}
NIGHTLY = pytest.param(1_000_000, marks=[pytest.mark.nightly, pytest.mark.timeout(4 * 3600)])
SEQUENCE = 40  # fewer than the commands of one socket that may wait
PEOPLE = 4
# One socket lives for so many sequences, and then its person opens another.
SEQUENCES_OF_A_SOCKET = 100
# Of the process's own memory, between a tenth of the way and the end. Pools, caches and the log of the worker's runs
# have their size by then.
GROWTH = 1.25
ANSWER_SECONDS = 300.0  # with nice, on a machine that has much else to do


def each_sequence(frames: int, size: int, use: Callable[[list[str | bytes]], None], *, seed: int | None) -> None:
    """Generate so many frames. The same ones each time unless there is a `seed`."""

    @settings(
        max_examples=frames // size,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=seed is None,
    )
    @given(sequences(size))
    def generated(batch: list[str | bytes]) -> None:
        use(batch)

    (generated if seed is None else hypothesis.seed(seed)(generated))()


def seed_of(frames: int) -> int | None:
    """CI has the same frames each time, a night others, by a seed that is shown when it fails."""
    if frames < 100_000:
        return None
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    return seed


# The parser


@pytest.mark.parametrize("frames", [12_000, NIGHTLY])
def test_whatever_is_parsed_is_a_command_or_has_a_code(frames: int) -> None:
    real = {name: str(uuid.uuid4()) for name in ("@run", "@thread", "@message", "@file")}
    seen: Counter[str] = Counter()

    def parse(batch: list[str | bytes]) -> None:
        for text in batch:
            if isinstance(text, bytes):
                continue
            try:
                command = parse_command(named(text, real), max_bytes=MAX_BYTES)
            except ChatError as error:
                seen[error.code] += 1
                told = json.loads(error_frame(error).encode())
                assert len(json.dumps(told)) < 4000
            else:
                seen[type(command).__name__] += 1

    each_sequence(frames, 100, parse, seed=seed_of(frames))
    assert {str(code) for code in seen if isinstance(code, ErrorCode)} == OF_PARSING
    assert len(seen) == len(OF_PARSING) + 8, f"every command was among them: {seen}"


# A server


def own_memory(pid: int) -> int:
    """Bytes that only this process has (USS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


class Attacker:
    """One person's sockets, one after the other. `seen` counts frames by type, errors by code."""

    def __init__(self, server: LiveServer, account: Account) -> None:
        self.seen: Counter[str] = Counter()
        self._server = server
        self._account = account
        self._socket: ClientConnection | None = None
        self._open = ExitStack()
        self._sequences = 0
        self._received = 0
        self._real = {name: str(uuid.uuid4()) for name in ("@run", "@thread", "@message", "@file")}

    def send(self, batch: list[str | bytes]) -> None:
        """Each is answered once, or is none of those that are."""
        if self._sequences % SEQUENCES_OF_A_SOCKET == 0:
            self._connect()
        self._sequences += 1
        assert self._socket is not None
        self._real["@token"] = self._account.token()
        expected = 0
        for each in batch:
            text = named(each, self._real) if isinstance(each, str) else each
            self._socket.send(text)
            expected += self._is_answered(text)
        ref = uuid.uuid4().hex
        self._socket.send(json.dumps({"type": "ping", "ref": ref}))
        replies: list[dict[str, Any]] = []
        while len(replies) < expected + 1:
            reply = self._receive()
            if reply is not None:
                replies.append(reply)
        assert any(reply["type"] == "pong" and reply.get("ref") == ref for reply in replies)
        self._socket.send(json.dumps({"type": "ack", "received": self._received}))

    def close(self) -> None:
        """Nothing was left to be said."""
        if self._socket is not None:
            ref = uuid.uuid4().hex
            self._socket.send(json.dumps({"type": "ping", "ref": ref}))
            while (reply := self._receive()) is None or reply.get("ref") != ref:
                assert reply is None, f"answered twice: {reply}"
            self._open.close()
            assert self._socket.close_code == 1000

    def _connect(self) -> None:
        self.close()
        headers = {"Authorization": f"Bearer {self._account.token()}"}
        url = self._server.url.replace("http", "ws") + "/ws"
        options: dict[str, Any] = {"compression": None, "max_size": None, "proxy": None, "ping_interval": None}
        self._socket = self._open.enter_context(connect(url, additional_headers=headers, **options))
        self._received = 0
        first = self._next()
        assert first["type"] == "connection_established", first

    def _is_answered(self, text: str | bytes) -> bool:
        if isinstance(text, bytes):
            return True
        try:
            return not isinstance(parse_command(text, max_bytes=MAX_BYTES), Ack)
        except ChatError:
            return True

    def _next(self) -> dict[str, Any]:
        assert self._socket is not None
        try:
            received = self._socket.recv(timeout=ANSWER_SECONDS)
        except ConnectionClosed as closed:
            raise AssertionError(f"closed with {closed}") from None
        frame: dict[str, Any] = json.loads(received)
        assert_conforms(frame)
        self._received += 1
        return frame

    def _receive(self) -> dict[str, Any] | None:
        """The next frame, if it is an answer."""
        frame = self._next()
        kind = frame["type"]
        self.seen[frame.get("error_code", kind)] += 1
        if kind == "message_accepted":
            self._real |= {f"@{name}": frame[f"{name}_id"] for name in ("run", "thread", "message")}
        if kind == "error_message":
            assert frame["error_code"] in CODES, frame
        is_answer = "seq" not in frame and not kind.startswith(("thread_", "token_expiring", "snapshot_required"))
        return frame if is_answer else None


class Log:
    """What a server writes, read as it grows and then forgotten: a million lines are much."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server

    def check(self) -> None:
        """The server writes with O_APPEND: after this it begins anew."""
        assert not self._server.traceback(), self._server.traceback()
        text = self._server.log_text()
        for bad in ("handler_failed", "connection_failed", "INTERNAL_ERROR", "Task exception", "never retrieved"):
            assert bad not in text, re.findall(rf".*{bad}.*", text)[:3]
        os.truncate(self._server.log_file, 0)


def fuzz(server: LiveServer, frames: int, *, seed: int | None) -> dict[str, Any]:
    """Send so many, by several people at once. Returns what was seen, and the server's memory."""
    with ExitStack() as stack:
        people = [Attacker(server, account) for account in server.add_users(PEOPLE, "fuzz")]
        for person in people:
            stack.callback(person.close)
        pool = stack.enter_context(ThreadPoolExecutor(PEOPLE))
        log, memory, done, at_once = Log(server), list[int](), itertools.count(1), SEQUENCE * PEOPLE
        began = time.monotonic()

        def send(batch: list[str | bytes]) -> None:
            parts = [batch[at : at + SEQUENCE] for at in range(0, at_once, SEQUENCE)]
            for _ in pool.map(Attacker.send, people, parts):
                pass
            if next(done) % max(1, frames // at_once // 10) == 0:
                memory.append(own_memory(server.process.pid))
                log.check()

        each_sequence(frames, at_once, send, seed=seed)
    log.check()
    seen = sum((person.seen for person in people), Counter())
    return {"frames": frames, "seconds": round(time.monotonic() - began), "memory": memory, "seen": dict(seen)}


SETTINGS: dict[str, Any] = {"commands_per_minute": 10_000_000, "max_connections": 100, "ws_connect_timeout": 10}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    from tests.e2e.conftest import new_data_dir

    name: ServerName = request.param
    for folder in new_data_dir():
        with LiveServer(folder, form="serve", asgi_server=name, **SETTINGS) as server:
            yield server


@pytest.mark.parametrize("frames", [4_000, pytest.param(500_000, marks=NIGHTLY.marks)])
def test_whatever_a_socket_is_sent_it_is_answered_and_lives(server: LiveServer, frames: int) -> None:
    found = fuzz(server, frames, seed=seed_of(frames))
    print(found)
    assert set(found["seen"]) >= OF_PARSING | {"BINARY_NOT_SUPPORTED", "pong", "message_accepted", "resumed"}
    first, *_, last = found["memory"]
    assert last < first * GROWTH, f"{found['memory']} bytes"


def main() -> None:
    import tests.environment  # noqa: F401 - as pytest has it

    os.environ["DJANGO_SETTINGS_MODULE"] = "netra.settings"
    from tests.e2e.conftest import new_data_dir

    parser = argparse.ArgumentParser(description="Send generated frames to both servers.")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    for name in SERVERS:
        for folder in new_data_dir():
            with LiveServer(folder, form="serve", asgi_server=name, **SETTINGS) as server:
                found = fuzz(server, asked.frames // len(SERVERS), seed=asked.seed)
                sys.stdout.write(f"{name}: {json.dumps(found)}\n")


if __name__ == "__main__":
    main()
