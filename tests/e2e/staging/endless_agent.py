"""An agent that never ends, for servers of the tests (`NETRA_AGENTS`): only the run's time limit ends its runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from agents.registry import agent
from agents.request import RunRequest


@agent(name="endless", description="Begins to answer, and never ends.")
async def endless(request: RunRequest) -> AsyncIterator[str]:
    yield f"I think about {request.prompt}"
    await asyncio.Event().wait()
