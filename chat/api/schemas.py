"""What the API's answers and bodies look like: the components of its OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Status = Literal["queued", "running", "awaiting_approval", "completed", "failed", "cancelled"]


Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time", "description": "UTC."})]


class Shape(BaseModel):
    """An object in an answer: all of its fields are there, one without a value is null."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True, use_attribute_docstrings=True)


class Error(Shape):
    """The one shape of every error."""

    error_code: str
    """For programs."""
    error_message: str
    """For people."""
    details: dict[str, Any]
    """What more there is to know; which fields it has depends on the code."""
    correlation_id: str | None
    """As in the header `X-Correlation-Id`."""


class Person(Shape):
    """Who is signed in. `is_staff`: may see everybody's usage."""

    id: str
    username: str
    email: str
    """Empty when there is none."""
    is_staff: bool
    default_agent: str | None
    """Who is asked when no agent is named, as the person has chosen. The server may have it no more."""


class Tokens(BaseModel):
    """What a sign-in and a refresh give. `refresh` is absent where it is kept in a cookie."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    access: str
    """For the header `Authorization: Bearer`."""
    expires_in: int
    """In seconds, of the access token."""
    refresh: str = ""
    """For `POST /api/auth/token/refresh`, once: its answer has the next one."""


class Session(Shape):
    """Where the person is signed in."""

    id: UUID
    kind: Literal["cookie", "program"]
    """Who keeps the refresh token: a browser, or a program."""
    agent: str
    """How the browser or the program named itself (`User-Agent`) when it last asked for a token."""
    network: str
    """From where it last did: an address, of IPv6 the network."""
    created_at: Time
    last_used_at: Time
    """When it last asked for a token."""
    expires_at: Time
    """When it ends if it is not used until then."""
    current: bool
    """Whether it is the one that asks."""


class SessionPage(Shape):
    """Some of the person's sessions."""

    sessions: list[Session]
    next: str | None
    """The `cursor` of the next page."""


class AccountOptions(Shape):
    """What people can do here by themselves."""

    registration: bool
    """Whether they may register."""
    password_reset: bool
    """Whether they can choose a new password by mail."""
    password_rules: list[str]
    """What a password must be like, for people."""
    password_sign_in: bool
    """Whether people sign in with passwords."""
    exchange: Literal["token", "proxy"] | None
    """Whether an identity provider signs people in: by its tokens, or by a proxy before this server."""
    sign_in_url: str | None
    """Where people sign in before they come here."""


class Note(Shape):
    """What a person asked agents to remember."""

    id: int
    content: str
    agent: str | None
    """Who was asked to. Null when that is not known."""
    created_at: Time


class NotePage(Shape):
    """Some of the person's notes."""

    notes: list[Note]
    next: str | None
    """The `cursor` of the next page."""


class Thread(Shape):
    """A conversation."""

    id: UUID
    title: str
    created_at: Time
    updated_at: Time
    """When something was last said in it."""
    archived: bool
    open_runs: int
    """How many runs have not ended."""


class ThreadMatch(Shape):
    """The newest message of a thread that has what was searched for."""

    thread_id: UUID
    message_id: UUID
    role: Literal["user", "assistant"]
    text: str
    """The part of it around the first place."""


class ThreadPage(Shape):
    """Some of the person's threads."""

    threads_version: int
    """Counts changes of the list: the socket's `pong` and thread notices have it, too."""
    threads: list[Thread]
    matches: list[ThreadMatch]
    """With `search`: how the messages of these threads have it. None of a thread whose title alone has it."""
    next: str | None
    """The `cursor` of the next page."""


class Feedback(Shape):
    """What the person thinks of an answer."""

    rating: Literal["up", "down"]
    text: str


class Attachment(Shape):
    """A file of the person's, of a message or for one."""

    id: UUID
    name: str
    """What the person called it: text, and nothing else."""
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp", "text/plain"]
    """By its content."""
    bytes: int
    href: str
    """Where it is to be had, with a token."""


