"""What Netra replaces, as it was found: healthy by its own word, with sockets that are no use. No part of Netra.

The first part of the path says which of its faults is shown: `/silent/ws` accepts and never greets, `/breaks/ws` greets
and closes with 1011 at the first message, `/open/ws` lets everybody in, `/echo/ws` says back what credential it was
sent, `/garbage/ws` sends what is no frame, `/welcome/ws` one of another protocol. Below `/` it is only healthy.
"""

from __future__ import annotations

import json
from typing import Any

THREAD = "3f2c8a52-7c1b-4b35-9c39-1df6b6f3f0a1"
ANSWERS = {
    "/health": {"status": "healthy", "service": "netra", "environment": "staging", "uptime_seconds": 1.0},
    "/health/ready": {"status": "ready", "services": {"database": "ready"}},
    "/api/agents": {"agents": [{"name": "assistant", "model": "earlier", "tools": []}]},
    "/api/threads": {"id": THREAD},
}
ESTABLISHED = {
    "type": "connection_established",
    "event": "connection_established",
    "connection_ready": True,
    "server_time": "2026-11-23T19:00:00.000Z",
    "services": {"agent_supervisor": "ready", "thread_service": "ready"},
    "agents": ["assistant"],
    "last_run_number": 0,
    "threads_version": 0,
    "open_runs": [],
}
NO_TOKEN = {"type": "error_message", "error_code": "NO_TOKEN", "error_message": "No JWT token found"}
PONG = {"type": "pong", "ref": "ping", "server_time": "2026-11-23T19:00:00.000Z", "threads_version": 0}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    fault, _, rest = scope["path"].lstrip("/").partition("/")
    if scope["type"] == "http":
        await _answer(scope["path"] if fault in ("health", "api") else f"/{rest}", scope["method"], receive, send)
    elif scope["type"] == "websocket":
        await _serve(fault, {name.lower(): value.decode() for name, value in scope["headers"]}, receive, send)


async def _answer(path: str, method: str, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    body = json.dumps(ANSWERS.get(path, {})).encode()
    status = 204 if method == "DELETE" else 200 if path in ANSWERS else 404
    headers = [(b"content-type", b"application/json"), (b"x-correlation-id", b"1")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if status == 204 else body})


async def _serve(fault: str, headers: dict[bytes, str], receive: Any, send: Any) -> None:
    await receive()
    offered = headers.get(b"sec-websocket-protocol", "")
    await send({"type": "websocket.accept", "subprotocol": "netra.v1" if "netra.v1" in offered else None})
    credential = headers.get(b"authorization", "") or ("jwt." in offered and offered)
    if fault == "garbage":
        await send({"type": "websocket.send", "text": "hello"})
    elif fault == "welcome":
        await _say(send, {"type": "welcome"})
    elif not credential and fault != "open":
        await _say(send, NO_TOKEN)
        await send({"type": "websocket.close", "code": 4401})
    elif fault == "echo":
        said = f"I do not like {credential}"
        await _say(send, {"type": "error_message", "error_code": "STRANGE", "error_message": said, "details": said})
        await send({"type": "websocket.close", "code": 4401})
    elif fault != "silent":
        await _say(send, ESTABLISHED)
    while (message := await receive())["type"] == "websocket.receive":
        kind = json.loads(message["text"])["type"]
        if kind == "ping":
            await _say(send, PONG)
        elif kind == "user_message":
            await send({"type": "websocket.close", "code": 1011})


async def _say(send: Any, frame: dict[str, Any]) -> None:
    await send({"type": "websocket.send", "text": json.dumps(frame)})
