"""Builds the conversations of tests/traces: the log of runs, and what one client gets and sends."""

from __future__ import annotations

import uuid
from typing import Any

from chat.fold import ClientState

Frame = dict[str, Any]
SERVICES = ("agent_supervisor", "thread_service", "database", "channel_layer", "worker")


def name_id(name: str) -> str:
    """A UUID that is the same in each recording."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"netra:{name}"))


class Run:
    """The log of one run; each method appends an event and returns its frame."""

    def __init__(self, number: int, *, thread: str = "thread-1", agent: str = "assistant") -> None:
        self.number = number
        self.thread_id = name_id(thread)
        self.run_id = name_id(f"run-{number}")
        self.agent = agent
        self.log: list[Frame] = []
        self.status = "queued"
        self.attempt = 1
        self.message_id = ""
        self.text = ""

    def event(self, kind: str, *, agent: str | None = None, **data: Any) -> Frame:
        seq = len(self.log) + 1
        frame = {
            "type": kind,
            "thread_id": self.thread_id,
            "run_id": self.run_id,
            "run_number": self.number,
            "seq": seq,
            "timestamp": f"2026-11-23T19:{self.number % 60:02}:{seq % 60:02}.000Z",
            "agent": agent or self.agent,
            "data": data,
        }
        self.log.append(frame)
        return frame

    def created(self, content: str, **more: Any) -> Frame:
        message = {"id": name_id(f"question-{self.number}"), "role": "user", "content": content, **more}
        return self.event("message_created", message=message)

    def started(self) -> Frame:
        self.status = "running"
        self.message_id = name_id(f"answer-{self.number}-{len(self.log)}")
        return self.event("agent_started", model="offline", attempt=self.attempt)

    def thinking(self, step: int, text: str = "", *, agent: str | None = None, **more: str) -> Frame:
        return self.event("agent_thinking", agent=agent, step=step, text=text, **more)

    def tool(
        self, call: str, tool: str, *, agent: str | None = None, within: str | None = None, **arguments: Any
    ) -> Frame:
        called = {"tool_call_id": call, "tool": tool, "arguments": arguments, "within": within}
        return self.event("tool_executing", agent=agent, **{k: v for k, v in called.items() if v is not None})

    def tool_done(self, call: str, tool: str, *, agent: str | None = None, **outcome: Any) -> Frame:
        return self.event("tool_completed", agent=agent, tool_call_id=call, tool=tool, **outcome, duration_ms=12)

    def subagent_started(self, subagent: str, call: str, *, agent: str | None = None) -> Frame:
        return self.event("subagent_started", agent=agent, subagent=subagent, parent_tool_call_id=call)

    def subagent_completed(self, subagent: str, call: str, *, agent: str | None = None, **outcome: str) -> Frame:
        return self.event("subagent_completed", agent=agent, subagent=subagent, parent_tool_call_id=call, **outcome)

    def asks(self, call: str, tool: str, *, agent: str | None = None, **arguments: Any) -> Frame:
        """The tool waits for a person."""
        self.status = "awaiting_approval"
        asked = {"tool_call_id": call, "tool": tool, "arguments": arguments, "expires_in": 600}
        return self.event("approval_required", agent=agent, **asked)

    def resolved(self, call: str, *, approved: bool, by: str = "user", **more: str) -> Frame:
        return self.event("approval_resolved", tool_call_id=call, approved=approved, by=by, **more)

    def chunk(self, text: str) -> Frame:
        self.text += text
        return self.event("agent_response_chunk", message_id=self.message_id, text=text)

    def restarted(self, reason: str, *, attempt: int) -> Frame:
        self.status, self.attempt, self.text = "queued", attempt, ""
        return self.event("agent_restarted", attempt=attempt, reason=reason)

    def answer(self) -> dict[str, Any]:
        if not self.text:
            return {}
        return {"message": {"id": self.message_id, "role": "assistant", "content": self.text}}

    def completed(self) -> Frame:
        self.status = "completed"
        tokens = {"input_tokens": 20, "output_tokens": 10, "requests": 1, "cost_usd": 0.0001}
        return self.event("agent_completed", **self.answer(), usage={"model": "offline", **tokens}, duration_ms=850)

    def failed(self, code: str, text: str) -> Frame:
        self.status = "failed"
        return self.event("agent_error", error_code=code, error_message=text, retryable=True, **self.answer())

    def cancelled(self, by: str) -> Frame:
        self.status = "cancelled"
        return self.event("agent_cancelled", by=by, **self.answer())

    def chat(self, question: str, *pieces: str) -> list[Frame]:
        """The whole of a run without tools."""
        first = [self.created(question), self.started(), self.thinking(1)]
        return [*first, *(self.chunk(piece) for piece in pieces), self.completed()]


def thread_json(thread: str, title: str = "") -> dict[str, Any]:
    at = "2026-11-23T19:00:00.000Z"
    names = {"id": name_id(thread), "title": title, "created_at": at, "updated_at": at}
    return {**names, "archived": False, "open_runs": 0}


class Recording:
    """One client's conversation, as it is recorded."""

    def __init__(self) -> None:
        self.client = ClientState()
        self.frames: list[Frame] = []
        self.threads_version = 7

    def get(self, *frames: Frame) -> None:
        for frame in frames:
            self.client.fold(frame)
            self.frames.append(frame)

    def connect(self, last_run_number: int, *open_runs: Run) -> None:
        """Opens a socket, and records the `resume` that follows."""
        entries = [
            {
                "run_id": run.run_id,
                "run_number": run.number,
                "thread_id": run.thread_id,
                "status": run.status,
                "last_seq": len(run.log),
            }
            for run in open_runs
        ]
        self.get(
            {
                "type": "connection_established",
                "event": "connection_established",
                "connection_ready": True,
                "protocol": "netra.v1",
                "connection_id": name_id(f"connection-{len(self.frames)}"),
                "user": {"id": "1", "username": "ada"},
                "environment": "development",
                "server_time": "2026-11-23T19:00:00.000Z",
                "services": dict.fromkeys(SERVICES, "ready"),
                "agents": ["assistant", "triage", "data", "optimization"],
                "last_run_number": last_run_number,
                "threads_version": self.threads_version,
                "open_runs": entries,
                "token": {"expires_at": "2026-11-23T19:10:00.000Z", "expires_in": 600},
                "heartbeat": {"interval_seconds": 25},
                "limits": {
                    "max_message_bytes": 65536,
                    "user_messages_per_minute": 60,
                    "max_open_runs": 10,
                    "max_connections": 20,
                    "window_bytes": 1048576,
                    "max_attachments": 10,
                    "max_attachment_bytes": 10485760,
                },
            }
        )
        self.sends(self.client.resume(f"resume-{len(self.frames)}"))

    def sends(self, frame: Frame | None) -> None:
        if frame is not None:
            self.frames.append({"type": "$sends", "frame": frame})

    def disconnect(self) -> None:
        self.frames.append({"type": "$disconnected"})

    def reloaded(self) -> None:
        self.client.reloaded()
        self.frames.append({"type": "$reloaded"})

    def resumed(self, *runs: Run, snapshot: tuple[Run, ...] = (), gone: tuple[Run, ...] = (), **more: Any) -> None:
        """The reply to the `resume` recorded last, and the replay of the runs."""
        request = next(frame["frame"] for frame in reversed(self.frames) if frame["type"] == "$sends")
        after = {run.run_id: request["cursors"].get(run.run_id, 0) for run in runs}
        places = {
            run.run_id: {
                "run_number": run.number,
                "status": run.status,
                "from_seq": after[run.run_id] + 1,
                "last_seq": len(run.log),
            }
            for run in runs
        }
        self.get(
            {
                "type": "resumed",
                "ref": request["ref"],
                "runs": places,
                "snapshot_required": [run.run_id for run in snapshot],
                "gone": [run.run_id for run in gone],
                **more,
            }
        )
        for run in runs:
            self.get(*run.log[after[run.run_id] :])

    def notice(self, kind: str, thread: str, *, skipped: int = 0, title: str = "") -> None:
        self.threads_version += 1 + skipped
        self.get({"type": kind, "thread": thread_json(thread, title), "threads_version": self.threads_version})
