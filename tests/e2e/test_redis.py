"""Redis in its larger forms, and Redis that breaks: several servers, Sentinels, a server that hangs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.clients import Account, Client, assert_state_is_what_rest_shows
from tests.live import LiveServer
from tests.processes import HOST, LiveProcess, LiveRedis, accepts, eventually, free_port, until

# What arrives within a test then came by a wake-up, and not by the check that makes up for lost ones.
NEVER = 3600.0
MASTER = "netra"


async def answered(client: Client) -> list[dict[str, Any]]:
    events = await client.ask("What is 6 * 7?")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "agent_completed"
    return events


def command(port: int, *words: str) -> str:
    """The beginning of a Redis server's answer."""
    with socket.create_connection((HOST, port), timeout=5) as connection:
        connection.sendall(f"{' '.join(words)}\r\n".encode())
        return connection.recv(65536).decode()


async def clients_of(stack: AsyncExitStack, server: LiveServer, accounts: list[Account]) -> list[Client]:
    return [await stack.enter_async_context(server.connect(account)) for account in accounts]


# Several servers


@pytest.fixture
def shards() -> Iterator[list[LiveRedis]]:
    with ExitStack() as stack:
        yield [stack.enter_context(LiveRedis()) for _ in range(2)]


def layer_of(client: Client) -> str:
    return str(client.established["services"]["channel_layer"])


async def test_of_two_servers_each_carries_its_users_and_one_that_dies_concerns_no_others(
    data_dir: Path, shards: list[LiveRedis]
) -> None:
    url = ",".join(redis.url for redis in shards)
    with LiveServer(data_dir, redis_url=url, ws_position_check_seconds=NEVER) as server:
        accounts = server.add_users(12)
        async with AsyncExitStack() as stack:
            clients = await clients_of(stack, server, accounts)
            await asyncio.gather(*(answered(client) for client in clients))

            shards[0].kill()
            await eventually(lambda: "channel_layer_lost" in server.log_text(), what="the loss to be noticed")
            assert server.http("GET", "/health/ready").body["services"]["channel_layer"] == "degraded"
            again = await clients_of(stack, server, accounts)
            whole = [client for client, now in zip(clients, again, strict=True) if layer_of(now) == "ready"]
            assert 0 < len(whole) < len(clients), "each server should have some of the users"
            await asyncio.gather(*(answered(client) for client in whole))

            shards[0].start()
            await eventually(lambda: "channel_layer_back" in server.log_text(), what="the return to be noticed")
            await asyncio.gather(*(answered(client) for client in [*clients, *again]))
        log = server.log_text()
        assert (log.count("channel_layer_lost"), log.count("channel_layer_back")) == (1, 1), log
        assert not server.traceback(), server.traceback()


# Sentinels


class RedisWith(LiveRedis):
    """A Redis with further options."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._options = options

    def _command(self) -> list[str]:
        return [*super()._command(), *self._options]


class Sentinel(LiveProcess):
    """`redis-server --sentinel`, quick to see that a master is gone. It writes into its file."""

    def __init__(self, folder: Path, number: int, master: LiveRedis) -> None:
        self.port = free_port()
        self._file = folder / f"sentinel-{number}.conf"
        self._file.write_text(
            f"port {self.port}\nbind {HOST}\ndir {folder}\n"
            f"sentinel monitor {MASTER} {HOST} {master.port} 2\n"
            f"sentinel down-after-milliseconds {MASTER} 500\n"
            f"sentinel failover-timeout {MASTER} 3000\n"
        )
        super().__init__(f"sentinel-{number}", folder / f"sentinel-{number}.log")

    def _command(self) -> list[str]:
        return ["redis-server", str(self._file), "--sentinel"]

    def _is_ready(self) -> bool:
        return accepts(self.port)


@pytest.fixture
async def watched(data_dir: Path) -> AsyncIterator[tuple[LiveRedis, LiveRedis, list[Sentinel]]]:
    """A master, its replica and three Sentinels that know of both and of each other."""
    with ExitStack() as stack:
        master = stack.enter_context(RedisWith())
        replica = stack.enter_context(RedisWith("--replicaof", HOST, str(master.port)))
        sentinels = [stack.enter_context(Sentinel(data_dir, number, master)) for number in range(3)]
        for sentinel in sentinels:
            until(
                lambda port=sentinel.port: (  # type: ignore[misc]
                    str(replica.port) in command(port, "SENTINEL", "REPLICAS", MASTER)
                    and command(port, "SENTINEL", "SENTINELS", MASTER).startswith("*2")
                ),
                what="the Sentinels to know each other and the replica",
            )
        yield master, replica, sentinels


async def test_after_a_fail_over_wake_ups_come_through_the_new_master_and_nothing_was_lost_meanwhile(
    data_dir: Path, watched: tuple[LiveRedis, LiveRedis, list[Sentinel]]
) -> None:
    master, replica, sentinels = watched
    addresses = ",".join(f"{HOST}:{sentinel.port}" for sentinel in sentinels)
    url = f"redis+sentinel://{addresses}/{MASTER}/0"
    with LiveServer(data_dir, redis_url=url, offline_tokens_per_second=25) as server:
        account = server.add_user()
        async with server.connect(account) as client:
            assert layer_of(client) == "ready"
            run_id = (await client.post("help"))["run_id"]
            await client.events(run_id, to=["agent_response_chunk"])
            sentinels[0].kill()  # the one that is asked first; two are enough to agree
            master.kill()
            events = await client.events(run_id)
            assert [event["seq"] for event in events] == list(range(1, len(events) + 1))

            await eventually(lambda: "role:master" in command(replica.port, "INFO", "replication"), what="a new master")
            subscribed = f"asgi__group__user.{account.id}"
            await eventually(
                lambda: subscribed in command(replica.port, "PUBSUB", "CHANNELS", "*user*"),
                what="the server to listen to the new master",
            )
            await eventually(
                lambda: server.http("GET", "/health/ready").body["status"] == "ready", what="the layer to be back"
            )
            before = published(replica)
            await answered(client)
            assert published(replica) > before, "events came from the log only"
            assert_state_is_what_rest_shows(server, account, client.state)
        assert not server.traceback(), server.traceback()


def published(redis: LiveRedis) -> int:
    """How often something was published there."""
    statistics = command(redis.port, "INFO", "commandstats")
    [line] = [line for line in statistics.splitlines() if line.startswith("cmdstat_publish:")] or ["calls=0,"]
    return int(line.partition("calls=")[2].partition(",")[0])


# A server that hangs


async def test_a_redis_that_hangs_delays_nobody(data_dir: Path) -> None:
    """It keeps its connections and takes new ones, and answers nothing."""
    with ExitStack() as stack:
        redis = stack.enter_context(LiveRedis())
        server = stack.enter_context(LiveServer(data_dir, redis_url=redis.url))
        stack.callback(redis.go_on)
        account = server.add_user()
        async with server.connect(account) as client:
            await answered(client)
            redis.pause()
            await answered(client)
            async with server.connect(account) as late:
                await answered(late)
            ready = server.http("GET", "/health/ready")
            assert (ready.status, ready.body["status"]) == (200, "degraded")
            redis.go_on()
            await eventually(
                lambda: server.http("GET", "/health/ready").body["status"] == "ready", what="the layer to be back"
            )
            await answered(client)
            assert_state_is_what_rest_shows(server, account, client.state)
        assert not server.traceback(), server.traceback()
