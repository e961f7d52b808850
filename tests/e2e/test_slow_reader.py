"""A client that does not read costs the server its window and no more, and gets everything once it reads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import connect as open_socket

from netra.config import ServerName
from tests.clients import TERMINAL, Account, Client, Frame
from tests.live import LiveServer, LiveWorker
from tests.processes import HOST

# They move many megabytes, on a machine that may have much else to do.
pytestmark = pytest.mark.timeout(400)

MUCH = "Talk much."
PIECES = 125
PIECE_BYTES = 40_000
ENDED = "SELECT 1 FROM chat_run WHERE id = %s AND finished_at IS NOT NULL"
FULL_EVENTS = 1000
EVENTS = 400
EVENT_BYTES = 50_000
ALLOWED_GROWTH = 4 * 1024 * 1024
# Nothing but these clients moves: no sweep takes the runs that a test writes, and no window is full for too long.
QUIET: dict[str, Any] = {"sweep_seconds": 3600.0, "ws_window_timeout": 600.0, "ws_position_check_seconds": 0.2}

# A run like another one of the same user, and then its events: many, large, and no two alike to a compressor.
COPY_RUN = """
    WITH counted AS (
        UPDATE chat_usercounters SET last_run_number = last_run_number + 1 WHERE user_id = %(user)s
        RETURNING last_run_number AS number)
    INSERT INTO chat_run SELECT (jsonb_populate_record(r, jsonb_build_object(
        'id', %(run)s::text, 'run_number', counted.number, 'last_seq', %(events)s, 'output_message_id', NULL))).*
    FROM chat_run r, counted WHERE r.user_id = %(user)s ORDER BY r.run_number LIMIT 1
"""
WRITE_EVENTS = """
    INSERT INTO chat_runevent (run_id, seq, type, agent, data, created_at)
    SELECT %(run)s::uuid, seq,
           CASE seq WHEN %(events)s THEN 'agent_cancelled' ELSE 'agent_response_chunk' END,
           'assistant',
           CASE seq WHEN %(events)s THEN jsonb_build_object('by', 'user')
                    ELSE jsonb_build_object('message_id', %(run)s::text, 'text', text) END,
           now()
    FROM generate_series(1, %(events)s) AS seq,
         LATERAL (SELECT string_agg(md5(seq::text || ':' || part::text), '') AS text
                  FROM generate_series(1, %(parts)s) AS part) AS texts
"""


def write_run(server: LiveServer, account: Account, *, events: int = EVENTS) -> str:
    """A run of `events` large events appears in the log, as if another process had written it."""
    run = str(uuid.uuid4())
    values = {"run": run, "user": account.id, "events": events, "parts": EVENT_BYTES // 32}
    with server.database() as connection, connection.transaction():
        connection.execute(COPY_RUN, values)
        connection.execute(WRITE_EVENTS, values)
    return run


def memory(server: LiveServer) -> int:
    """Bytes of memory that the process holds (RSS)."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(kilobytes) * 1024


def take_at_once(client: Client, size: int) -> None:
    """How much the system receives for a client that has not read it."""
    client.socket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


