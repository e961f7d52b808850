"""What workers see of MCP servers: stored, listed over REST with the configuration, and shown to administrators."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import AsyncClient, Client
from pydantic import SecretStr
from pydantic_ai.messages import ModelMessage, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agents.apps import AgentsConfig
from agents.definition import AgentDefinition
from agents.mcp.servers import McpServerStatus, McpToolSummary
from agents.models.choice import ChosenModel
from agents.pydantic_agent import PydanticAgent
from chat.mcp_status import STALE_AFTER, McpStatus
from chat.models import McpServer
from chat.pool import DatabasePool
from chat.run_event import now
from netra.testing import Netra, eventually
from tests.agents.fakes import Piece, call

SCRIPT = Path(__file__).parent.parent / "mcp_server.py"
SECRET = "hunter2-hunter2"
READY = McpServerStatus(
    name="tests",
    state="ready",
    agents=("assistant",),
    since=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    tools=(McpToolSummary(name="tests_add", description="Add.", needs_approval=True),),
)


def config(folder: Path, **fields: Any) -> SecretStr:
    server = {
        "command": sys.executable,
        "args": [str(SCRIPT), str(folder)],
        "env": {"TOKEN_OF_TESTS": SECRET},
        "agents": ["*"],
        "approval": ["note"],
        **fields,
    }
    off = {"url": f"https://mcp.example.org/{SECRET}", "headers": {"A": SECRET}, "disabled": True}
    return SecretStr(json.dumps({"mcpServers": {"tests": server, "off": off}}))


@pytest.fixture
async def stored(transactional_db: None) -> AsyncIterator[McpStatus]:
    pool = DatabasePool()
    yield McpStatus(pool)
    await pool.close()
    await sync_to_async(connections.close_all)()


async def row(name: str = "tests") -> McpServer | None:
    return await McpServer.objects.filter(name=name).afirst()


async def listed(netra: Netra, user: Any) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {netra.token(user)}"}
    response = await AsyncClient().get("/api/mcp-servers", headers=headers)
    assert SECRET not in response.content.decode()
    assert response.status_code == 200
    return cast("list[dict[str, Any]]", response.json()["mcp_servers"])


# Stored


async def test_what_was_seen_last_stands_and_an_unchanged_state_keeps_its_time(stored: McpStatus) -> None:
    stored.seen(READY)
    await stored.settled()
    first = await row()
    assert first is not None
    assert (first.state, first.error, first.changed_at) == ("ready", "", READY.since)
    assert first.tools == [{"name": "tests_add", "description": "Add.", "needs_approval": True}]

    stored.seen(dataclasses.replace(READY, since=now()))  # another worker's session, begun later
    await stored.settled()
    again = await row()
    assert again is not None
    assert again.changed_at == READY.since
    assert again.seen_at > first.seen_at

    failed = dataclasses.replace(READY, state="failed", tools=(), error="it ended", since=now())
    stored.seen(failed)
    await stored.settled()
    last = await row()
    assert last is not None
    assert (last.state, last.tools, last.error, last.changed_at) == ("failed", [], "it ended", failed.since)


async def test_of_many_changes_at_once_the_last_is_stored(stored: McpStatus) -> None:
    for number in range(50):
        stored.seen(dataclasses.replace(READY, state="failed", error=str(number), since=now()))
        stored.seen(dataclasses.replace(READY, name="other", state="failed", error=str(number), since=now()))
    await stored.settled()
    for name in ("tests", "other"):
        found = await row(name)
        assert found is not None
        assert found.error == "49"


async def test_what_is_older_than_what_is_stored_is_not_stored(stored: McpStatus) -> None:
    stored.seen(READY)
    await stored.settled()
    later = now() + datetime.timedelta(minutes=1)
    await McpServer.objects.aupdate(seen_at=later, state="failed")
    stored.seen(READY)
    await stored.settled()
    found = await row()
    assert found is not None
    assert (found.state, found.seen_at) == ("failed", later)


async def test_a_database_that_is_away_holds_nobody(stored: McpStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.mcp_status.CLOSING_SECONDS", 0.1)
    tried = asyncio.Event()

    async def away(_work: Any) -> None:
        tried.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(stored._pool, "until_reached", away)
    stored.seen(READY)
    await stored.settled()
    assert tried.is_set()
    assert await row() is None


# In runs


@pytest.fixture
def configured(configure: Callable[..., None], tmp_path: Path) -> None:
    """Before the fixture `netra`, which builds with what is configured."""
    configure(mcp_servers=config(tmp_path))


async def caller(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Piece]:
    """Calls the tool that it is told to, once."""
    [last] = [part for part in messages[-1].parts if isinstance(part, UserPromptPart | ToolReturnPart)]
    tool, _, arguments = str(last.content).partition(" ")
    yield call(tool, arguments, "c1") if isinstance(last, UserPromptPart) and arguments[:1] == "{" else "I go on."


def agent_with_tools() -> PydanticAgent:
    """It has the tools of the configured servers, as the roster has."""
    servers = cast("AgentsConfig", apps.get_app_config("agents")).mcp
    definition = AgentDefinition(name="assistant", description="Calls.", instructions="Call.")
    chosen = ChosenModel(name="caller", model=FunctionModel(stream_function=caller), context_tokens=128_000)
    return PydanticAgent(definition, chosen, toolsets=servers.toolsets_for("assistant"))


async def in_state(netra: Netra, user: Any, state: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        tests, _ = await listed(netra, user)
        return tests if tests["state"] == state else None

    return cast("dict[str, Any]", await eventually(look))


@pytest.mark.usefixtures("configured")
async def test_a_servers_life_is_told_over_rest(netra: Netra, tmp_path: Path) -> None:
    ann = await netra.user("ann")
    before, off = await listed(netra, ann)
    assert (before["state"], before["tools"], before["seen_at"]) == ("idle", [], None)
    assert before["agents"][:2] == ["assistant", "triage"]
    assert (off["name"], off["state"], off["agents"]) == ("off", "disabled", ["assistant"])

    netra.use_agents(agent_with_tools())
    socket = await netra.connect(ann)
    await netra.ask(socket, "hello")
    ready = await in_state(netra, ann, "ready")
    assert [(tool["name"], tool["needs_approval"]) for tool in ready["tools"][:2]] == [
        ("tests_add", False),
        ("tests_note", True),
    ]

    asking = asyncio.create_task(netra.ask(socket, 'tests_wait {"name": "a"}'))
    await eventually(sync_to_async((tmp_path / "a.begun").exists))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    events = await asking
    [completed] = [event["data"] for event in events if event["type"] == "tool_completed"]
    assert completed["error"] == "the MCP server 'tests' is not available"
    assert events[-1]["data"]["message"]["content"] == "I go on."

    async def is_back() -> bool:
        return bool((await in_state(netra, ann, "ready"))["changed_at"] > ready["changed_at"])

    await eventually(is_back)
    events = await netra.ask(socket, 'tests_add {"a": 2, "b": 3}')
    assert [event["data"]["result"] for event in events if event["type"] == "tool_completed"] == [5]


@pytest.mark.usefixtures("configured")
async def test_a_run_of_the_roster_opens_the_session_and_the_end_of_the_server_closes_it(
    netra: Netra, tmp_path: Path
) -> None:
    ann = await netra.user("ann")
    await netra.ask(await netra.connect(ann), "What is 6 * 7?")
    await in_state(netra, ann, "ready")
    process = Path("/proc") / (tmp_path / "pid").read_text()
    assert process.exists()
    await netra.close()
    await netra.application.stop()
    assert not process.exists()


# Listed


@pytest.mark.usefixtures("configured")
async def test_what_no_worker_confirmed_for_a_while_no_worker_has(netra: Netra) -> None:
    ann = await netra.user("ann")
    seen_at = now() - STALE_AFTER
    await McpServer.objects.acreate(
        name="tests", state="ready", tools=[{"name": "a"}], changed_at=seen_at, seen_at=seen_at
    )
    await McpServer.objects.acreate(name="gone", state="ready", changed_at=seen_at, seen_at=seen_at)
    tests, off = await listed(netra, ann)
    assert (tests["state"], tests["tools"]) == ("idle", [])
    assert off["name"] == "off"


@pytest.mark.django_db
def test_without_a_token_nothing_is_listed() -> None:
    assert Client().get("/api/mcp-servers").status_code == 401


@pytest.mark.django_db
def test_administrators_see_servers_and_change_nothing() -> None:
    McpServer.objects.create(
        name="tests",
        state="failed",
        tools=[{"name": "tests_add", "description": "<script>alert(1)</script>", "needs_approval": False}],
        error="it ended",
        changed_at=now(),
        seen_at=now(),
    )
    root = Client()
    root.force_login(get_user_model().objects.create_superuser("root"))
    assert "it ended" in root.get("/admin/chat/mcpserver/").content.decode()
    page = root.get("/admin/chat/mcpserver/tests/change/").content.decode()
    assert "tests_add" in page
    assert "<script>alert(1)" not in page
    assert root.get("/admin/chat/mcpserver/add/").status_code == 403
    assert root.post("/admin/chat/mcpserver/tests/change/", {"state": "ready"}).status_code == 403
    assert root.post("/admin/chat/mcpserver/tests/delete/", {"post": "yes"}).status_code == 403
