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
    _end_thoughts(run["steps"], event)
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
            where = _where(steps, event)
            latest = _latest(steps, kind="thinking", agent=event["agent"], within=where.get("within"))
            if latest is not None and latest["step"] == data["step"]:
                latest["text"] += data["text"]
                latest.pop("ended_at", None)
            else:
                steps.append({"kind": "thinking", **where, **data, "began_at": event["timestamp"]})
        case "tool_executing":
            if _latest(steps, kind="tool", tool_call_id=data["tool_call_id"], status="running") is None:
                began = {"began_at": event["timestamp"], "status": "running"}
                steps.append({"kind": "tool", **_where(steps, event), **data, **began})
        case "tool_completed":
            _end_tool(steps, event)
        case "subagent_started":
            if _latest(steps, **_subagent(data), status="running") is None:
                began = {"began_at": event["timestamp"], "status": "running"}
                steps.append({**_subagent(data), **_where(steps, event), **began})
        case "subagent_completed":
            subagent = _latest(steps, **_subagent(data), status="running")
            if subagent is None:
                subagent = {**_subagent(data), **_where(steps, event), "began_at": event["timestamp"]}
                steps.append(subagent)
            subagent["status"] = "failed" if "error" in data else "completed"
            subagent |= {name: data[name] for name in ("result", "error") if name in data}
        case "context_reduced":
            counts = {name: data[name] for name in _REDUCED}
            steps.append({"kind": "context", **_where(steps, event), **counts})


def _end_tool(steps: list[dict[str, Any]], event: Mapping[str, Any]) -> None:
    data = event["data"]
    tool = _latest(steps, kind="tool", tool_call_id=data["tool_call_id"], status="running")
    if tool is None:
        names = {"tool_call_id": data["tool_call_id"], "tool": data["tool"], "began_at": event["timestamp"]}
        tool = {"kind": "tool", **_where(steps, event), **names, "arguments": {}}
        steps.append(tool)
    tool["status"] = "failed" if "error" in data else "completed"
    tool |= {name: data[name] for name in _OUTCOME if name in data}


def _subagent(data: Mapping[str, Any]) -> dict[str, Any]:
    names = {name: data[name] for name in ("subagent", "parent_tool_call_id")}
    return {"kind": "subagent", **names}


def _where(steps: list[dict[str, Any]], event: Mapping[str, Any]) -> dict[str, Any]:
    """Whose step it is, and within which tool call."""
    agent = event["agent"]
    if "within" in event["data"]:
        return {"agent": agent, "within": event["data"]["within"]}
    asked = _latest(steps, kind="subagent", subagent=agent, status="running")
    return {"agent": agent} if asked is None else {"agent": agent, "within": asked["parent_tool_call_id"]}


def _end_thoughts(steps: list[dict[str, Any]], event: Mapping[str, Any]) -> None:
    """What is thought to its end when this happens. A thought that goes on has no `ended_at`."""
    data, at = event["data"], event["timestamp"]
    ended: list[dict[str, Any] | None]
    match event["type"]:
        case "agent_completed" | "agent_error" | "agent_cancelled":
            ended = [step for step in steps if step["kind"] == "thinking" and "ended_at" not in step]
        case "context_reduced":
            ended = []
        case "subagent_completed":
            ended = [_latest(steps, kind="thinking", within=data["parent_tool_call_id"])]
        case kind:
            latest = _latest(steps, kind="thinking", agent=event["agent"], within=_where(steps, event).get("within"))
            goes_on = kind == "agent_thinking" and latest is not None and latest["step"] == data["step"]
            ended = [] if goes_on else [latest]
    for step in ended:
        if step is not None:
            step.setdefault("ended_at", at)


def _latest(steps: list[dict[str, Any]], **wanted: Any) -> dict[str, Any] | None:
    return next((step for step in reversed(steps) if all(step.get(k) == v for k, v in wanted.items())), None)
