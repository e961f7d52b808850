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
        "question": {"id", "content", "parent_id"?, "attachments"?} | null,
        "model": "…" | null,
        "text": "…",                          the chunks since the last restart
        "steps": [                            in the order in which they began
          {"kind": "thinking", "agent", "within"?, "step", "text", "began_at", "ended_at"?},
          {"kind": "tool", "agent", "within"?, "tool_call_id", "tool", "arguments", "began_at",
           "status": "running" | "completed" | "failed", "result"?, "truncated"?, "error"?, "duration_ms"?},
          {"kind": "subagent", "agent", "within"?, "subagent", "parent_tool_call_id", "began_at",
           "status": "running" | "completed" | "failed", "result"?, "error"?},
          {"kind": "context", "agent", "within"?, "limit_tokens", "estimated_tokens",
           "kept_messages", "dropped_messages", "shortened_results"}
        ],
        "approvals": {tool_call_id: {"agent", "tool", "arguments", "truncated"?, "expires_in", "asked_at",
                                     "approved": bool | null, "by": "user" | "expired" | "cancelled" | null,
                                     "reason"?}},
        "message": {"id", "role", "content"} | null,
        "error": {"error_code", "error_message", "retryable", "correlation_id"?} | null,
        "cancelled_by": "user" | "interrupt" | "deleted" | "staff" | "deactivated" | null,
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
- `within` is the tool call that asked the step's agent, as the event names it. In events without it, which earlier
  versions wrote, it is the `parent_tool_call_id` of the latest subagent of that name that is running, if there is one.
- `began_at` and `ended_at` are timestamps of events. A thought ends with the next event of its agent within the same
  tool call, `context_reduced` and further deltas of it excepted, with the end of that subagent, or with the run; a
  delta that comes later continues it, and takes its `ended_at` away.
- A thinking delta is appended to the latest thinking step of its agent within the same tool call when `step` is the
  same, else it begins a new one.
- A tool or subagent that begins while the same is running goes on: it is no new step.
- A tool or subagent that completes without having begun is a completed step, `arguments` being {}.
- `agent_restarted` resets the run to its first event, `approvals` excepted, sets `attempt` and `queued`.
- `agent_started` after an approval resets nothing: text, steps and approvals go on.
- `asked_at` is the timestamp of `approval_required`: with `expires_in` and the server's time it gives the time left.
- `approval_resolved` leaves `queued` when no other approval is open. An approval that is open in an ended run ended
  with it.
- A run that `resumed` announces from seq 1 is added, if new, as `queued` with `last_seq` 0, whatever its status.
- After a reconnect `last_run_number` stays until `resumed`: what lies between is not known before.
- `snapshot_required` and `gone` remove the run. The former makes the run's thread stale, or `all` when the
  run or its thread is not known.
- `thread_deleted` removes the thread's runs; later events of the thread are dropped, until a `thread_created` of a
  higher version says that it was restored (or REST shows it, which this fold knows nothing of).
- `threads_version` never falls. It rises by one with a notice; any other rise makes the list stale.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from chat.run_state import RunState, fold_event, unbegun

ENDED = frozenset({"completed", "failed", "cancelled"})
NOTICES = frozenset({"thread_created", "thread_updated", "thread_deleted"})


class ProtocolViolation(Exception):
    """The server left out an event."""

    def __init__(self, run_id: str, expected: int, got: int) -> None:
        super().__init__(f"run {run_id}: expected seq {expected}, got {got}")


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
        self._deleted_threads: dict[str, int] = {}
        self._created_threads: dict[str, int] = {}
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
            self.runs[run["run_id"]] = unbegun(
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
                self.runs[run_id] = unbegun(run_number=run["run_number"], thread_id=None, status="queued")
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
        thread_id = frame["thread"]["id"]
        if frame["type"] == "thread_created":
            self._created(thread_id, version)
        if frame["type"] == "thread_deleted" and version > self._created_threads.get(thread_id, 0):
            self._deleted_threads[thread_id] = version
            self.stale_threads.discard(thread_id)
            for run_id in [i for i, run in self.runs.items() if run["thread_id"] == thread_id]:
                self._remove(run_id)

    def _created(self, thread_id: str, version: int) -> None:
        """Notices can come out of order: a deletion before this version is over."""
        self._created_threads[thread_id] = max(version, self._created_threads.get(thread_id, 0))
        if version > self._deleted_threads.get(thread_id, version):
            del self._deleted_threads[thread_id]

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
            run = unbegun(run_number=frame["run_number"], thread_id=frame["thread_id"], status="queued")
            self.runs[run_id] = run
        fold_event(run, frame)
        self._unacked.add(run_id)
