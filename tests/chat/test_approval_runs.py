"""A run that asks a person, from question to answer, over sockets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.test import Client

from chat.models import Approval, Run
from chat.sweep import sweep_runs
from chat.tokens import AccessToken
from netra.testing import Netra, Socket, eventually, receive, send
from tests.chat.test_tasks import begin, events_of, stop_worker
from tests.scripted_agent import scripted, written


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCRIPTED_FOLDER", str(tmp_path))
    return tmp_path


async def asked(netra: Netra, script: str) -> tuple[Socket, str, list[str]]:
    """A socket of ann, the run, and the calls that it asks for first: one for each `write` and `read`."""
    netra.use_agents(scripted)
    socket = await netra.connect(await netra.user("ann"))
    run_id = (await begin(socket, script))["run_id"]
    first = script.split(";", maxsplit=1)[0]
    expected = first.count("write ") + first.count("read ")
    required = [await receive(socket, "approval_required") for _ in range(expected)]
    await netra.run_in_state(run_id, "awaiting_approval")
    return socket, run_id, [event["data"]["tool_call_id"] for event in required]


@database_sync_to_async
def ann() -> Any:
    return get_user_model().objects.get(username="ann")


async def wrote(folder: Path, word: str) -> None:
    async def look() -> bool:
        return word in written(folder)

    await eventually(look)


async def answer(socket: Socket, run_id: str, call: str, *, approved: bool = True, **fields: Any) -> None:
    await send(
        socket, type="resolve_approval", run_id=run_id, tool_call_id=call, approved=approved, ref="answer", **fields
    )


async def test_another_tab_approves_and_the_tool_runs_once(netra: Netra, folder: Path) -> None:
    socket, run_id, [call] = await asked(netra, "I ask. & write a; outcomes")
    other = await netra.connect(await ann())
    stored = await database_sync_to_async(Approval.objects.get)()
    assert (stored.tool, stored.arguments) == ("write", {"text": "a"})
    assert written(folder) == []

    await answer(other, run_id, call)
    reply = await receive(other, "approval_accepted")
    assert (reply["ref"], reply["run_id"]) == ("answer", run_id)
    resolved = await receive(socket, "approval_resolved")
    assert (resolved["data"]["approved"], resolved["data"]["by"]) == (True, "user")
    ended = await receive(socket, "agent_completed")
    assert ended["data"]["message"]["content"] == "I ask.\n\nsuccess: a is written"
    assert written(folder) == ["a"]
    assert await events_of(run_id) == [
        "message_created",
        "agent_started",
        "agent_thinking",
        "agent_response_chunk",
        "approval_required",
        "approval_resolved",
        "agent_started",
        "tool_executing",
        "tool_completed",
        "agent_thinking",
        "agent_response_chunk",
        "agent_completed",
    ]


async def test_the_model_is_told_of_a_denial_and_answers(netra: Netra, folder: Path) -> None:
    socket, run_id, [call] = await asked(netra, "write a; outcomes")
    await answer(socket, run_id, call, approved=False, reason="Not today")
    assert (await receive(socket, "approval_resolved"))["data"]["reason"] == "Not today"
    ended = await receive(socket, "agent_completed")
    assert ended["data"]["message"]["content"].startswith("denied: ")
    assert "Not today" in ended["data"]["message"]["content"]
    assert written(folder) == []
    assert "tool_executing" not in await events_of(run_id)


async def test_two_tabs_answer_at_once_and_one_wins(netra: Netra, folder: Path) -> None:
    socket, run_id, [call] = await asked(netra, "write a; outcomes")
    other = await netra.connect(await ann())
    await asyncio.gather(answer(socket, run_id, call, approved=True), answer(other, run_id, call, approved=False))
    replies = [await receive(tab, "approval_accepted", "error_message") for tab in (socket, other)]
    won = [reply["type"] == "approval_accepted" for reply in replies]
    assert sorted(won) == [False, True]
    lost = replies[won.index(False)]
    assert (lost["error_code"], lost["ref"]) == ("APPROVAL_NOT_FOUND", "answer")
    assert lost["details"] == {"approved": won[0], "by": "user"}
    await receive(socket, "agent_completed")
    assert written(folder) == (["a"] if won[0] else [])


async def test_nothing_that_a_client_sends_along_reaches_the_tool(netra: Netra, folder: Path) -> None:
    socket, run_id, [call] = await asked(netra, "write a; outcomes")
    forged: dict[str, Any] = {"arguments": {"text": "evil"}, "override_args": {"text": "evil"}, "tool": "note"}
    await answer(socket, run_id, call, **forged)
    await receive(socket, "agent_completed")
    assert written(folder) == ["a"]


@pytest.mark.parametrize(
    "fields",
    [{"approved": "yes"}, {"approved": 1}, {"tool_call_id": ""}, {"tool_call_id": "x" * 201}, {"reason": "x" * 2001}],
)
async def test_an_answer_that_is_none_is_refused_and_changes_nothing(
    netra: Netra, folder: Path, fields: dict[str, Any]
) -> None:
    socket, run_id, [call] = await asked(netra, "write a; outcomes")
    frame = {"run_id": run_id, "tool_call_id": call, "approved": True}
    await send(socket, type="resolve_approval", **(frame | fields))
    assert (await receive(socket, "error_message"))["error_code"] == "INVALID_MESSAGE"
    assert (await database_sync_to_async(Approval.objects.get)()).approved is None


async def test_a_stranger_cannot_answer(netra: Netra, folder: Path) -> None:
    _, run_id, [call] = await asked(netra, "write a; outcomes")
    stranger = await netra.connect(await netra.user("bob"))
    await answer(stranger, run_id, call)
    error = await receive(stranger, "error_message")
    assert (error["error_code"], "details" in error) == ("APPROVAL_NOT_FOUND", False)
    assert (await database_sync_to_async(Approval.objects.get)()).approved is None


async def test_a_run_asks_several_times_and_its_tools_do_not_run_again(netra: Netra, folder: Path) -> None:
    socket, run_id, calls = await asked(netra, "note x & write a & write b; write c; outcomes")
    await answer(socket, run_id, calls[0])
    await answer(socket, run_id, calls[1], approved=False)
    third = (await receive(socket, "approval_required"))["data"]["tool_call_id"]
    assert third not in calls
    await netra.run_in_state(run_id, "awaiting_approval")
    await answer(socket, run_id, third)
    await receive(socket, "agent_completed")
    assert written(folder) == ["x", "a", "c"]


async def test_rest_approves_what_a_socket_shows(netra: Netra, folder: Path) -> None:
    socket, run_id, [call] = await asked(netra, "write a; outcomes")
    user = await ann()

    def post() -> int:
        client = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}"})
        href = f"/api/runs/{run_id}/approvals/{call}"
        return client.post(href, json.dumps({"approved": True}), content_type="application/json").status_code

    assert await sync_to_async(post)() == 200
    await receive(socket, "agent_completed")
    assert written(folder) == ["a"]


async def test_the_time_to_answer_ends(netra: Netra, folder: Path, settings: Any) -> None:
    settings.NETRA = settings.NETRA.model_copy(update={"approval_seconds": 0.2})
    socket, run_id, [call] = await asked(netra, "write a; outcomes")

    async def swept() -> bool:
        await database_sync_to_async(sweep_runs)()
        return bool((await database_sync_to_async(Run.objects.get)(id=run_id)).error_code)

    await eventually(swept)
    assert (await receive(socket, "approval_resolved"))["data"]["by"] == "expired"
    assert (await receive(socket, "agent_error"))["data"]["error_code"] == "APPROVAL_EXPIRED"
    await answer(socket, run_id, call)
    assert (await receive(socket, "error_message"))["error_code"] == "APPROVAL_NOT_FOUND"
    assert written(folder) == []


async def test_an_approval_outlives_workers_and_a_repetition_tells_again_what_came_before_it(
    netra: Netra, folder: Path
) -> None:
    socket, run_id, [call] = await asked(netra, "One. & note x & read a; Two. & wait; outcomes")
    await stop_worker(netra)
    netra.application.start()
    await answer(socket, run_id, call)
    await wrote(folder, "waiting")
    await stop_worker(netra)
    netra.application.start()
    assert (await receive(socket, "agent_restarted"))["data"]["reason"] == "handed_back"
    (folder / "go").touch()
    ended = await receive(socket, "agent_completed")
    assert ended["data"]["message"]["content"] == (
        "One.\n\nTwo.\n\nsuccess: x is written, success: read-a is written, success: gone on"
    )
    assert written(folder).count("x") == 1, "what was done before the pause is not done again"
    assert written(folder).count("read-a") == 2, "what is allowed, and declared repeatable, is"
    types = await events_of(run_id)
    again = types[types.index("agent_restarted") :]
    assert again[:8] == [
        "agent_restarted",
        "agent_started",
        "agent_thinking",
        "agent_response_chunk",
        "tool_executing",
        "tool_completed",
        "tool_executing",
        "tool_completed",
    ]
    assert "approval_required" not in again


async def test_what_was_allowed_is_done_once_whatever_happens_then(netra: Netra, folder: Path) -> None:
    socket, run_id, [call] = await asked(netra, "write a; wait; outcomes")
    await answer(socket, run_id, call)
    await wrote(folder, "waiting")
    await stop_worker(netra)
    failed = await receive(socket, "agent_error")
    assert (failed["data"]["error_code"], failed["data"]["retryable"]) == ("WORKER_LOST", False)
    assert "write had begun" in failed["data"]["error_message"]
    assert written(folder).count("a") == 1
