"""daphne and uvicorn under the same loads: `python -m bench.servers`.

Each round starts `manage.py serve` with each server in turn, so that what else the machine does meets all alike.
What is compared is the median of the rounds, as a ratio: figures of one machine mean nothing on another.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from netra.config import SERVERS, ServerName

ROUNDS = 5
IDLE = 1000
AT_ONCE = 50
SOCKETS = 100
EVENTS = 300
TEXT = "Some words of an answer, as a model says them. "


@dataclass(frozen=True, slots=True)
class Figures:
    connects_per_second: float
    frames_per_second: float
    kilobytes_per_connection: float
    cpu_seconds_per_10_000_frames: float


class Sink(asyncio.Protocol):
    """A WebSocket client that counts frames and does nothing else, since it shares the machine with the server."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._unread = b""
        self._open = False
        self._wanted = 1
        self.frames = 0
        self.arrived = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    async def receive(self, number: int) -> None:
        """Wait for so many frames more."""
        self._wanted = self.frames + number
        self.arrived.clear()
        await self.arrived.wait()

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if not self._open:
            head, end, rest = self._unread.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._open, self._unread = True, rest
        self._count()
        if self.frames >= self._wanted:
            self.arrived.set()

    def _count(self) -> None:
        start, held = 0, len(self._unread)
        while held - start >= 2:
            length, head = self._unread[start + 1] & 127, 2
            if length > 125:
                head = 4 if length == 126 else 10
                if held - start < head:
                    break
                length = int.from_bytes(self._unread[start + 2 : start + head], "big")
            if held - start < head + length:
                break
            if self._unread[start] & 15 == 1:
                self.frames += 1
            start += head + length
        self._unread = self._unread[start:]


async def connect(url: str, token: str) -> Sink:
    """A socket that has been greeted."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    request = (
        f"GET /ws HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {'A' * 22}==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    _, sink = await loop.create_connection(lambda: Sink(request.encode()), address.hostname, address.port)
    await sink.arrived.wait()
    return sink


async def connect_many(number: int, open_one: Callable[[], Awaitable[Sink]]) -> list[Sink]:
    arriving = asyncio.Semaphore(AT_ONCE)

    async def arrive() -> Sink:
        async with arriving:
            return await open_one()

    return await asyncio.gather(*(arrive() for _ in range(number)))


def memory(pid: int) -> float:
    """Kilobytes that the process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(server: Any, account: Any) -> Figures:
    from tests.clients import connected

    pid, token = server.process.pid, account.token()

    def open_one() -> Awaitable[Sink]:
        return connect(server.url, token)

    for sink in await connect_many(AT_ONCE, open_one):
        sink.transport.abort()
    before, began = memory(pid), time.perf_counter()
    idle = await connect_many(IDLE, open_one)
    connects = IDLE / (time.perf_counter() - began)
    kilobytes = (memory(pid) - before) / IDLE
    for sink in idle:
        sink.transport.abort()
    async with connected(server.url, token) as client:
        sinks = await connect_many(SOCKETS, open_one)
        run_id = (await client.post("Say much."))["run_id"]
    await asyncio.gather(*(wait_for(sink, 2) for sink in sinks))  # the greeting and the question
    cpu, began = cpu_seconds(pid), time.perf_counter()
    received = [asyncio.create_task(sink.receive(EVENTS)) for sink in sinks]
    await say_much(run_id)
    await asyncio.gather(*received)
    seconds, cpu = time.perf_counter() - began, cpu_seconds(pid) - cpu
    for sink in sinks:
        sink.transport.abort()
    frames = EVENTS * SOCKETS
    return Figures(connects, frames / seconds, kilobytes, cpu / frames * 10_000)


async def wait_for(sink: Sink, frames: int) -> None:
    if sink.frames < frames:
        await sink.receive(frames - sink.frames)


async def say_much(run_id: str) -> None:
    """What a worker does with an agent's text: each event is committed, then published."""
    from chat.event_log import EventLog
    from chat.pool import DatabasePool
    from chat.publisher import Publisher
    from chat.run_event import Event, now

    log = EventLog(DatabasePool(), Publisher())
    claimed = await log.claim(run_id)
    assert claimed is not None
    for number in range(EVENTS):
        data = {"message_id": run_id, "text": f"{number} {TEXT}"}
        await log.append(claimed[0], [Event("agent_response_chunk", "assistant", data, now())])
    await log.pool.close()


async def rounds(start: Callable[[ServerName], Any]) -> dict[str, list[Figures]]:
    found: dict[str, list[Figures]] = {name: [] for name in SERVERS}
    for number in range(ROUNDS):
        for name in SERVERS:
            with start(name) as server:
                figures = await measure(server, server.add_user())
            found[name].append(figures)
            print(f"round {number + 1}, {name}: {figures}", flush=True)
    return found


def report(found: dict[str, list[Figures]]) -> None:
    print(f"\n{'median of ' + str(ROUNDS) + ' rounds':32}" + "".join(f"{name:>22}" for name in found))
    for field in Figures.__slots__:
        medians = {name: statistics.median(getattr(each, field) for each in figures) for name, figures in found.items()}
        first = medians["daphne"]
        shown = [f"{value:.3g} ({value / first:.2f})" for value in medians.values()]
        print(f"{field.replace('_', ' '):32}" + "".join(f"{text:>22}" for text in shown))
    print("In brackets: the ratio to daphne.")


def main() -> None:
    # Told to end, it ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="netra-bench-") as folder, ExitStack() as stack:
        data_dir = Path(folder)
        data_dir.chmod(0o755)
        os.environ |= {"NETRA_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "netra.settings"}
        from tests.live import LiveServer
        from tests.processes import LiveRedis

        redis = stack.enter_context(LiveRedis())
        os.environ["REDIS_URL"] = redis.url
        from netra.postgres import EmbeddedPostgres

        stack.enter_context(EmbeddedPostgres(data_dir))
        import django

        django.setup()

        def start(asgi_server: ServerName) -> LiveServer:
            return LiveServer(
                data_dir,
                asgi_server=asgi_server,
                redis_url=redis.url,
                ready=False,
                # No worker: this process is the worker. Nothing but its wake-ups leads to the log.
                worker="external",
                ws_position_check_seconds=3600,
                ws_window_bytes=2**30,
                ws_connect_timeout=10,
                max_connections=2 * IDLE,
                max_open_runs=1000,
            )

        report(asyncio.run(rounds(start)))


if __name__ == "__main__":
    main()
