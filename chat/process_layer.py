"""The channel layer of one process: who listens to which group, and nothing else.

What Channels has for this looks through all groups and all queues at each message, and copies it for each of its
readers. Here a message costs what its listeners cost, and all of them are given the same one: nobody changes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from channels.layers import BaseChannelLayer

from chat.wake_ups import heard

Hear = Callable[[dict[str, Any]], None]


class ProcessLayer(BaseChannelLayer):
    """Groups only, as `chat.redis_layer.RedisLayer`: listeners are told at once, and raise nothing."""

    extensions = ["groups", "flush"]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.groups: dict[str, dict[Hear, None]] = {}

    async def listen(self, group: str, hear: Hear) -> None:
        self.groups.setdefault(group, {})[hear] = None

    async def leave(self, group: str, hear: Hear) -> None:
        if (listeners := self.groups.get(group)) is not None:
            listeners.pop(hear, None)
            if not listeners:
                del self.groups[group]

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if listeners := self.groups.get(group):
            told = heard(message)
            for hear in list(listeners):
                hear(told)

    async def flush(self) -> None:
        self.groups.clear()
