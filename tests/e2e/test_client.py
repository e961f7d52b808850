"""The Python client against real servers that end, refuse and go silent."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netra.client import ApiError, Client, Session
from netra.client.streams import run_events
from tests.clients import Account, assert_state_is_what_rest_shows, assert_whole
from tests.live import LiveServer
from tests.processes import eventually

SLOW: dict[str, Any] = {"offline_tokens_per_second": 20, "agents": "tests.scripted_agent:scripted"}


@pytest.fixture
def server(data_dir: Path, tmp_path: Path) -> Iterator[LiveServer]:
    server = LiveServer(data_dir, **SLOW)
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    server.inherited = {name: os.environ[name] for name in kept if name in os.environ}
    server.inherited |= {"SCRIPTED_FOLDER": str(tmp_path)}
    with server:
        yield server
    assert not server.traceback(), server.traceback()


def client_of(server: LiveServer, account: Account) -> Client:
    return Client(server.url, username=account.username, password=account.password)


def test_it_needs_no_settings() -> None:
    program = "import netra.client, sys; print('django' in sys.modules)"
    environment = {"PATH": os.environ["PATH"]}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout.strip() == "False"


async def test_a_question_is_answered_streamed_and_shown(server: LiveServer) -> None:
    account = server.add_user()
    async with client_of(server, account) as netra:
        run = await netra.ask("What is 6 * 7?")
        assert (run["status"], "42" in run["text"]) == ("completed", True)
        events = [event async for event in netra.stream("What is 6 * 7?", thread_id=run["thread_id"])]
        assert_whole(events)
        assert (await netra.session.request("GET", "/api/me"))["username"] == account.username
        over_http = [event async for event in run_events(netra.session, events[0]["run_id"])]
        assert over_http == events
    assert_state_is_what_rest_shows(server, account, netra.state)


async def test_a_server_that_is_killed_in_mid_answer_loses_nothing(server: LiveServer) -> None:
    account = server.add_user()
    async with client_of(server, account) as netra:
        seen = []
        async for event in netra.stream("help"):
            seen.append(event)
            if event["type"] == "agent_response_chunk" and not any(e["type"] == "agent_restarted" for e in seen):
                server.kill()
                await asyncio.to_thread(server.start)
        assert_whole(seen)
        assert [event["type"] for event in seen].count("agent_restarted") == 1
    assert_state_is_what_rest_shows(server, account, netra.state)


async def test_what_is_sent_while_nobody_is_there_is_taken_once(server: LiveServer) -> None:
    account = server.add_user()
    async with client_of(server, account) as netra:
        await netra.ask("Hello!")
        server.stop()
        asked = asyncio.create_task(netra.ask("What is 6 * 7?"))
        await eventually(lambda: netra._socket is None, what="the connection to be gone")
        await asyncio.to_thread(server.start)
        assert "42" in (await asked)["text"]
        message_id = str(uuid.uuid4())
        both = await asyncio.gather(*(netra.post("Once", message_id=message_id) for _ in range(2)))
        assert both[0]["run_id"] == both[1]["run_id"]
    runs = server.http("GET", "/api/runs", token=account.token()).body["runs"]
    assert len(runs) == 3


async def test_a_token_is_renewed_before_it_ends(data_dir: Path) -> None:
    with LiveServer(data_dir, access_token_minutes=0.05, offline_tokens_per_second=10) as server:  # three seconds
        account = server.add_user()
        async with client_of(server, account) as netra:
            run = await netra.ask("help")
            assert run["status"] == "completed"
            assert (run["duration_ms"] or 0) > 3500, "longer than the first token"
            await netra.session.request("GET", "/api/me")
        assert server.log_text().count("token_refreshed") >= 1
        assert "TOKEN_EXPIRED" not in server.log_text()


async def test_a_connection_that_is_silent_is_given_up(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netra.client.client.REPLY_SECONDS", 0.5)
    with LiveServer(data_dir, ws_heartbeat_seconds=0.2) as server:
        async with client_of(server, server.add_user()) as netra:
            first = netra._socket
            server.pause()
            await eventually(lambda: netra._socket is not first, what="the dead connection to be noticed")
            server.go_on()
            monkeypatch.undo()
            assert (await netra.ask("Hello!"))["status"] == "completed"


async def test_a_person_allows_and_stops_what_a_run_does(server: LiveServer) -> None:
    account = server.add_user()
    async with client_of(server, account) as netra:
        run = await netra.ask("I ask. & write a; outcomes", agent="scripted")
        assert run["status"] == "awaiting_approval"
        [(call, asked)] = run["approvals"].items()
        assert asked["arguments"] == {"text": "a"}
        run_id = next(iter(netra.state.runs))
        await netra.resolve(run_id, call, approved=True)
        assert "a is written" in (await netra.ended(run_id))["text"]
        with pytest.raises(ApiError) as refused:
            await netra.resolve(run_id, call, approved=False)
        assert refused.value.code == "APPROVAL_NOT_FOUND"
        accepted = await netra.post("help")
        assert await netra.stop(accepted["run_id"]) == "cancelled"
        assert (await netra.ended(accepted["run_id"]))["status"] == "cancelled"


async def test_who_is_not_let_in_is_told(server: LiveServer) -> None:
    account = server.add_user()
    with pytest.raises(ApiError) as wrong:
        async with Client(server.url, username=account.username, password="wrong"):
            pass
    assert (wrong.value.code, wrong.value.status) == ("INVALID_CREDENTIALS", 401)
    with pytest.raises(Exception, match="not valid any more"):
        async with Client(server.url, token="nonsense"):
            pass
    async with client_of(server, account) as netra:
        with pytest.raises(ApiError) as refused:
            await netra.post("Hello!", agent="nobody")
        assert refused.value.code == "AGENT_NOT_FOUND"
        with pytest.raises(ApiError) as missing:
            await netra.session.request("GET", f"/api/runs/{uuid.uuid4()}")
        assert (missing.value.code, missing.value.status) == ("RUN_NOT_FOUND", 404)
        assert missing.value.correlation_id


async def test_a_deactivated_person_is_told_and_not_let_in_again(server: LiveServer) -> None:
    account = server.add_user()
    async with client_of(server, account) as netra:
        await netra.ask("Hello!")
        with server.database() as database:
            database.execute("UPDATE auth_user SET is_active = false WHERE id = %s", [account.id])
        assert netra._socket is not None
        netra._socket.connection.transport.abort()
        with pytest.raises(ApiError) as refused:
            await netra.ask("Hello!")
        assert refused.value.code == "USER_INACTIVE"


async def test_tokens_of_one_person_are_renewed_once(server: LiveServer) -> None:
    account = server.add_user()
    async with Session(server.url, username=account.username, password=account.password) as session:
        token = await session.token()
        await asyncio.gather(*(session.renew(token) for _ in range(10)))
        assert await session.token() != token
    assert server.log_text().count("signed_in") == 1
    assert token not in server.log_text()
