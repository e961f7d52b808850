"""What uvicorn keeps of a connection that is closed: with thousands of them, cycles are found late, or at a cost."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import connect

from netra.uvicorn_server import BoundedRequests, PingedSocket


class Lives:
    """Of the objects of a class: how many were made, and are gone while nothing but counted references frees any."""

    def __init__(self, kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[weakref.ref[Any]] = []
        self.gone = asyncio.Event()
        init = kind.__init__

        def watched(each: Any, *given: Any, **named: Any) -> None:
            init(each, *given, **named)
            self.made.append(weakref.ref(each, lambda _: self.gone.set()))

        monkeypatch.setattr(kind, "__init__", watched)


@pytest.fixture
def nothing_is_searched_for() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def echo(_scope: Any, receive: Any, send: Any) -> None:
    while (message := await receive())["type"] != "websocket.disconnect":
        kind = "websocket.accept" if message["type"] == "websocket.connect" else "websocket.send"
        await send({"type": kind, **({"text": message["text"]} if "text" in message else {})})


@pytest.mark.usefixtures("nothing_is_searched_for")
async def test_a_closed_connection_is_freed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    requests, pinged = Lives(BoundedRequests, monkeypatch), Lives(PingedSocket, monkeypatch)
    config = uvicorn.Config(echo, http=BoundedRequests, ws=PingedSocket, lifespan="off", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    listening = socket.create_server(("127.0.0.1", 0))
    await server.startup([listening])
    async with asyncio.timeout(10):
        async with connect(f"ws://127.0.0.1:{listening.getsockname()[1]}/") as client:
            await client.send("x")
            assert await client.recv() == "x"
            await requests.gone.wait()  # what read the request is of no use to an open socket
            assert not pinged.gone.is_set()
        await pinged.gone.wait()
        await server.shutdown([listening])
    assert (len(requests.made), len(pinged.made)) == (1, 1)
