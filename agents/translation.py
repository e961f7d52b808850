"""pydantic-ai's event stream in our vocabulary, and our turns in its messages. No I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_ai.messages import (
    CustomEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from agents.attached import prompt
from agents.delegation import SharedRun
from agents.events import (
    AgentEvent,
    AgentResponseChunk,
    AgentThinking,
    ContextReduced,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    within_call,
)
from agents.plain import plain_object, plain_text, plain_value
from agents.request import RunRequest, Turn
from agents.tools.context import Heard
from agents.toolset import WholeResult


@dataclass(kw_only=True)
class Forwarded(CustomEvent):
    """An event of ours in pydantic-ai's stream: what a tool of the run says, or an agent that it asked.

    The tool does not know its call's name on the wire: a SubagentStarted and SubagentCompleted of its own come
    without `parent_tool_call_id`.
    """

    event: AgentEvent


class Translation:
    """One agent's events, from pydantic-ai's vocabulary to ours.

    The concatenated text of the chunks is the answer: text that follows a tool call or reasoning is set off
    by a blank line, adjacent text parts are one text. A call that waits for a person begins only when it is allowed:
    `needs_approval` has the names of such tools.
    """

    def __init__(
        self,
        request: RunRequest,
        shared: SharedRun,
        *,
        durations: dict[str, int],
        needs_approval: Collection[str],
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._agent = request.agent
        self._message_id = request.message_id
        self._shared = shared
        self._durations = durations
        self._needs_approval = needs_approval
        self._step: int = 0
        self._unanswered_calls: int = 0
        self._call_ids: dict[str, list[str]] = {}
        self._held: dict[str, ToolCallPart] = {}
        self._paused: set[str] = set()
        self._waiting: set[str] = set()
        self._denied: set[str] = set()
        self._newlines: int = 2
        self._separate: bool = False
        self._responding: bool = False
        if state is not None:
            self._step, self._unanswered_calls, self._newlines = state["step"], state["unanswered"], state["newlines"]
            self._call_ids = {name: list(ids) for name, ids in state["call_ids"].items()}
            self._paused, self._waiting = set(self._call_ids), set(state["waiting"])

    def to_json(self) -> dict[str, Any]:
        """What the translation that goes on after a pause needs to know of this one."""
        return {
            "step": self._step,
            "unanswered": self._unanswered_calls,
            "newlines": self._newlines,
            "call_ids": {name: ids for name, ids in self._call_ids.items() if ids},
            "waiting": sorted({*self._held, *(self._waiting & self._paused)}),
        }

    def wire_id(self, tool_call_id: str) -> str:
        """The name on the wire of the model's call of this id that is not completed yet."""
        return self._call_ids[tool_call_id][0]

    def deny(self, tool_call_id: str) -> None:
        """The call was denied: it neither begins nor ends."""
        self._denied.add(tool_call_id)

    def begin_step(self) -> AgentThinking:
        """A model request begins now."""
        self._step += 1
        self._unanswered_calls = 0
        self._separate = True
        self._responding = False
        return AgentThinking(agent=self._agent, step=self._step)

    def translate(self, event: Heard) -> Iterator[AgentEvent]:
        match event:
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                yield from self._text(text)
            case PartStartEvent():
                yield from self._part(event)
            case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=text)):
                yield from self._thinking(text)
            case PartEndEvent(part=ToolCallPart()):
                self._unanswered_calls += 1
            case FunctionToolCallEvent(part=call):
                yield from self._called(call)
            case FunctionToolResultEvent(part=outcome):
                yield from self._completed(outcome)
                self._unanswered_calls -= 1
                if self._unanswered_calls == 0:
                    yield self.begin_step()
            case ContextReduced():
                yield event
            case Forwarded(event=forwarded, tool_call_id=tool_call_id):
                yield self._forwarded(forwarded, tool_call_id)
            case _:
                # Part ends, final-result marks and bookkeeping say nothing to a person.
                pass

    def _part(self, event: PartStartEvent) -> Iterator[AgentEvent]:
        if event.index == 0 and self._responding:
            # The model is asked again without a tool call in between: its answer was unusable.
            yield self.begin_step()
        self._responding = True
        if isinstance(event.part, TextPart):
            self._separate = self._separate or event.previous_part_kind != "text"
            yield from self._text(event.part.content)
        elif isinstance(event.part, ThinkingPart):
            yield from self._thinking(event.part.content)

    def _text(self, text: str) -> Iterator[AgentResponseChunk]:
        text = plain_text(text)
        if self._separate:
            text = text.lstrip("\n")
            if not text:
                return
            text = "\n" * (2 - self._newlines) + text
            self._separate = False
        if text:
            self._newlines = 2 if text.endswith("\n\n") else 1 if text.endswith("\n") else 0
            yield AgentResponseChunk(agent=self._agent, message_id=self._message_id, text=text)

    def _thinking(self, text: str | None) -> Iterator[AgentThinking]:
        if text:
            yield AgentThinking(agent=self._agent, step=self._step, text=plain_text(text))

    def _called(self, call: ToolCallPart) -> Iterator[ToolExecuting]:
        if call.tool_call_id in self._paused:
            if call.tool_call_id in self._waiting - self._denied:
                yield self._executing(call)
            return
        self._call_ids.setdefault(call.tool_call_id, []).append(
            self._shared.unique_call_id(plain_text(call.tool_call_id))
        )
        if call.tool_name in self._needs_approval:
            self._held[call.tool_call_id] = call
        else:
            yield self._executing(call)

    def _executing(self, call: ToolCallPart) -> ToolExecuting:
        return ToolExecuting(
            agent=self._agent,
            tool_call_id=self._call_ids[call.tool_call_id][-1],
            tool=plain_text(call.tool_name),
            arguments=plain_object(call.args_as_dict()),
        )

    def _completed(self, outcome: ToolReturnPart) -> Iterator[AgentEvent]:
        if (held := self._held.pop(outcome.tool_call_id, None)) is not None:
            # It was not asked for: its arguments were wrong.
            yield self._executing(held)
        waiting = self._call_ids.get(outcome.tool_call_id)
        identity = waiting.pop(0) if waiting else plain_text(outcome.tool_call_id)
        self._paused.discard(outcome.tool_call_id)
        if outcome.tool_call_id in self._denied:
            self._denied.discard(outcome.tool_call_id)
            return
        failed = outcome.outcome != "success"
        content = outcome.content
        if isinstance(outcome.metadata, WholeResult):
            # The log gets all of it; the run's history need not keep it.
            content, outcome.metadata = outcome.metadata.value, None
        yield ToolCompleted(
            agent=self._agent,
            tool_call_id=identity,
            tool=plain_text(outcome.tool_name),
            duration_ms=self._durations.pop(outcome.tool_call_id, 0),
            result=None if failed else plain_value(content),
            error=_error_text(content) if failed else None,
        )

    def _forwarded(self, event: AgentEvent, tool_call_id: str | None) -> AgentEvent:
        if not tool_call_id:
            return event
        if isinstance(event, SubagentStarted | SubagentCompleted) and not event.parent_tool_call_id:
            return dataclasses.replace(event, parent_tool_call_id=self.wire_id(tool_call_id))
        return within_call(event, self.wire_id(tool_call_id))


def _error_text(content: Any) -> str:
    """A tool's failure as text; argument errors come as a list of pydantic's error objects."""
    if isinstance(content, list):
        problems = [item for item in content if isinstance(item, dict) and "msg" in item]
        if problems and len(problems) == len(content):
            content = "; ".join(
                ": ".join(filter(None, (".".join(map(str, item.get("loc", ()))), str(item["msg"]))))
                for item in problems
            )
    return plain_text(str(content)) or "the tool failed"


def message_history(history: Sequence[Turn]) -> list[ModelMessage]:
    """Earlier turns as the library's messages. The empty answer of a run stopped early is left out."""
    messages: list[ModelMessage] = []
    for turn in history:
        if turn.role == "user":
            messages.append(ModelRequest(parts=[UserPromptPart(content=prompt(turn.content, turn.attachments))]))
        elif turn.content.strip():
            messages.append(ModelResponse(parts=[TextPart(content=turn.content)]))
    return messages
