"""Run events: their envelope, and the `data` of each. docs/protocol.md, section 3.

The types document and check. `chat.run_event` makes events by `event_json` and `event_text`, and does not build them.
"""

from __future__ import annotations

import datetime
import functools
from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import ConfigDict, Field

from chat.protocol.parts import AgentName, Attachment, Count, Id, Name, Number, Part, Resolver, Time, timestamp


class Question(Part):
    """What the person wrote, and the files with it, if any. `parent_id` is the message that it follows."""

    id: Id
    role: Literal["user"]
    content: str
    parent_id: Id | None = None
    attachments: Annotated[list[Attachment], Field(min_length=1)] | None = None


class TruncatedAnswer(Part):
    """The size of an answer that is too long to be repeated."""

    bytes: Number


class Answer(Part):
    """What the agent said: `content`, or `truncated` when that is long and the chunks are all there is to read."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["content"]}, {"required": ["truncated"]}]},
    )

    id: Id
    role: Literal["assistant"]
    content: str | None = None
    truncated: TruncatedAnswer | None = None


class TruncatedResult(Part):
    """The size of a result of which the event has the beginning, and where the whole is to be read."""

    bytes: Number
    kept_bytes: Annotated[Number | None, Field(description="What is left of one that was not kept whole.")] = None
    href: str


class TruncatedArguments(Part):
    """The size of arguments of which the event has the beginning, and where the whole is to be read."""

    bytes: Number
    href: str


class Usage(Part):
    """What the model requests of a run took. There is no cost when no price is known."""

    model: Name
    input_tokens: Count
    output_tokens: Count
    requests: Count
    cost_usd: Annotated[float, Field(ge=0)] | None = None


Arguments = Annotated[
    dict[str, Any] | str, Field(description="An object, or the beginning of its JSON as text when it is too large.")
]
Result = Annotated[Any, Field(description="Any JSON value.")]
Within = Annotated[Name | None, Field(description="The tool call that asked the event's agent, if one did.")]
NOT_BOTH: dict[str, Any] = {"not": {"required": ["result", "error"]}}


class MessageCreatedData(Part):
    message: Question


class AgentStartedData(Part):
    model: Name
    attempt: Number


class ContextReducedData(Part):
    limit_tokens: Count
    estimated_tokens: Count
    kept_messages: Count
    dropped_messages: Count
    shortened_results: Count
    within: Within = None


class AgentThinkingData(Part):
    step: Count
    text: Annotated[str, Field(description="Empty when a model request begins.")]
    within: Within = None


class ToolExecutingData(Part):
    tool_call_id: Name
    tool: Name
    arguments: Arguments
    within: Within = None


class ToolCompletedData(Part):
    """A tool that gave nothing has neither `result` nor `error`."""

    model_config = ConfigDict(json_schema_extra=NOT_BOTH)

    tool_call_id: Name
    tool: Name
    duration_ms: Count
    result: Result = None
    error: str | None = None
    truncated: TruncatedResult | None = None
    within: Within = None


class AgentResponseChunkData(Part):
    message_id: Name
    text: str


class SubagentStartedData(Part):
    subagent: Name
    parent_tool_call_id: Name
    within: Within = None


class SubagentCompletedData(Part):
    model_config = ConfigDict(json_schema_extra=NOT_BOTH)

    subagent: Name
    parent_tool_call_id: Name
    result: str | None = None
    error: str | None = None
    truncated: TruncatedResult | None = None
    within: Within = None


class ApprovalRequiredData(Part):
    tool_call_id: Name
    tool: Name
    arguments: Arguments
    expires_in: Annotated[Count, Field(description="Seconds that the person has.")]
    truncated: TruncatedArguments | None = None
    within: Within = None


class ApprovalResolvedData(Part):
    tool_call_id: Name
    approved: bool
    by: Resolver
    reason: str | None = None


class AgentRestartedData(Part):
    attempt: Number
    reason: Literal["worker_lost", "handed_back"]


class AgentCompletedData(Part):
    message: Answer
    usage: Usage
    duration_ms: Count


class AgentErrorData(Part):
    error_code: Annotated[str, Field(min_length=1, max_length=40)]
    error_message: str
    retryable: bool
    correlation_id: Annotated[Name | None, Field(description="To be found in the server's log.")] = None
    message: Annotated[Answer | None, Field(description="The partial answer.")] = None


class AgentCancelledData(Part):
    by: Literal["user", "interrupt", "deleted", "staff", "deactivated"]
    message: Annotated[Answer | None, Field(description="The partial answer.")] = None


# Run events


class RunEvent(Part):
    """The envelope. `seq` counts 1, 2, 3 … within the run, `run_number` within the person's runs."""

    thread_id: Id
    run_id: Id
    run_number: Number
    seq: Number
    timestamp: Time
    agent: AgentName


