"""An example of every command and frame."""

from __future__ import annotations

import datetime
from typing import Any

from chat.errors import ErrorCode
from chat.protocol import (
    ApprovalAccepted,
    ConnectionEstablished,
    ErrorMessage,
    MessageAccepted,
    OpenRun,
    Pong,
    Resumed,
    ResumedRun,
    RunStopped,
    ServerDraining,
    ServerFrame,
    SnapshotRequired,
    StreamEstablished,
    ThreadCreated,
    ThreadDeleted,
    ThreadUpdated,
    TokenExpiring,
    TokenRefreshed,
    event_json,
)
from chat.protocol.parts import AllowanceUse, Heartbeat, Limits, Services, Thread, Token, User

THREAD = "6f1c2a90-2f0a-4c53-9d0e-6a5b1c1f7a10"
RUN = "0d9b3c52-7d0b-4a3e-8f5e-2b0f5f4c9e21"
EARLIER_RUN = "b6b4f5de-93a1-4a51-8a34-7d3a0f2c1b32"
QUESTION = "c1e0a7f4-5b7c-4f43-8a86-1f6f0a9d4e43"
ATTACHMENT = "9d2f6c1e-4b7a-4e0d-8c35-0a1b2c3d4e5f"
ANSWER = "f2a4d8b1-0c6e-4d2f-9b57-3e8c7d6b5a54"
NOW = datetime.datetime(2026, 11, 23, 19, 0, tzinfo=datetime.UTC)
NOW_TEXT = "2026-11-23T19:00:00.000Z"
THEN_TEXT = "2026-11-23T19:10:00.000Z"

FILE = {
    "id": ATTACHMENT,
    "name": "server.log",
    "media_type": "text/plain",
    "bytes": 48_213,
    "href": f"/api/attachments/{ATTACHMENT}",
}

# Several of a type have summaries that tell them apart.
COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("", {"type": "ping", "ref": "p1"}),
    ("A new thread", {"type": "user_message", "ref": "m1", "message_id": QUESTION, "content": "What is 6 * 7?"}),
    (
        "In a thread, of an agent, instead of what is said there at the moment",
        {
            "type": "user_message",
            "ref": "m2",
            "content": "What did I spend last week?",
            "thread_id": THREAD,
            "agent": "data",
            "when_busy": "interrupt",
        },
    ),
    (
        "An earlier message, put otherwise",
        {"type": "user_message", "ref": "m3", "content": "What is 6 * 8?", "thread_id": THREAD, "edits": QUESTION},
    ),
    (
        "With a file",
        {"type": "user_message", "ref": "m4", "content": "What does the log say?", "attachments": [ATTACHMENT]},
    ),
    ("By an earlier name of the command", {"type": "chat", "content": "Hello"}),
    ("", {"type": "regenerate", "ref": "g1", "message_id": ANSWER, "agent": "assistant"}),
    ("", {"type": "stop_run", "ref": "s1", "run_id": RUN}),
    ("", {"type": "resume", "ref": "r1", "cursors": {RUN: 4, EARLIER_RUN: 0}, "after_run": 412}),
    ("", {"type": "ack", "cursors": {RUN: 7}, "received": 9}),
    (
        "",
        {
            "type": "resolve_approval",
            "ref": "a1",
            "run_id": RUN,
            "tool_call_id": "call-1",
            "approved": False,
            "reason": "Not that page",
        },
    ),
    ("", {"type": "refresh_token", "ref": "t1", "token": "<a newer access token>"}),
]

_THREAD = Thread(
    id=THREAD, title="What is 6 * 7?", created_at=NOW_TEXT, updated_at=NOW_TEXT, archived=False, open_runs=1
)
_OPEN_RUN = OpenRun(run_id=RUN, run_number=412, thread_id=THREAD, status="running", last_seq=4)

