"""The questions that the page offers to begin with: each is answered with the agent's tools, also offline."""

from __future__ import annotations

import pytest

from agents.roster import ROSTER
from netra.testing import Netra, receive, send

EXAMPLES = [(definition.name, question) for definition in ROSTER for question in definition.examples]


@pytest.mark.parametrize(("agent", "question"), EXAMPLES, ids=[question for _, question in EXAMPLES])
async def test_an_example_is_answered_with_a_tool(netra: Netra, agent: str, question: str) -> None:
    socket = await netra.connect(await netra.user("ann"))
    await send(socket, type="user_message", content=question, agent=agent)
    event = await receive(socket, "tool_completed", "approval_required", "agent_completed", "agent_error")
    assert event["type"] in ("tool_completed", "approval_required"), event
    assert event["data"].get("error") is None, event