class ExportedMessage(Shape):
    """A question or an answer, of any branch: `parent_id` says where it stands."""

    id: UUID
    role: Literal["user", "assistant"]
    content: str
    """Markdown, of an answer."""
    parent_id: UUID | None
    """The message that it follows."""
    partial: bool
    """An answer that was broken off."""
    run_id: UUID | None
    """The first run of a question; the run that made an answer."""
    created_at: Time
    attachments: list[Attachment]
    """What the person sent with it, in their order; the files themselves lie where `href` says."""
    feedback: Feedback | None


class Message(ExportedMessage):
    """A question or an answer."""

    siblings: list[UUID]
    """What stands in its place in any branch, in the order of asking, itself included; of many the hundred nearest."""


class RunUsage(Shape):
    """What the model requests of a run consumed."""

    model: str
    input_tokens: int
    output_tokens: int
    requests: int
    cost_usd: float | None
    """Null where no price is known."""


class Run(Shape):
    """One execution of an agent for one question."""

    id: UUID
    run_number: int
    """Counts the person's runs over all threads."""
    thread_id: UUID
    status: Status
    agent: str
    attempt: int
    """Above 1 after a worker was lost."""
    last_seq: int
    """How many events it has so far."""
    input_message_id: UUID
    output_message_id: UUID | None
    """Its answer, or as much of it as there was when it ended."""
    error_code: str | None
    """Why it failed: of `agent_error` in the AsyncAPI document."""
    error_message: str | None
    cancelled_by: Literal["user", "interrupt", "deleted", "staff", "deactivated"] | None
    usage: RunUsage | None
    duration_ms: int | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


class MessagePage(Shape):
    """A part of one branch, the newest message last, and the runs of its messages."""

    messages: list[Message]
    runs: list[Run]
    """Of a question that was answered many times: its first run and the last ones."""
    previous: str | None
    """The page before it: `before`."""


class RunPage(Shape):
    """Some of the person's runs."""

    runs: list[Run]
    next: str | None
    """The `cursor` of the next page."""


class Event(Shape):
    """One event of a run, as on the socket: the AsyncAPI document has each `type` with its `data`."""

    type: str
    thread_id: UUID
    run_id: UUID
    run_number: int
    seq: Annotated[int, Field(ge=1)]
    timestamp: Time
    agent: str
    data: dict[str, Any]


class EventPage(Shape):
    """Some of a run's events."""

    run_id: UUID
    status: Status
    last_seq: int
    events: list[Event]
    next: int | None
    """Where the next page begins: `after`."""


class AllowanceUse(Shape):
    """How much of what a person may use is used: runs, tokens, US dollars, messages, connections."""

    limit: Literal[
        "runs_per_day", "tokens_per_day", "cost_usd_per_day", "open_runs", "messages_per_minute", "connections"
    ]
    used: int | float
    allowed: int | float | None
    """There is no limit, when it is null."""
    resets_in: int | None
    """In so many seconds it begins anew, where time gives it back."""


class Accepted(Shape):
    """A run was begun, or had been by an earlier request with the same `message_id`."""

    thread_id: UUID
    message_id: UUID
    run_id: UUID
    run_number: int
    allowance: list[AllowanceUse]
    """What is nearly used up of what the person may use in a day. Of a repeated request: nothing is told."""


class Stopped(Shape):
    """How a run has ended."""

    run_id: UUID
    status: Status


class Result(Shape):
    """What a tool gave, as much of it as is kept (1 MiB)."""

    result: Any


class Approval(Shape):
    """A tool call that waits, or waited, for the person."""

    tool_call_id: str
    agent: str
    tool: str
    arguments: Any
    """The whole of them."""
    created_at: Time
    expires_at: Time
    approved: bool | None
    """Null while nobody has answered."""
    by: Literal["user", "expired", "cancelled"] | None
    """Who, or what, has answered."""
    reason: str | None
    resolved_at: Time | None


