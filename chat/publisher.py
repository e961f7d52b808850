"""The one place that tells connections to look: wake-ups and notices to the group of a user, after the commit.

Every layer is treated as lossy (docs/protocol.md, section 5.4), so a send that fails is no error of its caller: the
log says when sends begin to fail and when they end, and connections find what they missed by their position check.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Iterator
from typing import Any

from asgiref.sync import SyncToAsync, async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

from chat.backoff import delays
from chat.reachability import Reachability
from chat.redis_layer import RedisLayer

SEND_TIMEOUT = 1.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 4.0


def user_group(user_id: int | str) -> str:
    """The channel-layer group of all connections of a user."""
    return f"user.{user_id}"


class Attempts:
    """When to send to a server: while it is away only now and then, ever more rarely, and one at a time."""

    def __init__(self, server: Reachability) -> None:
        self.server = server
        self._pauses: Iterator[float] | None = None
        self._next_at = 0.0

    def due(self) -> bool:
        if self.server.available:
            self._pauses = None
            return True
        now = time.monotonic()
        if self._pauses is None:
            self._pauses = delays(first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS)
        elif now < self._next_at:
            return False
        self._next_at = now + SEND_TIMEOUT + next(self._pauses)
        return True


class Publisher:
    """Sends to user groups, each by the way to its server."""

    def __init__(self) -> None:
        self._layer = Reachability("channel_layer")
        self._attempts: dict[Reachability, Attempts] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, user_id: int | str, message: dict[str, Any]) -> None:
        layer = get_channel_layer()
        if layer is None:
            return
        group = user_group(user_id)
        attempts = self._attempts_at(layer, group)
        if not attempts.due():
            return
        # Each layer raises errors of its own libraries.
        with contextlib.suppress(Exception), attempts.server.watching():
            async with asyncio.timeout(SEND_TIMEOUT):
                await layer.group_send(group, message)

    def _attempts_at(self, layer: Any, group: str) -> Attempts:
        server: Reachability = layer.server_of(group) if isinstance(layer, RedisLayer) else self._layer
        return self._attempts.setdefault(server, Attempts(server))

    def send_on_commit(self, user_id: int | str, message: dict[str, Any]) -> None:
        """For code in a transaction, on a thread: sends once the transaction has committed, and not otherwise.

        A thread that a loop is waiting for leaves the sending to that loop and goes on: if it waited for its turn on
        a busy loop, so would all that waits for the thread.
        """
        transaction.on_commit(lambda: self._send_soon(user_id, message))

    def _send_soon(self, user_id: int | str, message: dict[str, Any]) -> None:
        loop: asyncio.AbstractEventLoop | None = getattr(SyncToAsync.threadlocal, "main_event_loop", None)
        if loop is None or not loop.is_running():
            async_to_sync(self.send)(user_id, message)
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile, and its connections with it
            loop.call_soon_threadsafe(self._start_send, user_id, message, context=contextvars.Context())

    def _start_send(self, user_id: int | str, message: dict[str, Any]) -> None:
        task = asyncio.get_running_loop().create_task(self.send(user_id, message), name=f"tell user {user_id}")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
