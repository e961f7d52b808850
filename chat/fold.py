"""The client's half of delivery: folds the frames of one socket after another into state. No I/O.

Source: docs/protocol.md, sections 3 and 5. It is the oracle of the delivery tests and the specification of
the web chat's reducer, which replays tests/traces/*.json. `ClientState.to_json()` is plain JSON data:

    {
      "last_run_number": 412 | null,          the next `after_run`; null before the first connection
      "threads_version": 97 | null,
      "cursors": {run_id: seq},               of the runs not ended
      "stale": {                              what must be loaded over REST; `reloaded()` clears it
        "list": bool,                         the list of threads
        "all": bool,                          everything shown
        "threads": [thread_id]                these threads, sorted
      },
      "runs": {run_id: {
        "run_number": 412, "last_seq": 41,
        "thread_id": "…" | null,              null until the first event of a run known from `resumed` alone
        "agent": "data" | null,
        "status": "queued" | "running" | "awaiting_approval" | "completed" | "failed" | "cancelled",
        "attempt": 1,
        "question": {"id", "content", "parent_id"?} | null,
        "model": "…" | null,
        "text": "…",                          the chunks since the last restart
        "steps": [                            in the order in which they began
          {"kind": "thinking", "agent", "step", "text"},
          {"kind": "tool", "agent", "tool_call_id", "tool", "arguments",
           "status": "running" | "completed" | "failed", "result"?, "truncated"?, "error"?, "duration_ms"?},
          {"kind": "subagent", "subagent", "parent_tool_call_id",
           "status": "running" | "completed", "result"?}
        ],
        "approvals": {tool_call_id: {"tool", "arguments", "expires_in",
                                     "approved": bool | null, "by": "user" | "expired" | "cancelled" | null}},
        "message": {"id", "role", "content"} | null,
        "error": {"error_code", "error_message", "retryable", "correlation_id"?} | null,
        "cancelled_by": "user" | "interrupt" | "deleted" | null,
        "usage": {…} | null,
        "duration_ms": 1234 | null
      }}
    }

A step that is `running` in an ended run was cut short. Rules that the shape does not show:

- An event at or below the run's `last_seq` is a duplicate and dropped; one above the next is a
  `ProtocolViolation`. An event of an unknown type only moves the cursor.
- The content of a `truncated` answer is the run's `text`.
- An event above 1 of a run of which the client has none (a `snapshot_required` crossed its `resume`) is
  dropped and makes `all` stale.
- A thinking delta is appended to its agent's latest thinking step when `step` is the same, else it begins a
  new one.
- A tool or subagent that completes without having begun is a completed step, `arguments` being {}.
- `agent_restarted` resets the run to its first event, `approvals` excepted, sets `attempt` and `queued`.
- `approval_resolved` leaves `queued` when no other approval is open.
- A run that `resumed` announces from seq 1 is added, if new, as `queued` with `last_seq` 0, whatever its status.
- After a reconnect `last_run_number` stays until `resumed`: what lies between is not known before.
- `snapshot_required` and `gone` remove the run. The former makes the run's thread stale, or `all` when the
  run or its thread is not known.
- `thread_deleted` removes the thread's runs; later events of the thread are dropped.
- `threads_version` never falls. It rises by one with a notice; any other rise makes the list stale.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

ENDED = frozenset({"completed", "failed", "cancelled"})
NOTICES = frozenset({"thread_created", "thread_updated", "thread_deleted"})


class ProtocolViolation(Exception):
    """The server left out an event."""

    def __init__(self, run_id: str, expected: int, got: int) -> None:
        super().__init__(f"run {run_id}: expected seq {expected}, got {got}")


class RunState(TypedDict):
    """One run, as the module's docstring lays it out."""

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


def _unbegun(*, run_number: int, thread_id: str | None, status: str) -> RunState:
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


