"""Channels' Redis layer for groups, relied upon: nothing waits for ever, and one task of each server connects again.

What the stock layer (channels_redis.pubsub) lacks, each with the test that shows it (tests/chat/test_redis_layer.py):

* the first message after a server's restart is lost with the connection at hand: here it is sent again;
* every channel is subscribed to on some server, so that one of several servers that dies keeps users of the others
  from joining: here only groups are, and who listens to one is called;
* a connection that is silent for ever is never left: here a ping must be answered;
* it connects again every second, from whichever task meets the loss first: here one task does, with backoff;
* messages are sent one by one, and each reader takes a message apart for itself: here what comes while one is on its
  way goes together, and a message is taken apart once.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence
from typing import Any

import structlog
from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer, RedisSingleShardConnection
from channels_redis.utils import _close_redis, _consistent_hash, _wrap_close, decode_hosts
from redis.exceptions import ConnectionError as RedisConnectionError

from chat.backoff import delays
from chat.process_layer import Hear
from chat.reachability import Reachability
from chat.together import Together, at_most
from chat.wake_ups import heard

logger = structlog.get_logger(__name__)

CONNECT_SECONDS = 3.0
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 4.0
READ_SECONDS = 1.0
PUBLISH_SECONDS = 1.0
MOST_AT_ONCE = 500
# After a silence of the connection's `health_check_interval` each read begins with a ping.
MAX_UNANSWERED_PINGS = 3


class RedisLayer(RedisPubSubChannelLayer):  # type: ignore[misc]  # channels_redis has no types
    """Groups are spread over the servers by their names. `servers` tells which of them are there."""

    def __init__(self, hosts: Sequence[Any], prefix: str = "asgi", **options: Any) -> None:
        super().__init__(hosts=hosts, prefix=prefix, **options)
        self._prefix = prefix
        self._names = [_name(host) for host in decode_hosts(hosts)]
        self.servers = [Reachability("channel_layer", server=name) for name in self._names]

    async def listen(self, group: str, hear: Hear) -> None:
        """`hear` is called with each message to the group, and raises nothing.

        Raises what the server's absence raises; the group is listened to when it is back.
        """
        await self._get_layer().listen(group, hear)

    async def leave(self, group: str, hear: Hear) -> None:
        await self._get_layer().leave(group, hear)

    def server_of(self, group: str) -> Reachability:
        index: int = _consistent_hash(f"{self._prefix}__group__{group}", len(self.servers))
        return self.servers[index]

    async def probe(self) -> None:
        """Reach every server. Raises what the first raises that is not there."""
        await asyncio.gather(*(shard.publish(f"{self._prefix}__probe__", b"") for shard in self._get_layer()._shards))

    async def reach(self, seconds: float) -> dict[str, bool]:
        """Which servers answer within so many seconds, by their names in the log."""
        shards = self._get_layer()._shards

        async def answers(shard: _Shard) -> bool:
            try:
                async with asyncio.timeout(seconds):
                    await shard.publish(f"{self._prefix}__probe__", b"")
            except Exception:  # noqa: BLE001 - redis-py has errors of several kinds
                return False
            return True

        found = await asyncio.gather(*(answers(shard) for shard in shards))
        return dict(zip(self._names, found, strict=True))

    def _get_layer(self) -> RedisPubSubLoopLayer:
        loop = asyncio.get_running_loop()
        if loop not in self._layers:
            self._layers[loop] = _LoopLayer(*self._args, **self._kwargs, channel_layer=self)
            _wrap_close(self, loop)
        return self._layers[loop]


class _LoopLayer(RedisPubSubLoopLayer):  # type: ignore[misc]
    """The layer as one event loop has it."""

    def __init__(self, *, hosts: Sequence[Any], channel_layer: RedisLayer, **options: Any) -> None:
        super().__init__(hosts=hosts, channel_layer=channel_layer, **options)
        self._shards = [
            _Shard(host, self, server) for host, server in zip(decode_hosts(hosts), channel_layer.servers, strict=True)
        ]

    async def listen(self, group: str, hear: Hear) -> None:
        """Raises what the server's absence raises; the group is subscribed to when it is back."""
        channel = self._get_group_channel_name(group)
        self.groups.setdefault(channel, {})[hear] = None
        await self._get_shard(channel).subscribe(channel)

    async def leave(self, group: str, hear: Hear) -> None:
        channel = self._get_group_channel_name(group)
        if (listeners := self.groups.get(channel)) is not None:
            listeners.pop(hear, None)
            if not listeners:
                del self.groups[channel]
                await self._get_shard(channel).unsubscribe(channel)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        raise NotImplementedError("This layer serves groups only.")


