"""The unmodified JavaScript client of AG-UI, answered with the streams of recorded and of random runs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pydantic_core

from chat.run_state import RunState, fold_log
from tests.ag_ui_client import AgUiClient, ag_ui_client, said
from tests.ag_ui_runs import USER, Json, RandomRun, asked, pauses, recorded_runs, server_sent, stream

ENDED = {"agent_completed": "success", "agent_cancelled": "cancelled"}


async def show(client: AgUiClient, frames: Sequence[Json], *, asks_again: bool) -> None:
    """The client sees the whole run, stopping at each pause, and shows in the end what the server holds."""
    await client.begin(url="http://localhost/", token="", threadId="a thread", messages=[USER])
    *waits, last = [*pauses(frames), len(frames)]
    shown: list[Json] = [USER]
    resume: list[Json] | None = None
    behind = 0
    for place in [*waits, last]:
        by = asked(messages=shown, **({"resume": resume} if resume else {}))
        await client.replies(server_sent(stream(frames[:place], by, behind=behind)))
        done = await client.run(**({"resume": resume} if resume else {}))
        assert (done["failed"], done["warnings"]) == (None, [])
        shown = done["messages"]
        resume = [{"interruptId": pending["id"], "status": "cancelled"} for pending in done["pendingInterrupts"]]
        behind = place
    assert_shows(done, frames)
    if asks_again:
        await client.replies(server_sent(stream(frames, asked(messages=shown))))
        again = await client.run(**({"resume": resume} if resume else {}))
        assert (again["failed"], again["warnings"]) == (None, [])
        assert_shows(again, frames)


def assert_shows(done: Json, frames: Sequence[Json]) -> None:
    run = fold_log(frames)
    assert run is not None
    kind = frames[-1]["type"]
    assert done["outcome"] == ENDED.get(kind, "interrupt" if run["status"] == "awaiting_approval" else None)
    assert (done["error"] is not None) == (done["outcome"] is None)
    assert said(done["messages"]) == run["text"]
    calls = {call["id"]: call for message in done["messages"] for call in message.get("toolCalls", ())}
    results = [message for message in done["messages"] if message["role"] == "tool"]
    assert len({message["id"] for message in done["messages"]}) == len(done["messages"])
    assert sorted((call["function"]["name"], call["function"]["arguments"]) for call in calls.values()) == told_calls(
        run
    )
    denied = [approval for approval in run["approvals"].values() if approval["approved"] is False]
    ended = [step for step in run["steps"] if step["kind"] == "tool" and step["status"] != "running"]
    assert len(results) == len({result["toolCallId"] for result in results})
    assert len(results) >= len(denied)
    assert {step["tool"] for step in ended} <= {calls[result["toolCallId"]]["function"]["name"] for result in results}
    thoughts = "".join(message["content"] for message in done["messages"] if message["role"] == "reasoning")
    assert sorted(thoughts) == sorted("".join(step["text"] for step in run["steps"] if step["kind"] == "thinking"))


def told_calls(run: RunState) -> list[tuple[str, str]]:
    """The calls of a run with their arguments: those that began, and those that a person was asked for in vain."""
    asked_for = {call: approval for call, approval in run["approvals"].items() if approval["approved"] is not True}
    begun = {step["tool_call_id"]: step for step in run["steps"] if step["kind"] == "tool"}
    calls = [(call["tool"], call["arguments"]) for call in (begun | asked_for).values()]
    return sorted(
        (tool, text_of({"netra.truncated": given} if isinstance(given, str) else given)) for tool, given in calls
    )


def text_of(value: Any) -> str:
    return pydantic_core.to_json(value).decode()


async def test_the_client_shows_of_each_recorded_run_what_the_server_holds() -> None:
    async with ag_ui_client() as client:
        for frames in recorded_runs().values():
            await show(client, frames, asks_again=True)


async def test_the_client_shows_of_any_run_what_the_server_holds() -> None:
    async with ag_ui_client() as client:
        for seed in range(60):
            await show(client, RandomRun(random.Random(seed), steps=20).frames, asks_again=seed % 2 == 0)
