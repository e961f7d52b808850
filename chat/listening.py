"""Hearing what is told to a user's connections over the channel layer, whenever the layer is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from channels.layers import get_channel_layer

from chat.backoff import delays
from chat.publisher import user_group

logger = structlog.get_logger(__name__)

LAYER_TIMEOUT = 0.5


class Listener:
    """A member of a user's group. `hear` takes each message, and raises nothing."""

    def __init__(self, hear: Callable[[dict[str, Any]], Awaitable[None]], *, log: Any = logger) -> None:
        self._hear = hear
        self._log = log
        self._joined = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def join(self, user_id: Any) -> bool:
        """False when the layer is away: until it is back, the position check delivers from the log."""
        self._listening = asyncio.get_running_loop().create_task(
            self._listen(user_group(user_id)), name=f"layer of user {user_id}"
        )
        try:
            async with asyncio.timeout(LAYER_TIMEOUT):
                await self._joined.wait()
        except TimeoutError:
            self._log.debug("channel_layer_unavailable")
            return False
        return True

    async def leave(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])

    async def _listen(self, group: str) -> None:
        """Hand on what comes over the channel layer; join again whenever that fails."""
        layer = get_channel_layer()
        assert layer is not None  # noqa: S101 - settings always name one
        for delay in delays(first=0.2, longest=5.0):
            channel = None
            try:
                channel = await layer.new_channel()
                await layer.group_add(group, channel)
                self._joined.set()
                while True:
                    await self._hear(await layer.receive(channel))
            except Exception as error:  # noqa: BLE001 - each layer raises errors of its own libraries
                self._log.debug("channel_layer_failed", cause=repr(error))
            finally:
                if channel is not None:
                    await self._leave_group(layer, group, channel)
            await asyncio.sleep(delay)

    async def _leave_group(self, layer: Any, group: str, channel: str) -> None:
        try:
            async with asyncio.timeout(LAYER_TIMEOUT):
                await layer.group_discard(group, channel)
        except Exception as error:  # noqa: BLE001 - each layer raises errors of its own libraries
            self._log.debug("group_discard_failed", cause=repr(error))
