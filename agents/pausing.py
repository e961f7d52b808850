"""Where an agent stands while it waits for a person, and how it goes on. Plain JSON while it waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter
from pydantic_ai.tools import DeferredToolResults, ToolDenied

from agents.delegation import SharedRun
from agents.events import PendingApproval
from agents.request import Decision, Resumption
from agents.translation import Translation


@dataclass(kw_only=True)
class Pause:
    """`messages` are those of the run, without the history before it. `waiting` has by the model's call ids one of

        {"kind": "approval", "id"}                            a person is to allow the call; `id` names it on the wire
        {"kind": "colleague", "agent", "text", "state"}       the agent that the call asks waits itself
        {"kind": "result", "result", "error"}                 the agent that the call asks has answered meanwhile

    `unanswered` are the approvals that nobody has resolved yet.
    """

    messages: list[ModelMessage]
    waiting: dict[str, dict[str, Any]] = field(default_factory=dict)
    unanswered: list[PendingApproval] = field(default_factory=list)

    def to_json(self, translation: Translation) -> dict[str, Any]:
        return {
            "messages": ModelMessagesTypeAdapter.dump_python(self.messages, mode="json"),
            "waiting": self.waiting,
            "translation": translation.to_json(),
        }


class Resumed(Pause):
    """A pause of which everything has been resolved that a person was asked, or a part of it is about to be."""

    def __init__(self, resumption: Resumption) -> None:
        state = resumption.state
        super().__init__(
            messages=ModelMessagesTypeAdapter.validate_python(state["messages"]), waiting=dict(state["waiting"])
        )
        self.translation: Mapping[str, Any] = state["translation"]
        self.decisions = resumption.decisions
        self.results = DeferredToolResults()
        self._shared: Mapping[str, Any] | None = state.get("shared")

    def shared(self) -> SharedRun:
        """What the agents of the run had in common: only the state of the agent that the person asked has it."""
        return SharedRun() if self._shared is None else SharedRun.from_json(self._shared)

    def decide(self, call_id: str, identity: str, translation: Translation) -> None:
        """Give the call what the person said. Without a word from them it is denied."""
        decision = self.decisions.get(identity, Decision(approved=False))
        if decision.approved:
            self.results.approvals[call_id] = True
            return
        translation.deny(call_id)
        reason = f" and said: {decision.reason}" if decision.reason else ""
        self.results.approvals[call_id] = ToolDenied(
            f"The user denied this call{reason}. Do not try it again; go on without it."
        )

    def answer(self, call_id: str, *, result: str, error: str | None) -> None:
        """The call's own outcome: the agent that it asked has ended."""
        self.waiting[call_id] = {"kind": "result", "result": result, "error": error}
        self.results.calls[call_id] = result if error is None else ToolFailed(error)