class ClientState:
    """What one client knows, over all its connections; and the `resume` and `ack` it sends."""

    def __init__(self) -> None:
        self.runs: dict[str, RunState] = {}
        self.last_run_number: int | None = None
        self.threads_version: int | None = None
        self.stale_list = False
        self.stale_all = False
        self.stale_threads: set[str] = set()
        self.received = 0
        self._catching_up = False
        self._highest_announced = 0
        self._deleted_threads: set[str] = set()
        self._unacked: set[str] = set()
        self._acked_frames = 0

    def fold(self, frame: Mapping[str, Any]) -> None:
        """Take the next frame of the socket. Raises ProtocolViolation on a gap."""
        self.received += 1
        kind = frame["type"]
        if "run_id" in frame and "seq" in frame:
            self._event(frame)
        elif kind == "connection_established":
            self._connected(frame)
        elif kind == "resumed":
            self._resumed(frame)
        elif kind == "snapshot_required":
            self._lose(frame["run_ids"])
        elif kind in NOTICES:
            self._notice(frame)
        elif kind == "pong":
            self._version(frame["threads_version"])

    def resume(self, ref: str) -> dict[str, Any] | None:
        """What to send first on a new connection, or None when there is nothing to ask for."""
        cursors = {
            run_id: run["last_seq"]
            for run_id, run in self.runs.items()
            if run["status"] not in ENDED or run["run_number"] > (self.last_run_number or 0)
        }
        if self._catching_up:
            return {"type": "resume", "ref": ref, "cursors": cursors, "after_run": self.last_run_number}
        return {"type": "resume", "ref": ref, "cursors": cursors} if cursors else None

    def ack(self) -> dict[str, Any] | None:
        """The acknowledgement of what came since the last one; due after a second or 64 events."""
        if self.received == self._acked_frames:
            return None
        cursors = {run_id: self.runs[run_id]["last_seq"] for run_id in sorted(self._unacked)}
        self._unacked.clear()
        self._acked_frames = self.received
        return {"type": "ack", "cursors": cursors, "received": self.received}

    def add_open_run(self, run: Mapping[str, Any]) -> None:
        """A run that is open according to `connection_established` or REST: the next `resume` names it."""
        if run["run_id"] not in self.runs and run["thread_id"] not in self._deleted_threads:
            self.runs[run["run_id"]] = _unbegun(
                run_number=run["run_number"], thread_id=run["thread_id"], status=run["status"]
            )

    def reloaded(self) -> None:
        """What was stale has been loaded over REST."""
        self.stale_list = self.stale_all = False
        self.stale_threads.clear()

    def to_json(self) -> dict[str, Any]:
        return copy.deepcopy(
            {
                "last_run_number": self.last_run_number,
                "threads_version": self.threads_version,
                "cursors": {i: run["last_seq"] for i, run in self.runs.items() if run["status"] not in ENDED},
                "stale": {
                    "list": self.stale_list,
                    "all": self.stale_all,
                    "threads": sorted(self.stale_threads),
                },
                "runs": {run_id: dict(run) for run_id, run in self.runs.items()},
            }
        )

    def _connected(self, frame: Mapping[str, Any]) -> None:
        self.received = 1
        self._acked_frames = 0
        self._unacked.clear()
        self._highest_announced = frame["last_run_number"]
        if self.last_run_number is None:
            self.last_run_number = frame["last_run_number"]
            self.threads_version = frame["threads_version"]
        else:
            self._catching_up = True
            self._version(frame["threads_version"])
        for run in frame["open_runs"]:
            self.add_open_run(run)

    def _resumed(self, frame: Mapping[str, Any]) -> None:
        for run_id, run in frame["runs"].items():
            if run_id not in self.runs and run["from_seq"] == 1:
                self.runs[run_id] = _unbegun(run_number=run["run_number"], thread_id=None, status="queued")
        self._lose(frame["snapshot_required"])
        for run_id in frame["gone"]:
            self._remove(run_id)
        if frame.get("reload"):
            self.stale_list = self.stale_all = True
        self._catching_up = False
        self.last_run_number = max(self.last_run_number or 0, self._highest_announced)

    def _lose(self, run_ids: Iterable[str]) -> None:
        for run_id in run_ids:
            run = self._remove(run_id)
            if run is not None and run["thread_id"] is not None:
                self.stale_threads.add(run["thread_id"])
            else:
                self.stale_all = True

    def _remove(self, run_id: str) -> RunState | None:
        self._unacked.discard(run_id)
        return self.runs.pop(run_id, None)

    def _notice(self, frame: Mapping[str, Any]) -> None:
        version: int = frame["threads_version"]
        if version == (self.threads_version or 0) + 1:
            self.threads_version = version
        self._version(version)
        if frame["type"] == "thread_deleted":
            thread_id = frame["thread"]["id"]
            self._deleted_threads.add(thread_id)
            self.stale_threads.discard(thread_id)
            for run_id in [i for i, run in self.runs.items() if run["thread_id"] == thread_id]:
                self._remove(run_id)

    def _version(self, version: int) -> None:
        if version > (self.threads_version or 0):
            self.threads_version = version
            self.stale_list = True

    def _event(self, frame: Mapping[str, Any]) -> None:
        run_id, seq = frame["run_id"], frame["seq"]
        self._highest_announced = max(self._highest_announced, frame["run_number"])
        if not self._catching_up:
            self.last_run_number = max(self.last_run_number or 0, frame["run_number"])
        if frame["thread_id"] in self._deleted_threads:
            return
        run = self.runs.get(run_id)
        expected = run["last_seq"] + 1 if run else 1
        if seq < expected:
            return
        if seq > expected:
            if expected == 1:
                self.stale_all = True
                return
            raise ProtocolViolation(run_id, expected, seq)
        if run is None:
            run = _unbegun(run_number=frame["run_number"], thread_id=frame["thread_id"], status="queued")
            self.runs[run_id] = run
        fold_event(run, frame)
        self._unacked.add(run_id)


