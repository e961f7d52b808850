"""An example of every body, and of every answer that a client reads more than a field of."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from chat.api import bodies, schemas
from chat.asyncapi.examples import ANSWER, FILE, NOW_TEXT, QUESTION, RUN, THEN_TEXT, THREAD

THREAD_JSON = {
    "id": THREAD,
    "title": "What is 6 * 7?",
    "created_at": NOW_TEXT,
    "updated_at": NOW_TEXT,
    "archived": False,
    "open_runs": 0,
}
_SAID = {"partial": False, "run_id": RUN, "created_at": NOW_TEXT}
QUESTION_JSON: dict[str, Any] = {
    **_SAID,
    "id": QUESTION,
    "role": "user",
    "content": "What is 6 * 7?",
    "parent_id": None,
    "attachments": [FILE],
    "siblings": [QUESTION],
    "feedback": None,
}
ANSWER_JSON: dict[str, Any] = {
    **_SAID,
    "id": ANSWER,
    "role": "assistant",
    "content": "6 * 7 = **42**",
    "parent_id": QUESTION,
    "attachments": [],
    "siblings": [ANSWER],
    "feedback": {"rating": "up", "text": ""},
}
RUN_JSON: dict[str, Any] = {
    "id": RUN,
    "run_number": 412,
    "thread_id": THREAD,
    "status": "completed",
    "agent": "assistant",
    "attempt": 1,
    "last_seq": 7,
    "input_message_id": QUESTION,
    "output_message_id": ANSWER,
    "error_code": None,
    "error_message": None,
    "cancelled_by": None,
    "usage": {
        "model": "openai:gpt-5-mini",
        "input_tokens": 412,
        "output_tokens": 18,
        "requests": 2,
        "cost_usd": 0.000139,
    },
    "duration_ms": 1280,
    "created_at": NOW_TEXT,
    "started_at": NOW_TEXT,
    "finished_at": NOW_TEXT,
}
EVENT_JSON: dict[str, Any] = {
    "type": "agent_response_chunk",
    "thread_id": THREAD,
    "run_id": RUN,
    "run_number": 412,
    "seq": 6,
    "timestamp": NOW_TEXT,
    "agent": "assistant",
    "data": {"message_id": ANSWER, "text": "6 * 7 = **42**"},
}
TOOL_JSON: dict[str, Any] = {
    "name": "calculate",
    "description": "Evaluate an arithmetic expression exactly.",
    "needs_approval": False,
    "repeatable": True,
    "timeout_seconds": 5.0,
    "result_limit": 16_384,
    "parameters": {
        "type": "object",
        "properties": {"expression": {"type": "string"}},
        "required": ["expression"],
        "additionalProperties": False,
    },
}
APPROVAL_JSON: dict[str, Any] = {
    "tool_call_id": "call-1",
    "agent": "assistant",
    "tool": "read_web_page",
    "arguments": {"url": "https://example.org/"},
    "created_at": NOW_TEXT,
    "expires_at": THEN_TEXT,
    "approved": None,
    "by": None,
    "reason": None,
    "resolved_at": None,
}
SUMS_JSON: dict[str, Any] = {
    "group": {"agent": "assistant"},
    "requests": 12,
    "failed": 0,
    "unpriced": 0,
    "runs": 5,
    "input_tokens": 4120,
    "output_tokens": 388,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "cost_usd": "0.001806",
    "failed_cost_usd": "0",
    "duration_ms": 9120,
}

EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    bodies.SignInBody: {"username": "ann", "password": "correct horse battery staple"},
    bodies.RegisterBody: {
        "username": "ann",
        "email": "ann@example.org",
        "password": "correct horse battery staple",
        "session": "cookie",
    },
    bodies.ResetBody: {"email": "ann@example.org"},
    bodies.ResetConfirmationBody: {
        "uid": "Nw",
        "token": "cxv4wa-2c1e6a5b9f0d3c8e7a41f2b6d5093e8c",
        "password": "correct horse battery staple",
    },
    bodies.PasswordChangeBody: {"old_password": "a word", "new_password": "correct horse battery staple"},
    bodies.MeBody: {"default_agent": "data"},
    bodies.PasswordBody: {"password": "correct horse battery staple"},
    bodies.ExchangeBody: {"token": "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJzdWIiOiI3ZjNjIn0.c2lnbmF0dXJl"},
    bodies.RefreshBody: {"refresh": "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.c2lnbmF0dXJl"},
    bodies.ThreadBody: {"title": "Plans"},
    bodies.ThreadChangeBody: {"title": "Plans for May", "archived": False},
    bodies.MessageBody: {"content": "What is 6 * 7?", "message_id": QUESTION},
    bodies.AskBody: {"message": "What is 6 * 7?"},
    bodies.ExecuteBody: {"type": "assistant", "message": "What is 6 * 7?"},
    bodies.AgUiBody: {
        "threadId": "my sums",
        "runId": "c1c0e7f5-8d05-4c69-9a52-6f1d1d7b1f0a",
        "messages": [{"id": QUESTION, "role": "user", "content": "What is 6 * 7?"}],
    },
    bodies.UploadBody: {"file": "first line\nsecond line\n"},
    bodies.RegenerateBody: {"agent": "assistant"},
    bodies.DecisionBody: {"approved": False, "reason": "Not that page"},
    bodies.FeedbackBody: {"rating": "up", "text": "Just what I asked for"},
    schemas.Tokens: {
        "access": "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIn0.c2lnbmF0dXJl",
        "expires_in": 600,
        "refresh": "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.c2lnbmF0dXJl",
    },
    schemas.SessionPage: {
        "sessions": [
            {
                "id": "7f3c1f52-0c7e-4f0e-9d53-0d7a4d1f7f10",
                "kind": "cookie",
                "agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "network": "203.0.113.7",
                "created_at": THEN_TEXT,
                "last_used_at": NOW_TEXT,
                "expires_at": "2026-12-08T19:00:00.000Z",
                "current": True,
            }
        ],
        "next": None,
    },
    schemas.Person: {
        "id": "7",
        "username": "ann",
        "email": "ann@example.org",
        "is_staff": False,
        "default_agent": "data",
    },
    schemas.AccountOptions: {
        "registration": True,
        "password_reset": True,
        "password_rules": ["Your password must contain at least 8 characters."],
        "password_sign_in": True,
        "exchange": None,
        "sign_in_url": None,
    },
    schemas.NotePage: {
        "notes": [{"id": 12, "content": "I live in Lisbon", "agent": "assistant", "created_at": NOW_TEXT}],
        "next": None,
    },
    schemas.Thread: THREAD_JSON,
    schemas.ThreadPage: {"threads_version": 97, "threads": [THREAD_JSON], "matches": [], "next": None},
    schemas.Attachment: FILE,
    schemas.Message: ANSWER_JSON,
    schemas.MessagePage: {"messages": [QUESTION_JSON, ANSWER_JSON], "runs": [RUN_JSON], "previous": None},
    schemas.Run: RUN_JSON,
    schemas.RunPage: {"runs": [RUN_JSON], "next": "WyI0MTIiXQ"},
    schemas.EventPage: {"run_id": RUN, "status": "completed", "last_seq": 7, "events": [EVENT_JSON], "next": 6},
    schemas.Accepted: {
        "thread_id": THREAD,
        "message_id": QUESTION,
        "run_id": RUN,
        "run_number": 412,
        "allowance": [],
    },
    schemas.Stopped: {"run_id": RUN, "status": "cancelled"},
    schemas.Approvals: {"approvals": [APPROVAL_JSON]},
    schemas.WaitingApprovals: {"approvals": [APPROVAL_JSON | {"run_id": RUN, "thread_id": THREAD}]},
    schemas.Resolved: {"run_id": RUN, "tool_call_id": "call-1", "approved": False},
    schemas.Agents: {
        "agents": [
            {
                "name": "assistant",
                "description": "Answers questions.",
                "model": "openai:gpt-5-mini",
                "tools": [TOOL_JSON],
                "delegates": [],
                "examples": ["What is 17.5 % of 2480, and what time is it in Tokyo?"],
                "limits": {"model_requests": 25, "tool_seconds": 30.0, "tool_result_characters": 16_384},
            }
        ]
    },
    schemas.Tools: {"tools": [TOOL_JSON | {"agents": ["assistant"], "mcp_server": None}]},
    schemas.Supervisor: {
        "status": "ready",
        "workers": 2,
        "runs": {"queued": 0, "running": 1, "awaiting_approval": 0},
        "agents": [{"name": "assistant", "running": 1}],
    },
    schemas.Allowances: {
        "allowance": [
            {"limit": "runs_per_day", "used": 46, "allowed": 50, "resets_in": 18_000},
            {"limit": "tokens_per_day", "used": 181_204, "allowed": None, "resets_in": 18_000},
            {"limit": "cost_usd_per_day", "used": 0.42, "allowed": 2, "resets_in": 18_000},
            {"limit": "open_runs", "used": 1, "allowed": 10, "resets_in": None},
            {"limit": "messages_per_minute", "used": 3, "allowed": 60, "resets_in": 41},
            {"limit": "connections", "used": 2, "allowed": 20, "resets_in": None},
        ]
    },
    schemas.Usage: {
        "since": "2026-10-24T19:00:00.000Z",
        "until": NOW_TEXT,
        "by": ["agent"],
        "rows": [SUMS_JSON],
        "truncated": False,
        "total": SUMS_JSON | {"group": {}},
    },
}

STREAM = f"retry: 2000\n\nid: 6\ndata: {json.dumps(EVENT_JSON)}\n\n"
_AG_UI_TEXT = {"type": "TEXT_MESSAGE_CONTENT", "messageId": ANSWER, "delta": "6 * 7"}
# Of an operation whose events are not a run's.
STREAM_OF = {"run_agent_for_ag_ui": f"retry: 2000\n\ndata: {json.dumps(_AG_UI_TEXT)}\n\n"}
