"""A server that is told to end: what it still does, what it says, and that nothing holds it.

Locks in the database hold requests and commands exactly where a test wants them.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from websockets.asyncio.client import connect as open_socket
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from netra.config import ServerName
from tests.clients import Account, Client, request
from tests.e2e.conftest import Start
from tests.live import LiveServer
from tests.processes import HOST, eventually

LONG = 300.0
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))"


class Lock:
    """What a test holds in the database until it lets go."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def waiting(self, number: int = 1) -> bool:
        row = self._connection.execute(WAITING, [self._connection.info.backend_pid]).fetchone()
        return row is not None and row[0] >= number

    def release(self) -> None:
        self._connection.rollback()


@contextlib.contextmanager
def locked(server: LiveServer, statement: str, *parameters: object) -> Iterator[Lock]:
    with server.database() as connection:
        connection.autocommit = False
        connection.execute(statement, parameters)
        yield Lock(connection)
        connection.rollback()


def messages_of(server: LiveServer, account: Account) -> contextlib.AbstractContextManager[Lock]:
    """Holds whatever the user sends."""
    return locked(server, "SELECT 1 FROM chat_usercounters WHERE user_id = %s FOR UPDATE", account.id)


async def stopping(server: LiveServer, number: int = signal.SIGTERM) -> None:
    server.process.send_signal(number)
    await eventually(lambda: "server_stopping" in server.log_text(), what="the server to begin its end")


async def acquainted(client: Client) -> str:
    """A first message, which makes the user's rows. Returns its thread."""
    return str((await client.ask("Hello!"))[0]["thread_id"])


def say(message_id: str) -> dict[str, str]:
    return {"type": "user_message", "content": "Hello again!", "message_id": message_id}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_sends_every_client_away_and_ends_the_process(
    start_server: Start, asgi_server: ServerName, number: int
) -> None:
    server = start_server(asgi_server=asgi_server)
    async with server.connect(server.add_user()) as first, server.connect(server.add_user()) as second:
        server.process.send_signal(number)
        for client in (first, second):
            assert await client.closed() == 4412
            assert client.frames[-1]["type"] == "server_draining"
            assert client.frames[-1]["reconnect_after_ms"] > 0
    assert server.wait() == 0


async def test_a_command_that_was_taken_is_answered_before_the_socket_closes(
    start_server: Start, asgi_server: ServerName
) -> None:
    server = start_server(asgi_server=asgi_server, drain_seconds=LONG)
    account, message_id = server.add_user(), str(uuid.uuid4())
    async with server.connect(account) as client, server.connect(server.add_user()) as idle:
        await acquainted(client)
        with messages_of(server, account) as lock:
            await client.send(**say(message_id))
            await eventually(lock.waiting, what="the message's transaction to wait")
            await stopping(server)
            # The others are told meanwhile.
            assert await idle.closed() == 4412
            # What comes now is for the next connection.
            await client.send(**say(str(uuid.uuid4())))
            lock.release()
        assert await client.closed() == 4412
    replies = [frame for frame in client.frames if frame["type"] == "message_accepted"]
    assert [reply["message_id"] for reply in replies[1:]] == [message_id]
    assert client.frames[-1]["type"] == "server_draining"
    assert server.wait() == 0


async def test_a_command_that_takes_too_long_holds_neither_the_socket_nor_the_process(
    start_server: Start, asgi_server: ServerName
) -> None:
    server = start_server(asgi_server=asgi_server, drain_seconds=1)
    account = server.add_user()
    async with server.connect(account) as client:
        await acquainted(client)
        with messages_of(server, account) as lock:
            await client.send(**say(str(uuid.uuid4())))
            await eventually(lock.waiting, what="the message's transaction to wait")
            await stopping(server)
            assert await client.closed() == 4412
            assert client.frames[-1]["type"] == "server_draining"
            assert await asyncio.to_thread(server.wait) == 0
    assert not [frame for frame in client.frames if frame["type"] == "message_accepted"][1:]


