"""What the API's answers and bodies look like: the components of its OpenAPI document."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["queued", "running", "awaiting_approval", "completed", "failed", "cancelled"]


class Shape(BaseModel):
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class Error(Shape):
    """The one shape of every error. `error_code` is from docs/protocol.md, section 4."""

    error_code: str
    error_message: str
    details: dict[str, Any]
    correlation_id: str | None


class Person(Shape):
    id: str
    username: str
    is_staff: bool


class AccessToken(Shape):
    access: str
    expires_in: int


class Tokens(BaseModel):
    """`refresh` is absent where it is kept in a cookie."""

    access: str
    expires_in: int
    refresh: str = ""


class Thread(Shape):
    id: UUID
    title: str
    created_at: datetime.datetime
    updated_at: datetime.datetime
    archived: bool
    open_runs: int


class ThreadPage(Shape):
    threads_version: int
    threads: list[Thread]
    next: str | None


class Feedback(Shape):
    rating: Literal["up", "down"]
    text: str


class Message(Shape):
    """`siblings` are what stands in its place in any branch, in the order of asking, itself included."""

    id: UUID
    role: Literal["user", "assistant"]
    content: str
    parent_id: UUID | None
    partial: bool
    run_id: UUID | None
    created_at: datetime.datetime
    siblings: list[UUID]
    feedback: Feedback | None


class Run(Shape):
    id: UUID
    run_number: int
    thread_id: UUID
    status: Status
    agent: str
    attempt: int
    last_seq: int
    input_message_id: UUID
    output_message_id: UUID | None
    error_code: str | None
    error_message: str | None
    cancelled_by: Literal["user", "interrupt", "deleted"] | None
    usage: dict[str, Any] | None
    duration_ms: int | None
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None


class MessagePage(Shape):
    messages: list[Message]
    runs: list[Run]
    previous: str | None


class RunPage(Shape):
    runs: list[Run]
    next: str | None


class Event(Shape):
    """One event of a run, as on the socket: the AsyncAPI document has each `type` with its `data`."""

    type: str
    thread_id: UUID
    run_id: UUID
    run_number: int
    seq: Annotated[int, Field(ge=1)]
    timestamp: datetime.datetime
    agent: str
    data: dict[str, Any]


class EventPage(Shape):
    run_id: UUID
    status: Status
    last_seq: int
    events: list[Event]
    next: int | None


class Accepted(Shape):
    """A run was begun, or had been by an earlier request with the same `message_id`."""

    thread_id: UUID
    message_id: UUID
    run_id: UUID
    run_number: int


class Stopped(Shape):
    run_id: UUID
    status: Status


class Result(Shape):
    result: Any


class Approval(Shape):
    tool_call_id: str
    agent: str
    tool: str
    arguments: Any
    created_at: datetime.datetime
    expires_at: datetime.datetime
    approved: bool | None
    by: Literal["user", "expired", "cancelled"] | None
    reason: str | None
    resolved_at: datetime.datetime | None


class Approvals(Shape):
    approvals: list[Approval]


class WaitingApproval(Approval):
    run_id: UUID
    thread_id: UUID


class WaitingApprovals(Shape):
    approvals: list[WaitingApproval]


class Resolved(Shape):
    run_id: UUID
    tool_call_id: str
    approved: bool


class AgentTool(Shape):
    name: str
    description: str
    needs_approval: bool
    repeatable: bool
    timeout_seconds: float | None
    result_limit: int | None
    parameters: dict[str, Any] | None


class Tool(AgentTool):
    agents: list[str]
    mcp_server: str | None


class Tools(Shape):
    tools: list[Tool]


class Agent(Shape):
    name: str
    description: str
    model: str
    tools: list[AgentTool]
    delegates: list[str]
    limits: dict[str, Any] | None


class Agents(Shape):
    agents: list[Agent]


class McpServer(Shape):
    name: str
    state: str
    agents: list[str]
    tools: list[dict[str, Any]]
    error: str | None
    changed_at: datetime.datetime | None
    seen_at: datetime.datetime | None


class McpServers(Shape):
    mcp_servers: list[McpServer]


class ExportedMessage(Shape):
    id: UUID
    role: Literal["user", "assistant"]
    content: str
    parent_id: UUID | None
    partial: bool
    run_id: UUID | None
    created_at: datetime.datetime
    feedback: Feedback | None


class ExportedApproval(Approval):
    run_id: UUID


class Export(Shape):
    thread: Thread
    messages: list[ExportedMessage]
    runs: list[Run]
    approvals: list[ExportedApproval]


class OpenRunCounts(Shape):
    queued: int
    running: int
    awaiting_approval: int


class AgentActivity(Shape):
    name: str
    running: int


class Supervisor(Shape):
    """`runs` and `agents` count the person's own open runs; for staff everybody's."""

    status: Literal["ready", "degraded"]
    workers: int
    runs: OpenRunCounts
    agents: list[AgentActivity]


class UsageSums(Shape):
    """Costs are US dollars as decimal text."""

    group: dict[str, str]
    requests: int
    failed: int
    unpriced: int
    runs: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: str
    failed_cost_usd: str
    duration_ms: int


class Usage(Shape):
    since: datetime.datetime
    until: datetime.datetime
    by: list[Literal["day", "agent", "model", "thread", "user"]]
    rows: list[UsageSums]
    truncated: bool
    total: UsageSums