class _Shard(RedisSingleShardConnection):  # type: ignore[misc]
    """One server. What is subscribed to is a set; the receiving task alone makes it so on each new connection."""

    _redis: Any
    _pubsub: Any
    _subscribed_to: set[str]
    _receive_task: asyncio.Task[None] | None

    def __init__(self, host: dict[str, Any], layer: _LoopLayer, server: Reachability) -> None:
        super().__init__(host, layer)
        self._server = server
        self._connected = asyncio.Event()
        self._published = Together(self._publish, name="publish to Redis", room=at_most(MOST_AT_ONCE))
        self._subscribed = Together(
            self._subscribe, name="subscribe at Redis", room=at_most(MOST_AT_ONCE), gathers=True
        )

    async def publish(self, channel: str, message: bytes) -> None:
        """Messages of one process arrive in the order in which they were given; after a failure one may come twice."""
        await self._published.ask((channel, message))

    async def _publish(self, messages: Sequence[tuple[str, bytes]]) -> Sequence[None]:
        """Once more, on a new connection, when the one at hand was dead."""
        async with asyncio.timeout(PUBLISH_SECONDS):
            try:
                await self._send_together(messages)
            except RedisConnectionError:
                await self._redis.connection_pool.disconnect(inuse_connections=False)
                await self._send_together(messages)
        return [None] * len(messages)

    async def _send_together(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self._ensure_redis()
        async with self._redis.pipeline(transaction=False) as pipeline:
            for channel, message in messages:
                pipeline.publish(channel, message)
            await pipeline.execute()

    async def subscribe(self, channel: str) -> None:
        """Raises TimeoutError when the server is away; the subscription is made when it is back."""
        self._subscribed_to.add(channel)
        self._ensure_redis()
        self._ensure_receiver()
        if self._connected.is_set():
            await self._subscribed.ask(channel)
        else:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connected.wait()

    async def _subscribe(self, channels: Sequence[str]) -> Sequence[None]:
        await self._pubsub.subscribe(*channels)
        return [None] * len(channels)

    async def unsubscribe(self, channel: str) -> None:
        if channel not in self._subscribed_to:
            return
        self._subscribed_to.remove(channel)
        if self._connected.is_set():
            await self._pubsub.unsubscribe(channel)

    async def flush(self) -> None:
        receiving, self._receive_task = self._receive_task, None
        if receiving is not None:
            receiving.cancel()
            await asyncio.wait([receiving])
        self._subscribed_to = set()
        if self._redis is not None:
            await _close_redis(self._redis)
            self._redis = self._pubsub = None

    async def _do_receiving(self) -> None:
        pauses = delays(first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS)
        while True:
            try:
                with self._server.watching():
                    await self._connect()
                pauses = delays(first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS)
                with self._server.watching():
                    await self._receive()
            except Exception as error:  # noqa: BLE001 - whatever ended the connection, the next one begins
                logger.debug("channel_layer_failed", cause=repr(error))
            finally:
                self._connected.clear()
                await self._pubsub.aclose()
            await asyncio.sleep(next(pauses))

    def _receive_message(self, message: dict[str, Any] | None) -> None:
        if message is None:
            return
        layer = self.channel_layer
        if listeners := layer.groups.get(message["channel"].decode()):
            try:
                told = heard(layer.channel_layer.deserialize(message["data"]))
            except Exception:  # whatever is wrong with it, the connection brings all other messages
                logger.exception("message_not_read")
                return
            for hear in list(listeners):
                hear(told)

    def _ensure_receiver(self) -> None:
        if self._receive_task is None:
            # It outlives the connection that needs it first, so it must not inherit that one's context.
            self._receive_task = asyncio.get_running_loop().create_task(
                self._do_receiving(), name="receive from Redis", context=contextvars.Context()
            )

    async def _connect(self) -> None:
        self._pubsub = self._redis.pubsub()
        # The name of its own keeps the connection in the state of a subscriber when all others are gone.
        wanted, made = f"{self.channel_layer.prefix}__alive__", set[str]()
        async with asyncio.timeout(CONNECT_SECONDS):
            while missing := {wanted, *self._subscribed_to} - made:
                await self._pubsub.subscribe(*missing)
                made |= missing
        self._connected.set()

    async def _receive(self) -> None:
        connection = self._pubsub.connection
        loop = asyncio.get_running_loop()
        unanswered = 0
        while connection.is_connected:
            ping_due_at = connection.next_health_check
            pinging = connection.health_check_interval and loop.time() > ping_due_at
            self._receive_message(await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=READ_SECONDS))
            silent = connection.next_health_check == ping_due_at
            unanswered = unanswered + 1 if pinging and silent else 0
            if unanswered > MAX_UNANSWERED_PINGS:
                raise TimeoutError("the server does not answer")
        raise ConnectionError("the connection was closed")


def _name(host: dict[str, Any]) -> str:
    """A server's name in the log: without credentials."""
    if "sentinels" in host:
        return ",".join(f"{name}:{port}" for name, port in host["sentinels"]) + f"/{host['master_name']}"
    if "address" in host:
        return str(host["address"]).partition("?")[0].partition("://")[2].rpartition("@")[2]
    return f"{host.get('host', 'localhost')}:{host.get('port', 6379)}"
