"""Many sockets at once on `manage.py serve`, each promised its greeting within two seconds."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients import Account, Client, connected
from tests.live import LiveServer

CONNECTIONS = 200
CONNECTIONS_PER_USER = 4
AT_ONCE = 10  # the client shares the machine, in tests with others: what it measures of more would be their queue
QUESTION = "What is 17.5 % of 2480?"
CRITICAL = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]


@dataclass
class Chat:
    """One socket with its times in seconds: to the greeting, and from the message to the agent's start."""

    account: Account
    client: Client
    to_established: float
    to_started: float = 0.0
    run_id: str = ""
    resent: int = 0


@pytest.mark.timeout(400)
async def test_two_hundred_sockets_are_greeted_in_time_and_answered_in_order(data_dir: Path) -> None:
    with LiveServer(data_dir) as server:
        accounts = server.add_users(CONNECTIONS // CONNECTIONS_PER_USER)
        arriving = asyncio.Semaphore(AT_ONCE)
        async with AsyncExitStack() as stack:

            async def connect(account: Account) -> Chat:
                async with arriving:
                    return await greeted(account)

            async def greeted(account: Account) -> Chat:
                began = time.monotonic()
                client = await stack.enter_async_context(connected(server.url, account.token()))
                return Chat(account, client, time.monotonic() - began)

            connecting = [connect(account) for account in accounts for _ in range(CONNECTIONS_PER_USER)]
            chats = await asyncio.gather(*connecting)
            assert len(chats) == CONNECTIONS
            assert max(chat.to_established for chat in chats) < 2

            await asyncio.gather(*map(ask, chats))
            # Every socket also receives what its user asked on the others, and nothing of other users.
            await asyncio.gather(*(read_all(chat, chats) for chat in chats))
        assert server.stop() == 0
        assert not server.traceback(), server.traceback()
    report("connect → connection_established", [chat.to_established for chat in chats])
    report("user_message → agent_started", [chat.to_started for chat in chats])
    print(f"{sum(chat.resent for chat in chats)} messages sent again")


async def ask(chat: Chat) -> None:
    """Ask as clients do: a server too busy to accept in time is asked again, with the same `message_id`."""
    began = time.monotonic()
    message = {"type": "user_message", "content": QUESTION, "message_id": str(uuid.uuid4())}
    while (reply := await chat.client.request(**message))["type"] != "message_accepted":
        assert reply["error_code"] == "SERVICE_UNAVAILABLE", reply
        chat.resent += 1
        await asyncio.sleep(reply["retry_after"])
    chat.run_id = reply["run_id"]
    await chat.client.events(chat.run_id, to=["agent_started"])
    chat.to_started = time.monotonic() - began
    await chat.client.events(chat.run_id)


async def read_all(chat: Chat, chats: Sequence[Chat]) -> None:
    own = {other.run_id for other in chats if other.account == chat.account}
    for run_id in own:
        events = await chat.client.events(run_id)
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        types = [event["type"] for event in events]
        assert sorted(CRITICAL, key=types.index) == CRITICAL
        chunks = "".join(event["data"]["text"] for event in events if event["type"] == "agent_response_chunk")
        assert events[-1]["data"]["message"]["content"] == chunks
        assert "434" in chunks
    assert {frame["run_id"] for frame in chat.client.frames if "run_id" in frame} == own


def report(what: str, seconds: Sequence[float]) -> None:
    percentiles = statistics.quantiles([second * 1000 for second in seconds], n=100)
    print(f"\n{len(seconds)} sockets, {what}: p50 {percentiles[49]:.0f} ms, p99 {percentiles[98]:.0f} ms")
