"""The places that the connections of this process take: on the event loop, and `chat.leases` on threads beside it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from chat import metrics
from chat.errors import ConnectionRefused, ErrorCode
from chat.leases import RENEW_SECONDS, Lease, Leases
from chat.shared_redis import PAUSE_SECONDS
from chat.together import Together

logger = structlog.get_logger(__name__)

SETTLE_SECONDS = 2.0
RETRY_AFTER_SECONDS = 30.0


class Places:
    """Leases are renewed as long as there are any."""

    def __init__(self, leases: Leases) -> None:
        self.leases = leases
        self._renewing: asyncio.Task[None] | None = None
        self._giving_back: set[asyncio.Task[None]] = set()
        self._wanted = Together(self._take, name="take places", gathers=True)

    async def take(self, user_id: Any, allowed: int) -> Lease:
        """A place for one more connection of a user. Raises ConnectionRefused with TOO_MANY_CONNECTIONS.

        Whoever is cancelled while it is asked for has none.
        """
        lease = self.leases.new(user_id)
        try:
            taken = await self._wanted.ask((lease, allowed))
        except BaseException:
            self.leave(lease)
            raise
        if not taken:
            metrics.limited("connections")
            raise ConnectionRefused(
                ErrorCode.TOO_MANY_CONNECTIONS,
                f"At most {allowed} connections per user",
                details={"max_connections": allowed},
                retry_after=RETRY_AFTER_SECONDS,
                user_id=user_id,
            )
        if self.leases.is_shared and (self._renewing is None or self._renewing.done()):
            self._renewing = self._start(self._renew_regularly(), "renew leases")
        return lease

    def leave(self, lease: Lease) -> None:
        """The connection is at an end, or never was."""
        self.leases.leave(lease)
        if not self.leases.is_shared:
            return
        task = self._start(asyncio.to_thread(self.leases.give_back, lease), "give a lease back")
        self._giving_back.add(task)
        task.add_done_callback(self._giving_back.discard)
        if not len(self.leases) and self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None

    async def settled(self) -> None:
        """Return when what was left is given back; with a Redis that does not answer, after a while."""
        if self._giving_back:
            await asyncio.wait(self._giving_back, timeout=SETTLE_SECONDS)

    async def _take(self, wanted: Sequence[tuple[Lease, int]]) -> list[bool]:
        """On a thread, if there is anything to wait for."""
        leases = self.leases
        return await asyncio.to_thread(leases.take, wanted) if leases.is_shared else leases.take(wanted)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """It outlives the request that starts it, so it must not inherit that request's context."""
        return asyncio.get_running_loop().create_task(work, name=name, context=contextvars.Context())

    async def _renew_regularly(self) -> None:
        while True:
            # A Redis that is back may have forgotten all leases: it is told as soon as it is asked again.
            await asyncio.sleep(PAUSE_SECONDS if self.leases.is_away else RENEW_SECONDS)
            try:
                await asyncio.to_thread(self.leases.renew)
            except Exception:
                logger.exception("leases_not_renewed")
