"""What our Redis layer is for: each test fails with the stock layer in its place."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog

from chat import redis_layer
from chat.delivery import Frame
from chat.publisher import Publisher, user_group
from chat.redis_layer import RedisLayer
from chat.wake_ups import WAKE_UP, wake_up
from netra.redis_url import channels_host
from tests.cluster import Link
from tests.processes import HOST, LiveRedis, eventually

MESSAGE = {"type": "thread.notice"}
SECONDS = 10.0
Make = Callable[..., RedisLayer]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes layers, and leaves nothing of them."""
    async with AsyncExitStack() as stack:

        def make(*urls: str) -> RedisLayer:
            layer = RedisLayer(hosts=[{**channels_host(url), "health_check_interval": 0.2} for url in urls])
            stack.push_async_callback(layer.flush)
            return layer

        yield make


@pytest.fixture
def redis() -> Iterator[LiveRedis]:
    with LiveRedis() as redis:
        yield redis


@pytest.fixture
def other() -> Iterator[LiveRedis]:
    with LiveRedis() as redis:
        yield redis


def groups_of(layer: RedisLayer) -> list[str]:
    """For each server a group that is its own."""
    found: dict[int, str] = {}
    for user in range(1000):
        found.setdefault(layer.servers.index(layer.server_of(user_group(user))), user_group(user))
    return [found[index] for index in range(len(layer.servers))]


Heard = asyncio.Queue[Any]


async def joined(layer: RedisLayer, group: str) -> Heard:
    heard = Heard()
    await layer.listen(group, heard.put_nowait)
    return heard


async def receive(heard: Heard) -> Any:
    async with asyncio.timeout(SECONDS):
        return await heard.get()


async def send_until_received(layer: RedisLayer, group: str, heard: Heard, *, by: RedisLayer | None = None) -> Any:
    """As events go on to be published, here or by another process."""
    receiving = asyncio.create_task(receive(heard))
    while not receiving.done():
        with contextlib.suppress(Exception):
            await (by or layer).group_send(group, MESSAGE)
        await asyncio.wait([receiving], timeout=0.05)
    return await receiving


async def test_groups_are_spread_over_the_servers(make: Make, redis: LiveRedis, other: LiveRedis) -> None:
    sending, layer = make(redis.url, other.url), make(redis.url, other.url)
    groups = groups_of(layer)
    channels = [await joined(layer, group) for group in groups]
    for group, channel in zip(groups, channels, strict=True):
        assert await send_until_received(layer, group, channel, by=sending) == MESSAGE


async def test_a_server_that_is_away_concerns_its_own_groups_only(
    make: Make, redis: LiveRedis, other: LiveRedis
) -> None:
    layer = make(redis.url, other.url)
    lost, whole = groups_of(layer)
    redis.kill()
    for _ in range(10):  # a channel of the stock layer is on either server, at random
        assert await send_until_received(layer, whole, await joined(layer, whole)) == MESSAGE
    with pytest.raises(Exception, match=r"."):
        await layer.group_send(lost, MESSAGE)
    with pytest.raises(Exception, match=r"."):
        await layer.probe()


async def test_who_joins_while_the_server_is_away_is_subscribed_when_it_is_back(
    make: Make, redis: LiveRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_layer, "CONNECT_SECONDS", 0.2)
    layer = make(redis.url)
    redis.kill()
    channel = Heard()
    with pytest.raises(TimeoutError):
        await layer.listen("user.1", channel.put_nowait)
    await asyncio.to_thread(redis.start)
    assert await send_until_received(layer, "user.1", channel) == MESSAGE


async def test_the_first_message_after_a_restart_arrives(make: Make, redis: LiveRedis) -> None:
    sending, layer = make(redis.url), make(redis.url)
    channel = await joined(layer, "user.1")
    assert await send_until_received(layer, "user.1", channel, by=sending) == MESSAGE
    redis.kill()
    await asyncio.to_thread(redis.start)
    assert await send_until_received(layer, "user.1", channel) == MESSAGE  # it is subscribed again
    while not channel.empty():
        await receive(channel)
    await sending.group_send("user.1", {"type": "first"})
    assert await receive(channel) == {"type": "first"}


async def test_frames_are_made_once_for_all_of_a_group(make: Make, redis: LiveRedis) -> None:
    layer = make(redis.url)
    channels = [await joined(layer, "user.1"), await joined(layer, "user.1")]
    frame = Frame(1, "text", terminal=True)
    await layer.group_send("user.1", wake_up("run", 1, [frame]))
    one, two = [await receive(channel) for channel in channels]
    assert one["frames"] == [frame]
    assert one["frames"][0] is two["frames"][0]


