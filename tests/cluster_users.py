"""A user with sockets at several web processes of a cluster, and what is said over all of them at the same moment."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.clients import Account, Client, Frame, connected
from tests.cluster import Cluster


@asynccontextmanager
async def clients_at(urls: Sequence[str], account: Account) -> AsyncIterator[list[Client]]:
    """A socket of this user at each of these addresses."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(url, account.token(), max_queue=None)) for url in urls]


@asynccontextmanager
async def one_at_each(cluster: Cluster) -> AsyncIterator[tuple[Account, Client, Client]]:
    """A new user, with a socket at each of the two web processes."""
    [account] = cluster.add_users(1)
    async with clients_at([web.url for web in cluster.web], account) as (one, other):
        yield account, one, other


async def request_all(clients: Sequence[Client], commands: Sequence[dict[str, Any]]) -> list[Frame]:
    """The replies to commands that are sent at the same moment, over each of these sockets in turn."""
    refs = [uuid.uuid4().hex for _ in commands]

    async def talk(client: Client, own: list[int]) -> None:
        seen = len(client.frames)
        for number in own:
            await client.send(**commands[number], ref=refs[number])
        missing = {refs[number] for number in own}
        while missing := missing - {frame.get("ref") for frame in client.frames[seen:]}:
            await client.receive()

    shares = [list(range(start, len(commands), len(clients))) for start in range(len(clients))]
    await asyncio.gather(*map(talk, clients, shares))
    replies = {frame["ref"]: frame for client in clients for frame in client.frames if "ref" in frame}
    return [replies[ref] for ref in refs]
