"""Hearing what is told to a user's connections over the channel layer, whenever the layer is there."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import structlog
from channels.layers import get_channel_layer

from chat.publisher import user_group

logger = structlog.get_logger(__name__)

LAYER_TIMEOUT = 0.5


class Listener:
    """A member of a user's group: `hear` is called with each message, within the context in which it joined.

    It is no task and no queue: a connection on which nothing happens costs a row in a table of its process.
    """

    def __init__(self, hear: Callable[[dict[str, Any]], None], *, log: Any = logger) -> None:
        self._hear = hear
        self._log = log
        self._group: str | None = None

    async def join(self, user_id: Any) -> bool:
        """False when the layer is away: until it is back, the position check delivers from the log."""
        self._group = user_group(user_id)
        self._context = contextvars.copy_context()
        layer: Any = get_channel_layer()
        try:
            async with asyncio.timeout(LAYER_TIMEOUT):
                await layer.listen(self._group, self.tell)
        except Exception as error:  # noqa: BLE001 - each layer raises errors of its own libraries
            self._log.debug("channel_layer_unavailable", cause=repr(error))
            return False
        return True

    def tell(self, message: dict[str, Any]) -> None:
        """Called by the layer. Whatever fails concerns nobody else who hears of it."""
        try:
            self._context.run(self._hear, message)
        except Exception:  # noqa: BLE001 - the position check delivers what was not heard
            self._log.exception("hearing_failed", type=message.get("type"))

    async def leave(self) -> None:
        """For ever: `hear` is not called any more."""
        self._hear = _nobody
        if self._group is None:
            return
        layer: Any = get_channel_layer()
        try:
            async with asyncio.timeout(LAYER_TIMEOUT):
                await layer.leave(self._group, self.tell)
        except Exception as error:  # noqa: BLE001 - each layer raises errors of its own libraries
            self._log.debug("group_not_left", cause=repr(error))


def _nobody(_: dict[str, Any]) -> None:
    """Whoever listened has gone."""