async def test_a_message_that_cannot_be_read_is_the_only_one_that_is_lost(make: Make, redis: LiveRedis) -> None:
    layer = make(redis.url)
    channel = await joined(layer, "user.1")
    [shard] = layer._get_layer()._shards
    with structlog.testing.capture_logs() as lines:
        for unreadable in (b"\xc1", layer.serialize({"type": WAKE_UP}), layer.serialize({})):
            await shard.publish(layer._get_layer()._get_group_channel_name("user.1"), unreadable)
        await layer.group_send("user.1", MESSAGE)
        assert await receive(channel) == MESSAGE
    assert [line["event"] for line in lines] == ["message_not_read"] * 3


async def test_what_comes_meanwhile_goes_together_and_in_order(make: Make, redis: LiveRedis) -> None:
    sending, layer = make(redis.url), make(redis.url)
    channels = [await joined(layer, "user.1"), await joined(layer, "user.1")]
    [shard] = sending._get_layer()._shards
    groups: list[int] = []
    together = shard._send_together

    async def watched(group: Any) -> None:
        groups.append(len(group))
        await together(group)

    shard._send_together = watched
    await asyncio.gather(*(sending.group_send("user.1", {"type": str(number)}) for number in range(50)))
    assert sum(groups) == 50
    assert len(groups) <= 2
    told = [[await receive(channel) for _ in range(50)] for channel in channels]
    assert [message["type"] for message in told[0]] == [str(number) for number in range(50)]
    assert all(one is other for one, other in zip(*told, strict=True)), "taken apart once"


async def test_who_does_not_wait_any_longer_holds_up_nobody(make: Make, redis: LiveRedis) -> None:
    sending, layer = make(redis.url), make(redis.url)
    channel = await joined(layer, "user.1")
    leaving = asyncio.create_task(sending.group_send("user.1", {"type": "left"}))
    staying = asyncio.create_task(sending.group_send("user.1", MESSAGE))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    while await receive(channel) != MESSAGE:
        pass


async def test_a_server_that_says_nothing_is_not_waited_for(
    make: Make, redis: LiveRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_layer, "PUBLISH_SECONDS", 0.2)
    sending, layer = make(redis.url), make(redis.url)
    channel = await joined(layer, "user.1")
    await sending.group_send("user.1", MESSAGE)
    redis.pause()
    try:
        with pytest.raises(TimeoutError):
            await sending.group_send("user.1", MESSAGE)
    finally:
        redis.go_on()
    assert await send_until_received(layer, "user.1", channel, by=sending) == MESSAGE


async def test_a_connection_that_is_silent_is_left_for_another(
    make: Make, redis: LiveRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network of the first connection swallows what is sent, without a word."""
    monkeypatch.setattr(redis_layer, "READ_SECONDS", 0.1)
    with tempfile.TemporaryDirectory() as folder, Link("link", Path(folder), f"{HOST}:{redis.port}") as link:
        layer = make(f"redis://{HOST}:{link.port}/0")
        channel = await joined(layer, "user.1")
        assert await send_until_received(layer, "user.1", channel) == MESSAGE
        link.pause()
        with structlog.testing.capture_logs() as lines:
            await eventually(lambda: lines, what="the silence to be noticed")
            assert lines[0]["event"] == "channel_layer_lost"
            link.go_on()
            assert await send_until_received(layer, "user.1", channel) == MESSAGE
            await eventually(lambda: lines[-1]["event"] == "channel_layer_back", what="the return to be noticed")
    assert lines[0]["server"] == f"{HOST}:{link.port}/0"


async def test_an_idle_connection_whose_pings_are_answered_stays(
    make: Make, redis: LiveRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_layer, "READ_SECONDS", 0.05)
    layer = make(redis.url)
    await joined(layer, "user.1")
    [shard] = layer._get_layer()._shards
    connection = shard._pubsub.connection
    answered: list[float] = []
    while len(answered) < 4:  # pings, each of which was due
        if connection.next_health_check not in answered:
            answered.append(connection.next_health_check)
        await asyncio.sleep(0.01)
    assert shard._pubsub.connection is connection
    assert connection.is_connected


async def test_a_publisher_sends_to_a_server_that_is_away_now_and_then_only(make: Make, redis: LiveRedis) -> None:
    layer = make(redis.url)
    publisher = Publisher()
    attempts = publisher._attempts_at(layer, user_group(1))
    assert attempts.due()
    assert attempts.due()
    with contextlib.suppress(ConnectionError), attempts.server.watching():
        raise ConnectionError("away")
    assert [attempts.due() for _ in range(20)] == [True] + [False] * 19
    with attempts.server.watching():  # the receiver of this process has connected again
        pass
    assert attempts.due()


def test_a_name_in_the_log_shows_no_password() -> None:
    for url, name in (
        ("redis://u:hunter2@r:6379/1?x=hunter2", "r:6379/1"),
        ("unix:///run/redis.sock", "/run/redis.sock"),
        ("rediss+sentinel://u:hunter2@a,b:1/main/2?sentinel_password=hunter2", "a:26379,b:1/main"),
    ):
        assert redis_layer._name(channels_host(url)) == name
