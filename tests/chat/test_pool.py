"""The asynchronous connection pool."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from chat.event_log import EventLog
from chat.pool import MAX_SIZE
from netra.testing import eventually

TURNS = 12


@pytest.mark.parametrize("turns", range(TURNS))
async def test_a_cancel_that_comes_together_with_a_connection_is_not_lost(event_log: EventLog, turns: int) -> None:
    """Whichever turn of the loop it comes in."""
    pool = event_log.pool

    async def hold() -> None:
        async with pool.connection():
            await asyncio.Event().wait()

    async with AsyncExitStack() as others, pool.connection():
        for _ in range(MAX_SIZE - 2):
            await others.enter_async_context(pool.connection())
        async with pool.connection():
            waiting = asyncio.create_task(hold())

            async def waits() -> bool:
                return pool.stats().get("requests_waiting") == 1

            await eventually(waits)
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=5)
        assert waiting.cancelled()
