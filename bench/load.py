"""The load generator: WebSocket clients in one process, under uvloop, that count and hand on what they receive.

Parsing is picows's, in C; per frame one Python function is called. `python -m bench.load --ceiling` shows what that
can take: frames a second from a server on the other core that does nothing but send from memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import logging
import multiprocessing
import random
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_connect, ws_create_server

from bench import cores

T = TypeVar("T")
OnText = Callable[[bytes, int], None]

# Ports of one address that are used before the next one is: with many in use, or just closed, Linux looks for a free
# one longer than all else takes.
PORTS_PER_ADDRESS, ADDRESSES = 1000, 250
CONNECT_SECONDS = 30.0

logging.getLogger("picows").setLevel(logging.WARNING)  # it has two lines for each connection


class Lost(Exception):
    """The server closed a connection that was to stay."""


class Client(WSListener):
    """One connection. Text frames wait for `receive`, until `listen` has them handed on as they arrive."""

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0
        self.close_code: int | None = None
        self.lost = asyncio.Event()
        self._on_text: OnText = self._keep
        self._inbox: deque[tuple[bytes, int]] = deque()
        self._changed = asyncio.Event()
        self._transport: WSTransport | None = None

    # What picows calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        arrived = time.perf_counter_ns()
        if frame.msg_type == WSMsgType.TEXT:
            payload = frame.get_payload_as_bytes()
            self.frames += 1
            self.bytes += len(payload)
            self._on_text(payload, arrived)
        elif frame.msg_type == WSMsgType.CLOSE:
            self.close_code = frame.get_close_code().value
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - the library's signature
        self._transport = None
        self.lost.set()
        self._changed.set()

    # What a scenario calls

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    async def receive(self) -> bytes:
        """The next text frame. Raises Lost."""
        while not self._inbox:
            if not self.is_open:
                raise Lost(f"closed with {self.close_code}")
            self._changed.clear()
            await self._changed.wait()
        return self._inbox.popleft()[0]

    def listen(self, on_text: OnText) -> None:
        """Hand on each text frame with its time of arrival, those first that came already."""
        self._on_text = on_text
        while self._inbox:
            on_text(*self._inbox.popleft())

    def send(self, text: str) -> None:
        """Raises Lost."""
        if self._transport is None:
            raise Lost(f"closed with {self.close_code}")
        self._transport.send(WSMsgType.TEXT, text.encode())

    def close(self) -> None:
        """Say nothing, and be gone."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def _keep(self, payload: bytes, arrived: int) -> None:
        self._inbox.append((payload, arrived))
        self._changed.set()


# From anywhere: who ran a minute ago has left its closed ones.
_addresses = itertools.count(random.randrange(PORTS_PER_ADDRESS * ADDRESSES))


async def connect(url: str, headers: Mapping[str, str] | None = None) -> Client:
    """A connection whose handshake was accepted. `url` begins with `ws://` or `http://`.

    On Linux all of 127.0.0.0/8 is this machine: connections to it come from several addresses, since one has not the
    ports for 10,000 that come and go. Raises OSError, picows.WSError and Lost.
    """
    address = "ws://" + url.partition("://")[2]
    options: dict[str, Any] = {}
    if sys.platform == "linux" and "//127.0.0.1" in address:
        options["local_addr"] = (f"127.0.0.{next(_addresses) // PORTS_PER_ADDRESS % ADDRESSES + 1}", 0)
    _, client = await ws_connect(
        Client,
        address,
        extra_headers=dict(headers or {}),
        websocket_handshake_timeout=CONNECT_SECONDS,
        max_frame_size=2**30,
        read_buffer_init_size=4096,
        use_aiofastnet=False,  # it reads one socket for as long as there is anything, and others wait
        **options,
    )
    if client is None:
        raise Lost("closed in the moment in which it was accepted")
    assert isinstance(client, Client)
    return client


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it under uvloop. Nothing is searched for cycles meanwhile: with thousands of clients each search would be a
    fifth of a second, as long as what is measured.
    """
    gc.disable()
    try:
        return uvloop.run(work)
    finally:
        gc.enable()
        gc.collect()


def have_files() -> None:
    """Have as many files as this process, and what it starts, may have: each connection is one, on both sides."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


# The ceiling ------------------------------------------------------------------------------------------------

CEILING_CLIENTS = 100
CEILING_SECONDS = 3.0
# About a frame of Netra's with the tokens of 40 ms.
CEILING_PAYLOAD = b"x" * 300


class _Sender(WSListener):
    """Sends without end, as long as the socket takes it."""

    def __init__(self) -> None:
        self._paused = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, _transport: WSTransport, _frame: WSFrame) -> None:
        self._send()

    def _send(self) -> None:
        if self._paused or self._transport.is_disconnected:
            return
        for _ in range(20):
            self._transport.send(WSMsgType.TEXT, CEILING_PAYLOAD)
        asyncio.get_running_loop().call_soon(self._send)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        asyncio.get_running_loop().call_soon(self._send)


def _serve(port: int) -> None:
    async def serve() -> None:
        server = await ws_create_server(_sender, "127.0.0.1", port, use_aiofastnet=False)
        await server.serve_forever()

    if cores.SERVER:
        import os

        os.sched_setaffinity(0, cores.SERVER)
    run(serve())


def _sender(_request: WSUpgradeRequest) -> WSListener:
    return _Sender()


async def _receive(port: int) -> float:
    clients = [await connect(f"ws://127.0.0.1:{port}/") for _ in range(CEILING_CLIENTS)]
    for client in clients:
        client.send("Go.")
    for client in clients:
        await client.receive()
        client.listen(lambda _payload, _arrived: None)
    before, began = sum(client.frames for client in clients), time.perf_counter()
    await asyncio.sleep(CEILING_SECONDS)
    rate = (sum(client.frames for client in clients) - before) / (time.perf_counter() - began)
    for client in clients:
        client.close()
    return rate


def ceiling() -> float:
    """Frames a second that this process can receive."""
    from tests.processes import accepts, free_port, until

    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(port,), daemon=True)
    server.start()
    try:
        until(lambda: accepts(port), what="the server that sends from memory")
        return run(_receive(port))
    finally:
        server.kill()
        server.join()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ceiling", action="store_true", required=True, help="frames a second that it can receive")
    parser.parse_args()
    cores.stay_with_the_rest()
    print(f"{ceiling():,.0f} frames a second of {len(CEILING_PAYLOAD)} bytes. {cores.statement()}")


if __name__ == "__main__":
    main()
