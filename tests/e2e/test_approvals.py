"""A run that waits for a person while everything around it is killed and started again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import Frame
from tests.live import LiveServer
from tests.scripted_agent import written

SETTINGS: dict[str, Any] = {"agents": "tests.scripted_agent:scripted", "sweep_seconds": 0.5}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCRIPTED_FOLDER", str(tmp_path))
    return tmp_path


@pytest.fixture
def server(data_dir: Path, folder: Path) -> Iterator[LiveServer]:
    server = LiveServer(data_dir, **SETTINGS)
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SCRIPTED_FOLDER")
    server.inherited = {name: os.environ[name] for name in kept if name in os.environ}
    with server:
        yield server


async def test_another_tab_approves_after_a_restart_of_everything_and_it_is_done_once(
    server: LiveServer, folder: Path
) -> None:
    account = server.add_user()
    async with server.connect(account) as client:
        accepted = await client.post("I ask. & write a; outcomes", agent="scripted")
        before = await client.events(accepted["run_id"], to=["approval_required"])
        state = client.state
    server.kill()
    server.start()
    assert written(folder) == []

    async with server.connect(account, state=state) as first, server.connect(account) as second:
        await second.send(type="resume", ref="r", cursors={accepted["run_id"]: 0})
        await second.receive("resumed")
        asked = before[-1]["data"]
        reply = await second.request(
            type="resolve_approval", run_id=accepted["run_id"], tool_call_id=asked["tool_call_id"], approved=True
        )
        assert reply["type"] == "approval_accepted"
        lost = await first.request(
            type="resolve_approval", run_id=accepted["run_id"], tool_call_id=asked["tool_call_id"], approved=False
        )
        assert (lost["error_code"], lost["details"]) == ("APPROVAL_NOT_FOUND", {"approved": True, "by": "user"})
        for client in (first, second):
            events = await client.events(accepted["run_id"])
            assert text_of(events) == "I ask.\n\nsuccess: a is written"
    assert written(folder) == ["a"]
    assert not server.traceback(), server.traceback()


async def test_an_approval_that_was_given_outlives_a_kill_before_the_tool_has_begun(
    server: LiveServer, folder: Path
) -> None:
    """The kill comes between the answer's commit and the run's end: it is done once, or said to be interrupted."""
    account = server.add_user()
    async with server.connect(account) as client:
        accepted = await client.post("I ask. & write a; outcomes", agent="scripted")
        asked = (await client.events(accepted["run_id"], to=["approval_required"]))[-1]["data"]
        await client.request(
            type="resolve_approval", run_id=accepted["run_id"], tool_call_id=asked["tool_call_id"], approved=True
        )
        server.kill()
        state = client.state
    server.configure(worker_heartbeat_seconds=0.4, worker_stalled_seconds=1.0)
    server.start()
    async with server.connect(account, state=state) as client:
        events = await client.events(accepted["run_id"])
    assert len(written(folder)) <= 1
    if events[-1]["type"] == "agent_completed":
        assert written(folder) == ["a"]
        assert text_of(events) == "I ask.\n\nsuccess: a is written"
    else:
        assert events[-1]["data"]["error_code"] == "WORKER_LOST"


def text_of(events: list[Frame]) -> str:
    return str(events[-1]["data"]["message"]["content"])
