"""The one place that tells connections to look: wake-ups and notices to the group of a user, after the commit.

Every layer is treated as lossy (docs/protocol.md, section 5.4), so a send that fails is no error of its caller: it
is logged when it begins and when it ends, and connections find what they missed by their position check.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Sequence
from typing import Any

import structlog
from asgiref.sync import SyncToAsync, async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

from chat.delivery import Frame

logger = structlog.get_logger(__name__)

SEND_TIMEOUT = 1.0
PAUSE_AFTER_FAILURE = 0.5
# Larger wake-ups carry numbers only; the connections read such events from the log.
MAX_WAKE_UP_CHARACTERS = 256 * 1024


def user_group(user_id: int | str) -> str:
    """The channel-layer group of all connections of a user."""
    return f"user.{user_id}"


def wake_up(run_id: str, run_number: int, frames: Sequence[Frame]) -> dict[str, Any]:
    """The layer's message for events `frames[0].seq` to `frames[-1].seq` of a run."""
    small = sum(len(frame.text) for frame in frames) <= MAX_WAKE_UP_CHARACTERS
    return {
        "type": "run.events",
        "run_id": run_id,
        "run_number": run_number,
        "first_seq": frames[0].seq,
        "last_seq": frames[-1].seq,
        "terminal": frames[-1].terminal,
        "frames": [frame.text for frame in frames] if small else [],
    }


class Publisher:
    """Sends to user groups. `available` is False while the last send failed."""

    def __init__(self) -> None:
        self.available = True
        self._silent_until = 0.0
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, user_id: int | str, message: dict[str, Any]) -> None:
        if time.monotonic() < self._silent_until:
            return
        layer = get_channel_layer()
        if layer is None:
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await layer.group_send(user_group(user_id), message)
        except Exception as error:  # noqa: BLE001 - each layer raises errors of its own libraries
            self._silent_until = time.monotonic() + PAUSE_AFTER_FAILURE
            if self.available:
                self.available = False
                logger.warning("channel_layer_lost", cause=repr(error))
        else:
            if not self.available:
                self.available = True
                logger.info("channel_layer_back")

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
