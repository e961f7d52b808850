"""The socket, from connect to answer, on each channel layer."""

from __future__ import annotations

import pytest

from netra.testing import Netra, receive, send

pytestmark = pytest.mark.usefixtures("layer")


async def test_a_question_is_answered_by_the_five_critical_events_in_order(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    events = await netra.ask(socket, "What is 17.5 % of 2480, and what time is it in Tokyo?")

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    types = [event["type"] for event in events]
    critical = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]
    assert sorted(critical, key=types.index) == critical
    chunks = "".join(event["data"]["text"] for event in events if event["type"] == "agent_response_chunk")
    assert events[-1]["data"]["message"]["content"] == chunks
    assert "434" in chunks


async def test_ping_is_answered_with_its_ref(netra: Netra) -> None:
    socket = await netra.connect(await netra.user("ann"))
    await send(socket, type="ping", ref="here")
    pong = await receive(socket)
    assert (pong["type"], pong["ref"]) == ("pong", "here")