class MessageCreated(RunEvent):
    """The question, which begins the run: the first event of each."""

    type: Literal["message_created"]
    data: MessageCreatedData


class AgentStarted(RunEvent):
    """A worker took the run up; again after an approval or a restart. It voids nothing by itself."""

    type: Literal["agent_started"]
    data: AgentStartedData


class ContextReduced(RunEvent):
    """The model was asked with less than the whole conversation."""

    type: Literal["context_reduced"]
    data: ContextReducedData


class AgentThinking(RunEvent):
    """A model request begins, or a piece of its reasoning."""

    type: Literal["agent_thinking"]
    data: AgentThinkingData


class ToolExecuting(RunEvent):
    """A tool call begins. Several can run at the same time."""

    type: Literal["tool_executing"]
    data: ToolExecutingData


class ToolCompleted(RunEvent):
    """A tool call ended, with a result or with an error."""

    type: Literal["tool_completed"]
    data: ToolCompletedData


class AgentResponseChunk(RunEvent):
    """The next piece of the answer."""

    type: Literal["agent_response_chunk"]
    data: AgentResponseChunkData


class SubagentStarted(RunEvent):
    """The agent asks another one, by a tool call. Events of that one have its name in `agent`."""

    type: Literal["subagent_started"]
    data: SubagentStartedData


class SubagentCompleted(RunEvent):
    """The agent that was asked ended, with its answer or with an error."""

    type: Literal["subagent_completed"]
    data: SubagentCompletedData


class ApprovalRequired(RunEvent):
    """A tool call waits for a person's approval; the run waits after the last of these."""

    type: Literal["approval_required"]
    data: ApprovalRequiredData


class ApprovalResolved(RunEvent):
    """A request for approval was answered, or ended without an answer."""

    type: Literal["approval_resolved"]
    data: ApprovalResolvedData


class AgentRestarted(RunEvent):
    """The run is begun again. All events after its first are void, approvals excepted."""

    type: Literal["agent_restarted"]
    data: AgentRestartedData


class AgentCompleted(RunEvent):
    """The run succeeded: its last event."""

    type: Literal["agent_completed"]
    data: AgentCompletedData


class AgentError(RunEvent):
    """The run failed: its last event."""

    type: Literal["agent_error"]
    data: AgentErrorData


class AgentCancelled(RunEvent):
    """The run was stopped: its last event."""

    type: Literal["agent_cancelled"]
    data: AgentCancelledData


RUN_EVENTS: tuple[type[RunEvent], ...] = (
    MessageCreated,
    AgentStarted,
    ContextReduced,
    AgentThinking,
    ToolExecuting,
    ToolCompleted,
    AgentResponseChunk,
    SubagentStarted,
    SubagentCompleted,
    ApprovalRequired,
    ApprovalResolved,
    AgentRestarted,
    AgentCompleted,
    AgentError,
    AgentCancelled,
)


def event_json(
    *,
    type: str,  # noqa: A002 - the wire's name
    thread_id: str,
    run_id: str,
    run_number: int,
    seq: int,
    created_at: datetime.datetime,
    agent: str,
    data: Any,
) -> dict[str, Any]:
    """One run event on the wire, live or replayed."""
    return {
        "type": type,
        "thread_id": thread_id,
        "run_id": run_id,
        "run_number": run_number,
        "seq": seq,
        "timestamp": timestamp(created_at),
        "agent": agent,
        "data": data,
    }


def event_text(
    *,
    type: str,  # noqa: A002 - the wire's name
    thread_id: object,
    run_id: object,
    run_number: int,
    seq: int,
    at: str,
    agent: str,
    data: str,
) -> str:
    """The same, written. `data` is JSON and `at` a `timestamp` already, as the log has them; identifiers are UUIDs or
    their text.
    """
    return (
        f'{{"type":"{type}","thread_id":"{thread_id}","run_id":"{run_id}","run_number":{run_number},"seq":{seq},'
        f'"timestamp":"{at}","agent":{_written(agent)},"data":{data}}}'
    )


@functools.lru_cache(maxsize=1000)
def _written(name: str) -> str:
    return pydantic_core.to_json(name).decode()
