"""The channel layer of one process: groups of queues, and nothing else.

What Channels has for this looks through all groups and all queues at each message, and copies it for each of its
readers. Here a message costs what its readers cost, and all of them are given the same one: nobody changes it.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer


class ProcessLayer(BaseChannelLayer):
    """Bounded like every layer: who does not read loses messages, and finds them by the position check."""

    extensions = ["groups", "flush"]

    def __init__(self, capacity: int = 10_000, **options: Any) -> None:
        super().__init__(capacity=capacity, **options)
        self.channels: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self.groups: dict[str, dict[str, None]] = {}

    async def new_channel(self, prefix: str = "specific") -> str:
        channel = f"{prefix}.process!{uuid.uuid4().hex}"
        self.channels[channel] = asyncio.Queue(self.capacity)
        return channel

    async def receive(self, channel: str) -> dict[str, Any]:
        return await self.channels[channel].get()

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Raises ChannelFull. A channel that is not there (any more) has no reader: the message is lost."""
        if (queue := self.channels.get(channel)) is not None:
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                raise ChannelFull(channel) from None

    async def group_add(self, group: str, channel: str) -> None:
        self.groups.setdefault(group, {})[channel] = None

    async def group_discard(self, group: str, channel: str) -> None:
        """The channel goes, too: each is in one group, for as long as somebody reads from it."""
        self.channels.pop(channel, None)
        if (channels := self.groups.get(group)) is not None:
            channels.pop(channel, None)
            if not channels:
                del self.groups[group]

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        for channel in self.groups.get(group, ()):
            queue = self.channels[channel]
            if not queue.full():
                queue.put_nowait(message)

    async def flush(self) -> None:
        self.channels.clear()
        self.groups.clear()
