"""An agent that tells what there is of open connections in its process, which never searches for cycles: NETRA_AGENTS
names it.
"""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import AsyncIterator

from agents import RunRequest, agent

# Netra's own, and what the two servers have for a request that becomes a socket, and for the socket.
OF_A_CONNECTION = (
    "ChatConsumer",
    "Connection",
    "Listener",
    "BoundedRequests",
    "PingedSocket",
    "_Request",
    "HTTPChannel",
    "_Socket",
)

gc.disable()


@agent(name="counted", description="Counts.")
async def counted(_request: RunRequest) -> AsyncIterator[str]:
    found = Counter(type(each).__name__ for each in gc.get_objects() if type(each).__module__ != "psycopg")
    yield json.dumps({name: found[name] for name in OF_A_CONNECTION if found[name]})
