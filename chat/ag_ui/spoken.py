"""Text and reasoning of a stream: each agent has at most one piece open, and each piece a name of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ag_ui.core import (
    BaseEvent,
    ReasoningEndEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    ReasoningStartEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
)


@dataclass(frozen=True, slots=True)
class _Piece:
    kind: Literal["text", "reasoning"]
    name: str


class Spoken:
    """`owner` is the invocation of an agent that was asked by another; None is the one that the person asked."""

    def __init__(self, run_id: str) -> None:
        self.first_thought = f"{run_id}:reasoning"
        self._open: dict[str | None, _Piece] = {}
        self._texts = 0
        self._thoughts = 0
        self._first_thought_is_used = False

    @property
    def has_thought(self) -> bool:
        return self._thoughts > 0

    def forget(self) -> None:
        """What was said is taken back: the name of the first thought is free again."""
        self._first_thought_is_used = False

    def text(self, text: str, message_id: str) -> Iterator[BaseEvent]:
        """The answer goes on. Its first piece has its message's name."""
        if not text:
            return
        if not self._continues(None, "text"):
            yield from self.silence(None)
            self._texts += 1
            name = message_id if self._texts == 1 else f"{message_id}:{self._texts}"
            self._open[None] = _Piece("text", name)
            yield TextMessageStartEvent(message_id=name, role="assistant")
        yield TextMessageContentEvent(message_id=self._open[None].name, delta=text)

    def thought(self, text: str, owner: str | None) -> Iterator[BaseEvent]:
        """Without text: the agent asks its model anew, and what it says next is another piece."""
        if not text:
            yield from self.silence(owner)
            return
        if not self._continues(owner, "reasoning"):
            yield from self.silence(owner)
            name = self._name_of_thought(owner)
            self._open[owner] = _Piece("reasoning", name)
            yield ReasoningStartEvent(message_id=name, subagent_run_id=owner)
            yield ReasoningMessageStartEvent(message_id=name, subagent_run_id=owner)
        yield ReasoningMessageContentEvent(message_id=self._open[owner].name, delta=text)

    def silence(self, owner: str | None) -> Iterator[BaseEvent]:
        """Close what this agent has open."""
        piece = self._open.pop(owner, None)
        if piece is None:
            return
        if piece.kind == "text":
            yield TextMessageEndEvent(message_id=piece.name)
        else:
            yield ReasoningMessageEndEvent(message_id=piece.name)
            yield ReasoningEndEvent(message_id=piece.name)

    def silence_all(self) -> Iterator[BaseEvent]:
        for owner in list(self._open):
            yield from self.silence(owner)

    def _continues(self, owner: str | None, kind: str) -> bool:
        piece = self._open.get(owner)
        return piece is not None and piece.kind == kind

    def _name_of_thought(self, owner: str | None) -> str:
        self._thoughts += 1
        if owner is None and not self._first_thought_is_used:
            self._first_thought_is_used = True
            return self.first_thought
        return f"{self.first_thought}:{self._thoughts}"
