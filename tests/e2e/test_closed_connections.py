"""What is left of connections that are closed: nothing, without any search for cycles. With thousands of connections a
search keeps everybody waiting, and what it would find until then is memory.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from netra.config import SERVERS, ServerName
from tests.clients import Client, connected
from tests.live import LiveServer

CONNECTIONS = 15
# The socket that asks, and requests over HTTP, whose cycles are Django's.
SOME = 4
AGENT = "tests.e2e.applications.counted:counted"


@pytest.mark.parametrize("asgi_server", SERVERS)
async def test_a_closed_connection_is_freed_at_once(data_dir: Path, asgi_server: ServerName) -> None:
    with LiveServer(data_dir, asgi_server=asgi_server, agents=AGENT) as server:
        account = server.add_user(f"counting-{asgi_server}")
        async with connected(server.url, account.token()) as asking:
            assert (await counts(asking))["ChatConsumer"] == 1
            async with AsyncExitStack() as stack:
                for _ in range(CONNECTIONS):
                    client = await stack.enter_async_context(connected(server.url, account.token()))
                    await client.request(type="ping")
                assert (await counts(asking))["ChatConsumer"] == CONNECTIONS + 1
            async with asyncio.timeout(20):
                while max((left := await counts(asking)).values()) > SOME:
                    print(left)


async def counts(asking: Client) -> dict[str, int]:
    """Of each class how many there are. Servers close sockets when they come to it, so it is asked again and again."""
    events = await asking.ask("How many are there?", agent="counted")
    found: dict[str, int] = json.loads(events[-1]["data"]["message"]["content"])
    return found