@contextlib.asynccontextmanager
async def connected_narrowly(server: LiveServer, account: Account) -> AsyncIterator[Client]:
    """A socket for which the system keeps little, so that what is not read stays with the server."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, (HOST, server.port))
    async with open_socket(
        f"ws://{HOST}:{server.port}/ws",
        sock=narrow,
        additional_headers={"Authorization": f"Bearer {account.token()}"},
        max_size=None,
        max_queue=2,
        compression=None,
        ping_interval=None,
        proxy=None,
    ) as opened:
        client = Client(opened)
        client.established = await client.receive("connection_established")
        yield client


class TalkativeModel:
    """A model server that speaks OpenAI's protocol, and says much when asked to."""

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        headers = [(b"content-type", b"text/event-stream"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(PIECES if MUCH.encode() in body else 20):
            await self._stream(send, {"content": f"{number:08}" * (PIECE_BYTES // 8)}, None)
        await self._stream(send, {}, "stop")
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    async def _stream(self, send: Any, delta: dict[str, str], reason: str | None) -> None:
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "talkative"}
        chunk |= {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        await send({"type": "http.response.body", "body": f"data: {json.dumps(chunk)}\n\n".encode(), "more_body": True})


@pytest.fixture
async def model_url() -> AsyncIterator[str]:
    listener = socket.create_server((HOST, 0))
    server = uvicorn.Server(uvicorn.Config(TalkativeModel(), log_level="critical", lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="talkative model")
    yield f"http://{HOST}:{listener.getsockname()[1]}/v1"
    server.should_exit = True
    await serving


async def read_all(client: Client, run_id: str) -> list[Frame]:
    """Every event of the run, in order."""
    while not (seen := client.events_of(run_id)) or seen[-1]["type"] not in TERMINAL:
        await client.receive()
        if len(client.frames) % 4 == 0:
            await client.send(type="ack", received=len(client.frames))
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    return seen


@pytest.mark.parametrize("much", [EVENTS, pytest.param(FULL_EVENTS, marks=pytest.mark.nightly)])
async def test_a_client_that_reads_nothing_costs_less_than_four_megabytes_while_many_wait(
    data_dir: Path, asgi_server: ServerName, much: int
) -> None:
    with LiveServer(data_dir, asgi_server=asgi_server, **QUIET) as server:
        slow, busy = server.add_users(2)
        async with server.connect(busy) as other, connected_narrowly(server, slow) as client:
            for each in (client, other):
                await each.ask("Hello!")
            # What the server needs to send large events at all is not counted.
            await read_all(client, write_run(server, slow, events=40))
            for _ in range(20):
                await other.ask("What is 6 * 7?")
            before = memory(server)

            client.socket.transport.pause_reading()
            waiting = write_run(server, slow, events=much)
            growth = 0
            for _ in range(10):
                # Others are answered as ever.
                assert "42" in (await other.ask("What is 6 * 7?"))[-1]["data"]["message"]["content"]
                growth = max(growth, memory(server) - before)
            print(f"\n{asgi_server}: {growth / 1024:.0f} KiB more while {much * EVENT_BYTES / 1e6:.0f} MB wait")
            assert growth < ALLOWED_GROWTH

            take_at_once(client, 4 * 1024 * 1024)
            client.socket.transport.resume_reading()
            events = await read_all(client, waiting)
            assert len(events) == much
            assert all(len(event["data"]["text"]) == EVENT_BYTES // 32 * 32 for event in events[:-1])
            print(f"{(memory(server) - before) / 1024:.0f} KiB more afterwards")
        assert server.stop() == 0
        assert not server.traceback(), server.traceback()


async def test_a_client_that_reads_nothing_costs_no_more_while_an_agent_talks(
    data_dir: Path, asgi_server: ServerName, redis_url: str, model_url: str
) -> None:
    model = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "none"}
    wiring: dict[str, Any] = {"redis_url": redis_url, "worker": "external", "model": "openai:talkative"}
    server = LiveServer(data_dir, asgi_server=asgi_server, ready=False, **QUIET | wiring)
    worker = LiveWorker("worker", data_dir, **wiring)
    for process in (server, worker):
        process.inherited = os.environ | model
    with server, worker:
        slow, busy = server.add_users(2)
        async with server.connect(busy) as other, connected_narrowly(server, slow) as client:
            take_at_once(client, 4 * 1024 * 1024)
            for each in (client, other):
                await read_all(each, (await each.post("Talk a little."))["run_id"])
            take_at_once(client, 4096)
            before = memory(server)

            run_id = (await client.post(MUCH))["run_id"]
            client.socket.transport.pause_reading()
            growth = 0
            while not ended(server, run_id):
                # Others are answered as ever.
                await other.ping()
                growth = max(growth, memory(server) - before)
            print(f"\n{asgi_server}: {growth / 1024:.0f} KiB more while {PIECES * PIECE_BYTES / 1e6:.0f} MB came")
            assert growth < ALLOWED_GROWTH

            take_at_once(client, 4 * 1024 * 1024)
            client.socket.transport.resume_reading()
            events = await read_all(client, run_id)
        said = "".join(event["data"]["text"] for event in events if event["type"] == "agent_response_chunk")
        assert said == "".join(f"{number:08}" * (PIECE_BYTES // 8) for number in range(PIECES))
    assert not server.traceback(), server.traceback()


def ended(server: LiveServer, run_id: str) -> bool:
    with server.database() as connection:
        return connection.execute(ENDED, [run_id]).fetchone() is not None