class Approvals(Shape):
    """All that a run asked for."""

    approvals: list[Approval]


class WaitingApproval(Approval):
    """A tool call that waits for the person, and where."""

    run_id: UUID
    thread_id: UUID


class WaitingApprovals(Shape):
    """All that waits for the person."""

    approvals: list[WaitingApproval]


class Resolved(Shape):
    """The answer that counts."""

    run_id: UUID
    tool_call_id: str
    approved: bool


class AgentTool(Shape):
    """Something that an agent can call."""

    name: str
    description: str
    needs_approval: bool
    repeatable: bool
    """Whether a run may be repeated after the tool has begun in it."""
    timeout_seconds: float | None
    result_limit: int | None
    """How many characters of its result the model gets."""
    parameters: dict[str, Any] | None
    """A JSON Schema. Null where an MCP server keeps it."""


class Tool(AgentTool):
    """A tool, and who has it."""

    agents: list[str]
    mcp_server: str | None
    """The server that runs it, where it is not Netra."""


class Tools(Shape):
    """All tools, by their names."""

    tools: list[Tool]


class AgentLimits(Shape):
    """What bounds one run."""

    model_requests: int
    tool_seconds: float
    tool_result_characters: int


class Agent(Shape):
    """Who can be asked."""

    name: str
    description: str
    model: str
    tools: list[AgentTool]
    delegates: list[str]
    """The agents that it may ask."""
    examples: list[str]
    """Questions that it answers well."""
    limits: AgentLimits | None


class Agents(Shape):
    """Who can be asked, the default agent first."""

    agents: list[Agent]


class McpTool(Shape):
    """A tool as its MCP server describes it."""

    name: str
    description: str
    needs_approval: bool


class McpServer(Shape):
    """A configured server, as a worker last saw it."""

    name: str
    state: Literal["disabled", "idle", "connecting", "ready", "failed"]
    agents: list[str]
    tools: list[McpTool]
    error: str | None
    """Why it is not ready."""
    changed_at: Time | None
    seen_at: Time | None


class McpServers(Shape):
    """The configured servers, in the order of the configuration."""

    mcp_servers: list[McpServer]


class ExportedApproval(Approval):
    """A tool call that waited for the person, and in which run."""

    run_id: UUID


class Export(Shape):
    """A thread with all that is in it; of one with very many messages `truncated` says that the last are left out."""

    thread: Thread
    messages: list[ExportedMessage]
    runs: list[Run]
    approvals: list[ExportedApproval]
    truncated: bool


class OpenRunCounts(Shape):
    """How many runs there are of each state that is not an end."""

    queued: int
    running: int
    awaiting_approval: int


class AgentActivity(Shape):
    """How many runs of an agent are running."""

    name: str
    running: int


class Supervisor(Shape):
    """`runs` and `agents` count the person's own open runs; for staff everybody's."""

    status: Literal["ready", "degraded"]
    workers: int
    runs: OpenRunCounts
    agents: list[AgentActivity]


class Allowances(Shape):
    """What the person may use in a day, in a minute and at once."""

    allowance: list[AllowanceUse]


class UsageSums(Shape):
    """Sums over one group of model requests. Costs are US dollars as decimal text."""

    group: dict[str, str]
    """A value for each dimension of `by`."""
    requests: int
    failed: int
    unpriced: int
    """How many have no price: they are not in the costs."""
    runs: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: str
    failed_cost_usd: str
    duration_ms: int


class Usage(Shape):
    """What model requests have cost from `since` to before `until`."""

    since: Time
    until: Time
    by: list[Literal["day", "agent", "model", "thread", "user"]]
    rows: list[UsageSums]
    """The most expensive first."""
    truncated: bool
    """There are more rows."""
    total: UsageSums
