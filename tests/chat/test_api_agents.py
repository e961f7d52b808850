"""Agents, tools, the supervisor, usage and approvals over REST."""

from __future__ import annotations

import asyncio
import datetime
import json
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.registry import AgentRegistry, agent
from chat.models import ModelRequest
from chat.run_event import now
from chat.tokens import AccessToken
from netra.testing import Netra, rebuild, receive, send

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def boss() -> Any:
    return get_user_model().objects.create_user("boss", is_staff=True)


def ask(user: Any, path: str, **query: Any) -> tuple[int, Any]:
    answer = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}"}).get(f"/api/{path}", query)
    return answer.status_code, answer.json()


def test_each_agent_tells_its_model_tools_and_limits(ann: Any) -> None:
    _, listed = ask(ann, "agents")
    names = [each["name"] for each in listed["agents"]]
    assert names == ["assistant", "triage", "data", "optimization"]
    for each in listed["agents"]:
        assert ask(ann, f"agents/{each['name']}") == (200, each)
        assert each["model"]
        assert each["limits"]["model_requests"] > 0
    data = listed["agents"][2]
    [summary] = [tool for tool in data["tools"] if tool["name"] == "usage_summary"]
    assert summary["parameters"]["type"] == "object"
    assert (summary["needs_approval"], summary["repeatable"]) == (False, True)
    assert summary["timeout_seconds"] > 0
    status, body = ask(ann, "agents/nobody")
    assert (status, body["error_code"], body["details"]["agents"]) == (404, "AGENT_NOT_FOUND", names)


def test_every_tool_is_listed_once_with_its_agents(ann: Any) -> None:
    _, body = ask(ann, "tools")
    names = [tool["name"] for tool in body["tools"]]
    assert names == sorted(set(names))
    by_name = {tool["name"]: tool for tool in body["tools"]}
    assert "data" in by_name["usage_summary"]["agents"]
    assert by_name["fetch_page"]["needs_approval"]
    assert all(tool["agents"] and tool["parameters"] for tool in body["tools"])


def test_an_agent_cannot_have_the_name_of_a_path() -> None:
    @agent(name="execute", description="In the way.")
    async def execute(request: Any) -> AsyncIterator[str]:
        yield request.prompt

    with pytest.raises(ValueError, match="'execute': the API has a path of that name"):
        AgentRegistry([execute])


def test_no_secret_is_in_what_agents_tell(ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret-of-this-test")
    rebuild()
    for path in ("agents", "tools", "supervisor", "mcp-servers"):
        assert "sk-a-secret" not in json.dumps(ask(ann, path)[1])


@pytest.mark.django_db(transaction=True)
async def test_the_supervisor_tells_ones_own_runs_and_staff_all(netra: Netra) -> None:
    ann, bob = await netra.user("ann"), await netra.user("bob")
    boss = await netra.user("boss", is_staff=True)
    go = asyncio.Event()

    @agent(name="patient", description="Waits.")
    async def patient(_request: Any) -> AsyncIterator[str]:
        await go.wait()
        yield "Done."

    netra.use_agents(patient)
    socket = await netra.connect(ann)
    await send(socket, type="user_message", content="Go")
    await receive(socket, "agent_started")
    look = database_sync_to_async(ask)
    for user, running in ((ann, 1), (bob, 0), (boss, 1)):
        status, body = await look(user, "supervisor")
        assert (status, body["status"], body["workers"]) == (200, "ready", 1)
        assert body["runs"] == {"queued": 0, "running": running, "awaiting_approval": 0}
        assert body["agents"] == [{"name": "patient", "running": running}]
    go.set()
    await receive(socket, "agent_completed")
    assert (await look(ann, "supervisor"))[1]["runs"]["running"] == 0


def request_of(user: Any, **fields: Any) -> ModelRequest:
    given: dict[str, Any] = {
        "agent": "data",
        "model": "openai:gpt-5",
        "outcome": "completed",
        "input_tokens": 1000,
        "output_tokens": 10,
        "cost_usd": Decimal("0.01234567"),
        "duration_ms": 100,
        "started_at": now() - datetime.timedelta(hours=1),
    }
    return ModelRequest.objects.create(id=uuid.uuid4(), user=user, **(given | fields))


def test_usage_adds_up_ones_own_requests_and_for_staff_everyones(ann: Any, boss: Any) -> None:
    for number in range(3):
        request_of(ann, agent="data" if number else "triage")
    request_of(ann, cost_usd=None, outcome="failed")
    request_of(ann, started_at=now() - datetime.timedelta(days=40))
    request_of(boss, input_tokens=5)
    status, body = ask(ann, "usage", by="agent")
    assert status == 200
    assert body["total"]["requests"] == 4
    assert (body["total"]["failed"], body["total"]["unpriced"]) == (1, 1)
    assert Decimal(body["total"]["cost_usd"]) == Decimal("0.03703701")
    assert {row["group"]["agent"]: row["requests"] for row in body["rows"]} == {"data": 3, "triage": 1}
    assert body["truncated"] is False
    _, older = ask(ann, "usage", since="2020-01-01")
    assert (older["total"]["requests"], older["rows"]) == (5, [])

    status, refused = ask(ann, "usage", everyone="true")
    assert (status, refused["error_code"]) == (403, "FORBIDDEN")
    _, everyone = ask(boss, "usage", everyone="true", by="user,model")
    assert everyone["total"]["requests"] == 5
    assert everyone["by"] == ["model", "user"]
    assert sorted(row["group"]["user"] for row in everyone["rows"]) == ["ann", "boss"]
    assert ask(boss, "usage")[1]["total"]["requests"] == 1


@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"},
        {"since": "2026-11-24T10:00:00"},
        {"since": "2026-02-30"},
        {"until": "0001-01-01"},
        {"since": "2026-11-24", "until": "2026-11-23"},
        {"by": "agent,colour"},
        {"by": "agent,agent"},
        {"by": "user"},
        {"everyone": "perhaps"},
        {"by": "\x00"},
    ],
)
def test_a_question_about_usage_that_makes_no_sense_is_refused(ann: Any, query: dict[str, str]) -> None:
    status, body = ask(ann, "usage", **query)
    assert (status, body["error_code"]) == (400, "INVALID_MESSAGE")


def test_a_list_costs_as_many_queries_as_it_did_with_few_rows(ann: Any, boss: Any) -> None:
    def counted(user: Any, path: str, **query: Any) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert ask(user, path, **query)[0] == 200
        return len(queries)

    asks = [(ann, "usage", {"by": "agent,thread"}), (boss, "usage", {"by": "user", "everyone": "true"})]
    few = [counted(user, path, **query) for user, path, query in asks]
    for number in range(30):
        request_of(ann, agent=f"agent-{number}")
    assert [counted(user, path, **query) for user, path, query in asks] == few == [2, 2]
