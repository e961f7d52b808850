from __future__ import annotations

import json
from typing import Any

import pytest

from agents.events import ToolCompleted
from agents.tools.notes import LONGEST_QUERY, RECALL_CHARACTERS, RECALL_LIMIT, note_tools
from tests.agents.fakes import FakeServices, call, collect, make_request, model_agent, scripted, supervise


async def use(tool: str, services: FakeServices, **arguments: Any) -> ToolCompleted:
    agent = model_agent(scripted([call(tool, json.dumps(arguments), "c1")], ["done"]), tools=note_tools())
    events = await collect(supervise(agent), make_request(services=services))
    [completed] = [event for event in events if isinstance(event, ToolCompleted)]
    return completed


async def test_a_note_is_remembered_recalled_and_forgotten() -> None:
    services = FakeServices()
    note = {"note_id": 1, "content": "Tea", "date": "2026-03-04"}
    assert (await use("remember", services, content="Tea")).result == note
    assert (await use("recall", services, query="tea")).result == {"query": "tea", "notes": [note], "more": False}
    assert (await use("forget", services, note_id=1)).result == note
    assert services.notes == []
    assert (await use("recall", services)).result == {"query": "", "notes": [], "more": False}


@pytest.mark.parametrize("number", [0, -1, 7, 2**63, 10**30])
async def test_what_is_not_there_is_not_forgotten(number: int) -> None:
    assert (await use("forget", FakeServices(), note_id=number)).error == f"there is no note {number}"


async def test_recall_is_bounded() -> None:
    services = FakeServices()
    for number in range(RECALL_LIMIT + 1):
        await services.remember(f"note {number}")
    result = (await use("recall", services, query="\n note\x00 ")).result
    assert (result["query"], len(result["notes"]), result["more"]) == ("note", RECALL_LIMIT, True)
    for _ in range(RECALL_LIMIT):
        await services.remember("x" * 2000)
    completed = await use("recall", services)
    assert len(completed.result["notes"]) == RECALL_CHARACTERS // 2000
    assert completed.result["more"] is True
    assert (await use("recall", services, query="y" * 1000)).result["query"] == "y" * LONGEST_QUERY