def fold_log(events: Iterable[Mapping[str, Any]]) -> RunState | None:
    """The state of one run from all of its events; None without any."""
    run: RunState | None = None
    for event in events:
        if run is None:
            run = _unbegun(run_number=event["run_number"], thread_id=event["thread_id"], status="queued")
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
            asked = {"tool": data["tool"], "arguments": data["arguments"], "expires_in": data["expires_in"]}
            run["approvals"][data["tool_call_id"]] = {**asked, "approved": None, "by": None}
            run["status"] = "awaiting_approval"
        case "approval_resolved":
            run["approvals"][data["tool_call_id"]] |= {"approved": data["approved"], "by": data["by"]}
            if all(approval["approved"] is not None for approval in run["approvals"].values()):
                run["status"] = "queued"
        case "agent_completed" | "agent_error" | "agent_cancelled":
            _fold_end(run, event)
        case _:
            _fold_step(run["steps"], event)


_QUESTION = ("id", "content", "parent_id")
_ERROR = ("error_code", "error_message", "retryable", "correlation_id")
_OUTCOME = ("result", "truncated", "error", "duration_ms")


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
            latest = _latest(steps, kind="thinking", agent=event["agent"])
            if latest is not None and latest["step"] == data["step"]:
                latest["text"] += data["text"]
            else:
                steps.append({"kind": "thinking", "agent": event["agent"], **data})
        case "tool_executing":
            steps.append({"kind": "tool", "agent": event["agent"], **data, "status": "running"})
        case "tool_completed":
            tool = _latest(steps, kind="tool", tool_call_id=data["tool_call_id"], status="running")
            if tool is None:
                names = {"tool_call_id": data["tool_call_id"], "tool": data["tool"]}
                tool = {"kind": "tool", "agent": event["agent"], **names, "arguments": {}}
                steps.append(tool)
            tool["status"] = "failed" if "error" in data else "completed"
            tool |= {name: data[name] for name in _OUTCOME if name in data}
        case "subagent_started":
            steps.append({"kind": "subagent", **data, "status": "running"})
        case "subagent_completed":
            names = {"subagent": data["subagent"], "parent_tool_call_id": data["parent_tool_call_id"]}
            subagent = _latest(steps, kind="subagent", **names, status="running")
            if subagent is None:
                subagent = {"kind": "subagent", **names}
                steps.append(subagent)
            subagent["status"] = "completed"
            subagent |= {name: data[name] for name in ("result",) if name in data}


def _latest(steps: list[dict[str, Any]], **wanted: Any) -> dict[str, Any] | None:
    return next((step for step in reversed(steps) if all(step.get(k) == v for k, v in wanted.items())), None)