FRAMES: list[tuple[str, ServerFrame]] = [
    (
        "",
        ConnectionEstablished(
            connection_id="3f0c5f7c9f6b4d0c8a4e0f5b7d2a1c66",
            user=User(id="7", username="ada"),
            environment="production",
            server_time=NOW_TEXT,
            services=Services(
                agent_supervisor="ready",
                thread_service="ready",
                database="ready",
                channel_layer="ready",
                worker="degraded",
            ),
            agents=["assistant", "triage", "data", "optimization"],
            last_run_number=412,
            threads_version=97,
            open_runs=[_OPEN_RUN],
            token=Token(expires_at=THEN_TEXT, expires_in=600),
            heartbeat=Heartbeat(interval_seconds=25),
            limits=Limits(
                max_message_bytes=65_536,
                user_messages_per_minute=60,
                max_open_runs=10,
                max_connections=20,
                window_bytes=1_048_576,
                max_attachments=10,
                max_attachment_bytes=10_485_760,
            ),
        ),
    ),
    ("", StreamEstablished(last_run_number=412, threads_version=97, open_runs=[_OPEN_RUN])),
    ("", Pong(ref="p1", server_time=NOW_TEXT, threads_version=97)),
    ("", MessageAccepted(ref="m1", thread_id=THREAD, message_id=QUESTION, run_id=RUN, run_number=412)),
    (
        "Nearly all of a day's questions are asked",
        MessageAccepted(
            ref="m2",
            thread_id=THREAD,
            message_id=QUESTION,
            run_id=RUN,
            run_number=413,
            allowance=[AllowanceUse(limit="runs_per_day", used=46, allowed=50, resets_in=18_000)],
        ),
    ),
    ("", RunStopped(ref="s1", run_id=RUN, status="cancelled")),
    (
        "",
        Resumed(
            ref="r1",
            runs={RUN: ResumedRun(run_number=412, status="running", from_seq=5, last_seq=8)},
            snapshot_required=[],
            gone=[EARLIER_RUN],
        ),
    ),
    ("", ApprovalAccepted(ref="a1", run_id=RUN, tool_call_id="call-1")),
    ("", TokenRefreshed(ref="t1", expires_at=THEN_TEXT, expires_in=600)),
    ("", TokenExpiring(expires_in=60)),
    ("", SnapshotRequired(run_ids=[EARLIER_RUN])),
    ("", ServerDraining(reconnect_after_ms=5000)),
    ("", ThreadCreated(thread=_THREAD, threads_version=98)),
    ("", ThreadUpdated(thread=_THREAD.model_copy(update={"title": "Six times seven"}), threads_version=99)),
    ("", ThreadDeleted(thread=_THREAD.model_copy(update={"open_runs": 0}), threads_version=100)),
    (
        "A field is wrong",
        ErrorMessage(
            ref="m1",
            error_code=ErrorCode.INVALID_MESSAGE,
            error_message="content: must not be empty",
            details={"problems": [{"field": "content", "problem": "must not be empty"}]},
        ),
    ),
    (
        "Too many commands",
        ErrorMessage(error_code=ErrorCode.RATE_LIMITED, error_message="Too many messages", retry_after=2.5),
    ),
    (
        "No tokens are left for today",
        ErrorMessage(
            ref="m3",
            error_code=ErrorCode.ALLOWANCE_USED,
            error_message="What you may use in a day is used up: 100000 tokens",
            details={"limit": "tokens_per_day", "used": 100_512, "allowed": 100_000, "resets_in": 18_000},
            retry_after=18_000,
        ),
    ),
    (
        "Before the close with 4401",
        ErrorMessage(
            error_code=ErrorCode.NO_TOKEN,
            error_message="No JWT token found in WebSocket headers or subprotocols",
            details={
                "environment": "production",
                "ssot_authentication": True,
                "auth_headers": {
                    "authorization_present": False,
                    "authorization_preview": "[MISSING]",
                    "websocket_protocol": "[MISSING]",
                },
            },
        ),
    ),
]

_CALL = {"tool_call_id": "call-1", "tool": "calculate"}
_PAGE = {"tool_call_id": "call-2", "tool": "fetch_page"}
_ANSWER = {"id": ANSWER, "role": "assistant", "content": "6 * 7 = 42."}

EVENTS: list[tuple[str, str, dict[str, Any]]] = [
    ("", "message_created", {"message": {"id": QUESTION, "role": "user", "content": "What is 6 * 7?"}}),
    (
        "With a file",
        "message_created",
        {"message": {"id": QUESTION, "role": "user", "content": "What does the log say?", "attachments": [FILE]}},
    ),
    ("", "agent_started", {"model": "offline", "attempt": 1}),
    (
        "",
        "context_reduced",
        {
            "limit_tokens": 8192,
            "estimated_tokens": 61200,
            "kept_messages": 59,
            "dropped_messages": 541,
            "shortened_results": 3,
        },
    ),
    ("A model request begins", "agent_thinking", {"step": 1, "text": ""}),
    ("A piece of its reasoning", "agent_thinking", {"step": 1, "text": "That is a product. "}),
    ("", "tool_executing", {**_CALL, "arguments": {"expression": "6 * 7"}}),
    ("A result", "tool_completed", {**_CALL, "result": {"value": 42}, "duration_ms": 3}),
    ("An error", "tool_completed", {**_CALL, "error": "division by zero", "duration_ms": 2}),
    (
        "The beginning of a large result",
        "tool_completed",
        {
            **_PAGE,
            "result": "It was the best of times",
            "truncated": {"bytes": 123456, "href": f"/api/runs/{RUN}/events/5/result"},
            "duration_ms": 812,
        },
    ),
    ("", "agent_response_chunk", {"message_id": ANSWER, "text": "6 * 7 "}),
    ("", "subagent_started", {"subagent": "data", "parent_tool_call_id": "call-3"}),
    ("", "subagent_completed", {"subagent": "data", "parent_tool_call_id": "call-3", "result": "7 dollars."}),
    (
        "",
        "approval_required",
        {**_PAGE, "arguments": {"url": "https://example.org/"}, "expires_in": 600},
    ),
    (
        "By the person",
        "approval_resolved",
        {"tool_call_id": "call-2", "approved": False, "by": "user", "reason": "Not that page"},
    ),
    ("Nobody answered", "approval_resolved", {"tool_call_id": "call-2", "approved": False, "by": "expired"}),
    ("", "agent_restarted", {"attempt": 2, "reason": "worker_lost"}),
    (
        "",
        "agent_completed",
        {
            "message": _ANSWER,
            "usage": {
                "model": "openai:gpt-5-mini",
                "input_tokens": 512,
                "output_tokens": 18,
                "requests": 2,
                "cost_usd": 0.0002,
            },
            "duration_ms": 1204,
        },
    ),
    (
        "",
        "agent_error",
        {
            "error_code": "MODEL_ERROR",
            "error_message": "The model did not answer.",
            "retryable": True,
            "message": {**_ANSWER, "content": "6 * 7 "},
        },
    ),
    ("", "agent_cancelled", {"by": "user", "message": {**_ANSWER, "content": "6 * 7 "}}),
]


def event_examples() -> list[tuple[str, dict[str, Any]]]:
    return [
        (
            summary,
            event_json(
                type=kind,
                thread_id=THREAD,
                run_id=RUN,
                run_number=412,
                seq=1 if kind == "message_created" else 5,
                created_at=NOW,
                agent="assistant",
                data=data,
            ),
        )
        for summary, kind, data in EVENTS
    ]
