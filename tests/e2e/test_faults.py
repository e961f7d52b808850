"""What breaks, and what its users see of it: nothing lost, nothing twice, nothing stuck."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect as open_socket

from chat.fold import ClientState
from tests.clients import Client, assert_state_is_what_rest_shows, assert_whole
from tests.live import LiveServer
from tests.processes import HOST, LiveRedis, eventually, processes_of

SLOW = 25  # tokens a second: an answer to "help" takes several seconds
RESTLESS: dict[str, Any] = {
    "offline_tokens_per_second": SLOW,
    "worker_heartbeat_seconds": 1.0,
    "worker_stalled_seconds": 4.0,
    "sweep_seconds": 1.0,
    "worker_shutdown_seconds": 0.1,
}


@pytest.fixture
def server(data_dir: Path) -> Iterator[LiveServer]:
    """With a database of its own, and quick to notice what is lost."""
    with LiveServer(data_dir, **RESTLESS) as server:
        yield server


async def ask_for_a_long_answer(client: Client) -> str:
    """The id of a run whose answer has begun."""
    run_id: str = (await client.post("help"))["run_id"]
    await client.events(run_id, to=["agent_response_chunk"])
    return run_id


async def test_kill_9_of_the_server_leaves_no_process_and_the_next_start_completes_the_run(server: LiveServer) -> None:
    account = server.add_user()
    async with server.connect(account) as client:
        run_id = await ask_for_a_long_answer(client)
        server.kill()
        await client.closed()
        before = client.events_of(run_id)
        state: ClientState = client.state
    await eventually(lambda: not processes_of(server.data_dir), what="every process of the server to end")

    server.start()
    async with server.connect(account, state=state) as client:
        after = await client.events(run_id)
        assert_state_is_what_rest_shows(server, account, state)
    restarted = next(event for event in after if event["type"] == "agent_restarted")
    assert restarted["data"] == {"attempt": 2, "reason": "worker_lost"}
    assert_whole(before + after)
    assert not server.traceback(), server.traceback()


async def test_sigterm_in_mid_answer_hands_the_run_back_and_the_next_start_completes_it(server: LiveServer) -> None:
    account = server.add_user()
    async with server.connect(account) as client:
        run_id = await ask_for_a_long_answer(client)
        server.process.terminate()
        assert await client.closed() == 4412
        assert any(frame["type"] == "server_draining" for frame in client.frames)
        before, state = client.events_of(run_id), client.state
    assert server.wait() == 0

    server.start()
    async with server.connect(account, state=state) as client:
        after = await client.events(run_id)
        assert_state_is_what_rest_shows(server, account, state)
    restarted = next(event for event in after if event["type"] == "agent_restarted")
    assert restarted["data"] == {"attempt": 1, "reason": "handed_back"}
    assert_whole(before + after)
    assert not server.traceback(), server.traceback()


async def test_what_arrives_while_the_server_drains_does_not_open_it_again(data_dir: Path) -> None:
    """As from a load balancer, whose connections are there before the signal."""
    with LiveServer(data_dir, **RESTLESS | {"worker_shutdown_seconds": 3.0}) as server:
        account = server.add_user()
        early = socket.create_connection((HOST, server.port))
        kept = http.client.HTTPConnection(HOST, server.port, timeout=10)
        kept.connect()
        async with server.connect(account) as client:
            await ask_for_a_long_answer(client)
            server.process.terminate()
            assert await client.closed() == 4412
        kept.request("GET", "/health")
        assert kept.getresponse().status == 200
        async with open_socket(
            f"ws://{HOST}:{server.port}/ws",
            sock=early,
            additional_headers={"Authorization": f"Bearer {account.token()}"},
            proxy=None,
        ) as late:
            client = Client(late)
            assert await client.closed() == 4503
        assert [frame["details"] for frame in client.frames] == [{"missing": ["server_draining"]}]
        kept.close()
        assert server.wait() == 0


async def test_a_dropped_socket_resumes_where_it_was(server: LiveServer) -> None:
    account = server.add_user()
    async with server.connect(account) as client:
        run_id = await ask_for_a_long_answer(client)
        client.socket.transport.abort()
        before, state = client.events_of(run_id), client.state
    async with server.connect(account, state=state) as client:
        after = await client.events(run_id)
        assert_state_is_what_rest_shows(server, account, state)
    assert after[0]["seq"] == before[-1]["seq"] + 1
    assert_whole(before + after)


async def test_without_redis_events_come_from_the_log(data_dir: Path) -> None:
    with LiveRedis() as redis, LiveServer(data_dir, redis_url=redis.url, **RESTLESS) as server:
        account = server.add_user()
        async with server.connect(account) as client:
            run_id = await ask_for_a_long_answer(client)
            redis.kill()
            assert_whole(await client.events(run_id))
            during = server.http("GET", "/health/ready")
            assert (during.status, during.body["status"]) == (200, "degraded")
            assert_whole(await client.ask("What is 6 * 7?"))
            redis.start()
            assert_whole(await client.ask("What is 7 * 7?"))
            await eventually(
                lambda: server.http("GET", "/health/ready").body["status"] == "ready", what="the layer to be back"
            )
            assert_state_is_what_rest_shows(server, account, client.state)
        assert not server.traceback(), server.traceback()
