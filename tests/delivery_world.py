"""What is true around `chat.delivery`: a user's threads and runs with their log, by the states of DESIGN.md. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chat.fold import ENDED

Json = dict[str, Any]
TERMINAL = ("agent_completed", "agent_error", "agent_cancelled")
FOREIGN = "run-of-somebody-else"


@dataclass
class Run:
    """A run: its state and its events as frames. None is ever removed; `pruned` hides the first ones."""

    run_id: str
    number: int
    thread: str
    status: str = "queued"
    attempt: int = 1
    claim: int = 0
    pruned: int = 0
    events: list[Json] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    answer: str = ""
    tools: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def last_seq(self) -> int:
        return len(self.events)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def message(self) -> Json:
        return {"message": {"id": f"a-{self.claim}", "role": "assistant", "content": self.answer}}


@dataclass(frozen=True)
class WakeUp:
    run_id: str
    number: int
    first: int
    last: int
    with_frames: bool


class World:
    """One user's threads and runs in the database. `publish` hands wake-ups to the channel layer."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.by_text: dict[str, tuple[Run, int]] = {}
        self.deleted: set[str] = set()
        self.threads_version = 0
        self.publish: Callable[[WakeUp], None] = lambda _wake_up: None

    @property
    def last_run_number(self) -> int:
        return len(self.runs)

    def visible(self) -> list[Run]:
        return [run for run in self.runs.values() if run.thread not in self.deleted]

    def open_runs(self) -> list[Run]:
        return [run for run in self.visible() if not run.ended]

    def entry(self, run: Run) -> Json:
        names = {"run_id": run.run_id, "run_number": run.number, "thread_id": run.thread}
        return {**names, "status": run.status, "last_seq": run.last_seq}

    def append(self, run: Run, *events: tuple[str, Json], with_frames: bool = True) -> None:
        """Commit events with their numbers, then publish them."""
        assert not run.ended or events[-1][0] in TERMINAL
        first = run.last_seq + 1
        for kind, data in events:
            event = {
                "type": kind,
                "thread_id": run.thread,
                "run_id": run.run_id,
                "run_number": run.number,
                "seq": run.last_seq + 1,
                "timestamp": "t",
                "agent": "data",
                "data": data,
            }
            text = json.dumps(event)
            run.events.append(event)
            run.texts.append(text)
            self.by_text[text] = run, run.last_seq
        self.publish(WakeUp(run.run_id, run.number, first, run.last_seq, with_frames))

    def post(self, thread: str) -> Run:
        run = Run(f"run-{self.last_run_number + 1}", self.last_run_number + 1, thread)
        self.runs[run.run_id] = run
        question = {"id": f"q-{run.number}", "role": "user", "content": "?"}
        self.append(run, ("message_created", {"message": question}))
        return run

    def actions(self, run: Run) -> list[str]:
        """What may happen to a run in its state (DESIGN.md, "A run's states"), the likely more than once."""
        match run.status:
            case "queued":
                siblings = [other for other in self.open_runs() if other.thread == run.thread]
                return [*["claim"] * 4, "stop"] if siblings[0] is run else ["late_write", "late_write", "stop"]
            case "running":
                work = ["chunk", "chunk", "big_chunk", "think", "tool", "tool_done", "late_write"]
                return [*work, *work, *work, "ask", "complete", "fail", "hand_back", "lost", "stop"]
            case "awaiting_approval":
                return [*["resolve"] * 4, "expire", "stop"]
            case _:
                return []

    def act(self, run: Run, action: str, *, with_frames: bool = True) -> None:
        getattr(self, f"_{action}")(run, with_frames)

    def _claim(self, run: Run, with_frames: bool) -> None:
        run.status, run.claim = "running", run.claim + 1
        self.append(run, ("agent_started", {"model": "m", "attempt": run.attempt}), with_frames=with_frames)

    def _chunk(self, run: Run, with_frames: bool) -> None:
        texts = [f"{run.last_seq}", "é"]
        run.answer += "".join(texts)
        chunks = [("agent_response_chunk", {"message_id": f"a-{run.claim}", "text": text}) for text in texts]
        self.append(run, *chunks, with_frames=with_frames)

    def _big_chunk(self, run: Run, with_frames: bool) -> None:
        run.answer += "x" * 900
        chunk = {"message_id": f"a-{run.claim}", "text": "x" * 900}
        self.append(run, ("agent_response_chunk", chunk), with_frames=with_frames)

    def _think(self, run: Run, with_frames: bool) -> None:
        self.append(run, ("agent_thinking", {"step": run.claim, "text": "hm"}), with_frames=with_frames)

    def _tool(self, run: Run, with_frames: bool) -> None:
        run.tools.append(f"call-{run.last_seq}")
        call = {"tool_call_id": run.tools[-1], "tool": "t", "arguments": {}}
        self.append(run, ("tool_executing", call), with_frames=with_frames)

    def _tool_done(self, run: Run, with_frames: bool) -> None:
        if run.tools:
            call = {"tool_call_id": run.tools.pop(0), "tool": "t", "result": 1, "duration_ms": 1}
            self.append(run, ("tool_completed", call), with_frames=with_frames)

    def _late_write(self, run: Run, with_frames: bool) -> None:
        """A worker that lost the run writes: the fence refuses it, so nothing happens."""

    def _ask(self, run: Run, with_frames: bool) -> None:
        run.status, run.asked = "awaiting_approval", [f"ask-{run.last_seq}", f"ask-{run.last_seq}b"]
        asked = [{"tool_call_id": call, "tool": "t", "arguments": {}, "expires_in": 9} for call in run.asked]
        self.append(run, *(("approval_required", call) for call in asked), with_frames=with_frames)

    def _resolve(self, run: Run, with_frames: bool, by: str = "user") -> None:
        call = {"tool_call_id": run.asked.pop(0), "approved": by == "user", "by": by}
        if not run.asked:
            run.status = "queued"
        self.append(run, ("approval_resolved", call), with_frames=with_frames)

    def _expire(self, run: Run, with_frames: bool) -> None:
        while run.asked:
            self._resolve(run, with_frames, by="expired")
        self._fail(run, with_frames)

    def _complete(self, run: Run, with_frames: bool) -> None:
        run.status = "completed"
        end = {**run.message, "usage": {"model": "m"}, "duration_ms": 1}
        self.append(run, ("agent_completed", end), with_frames=with_frames)

    def _fail(self, run: Run, with_frames: bool) -> None:
        run.status = "failed"
        error = {"error_code": "MODEL_ERROR", "error_message": "no", "retryable": True}
        self.append(run, ("agent_error", {**error, **run.message}), with_frames=with_frames)

    def _stop(self, run: Run, with_frames: bool, by: str = "user") -> None:
        run.status, run.claim = "cancelled", run.claim + 1
        self.append(run, ("agent_cancelled", {"by": by, **run.message}), with_frames=with_frames)

    def _hand_back(self, run: Run, with_frames: bool) -> None:
        run.status, run.answer, run.tools = "queued", "", []
        event = {"attempt": run.attempt, "reason": "shutdown"}
        self.append(run, ("agent_restarted", event), with_frames=with_frames)

    def _lost(self, run: Run, with_frames: bool) -> None:
        run.attempt += 1
        self._hand_back(run, with_frames)

    def delete(self, thread: str) -> None:
        for run in [run for run in self.open_runs() if run.thread == thread]:
            self._stop(run, True, by="deleted")
        self.deleted.add(thread)
        self.threads_version += 1