class Request:
    """An HTTP request in a thread of its own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.answer: Any = None
        self._thread = threading.Thread(target=self._ask, args=arguments, kwargs=options)
        self._thread.start()

    def _ask(self, *arguments: Any, **options: Any) -> None:
        with contextlib.suppress(http.client.HTTPException, OSError):
            self.answer = request(*arguments, **options)

    async def ended(self) -> Any:
        await asyncio.to_thread(self._thread.join)
        return self.answer


async def test_requests_under_way_are_finished_and_a_proxy_learns_that_no_more_should_come(
    start_server: Start, asgi_server: ServerName
) -> None:
    server = start_server(asgi_server=asgi_server, drain_seconds=LONG)
    account = server.add_user()
    async with server.connect(account) as client:
        thread_id = await acquainted(client)
    kept = http.client.HTTPConnection(HOST, server.port, timeout=30)
    kept.request("GET", "/health/ready")
    assert kept.getresponse().read()
    with locked(server, "SELECT 1 FROM chat_thread WHERE id = %s FOR UPDATE", thread_id) as lock:
        path, title = f"/api/threads/{thread_id}", {"title": "Renamed"}
        renaming = Request(server.url, "PATCH", path, token=account.token(), body=title)
        await eventually(lock.waiting, what="the request to wait")
        await stopping(server)
        kept.request("GET", "/health/ready")
        answer = kept.getresponse()
        assert (answer.status, json.loads(answer.read())) == (503, {"status": "draining"})
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, server.port)).close()
        assert server.is_alive
        lock.release()
    answered = await renaming.ended()
    assert (answered.status, answered.body["title"]) == (200, "Renamed")
    kept.close()
    assert server.wait() == 0


async def test_a_request_that_takes_too_long_does_not_hold_the_process(
    start_server: Start, asgi_server: ServerName
) -> None:
    server = start_server(asgi_server=asgi_server, drain_seconds=0.5)
    account = server.add_user()
    async with server.connect(account) as client:
        thread_id = await acquainted(client)
    with locked(server, "SELECT 1 FROM chat_thread WHERE id = %s FOR UPDATE", thread_id) as lock:
        deleting = Request(server.url, "DELETE", f"/api/threads/{thread_id}", token=account.token())
        await eventually(lock.waiting, what="the request to wait")
        await stopping(server)
        assert await asyncio.to_thread(server.wait) == 0
    await deleting.ended()


async def test_a_socket_that_is_just_being_opened_is_greeted_and_sent_away(
    start_server: Start, asgi_server: ServerName
) -> None:
    # Nobody but the handshake waits for the table.
    server = start_server(asgi_server=asgi_server, drain_seconds=LONG, ws_connect_timeout=10, sweep_seconds=3600.0)
    account = server.add_user()
    with locked(server, "LOCK TABLE chat_run IN ACCESS EXCLUSIVE MODE") as lock:
        client_ended = asyncio.create_task(all_frames(server, account))
        await eventually(lock.waiting, what="the handshake to wait")
        await stopping(server)
        lock.release()
    types, closed_with = await client_ended
    assert closed_with == 4412
    assert types == ["connection_established", "server_draining"]
    assert server.wait() == 0


async def all_frames(server: LiveServer, account: Account) -> tuple[list[str], int]:
    async with open_socket(
        f"ws://{HOST}:{server.port}/ws",
        additional_headers={"Authorization": f"Bearer {account.token()}"},
        open_timeout=30,
        proxy=None,
    ) as opened:
        client = Client(opened)
        code = await client.closed()
    return [frame["type"] for frame in client.frames], code


async def test_a_second_signal_ends_it_at_once(start_server: Start, asgi_server: ServerName) -> None:
    server = start_server(asgi_server=asgi_server, drain_seconds=LONG)
    account = server.add_user()
    async with server.connect(account) as client:
        await acquainted(client)
        with messages_of(server, account) as lock:
            await client.send(**say(str(uuid.uuid4())))
            await eventually(lock.waiting, what="the message's transaction to wait")
            await stopping(server)
            server.process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(server.wait) == -signal.SIGINT
        assert await client.closed() == 1006


async def test_a_client_that_does_not_read_does_not_hold_the_process(
    start_server: Start, asgi_server: ServerName
) -> None:
    server = start_server(asgi_server=asgi_server, drain_seconds=1, offline_tokens_per_second=0)
    account = server.add_user()
    async with server.connect(account) as client:
        await acquainted(client)
        client.socket.transport.pause_reading()
        # More replies than the system takes for a client that reads none, and fewer than the window.
        for _ in range(60):
            await client.send(type="ping", ref="x" * 256)
        await stopping(server)
        assert await asyncio.to_thread(server.wait) == 0


async def test_its_runs_are_handed_back(data_dir: Path, asgi_server: ServerName) -> None:
    slow: dict[str, Any] = {"offline_tokens_per_second": 2.0, "worker_shutdown_seconds": 0.2}
    with LiveServer(data_dir, asgi_server=asgi_server, **slow) as server:
        account = server.add_user()
        async with server.connect(account) as client:
            accepted = await client.post("Tell me what you can do.")
            await client.events(accepted["run_id"], to=["agent_response_chunk"])
            server.process.terminate()
            assert await client.closed() == 4412
            state = client.state
        assert server.wait() == 0
        server.configure(offline_tokens_per_second=0)
        server.start()
        async with server.connect(account, state=state) as client:
            events = await client.events(accepted["run_id"])
        restarted = next(event for event in events if event["type"] == "agent_restarted")
        assert restarted["data"] == {"attempt": 1, "reason": "handed_back"}
        assert events[-1]["type"] == "agent_completed"
        assert not server.traceback(), server.traceback()


# A client that has gone without a word


class ImpatientServer(LiveServer):
    """`manage.py serve` that pings clients after `silence` seconds."""

    silence = 0.1

    def _command(self) -> list[str]:
        patched = f"from netra import serving; serving.PING_SECONDS, serving.PING_TIMEOUT = {self.silence}, 2.0"
        begun = f"import runpy, sys; sys.argv = {super()._command()[1:]!r}"
        return [sys.executable, "-c", f"{patched}\n{begun}\nrunpy.run_path('manage.py', run_name='__main__')"]


async def test_a_client_that_answers_no_ping_is_dropped_and_not_closed_with_1011(
    data_dir: Path, asgi_server: ServerName
) -> None:
    with ImpatientServer(data_dir, asgi_server=asgi_server) as server:
        async with server.connect(server.add_user()) as client, server.connect(server.add_user()) as other:
            client.socket.transport.pause_reading()
            disconnected = "disconnected"
            await eventually(lambda: disconnected in server.log_text(), what="the server to drop the client")
            await other.ping()
            client.socket.transport.resume_reading()
            assert await client.closed() == 1006
        assert server.stop() == 0
        assert not server.traceback(), server.traceback()


async def test_a_client_is_pinged_when_it_has_been_silent_and_not_before(
    data_dir: Path, asgi_server: ServerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = ImpatientServer(data_dir, asgi_server=asgi_server)
    impatient.silence = 2.0
    loop, pinged = asyncio.get_running_loop(), asyncio.Event()
    heard_at: list[float] = []
    with impatient as server:
        async with server.connect(server.add_user()) as client:
            process = client.socket.process_event

            def process_event(event: Event) -> None:
                if isinstance(event, Frame) and event.opcode is Opcode.PING:
                    pinged.set()
                process(event)

            monkeypatch.setattr(client.socket, "process_event", process_event)
            while not heard_at or heard_at[-1] - heard_at[0] < 2.5 * impatient.silence:
                await client.ping()
                heard_at.append(loop.time())
                await asyncio.sleep(0.1)  # how often it speaks
            longest = max(later - earlier for earlier, later in itertools.pairwise(heard_at))
            assert not pinged.is_set() or longest >= impatient.silence
            async with asyncio.timeout(30):
                await pinged.wait()
