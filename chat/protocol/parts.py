"""What several frames have: the objects inside them, and how their values look.

A field whose default is None is absent when it has no value; it is never null.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Id = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
Time = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
            "description": "UTC, in milliseconds.",
        }
    ),
]
Name = Annotated[str, Field(max_length=200)]
AgentName = Annotated[str, Field(max_length=64)]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[int, Field(ge=1)]
Status = Literal["queued", "running", "awaiting_approval", "completed", "failed", "cancelled"]
Readiness = Literal["ready", "degraded"]
Resolver = Literal["user", "expired", "cancelled"]


class Part(BaseModel):
    """An object inside a frame. It has the fields that are named here, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ShownAs:
    """The documents have this type for what it annotates. A frame that is made is not checked against it."""

    def __init__(self, kind: type[BaseModel]) -> None:
        self._kind = kind

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self._kind.__pydantic_core_schema__)


class User(Part):
    """Who is connected."""

    id: str
    username: str


class Services(Part):
    """What the server's parts can do at the moment; without a required one there is no connection."""

    agent_supervisor: Literal["ready"]
    thread_service: Literal["ready"]
    database: Literal["ready"]
    channel_layer: Readiness
    worker: Readiness


class Token(Part):
    """Until when the connection's access token is good: go by `expires_in`, in seconds."""

    expires_at: Time
    expires_in: Count


class Heartbeat(Part):
    """How often a client should send a `ping`."""

    interval_seconds: Annotated[float, Field(gt=0)]


class Limits(Part):
    """What is accepted of a person and of a connection."""

    max_message_bytes: Number
    user_messages_per_minute: Number
    max_open_runs: Number
    max_connections: Number
    window_bytes: Number
    max_attachments: Annotated[Number, Field(description="Files of one message.")]
    max_attachment_bytes: Annotated[Number, Field(description="Of one file.")]
    runs_per_day: Annotated[Number | None, Field(description="Questions of a day (UTC). Absent: no limit.")] = None
    tokens_per_day: Number | None = None
    cost_usd_per_day: Annotated[float | None, Field(gt=0)] = None


LimitName = Literal[
    "runs_per_day", "tokens_per_day", "cost_usd_per_day", "open_runs", "messages_per_minute", "connections"
]
Amount = Annotated[int | float, WithJsonSchema({"type": "number", "minimum": 0})]
Seconds = Annotated[int, Field(ge=0)]


class AllowanceUse(Part):
    """How much of what a person may use is used: runs, tokens, US dollars, messages, connections.

    Without `allowed` there is no limit. In `resets_in` seconds it begins anew, where time gives it back.
    """

    limit: LimitName
    used: Amount
    allowed: Amount | None = None
    resets_in: Seconds | None = None


class Thread(Part):
    """A conversation. `open_runs` counts what has not ended in it."""

    id: Id
    title: str
    created_at: Time
    updated_at: Time
    archived: bool
    open_runs: Count


class Attachment(Part):
    """A file of a message. `name` is what the person called it: text, and nothing else."""

    id: Id
    name: Name
    media_type: str
    bytes: Number
    href: Annotated[str, Field(description="Where its owner gets the file, with a token.")]


class Problem(Part):
    """What is wrong with a field of a command."""

    field: str
    problem: str


class AuthHeaders(Part):
    """Which credentials a handshake brought: whether, and no character of them."""

    authorization_present: bool
    authorization_preview: Literal["[MISSING]", "[REDACTED]"]
    websocket_protocol: Literal["[MISSING]", "[REDACTED]"]


class ErrorDetails(Part):
    """More about an error; which fields there are depends on its code."""

    problems: list[Problem] | None = None
    known_types: list[str] | None = None
    max_message_bytes: Number | None = None
    max_depth: Annotated[Number | None, Field(description="Of objects and arrays inside each other.")] = None
    max_open_runs: Number | None = None
    max_connections: Number | None = None
    max_attachments: Number | None = None
    limit: Annotated[LimitName | None, Field(description="What is used up.")] = None
    used: Amount | None = None
    allowed: Amount | None = None
    resets_in: Seconds | None = None
    agents: list[str] | None = None
    run_ids: list[Id] | None = None
    approved: bool | None = None
    by: Resolver | None = None
    missing: Annotated[list[str] | None, Field(description="Services that are not there.")] = None
    correlation_id: Annotated[str | None, Field(description="To be found in the server's log.")] = None
    environment: str | None = None
    ssot_authentication: bool | None = None
    auth_headers: AuthHeaders | None = None


def timestamp(moment: datetime.datetime) -> str:
    """The wire form of a UTC time: milliseconds and `Z`. It is asked for each event and each pong: `timespec` takes as
    long again.
    """
    text = moment.isoformat()
    return f"{text[:23]}Z" if moment.microsecond else f"{text[:19]}.000Z"
