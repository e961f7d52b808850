"""One run's events as one stream of AG-UI's: a small state machine that closes what it has opened.

The answer is a message of AG-UI's for each piece between two tool calls, since a client shows messages and calls in
their order. Where a run waits for a person the stream ends, and a later one goes on: it folds the events before the
pause again without telling them, so that names go on, and what is still open is opened anew.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, assert_never

import pydantic_core
from ag_ui.core import (
    BaseEvent,
    CustomEvent,
    Interrupt,
    MessagesSnapshotEvent,
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunFinishedOutcome,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
    TokenUsage,
)
from pydantic import Field, TypeAdapter

from chat.ag_ui.asked import Asked
from chat.ag_ui.names import interrupt_name
from chat.ag_ui.spoken import Spoken
from chat.ag_ui.steps import Call, Steps
from chat.errors import ErrorCode
from chat.protocol import timestamp
from chat.protocol.events import (
    AgentCancelled,
    AgentCompleted,
    AgentError,
    AgentResponseChunk,
    AgentRestarted,
    AgentStarted,
    AgentThinking,
    ApprovalRequired,
    ApprovalResolved,
    ContextReduced,
    MessageCreated,
    SubagentCompleted,
    SubagentStarted,
    ToolCompleted,
    ToolExecuting,
    Usage,
)

Said = AgentThinking | AgentResponseChunk
Step = ToolExecuting | ToolCompleted | SubagentStarted | SubagentCompleted
Terminal = AgentCompleted | AgentError | AgentCancelled
AnyRunEvent = (
    MessageCreated
    | AgentStarted
    | ContextReduced
    | Said
    | Step
    | ApprovalRequired
    | ApprovalResolved
    | AgentRestarted
    | Terminal
)
RUN_EVENT: TypeAdapter[AnyRunEvent] = TypeAdapter(Annotated[AnyRunEvent, Field(discriminator="type")])
PROTOCOL_VERSION = "1.0"
DECISION_SCHEMA = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string", "maxLength": 2000}},
    "required": ["approved"],
    "additionalProperties": False,
}
NOT_APPROVED = {"user": "Denied", "expired": "Nobody answered in time", "cancelled": "Cancelled"}


@dataclass(frozen=True, slots=True)
class Followed:
    """The run of a stream. The client has had its events up to number `behind`, in an earlier stream."""

    thread_id: str
    run_id: str
    run_number: int
    message_id: str
    behind: int = 0


class Translation:
    """Each method returns the events to send next. Behind the one that ends the run, `ended`, there are no others."""

    def __init__(self, asked: Asked, followed: Followed) -> None:
        self.ended = False
        self._asked = asked
        self._followed = followed
        self._silent = False
        self._spoken = Spoken(followed.run_id)
        self._steps = Steps(followed.run_id, self._spoken, shown=asked.history.calls)
        self._interrupts: dict[str, Interrupt] = {}
        self._denied: dict[str, tuple[Call, str]] = {}
        self._at = 0
        self._out: list[BaseEvent] = []

    @property
    def waits(self) -> bool:
        """Whether there are requests for approval that nobody has answered."""
        return bool(self._interrupts)

    def begin(self, at: datetime.datetime) -> list[BaseEvent]:
        """The first events. What the client shows of this run already, and is told again, is taken back."""
        self._at = _milliseconds(at)
        self._tell(RunStartedEvent(**self._ran(), protocol_version=PROTOCOL_VERSION))
        followed = self._followed
        value: dict[str, Any] = {
            "threadId": followed.thread_id,
            "runId": followed.run_id,
            "runNumber": followed.run_number,
            "messageId": followed.message_id,
        }
        if self._asked.unread:
            value["ignored"] = list(self._asked.unread)
        self._custom("run", value)
        self._silent = followed.behind > 0
        if self._asked.history.is_outrun:
            self._show_again(reasoned=self._asked.history.outrun_reasons)
        return self._taken()

    def translate(self, frame: Mapping[str, Any]) -> list[BaseEvent]:
        """Of a frame of the run's stream, in order from the run's first event on."""
        match frame["type"]:
            case "error_message":
                return self.fail(frame["error_code"], frame["error_message"], frame.get("details"))
            case "server_draining":
                return self.fail(ErrorCode.SERVICE_UNAVAILABLE, "The server goes away, and the run goes on without it")
            case "snapshot_required":
                return self.fail(ErrorCode.EVENTS_PRUNED, "These events are not kept any more: read the messages")
        event = RUN_EVENT.validate_python(frame)
        self._at = _milliseconds(datetime.datetime.fromisoformat(event.timestamp))
        self._fold(event)
        if self._silent and event.seq >= self._followed.behind:
            self._suspend()
            self._silent = False
            self._tell(*self._steps.go_on())
        return self._taken()

    def end(self) -> list[BaseEvent]:
        """The frames are over: the run waits for a person, or the stream was cut."""
        if self._interrupts and not self.ended:
            self._suspend()
            self._finish(RunFinishedInterruptOutcome(interrupts=list(self._interrupts.values())))
            return self._taken()
        return self.fail(ErrorCode.SERVICE_UNAVAILABLE, "The stream ended before its run: ask again to follow it")

    def fail(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> list[BaseEvent]:
        """The stream ends, and not because the run does."""
        if not self.ended:
            self._close(message)
            self._error(code, message, details)
        return self._taken()

    def _fold(self, event: AnyRunEvent) -> None:
        match event:
            case MessageCreated():
                pass  # the client has asked it
            case AgentStarted() | ContextReduced():
                self._custom(event.type, {"agent": event.agent, **event.data.model_dump(exclude_none=True)})
            case AgentThinking() | AgentResponseChunk():
                self._say(event)
            case ToolExecuting() | ToolCompleted() | SubagentStarted() | SubagentCompleted():
                self._step(event)
            case ApprovalRequired():
                self._ask(event)
            case ApprovalResolved():
                self._resolve(event)
            case AgentRestarted():
                self._restart(event)
            case AgentCompleted() | AgentError() | AgentCancelled():
                self._end_run(event)
            case _:
                assert_never(event)

    def _say(self, event: Said) -> None:
        match event:
            case AgentThinking(data=thought):
                self._tell(*self._spoken.thought(thought.text, self._steps.owner(event.agent, thought.within)))
            case AgentResponseChunk(data=chunk):
                self._tell(*self._spoken.text(chunk.text, chunk.message_id))
            case _:
                assert_never(event)

    def _step(self, event: Step) -> None:
        match event:
            case ToolExecuting(data=call):
                self._tell(*self._steps.call(call.tool_call_id, call.tool, call.arguments, event.agent, call.within))
            case ToolCompleted():
                self._tell(*self._steps.completed(event))
            case SubagentStarted():
                self._tell(*self._steps.ask(event))
            case SubagentCompleted():
                self._tell(*self._steps.answered(event))
            case _:
                assert_never(event)

    # What a person allows

    def _ask(self, event: ApprovalRequired) -> None:
        data = event.data
        self._tell(*self._steps.call(data.tool_call_id, data.tool, data.arguments, event.agent, data.within))
        call = self._steps.calls[data.tool_call_id]
        until = datetime.datetime.fromisoformat(event.timestamp) + datetime.timedelta(seconds=data.expires_in)
        more = {"truncated": data.truncated.model_dump()} if data.truncated is not None else {}
        self._interrupts[data.tool_call_id] = Interrupt(
            id=interrupt_name(self._followed.run_id, data.tool_call_id),
            reason="tool_call",
            message=f"May {event.agent} use {data.tool}?",
            tool_call_id=call.name,
            response_schema=DECISION_SCHEMA,
            expires_at=timestamp(until),
            subagent_run_id=call.owner,
            metadata=_ours({"runId": self._followed.run_id, "toolCallId": data.tool_call_id, **more}),
        )

    def _resolve(self, event: ApprovalResolved) -> None:
        data = event.data
        self._interrupts.pop(data.tool_call_id, None)
        call = self._steps.calls.get(data.tool_call_id)
        if data.approved or call is None:
            return
        content = NOT_APPROVED[data.by] + (f": {data.reason}" if data.reason else "")
        self._denied[data.tool_call_id] = call, content
        self._tell(*self._steps.denied(data.tool_call_id, call, content))

    # Beginnings and ends

    def _restart(self, event: AgentRestarted) -> None:
        """All is void but what people have answered: the client goes back to what it showed before the run."""
        self._close("The run begins again")
        self._custom(event.type, event.data.model_dump())
        self._show_again(reasoned=self._spoken.has_thought)
        self._steps.begin()
        for call_id, (call, content) in self._denied.items():
            self._tell(*self._steps.denied(call_id, call, content))

    def _show_again(self, *, reasoned: bool) -> None:
        """Reasoning is only replaced by reasoning: so there is an empty piece, which the run's first thought fills."""
        messages = pydantic_core.from_json(self._asked.history.messages)
        if reasoned and not self._asked.history.has_reasoning:
            messages.append({"id": self._spoken.first_thought, "role": "reasoning", "content": ""})
        self._spoken.forget()
        self._tell(MessagesSnapshotEvent.model_validate({"messages": messages}))

    def _end_run(self, event: Terminal) -> None:
        match event:
            case AgentCompleted(data=done):
                self._close("The run is over")
                result: dict[str, Any] = {"messageId": done.message.id, "durationMs": done.duration_ms}
                if done.usage.cost_usd is not None:
                    result["costUsd"] = done.usage.cost_usd
                self._finish(RunFinishedSuccessOutcome(), result=result, usage=[_usage(done.usage)])
            case AgentError(data=failed):
                self._close(failed.error_message)
                more = failed.model_dump(include={"retryable", "correlation_id"}, exclude_none=True)
                self._error(failed.error_code, failed.error_message, more)
            case AgentCancelled(data=cancelled):
                self._close("The run was cancelled")
                self._finish(RunFinishedCancelledOutcome(), metadata=_ours({"by": cancelled.by}))
            case _:
                assert_never(event)

    def _close(self, reason: str) -> None:
        self._tell(*self._spoken.silence_all(), *self._steps.close(reason))

    def _suspend(self) -> None:
        raised = defaultdict(list)
        for interrupt in self._interrupts.values():
            if interrupt.subagent_run_id is not None:
                raised[interrupt.subagent_run_id].append(interrupt.id)
        self._tell(*self._spoken.silence_all(), *self._steps.suspend(raised))

    def _finish(self, outcome: RunFinishedOutcome, **fields: Any) -> None:
        self._tell(RunFinishedEvent(**self._ran(), outcome=outcome, **fields))
        self.ended = True

    def _error(self, code: str, message: str, details: Mapping[str, Any] | None) -> None:
        """Whatever is folded in silence, the client is told of the end."""
        self._silent = False
        self._tell(RunErrorEvent(message=message, code=code, metadata=_ours(dict(details)) if details else None))
        self.ended = True

    # What is told

    def _ran(self) -> dict[str, str]:
        return {"thread_id": self._asked.thread, "run_id": self._asked.run}

    def _custom(self, name: str, value: dict[str, Any]) -> None:
        self._tell(CustomEvent(name=f"netra.{name}", value=value))

    def _tell(self, *events: BaseEvent) -> None:
        for event in () if self._silent else events:
            event.timestamp = self._at
            self._out.append(event)

    def _taken(self) -> list[BaseEvent]:
        taken, self._out = self._out, []
        return taken


def _ours(metadata: dict[str, Any]) -> dict[str, Any]:
    return {"netra": metadata}


def _milliseconds(at: datetime.datetime) -> int:
    return round(at.timestamp() * 1000)


def _usage(usage: Usage) -> TokenUsage:
    return TokenUsage(
        model=usage.model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
    )
