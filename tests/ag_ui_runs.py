"""Runs as AG-UI's streams without a server: of tests/traces, and at random."""

from __future__ import annotations

import datetime
import functools
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ag_ui.core import BaseEvent

from chat.ag_ui import Asked, Followed, Translation, parse_input
from tests.delivery_recorder import Frame, Run, name_id

Json = dict[str, Any]
TRACES = Path(__file__).parent / "traces"
AT = datetime.datetime(2026, 11, 23, 19, tzinfo=datetime.UTC)
USER = {"id": "question", "role": "user", "content": "Please!"}


def run_input(**fields: Any) -> Json:
    """A request as the JavaScript client makes it."""
    usual = {"protocolVersion": "1.0", "tools": [], "context": [], "forwardedProps": {}, "state": {}}
    return {"threadId": "a thread", "runId": "stream-1", **usual, "messages": [USER], **fields}


def asked(**fields: Any) -> Asked:
    return parse_input(run_input(**fields), kept_bytes=1024 * 1024)


def stream(frames: Iterable[Frame], by: Asked | None = None, *, behind: int = 0) -> list[Json]:
    """The events of the stream that follows these frames, from its first to its last."""
    frames = list(frames)
    run_id = next((frame["run_id"] for frame in frames if "run_id" in frame), name_id("run-1"))
    followed = Followed(name_id("thread-1"), run_id, 1, name_id("question-1"), behind)
    translation = Translation(by or asked(), followed)
    events = translation.begin(AT)
    for frame in frames:
        assert not translation.ended
        events += translation.translate(frame)
    events += [] if translation.ended else translation.end()
    assert translation.ended
    assert translation.end() == translation.fail("INTERNAL_ERROR", "too late") == []
    return encoded(events)


def encoded(events: Iterable[BaseEvent]) -> list[Json]:
    return [json.loads(event.model_dump_json(by_alias=True)) for event in events]


def server_sent(events: Iterable[Json]) -> str:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events)


@functools.cache
def recorded_runs() -> dict[str, list[Frame]]:
    """Each run of each trace, as much of it as the trace has from its beginning on."""
    runs: dict[str, list[Frame]] = {}
    for file in sorted(TRACES.glob("*.json")):
        seen: dict[str, list[Frame]] = {}
        for frame in json.loads(file.read_text())["frames"]:
            if "seq" in frame and frame["seq"] == len(seen.setdefault(frame["run_id"], [])) + 1:
                seen[frame["run_id"]].append(frame)
        runs |= {f"{file.stem} {frames[0]['run_number']}": frames for frames in seen.values() if frames}
    return runs


def pauses(frames: Sequence[Frame]) -> list[int]:
    """Behind which events the run waited for a person."""
    kinds = [frame["type"] for frame in frames]
    return [
        number
        for number, kind in enumerate(kinds, 1)
        if kind == "approval_required" and kinds[number : number + 1] != ["approval_required"]
    ]


class RandomRun:
    """A run in which anything happens that can: agents in agents, pauses, restarts, until it ends."""

    def __init__(self, rng: random.Random, *, steps: int) -> None:
        self._rng = rng
        self._run = Run(1)
        self._calls: dict[str, tuple[str, str]] = {}
        self._asked: list[tuple[str, str]] = []
        self._number = 0
        self._run.created("Please!")
        self._run.started()
        usual = [self._chunk, self._think, self._chunk, self._think]
        for _ in range(steps):
            rng.choice([*usual, self._begin, self._finish, self._delegate, self._pause, self._restart])()
        self._end()

    @property
    def frames(self) -> list[Frame]:
        return self._run.log

    def _agent(self) -> str:
        return self._rng.choice([self._run.agent, *(name for name, _ in self._asked)])

    def _chunk(self) -> None:
        self._run.chunk(self._rng.choice(["Yes. ", "\n\nNo.", "👋"]))

    def _think(self) -> None:
        self._run.thinking(1, self._rng.choice(["", "Hm. ", "Let me see."]), agent=self._agent())

    def _call(self, agent: str, tool: str) -> str:
        self._number += 1
        call = f"call-{self._number}"
        self._calls[call] = (tool, agent)
        return call

    def _begin(self) -> None:
        agent = self._agent()
        self._run.tool(self._call(agent, "search"), "search", agent=agent, query="x")

    def _finish(self) -> None:
        asking = {call for _, call in self._asked}
        ready = [call for call in self._calls if call not in asking]
        if ready:
            self._complete(self._rng.choice(ready))

    def _complete(self, call: str) -> None:
        tool, agent = self._calls.pop(call)
        outcome: Json = self._rng.choice([{"result": {"n": 1}}, {"result": "text"}, {"error": "it broke"}, {}])
        self._run.tool_done(call, tool, agent=agent, **outcome)

    def _delegate(self) -> None:
        if len(self._asked) < 3 and self._rng.random() < 0.6:
            agent, name = self._agent(), self._rng.choice(["data", "clerk"])
            call = self._call(agent, f"ask_{name}")
            self._run.tool(call, f"ask_{name}", agent=agent, question="?")
            self._run.subagent_started(name, call, agent=agent)
            self._asked.append((name, call))
        elif self._asked:
            self._answer()

    def _answer(self) -> None:
        """The agent that was asked last has nothing to do any more, and answers."""
        name, asking = self._asked.pop()
        calls = list(self._calls)
        for call in calls[calls.index(asking) + 1 :]:
            self._complete(call)
        outcome = self._rng.choice([{"result": "Done."}, {"error": "no answer"}])
        self._run.subagent_completed(name, asking, agent=self._calls[asking][1], **outcome)
        self._complete(asking)

    def _pause(self) -> None:
        agent = self._agent()
        calls = [self._call(agent, "write") for _ in range(self._rng.choice([1, 2]))]
        for call in calls:
            self._run.asks(call, "write", agent=agent, text=call)
        for call in self._rng.sample(calls, len(calls)):
            approved = self._rng.random() < 0.5
            self._run.resolved(call, approved=approved, **({} if approved else {"reason": "not now"}))
            if not approved:
                del self._calls[call]
        self._run.started()
        for name, call in self._asked:
            self._run.tool(call, self._calls[call][0], agent=self._calls[call][1], question="?")
            self._run.subagent_started(name, call, agent=self._calls[call][1])
        for call in calls:
            if call in self._calls:
                self._run.tool(call, "write", agent=agent, text=call)

    def _restart(self) -> None:
        if self._rng.random() < 0.3:
            self._run.restarted("worker_lost", attempt=self._run.attempt + 1)
            self._calls.clear()
            self._asked.clear()
            if not pauses(self.frames):  # else it goes on from the pause, with the names that it had
                self._number = 0
            self._run.started()

    def _end(self) -> None:
        if (how := self._rng.random()) < 0.2:
            self._run.failed("MODEL_ERROR", "The model is away")
        elif how < 0.4:
            self._run.cancelled("user")
        else:
            while self._asked:
                self._answer()
            while self._calls:
                self._finish()
            self._run.chunk("The end.")
            self._run.completed()
