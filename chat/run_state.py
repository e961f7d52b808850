"""One run's events folded into its state. No I/O. Its specification is the docstring of `chat.fold`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict


class RunState(TypedDict):
    """One run, as the docstring of `chat.fold` lays it out."""

    run_number: int
    last_seq: int
    thread_id: str | None
    agent: str | None
    status: str
    attempt: int
    question: dict[str, Any] | None
    model: str | None
    text: str
    steps: list[dict[str, Any]]
    approvals: dict[str, dict[str, Any]]
    message: dict[str, Any] | None
    error: dict[str, Any] | None
    cancelled_by: str | None
    usage: dict[str, Any] | None
    duration_ms: int | None


def unbegun(*, run_number: int, thread_id: str | None, status: str) -> RunState:
    return RunState(
        run_number=run_number,
        last_seq=0,
        thread_id=thread_id,
        agent=None,
        status=status,
        attempt=1,
        question=None,
        model=None,
        text="",
        steps=[],
        approvals={},
        message=None,
        error=None,
        cancelled_by=None,
        usage=None,
        duration_ms=None,
    )


def fold_log(events: Iterable[Mapping[str, Any]]) -> RunState | None:
    """The state of one run from all of its events; None without any."""
    run: RunState | None = None
    for event in events:
        if run is None:
            run = unbegun(run_number=event["run_number"], thread_id=event["thread_id"], status="queued")
        fold_event(run, event)
    return run


def fold_event(run: RunState, event: Mapping[str, Any]) -> None:
    """Apply the run's next event."""
    data = event["data"]
    run["last_seq"] = event["seq"]
    match event["type"]:
        case "message_created":
            run["thread_id"] = event["thread_id"]
            run["agent"] = event["agent"]
            run["question"] = {name: data["message"][name] for name in _QUESTION if name in data["message"]}
            run["status"] = "queued"
        case "agent_started":
            run |= {"agent": event["agent"], "status": "running"}
            run |= {"model": data["model"], "attempt": data["attempt"]}
        case "agent_restarted":
            run |= {"text": "", "steps": [], "model": None, "attempt": data["attempt"], "status": "queued"}
        case "agent_response_chunk":
            run["text"] += data["text"]
        case "approval_required":
            asked = {name: data[name] for name in _ASKED if name in data}
            open_now = {"asked_at": event["timestamp"], "approved": None, "by": None}
            run["approvals"][data["tool_call_id"]] = {"agent": event["agent"], **asked, **open_now}
            run["status"] = "awaiting_approval"
        case "approval_resolved":
            run["approvals"][data["tool_call_id"]] |= {name: data[name] for name in _ANSWERED if name in data}
            if all(approval["approved"] is not None for approval in run["approvals"].values()):
                run["status"] = "queued"
        case "agent_completed" | "agent_error" | "agent_cancelled":
            _fold_end(run, event)
        case _:
            _fold_step(run["steps"], event)


_QUESTION = ("id", "content", "parent_id", "attachments")
_ERROR = ("error_code", "error_message", "retryable", "correlation_id")
_OUTCOME = ("result", "truncated", "error", "duration_ms")
_ASKED = ("tool", "arguments", "truncated", "expires_in")
_ANSWERED = ("approved", "by", "reason")
_REDUCED = ("limit_tokens", "estimated_tokens", "kept_messages", "dropped_messages", "shortened_results")


def _fold_end(run: RunState, event: Mapping[str, Any]) -> None:
    data = event["data"]
    message = data.get("message")
    if message is not None and "truncated" in message:
        message = {"id": message["id"], "role": message["role"], "content": run["text"]}
    run["message"] = message
    match event["type"]:
        case "agent_completed":
            run |= {"status": "completed", "usage": data["usage"], "duration_ms": data["duration_ms"]}
        case "agent_error":
            run |= {"status": "failed", "error": {name: data[name] for name in _ERROR if name in data}}
        case "agent_cancelled":
            run |= {"status": "cancelled", "cancelled_by": data["by"]}


def _fold_step(steps: list[dict[str, Any]], event: Mapping[str, Any]) -> None:
    data = event["data"]
    match event["type"]:
        case "agent_thinking":
            where = _where(steps, event["agent"])
            latest = _latest(steps, kind="thinking", agent=event["agent"], within=where.get("within"))
            if latest is not None and latest["step"] == data["step"]:
                latest["text"] += data["text"]
            else:
                steps.append({"kind": "thinking", **where, **data})
        case "tool_executing":
            if _latest(steps, kind="tool", tool_call_id=data["tool_call_id"], status="running") is None:
                steps.append({"kind": "tool", **_where(steps, event["agent"]), **data, "status": "running"})
        case "tool_completed":
            _end_tool(steps, event)
        case "subagent_started":
            if _latest(steps, **_subagent(data), status="running") is None:
                steps.append({**_subagent(data), **_where(steps, event["agent"]), "status": "running"})
        case "subagent_completed":
            subagent = _latest(steps, **_subagent(data), status="running")
            if subagent is None:
                subagent = {**_subagent(data), **_where(steps, event["agent"])}
                steps.append(subagent)
            subagent["status"] = "failed" if "error" in data else "completed"
            subagent |= {name: data[name] for name in ("result", "error") if name in data}
        case "context_reduced":
            counts = {name: data[name] for name in _REDUCED}
            steps.append({"kind": "context", **_where(steps, event["agent"]), **counts})


def _end_tool(steps: list[dict[str, Any]], event: Mapping[str, Any]) -> None:
    data = event["data"]
    tool = _latest(steps, kind="tool", tool_call_id=data["tool_call_id"], status="running")
    if tool is None:
        names = {"tool_call_id": data["tool_call_id"], "tool": data["tool"]}
        tool = {"kind": "tool", **_where(steps, event["agent"]), **names, "arguments": {}}
        steps.append(tool)
    tool["status"] = "failed" if "error" in data else "completed"
    tool |= {name: data[name] for name in _OUTCOME if name in data}


def _subagent(data: Mapping[str, Any]) -> dict[str, Any]:
    names = {name: data[name] for name in ("subagent", "parent_tool_call_id")}
    return {"kind": "subagent", **names}


def _where(steps: list[dict[str, Any]], agent: str) -> dict[str, Any]:
    """Whose step it is, and within which tool call."""
    asked = _latest(steps, kind="subagent", subagent=agent, status="running")
    return {"agent": agent} if asked is None else {"agent": agent, "within": asked["parent_tool_call_id"]}


def _latest(steps: list[dict[str, Any]], **wanted: Any) -> dict[str, Any] | None:
    return next((step for step in reversed(steps) if all(step.get(k) == v for k, v in wanted.items())), None)
