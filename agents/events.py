"""The one vocabulary of what an agent does, as it does it.

An agent yields these; the chat application numbers, stores and sends them. `type` and the remaining
fields (all but `type` and `agent`) are the `type` and `data` of the wire protocol's run events. `within` is the tool
call that asked the event's agent; the agent that the person asked has none.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What the model requests of one run consumed, in tokens and requests."""

    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentStarted:
    """The first event of each pick-up of a run."""

    agent: str
    model: str
    attempt: int
    type: Literal["agent_started"] = "agent_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentThinking:
    """A reasoning delta; `text` is empty when model request number `step` begins."""

    agent: str
    step: int
    text: str = ""
    within: str | None = None
    type: Literal["agent_thinking"] = "agent_thinking"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolExecuting:
    """A tool call begins. Tools may run in parallel."""

    agent: str
    tool_call_id: str
    tool: str
    arguments: dict[str, Any]
    within: str | None = None
    type: Literal["tool_executing"] = "tool_executing"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCompleted:
    """A tool call ended, with exactly one of `result` (any JSON value) and `error`."""

    agent: str
    tool_call_id: str
    tool: str
    duration_ms: int
    result: Any = None
    error: str | None = None
    within: str | None = None
    type: Literal["tool_completed"] = "tool_completed"


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentResponseChunk:
    """The next piece of the answer's text."""

    agent: str
    message_id: str
    text: str
    type: Literal["agent_response_chunk"] = "agent_response_chunk"


@dataclass(frozen=True, kw_only=True, slots=True)
class SubagentStarted:
    """The agent's tool call `parent_tool_call_id` asks another agent, whose events carry its own name."""

    agent: str
    subagent: str
    parent_tool_call_id: str
    within: str | None = None
    type: Literal["subagent_started"] = "subagent_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class SubagentCompleted:
    """The other agent ended, with its answer as `result`, or with an `error`."""

    agent: str
    subagent: str
    parent_tool_call_id: str
    result: str | None = None
    error: str | None = None
    within: str | None = None
    type: Literal["subagent_completed"] = "subagent_completed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextReduced:
    """What the model is asked with was cut to its context: counts of messages, tokens estimated."""

    agent: str
    limit_tokens: int
    estimated_tokens: int
    kept_messages: int
    dropped_messages: int
    shortened_results: int
    within: str | None = None
    type: Literal["context_reduced"] = "context_reduced"


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingApproval:
    """A tool call that begins only when a person allows it. `agent` is who asks for it."""

    agent: str
    tool_call_id: str
    tool: str
    arguments: dict[str, Any]
    within: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentPaused:
    """The run waits for a person. `state`, plain JSON, is what it goes on from (`RunRequest.resumption`).

    It is not an event of the wire: the chat application makes `approval_required` of each approval.
    """

    agent: str
    approvals: tuple[PendingApproval, ...]
    state: dict[str, Any]
    type: Literal["agent_paused"] = "agent_paused"


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentCompleted:
    """The run succeeded. The answer is the concatenation of its chunks."""

    agent: str
    usage: Usage
    duration_ms: int
    type: Literal["agent_completed"] = "agent_completed"


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentError:
    """The run failed. `error_message` is for the person and holds no secret and no traceback."""

    agent: str
    error_code: str
    error_message: str
    retryable: bool
    correlation_id: str | None = None
    type: Literal["agent_error"] = "agent_error"


AgentEvent = (
    AgentStarted
    | AgentThinking
    | ToolExecuting
    | ToolCompleted
    | SubagentStarted
    | SubagentCompleted
    | ContextReduced
    | AgentResponseChunk
    | AgentPaused
    | AgentCompleted
    | AgentError
)
TerminalEvent = AgentPaused | AgentCompleted | AgentError


Step = AgentThinking | ToolExecuting | ToolCompleted | SubagentStarted | SubagentCompleted | ContextReduced


def within_call(event: AgentEvent, tool_call_id: str) -> AgentEvent:
    """An event of an agent that this call asked. One of an agent further in names its own call already."""
    if isinstance(event, Step) and event.within is None:
        return dataclasses.replace(event, within=tool_call_id)
    return event


def event_data(event: AgentEvent) -> dict[str, Any]:
    """The event's `data` object for the log and the wire: a field without a value is absent."""
    data = {name: value for name, value in _fields(event).items() if name not in ("type", "agent")}
    if isinstance(event, AgentCompleted):
        data["usage"] = _fields(event.usage)
    return data


def _fields(record: AgentEvent | Usage) -> dict[str, Any]:
    named = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return {name: value for name, value in named.items() if value is not None}
