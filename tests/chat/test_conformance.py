"""What the server sends is as the AsyncAPI document has it, and the tests' clients notice what is not."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.test import Client
from websockets.asyncio.server import ServerConnection, serve

from agents.events import (
    AgentError,
    AgentEvent,
    AgentResponseChunk,
    AgentStarted,
    AgentThinking,
    ContextReduced,
    PendingApproval,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    event_data,
)
from chat.asyncapi import document
from chat.errors import ChatError, ErrorCode
from chat.protocol import Pong, error_frame
from chat.run_event import Event, answer_json, approval_required, bounded_event, now, numbered_event
from netra.testing import Netra, receive, send
from tests.clients import dial
from tests.conformance import assert_conforms, sent_types

TRACES = sorted((Path(__file__).resolve().parents[1] / "traces").iterdir())
FRAMES: list[dict[str, Any]] = [
    example["payload"]
    for name, message in document()["components"]["messages"].items()
    if name in sent_types()
    for example in message["examples"]
]
LARGE = "é" * 100_000
NAME = "n" * 1000
CALL: dict[str, Any] = {"agent": NAME, "tool_call_id": NAME, "tool": NAME}
YIELDED: list[AgentEvent] = [
    AgentStarted(agent="a", model=NAME, attempt=1),
    AgentThinking(agent="a", step=1),
    AgentThinking(agent="a", step=2, text="Hm"),
    ToolExecuting(**CALL, arguments={}),
    ToolExecuting(**CALL, arguments={"text": LARGE}),
    ToolExecuting(**CALL, arguments={"not JSON": object()}),
    ToolCompleted(**CALL, duration_ms=0, result=None),
    ToolCompleted(**CALL, duration_ms=1, result=[1.5, {"a": None}]),
    ToolCompleted(**CALL, duration_ms=1, result=LARGE),
    ToolCompleted(**CALL, duration_ms=1, result=[LARGE] * 20),
    ToolCompleted(**CALL, duration_ms=1, error=LARGE),
    AgentResponseChunk(agent="a", message_id=NAME, text="Hello"),
    SubagentStarted(agent="a", subagent=NAME, parent_tool_call_id=NAME),
    SubagentCompleted(agent="a", subagent="b", parent_tool_call_id="c", result=LARGE),
    SubagentCompleted(agent="a", subagent="b", parent_tool_call_id="c", error="lost"),
    ContextReduced(
        agent="a", limit_tokens=1, estimated_tokens=2, kept_messages=3, dropped_messages=4, shortened_results=0
    ),
    AgentError(agent="a", error_code=NAME, error_message=LARGE, retryable=True, correlation_id="c"),
]


def numbered(event: Event) -> dict[str, Any]:
    frame = numbered_event(uuid.uuid4(), 1, uuid.uuid4(), 2, event)
    return json.loads(json.dumps(frame))  # type: ignore[no-any-return]


def ids(frames: list[dict[str, Any]]) -> list[str]:
    return [f"{number}-{frame['type']}" for number, frame in enumerate(frames)]


# What is sent


@pytest.mark.parametrize("event", YIELDED, ids=lambda event: event.type)
def test_an_event_is_as_the_document_has_it_whatever_the_agent_yields(event: AgentEvent) -> None:
    assert_conforms(numbered(bounded_event(event.type, event.agent, event_data(event))))


@pytest.mark.parametrize("text", ["", LARGE])
def test_so_are_requests_for_approval_and_answers(text: str) -> None:
    asked = PendingApproval(agent="a", tool_call_id="c", tool="t", arguments={"text": text})
    assert_conforms(numbered(approval_required(asked, 600.4)))
    cancelled = {"by": "user", "message": answer_json(uuid.uuid4(), text)}
    assert_conforms(numbered(Event("agent_cancelled", "a", cancelled, now())))


@pytest.mark.parametrize("code", [*document()["channels"]["socket"]["x-error-codes"]])
def test_an_error_is_as_the_document_has_it(code: str) -> None:
    assert_conforms(json.loads(error_frame(ChatError(ErrorCode(code), "No", retry_after=1.5), ref="r").encode()))


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_a_committed_trace_is_as_the_document_has_it(path: Path) -> None:
    frames = [frame for frame in json.loads(path.read_text())["frames"] if not frame["type"].startswith("$")]
    assert frames
    for frame in frames:
        assert_conforms(frame)


async def test_events_over_rest_are_as_the_document_has_them(netra: Netra) -> None:
    ann = await netra.user("ann")
    told = await netra.ask(await netra.connect(ann), "What is 17.5 % of 2480?")
    client = Client(headers={"Authorization": f"Bearer {netra.token(ann)}"})
    answer = await database_sync_to_async(client.get)(f"/api/runs/{told[0]['run_id']}/events")
    events = answer.json()["events"]
    assert events == told
    for event in events:
        assert_conforms(event)


# What would be noticed


@pytest.mark.parametrize("frame", FRAMES, ids=ids(FRAMES))
def test_a_field_too_many_is_noticed(frame: dict[str, Any]) -> None:
    assert_conforms(frame)
    changed = [frame | {"extra": 1}]
    if "seq" in frame:
        changed.append(frame | {"data": frame["data"] | {"extra": 1}})
    for wrong in changed:
        with pytest.raises(AssertionError, match="extra"):
            assert_conforms(wrong)


@pytest.mark.parametrize("frame", FRAMES, ids=ids(FRAMES))
def test_a_field_that_is_missing_or_null_is_noticed(frame: dict[str, Any]) -> None:
    optional = {"ref", "details", "retry_after", "allowance"}
    for name in frame.keys() - {"type"}:
        if name not in optional:
            with pytest.raises(AssertionError, match=name):
                assert_conforms({key: value for key, value in frame.items() if key != name})
        with pytest.raises(AssertionError, match=name):
            assert_conforms(frame | {name: None})


def test_a_type_that_is_not_there_is_noticed() -> None:
    for frame in ({"type": "agent_resting"}, {"type": "ping"}, {}):
        with pytest.raises(AssertionError, match="no frame of the type"):
            assert_conforms(frame)


async def test_a_communicator_notices_it(netra: Netra, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = await netra.connect(await netra.user("ann"))
    monkeypatch.setattr(Pong, "encode", lambda _: '{"type":"pong","threads_version":0}')
    await send(socket, type="ping")
    with pytest.raises(AssertionError, match="server_time"):
        await receive(socket)


@pytest.fixture
async def liar() -> AsyncIterator[str]:
    """A server whose only frame has a field too many."""

    async def lie(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "token_expiring", "expires_in": 60, "extra": 1}))

    async with serve(lie, "127.0.0.1", 0) as server:
        host, port = next(iter(server.sockets)).getsockname()
        yield f"http://{host}:{port}"


async def test_a_client_notices_it(liar: str) -> None:
    async with dial(liar) as client:
        with pytest.raises(AssertionError, match="extra"):
            await client.receive()
