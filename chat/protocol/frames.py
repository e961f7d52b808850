"""What the server sends besides run events: docs/protocol.md, sections 1 to 3."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from chat.errors import ChatError, ErrorCode
from chat.protocol.parts import (
    AllowanceUse,
    Count,
    ErrorDetails,
    Heartbeat,
    Id,
    Limits,
    Number,
    Part,
    Services,
    ShownAs,
    Status,
    Thread,
    Time,
    Token,
    User,
)

PROTOCOL = "netra.v1"
SUBPROTOCOLS = (PROTOCOL, "jwt-auth")


class ServerFrame(BaseModel):
    """What the server sends besides run events (`chat.protocol.events`). A field without a value is absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str  # first, so that what a frame is can be seen from its first bytes

    def encode(self) -> str:
        return self.model_dump_json(exclude_none=True)


class Reply(ServerFrame):
    """The answer to one command; `ref` is the command's."""

    ref: str | None = None


class Pong(Reply):
    """The answer to `ping`."""

    type: Literal["pong"] = "pong"
    server_time: Time
    threads_version: Count


class MessageAccepted(Reply):
    """The message and its run are stored. The run's events may come before this.

    `allowance` has what is nearly used up of what the person may use in a day.
    """

    type: Literal["message_accepted"] = "message_accepted"
    thread_id: Id
    message_id: Id
    run_id: Id
    run_number: Number
    allowance: Annotated[list[AllowanceUse], Field(min_length=1)] | None = None


class RunStopped(Reply):
    """The run has ended, now or before."""

    type: Literal["run_stopped"] = "run_stopped"
    run_id: Id
    status: Status


class ApprovalAccepted(Reply):
    """The answer to the request for approval counts."""

    type: Literal["approval_accepted"] = "approval_accepted"
    run_id: Id
    tool_call_id: str


class ResumedRun(Part):
    """Where a run stands, and from which event on it is sent."""

    run_number: Number
    status: Status
    from_seq: Number
    last_seq: Count


class Resumed(Reply):
    """What is followed from now on; the events that were missed come after it.

    `snapshot_required` are runs to be read over REST, `gone` those that are not the person's (any more). With `reload`
    there were too many to be named: read everything again.
    """

    type: Literal["resumed"] = "resumed"
    runs: dict[Id, ResumedRun]
    snapshot_required: list[Id]
    gone: list[Id]
    reload: Literal[True] | None = None


class ErrorMessage(Reply):
    """A command was not carried out, or the connection is closed next. `retry_after` is in seconds."""

    type: Literal["error_message"] = "error_message"
    error_code: ErrorCode
    error_message: str
    details: Annotated[dict[str, Any], ShownAs(ErrorDetails)] | None = None
    retry_after: Annotated[float, Field(ge=0)] | None = None


class SnapshotRequired(ServerFrame):
    """Events of these runs are not to be had any more: read them over REST."""

    type: Literal["snapshot_required"] = "snapshot_required"
    run_ids: list[Id]


class TokenRefreshed(Reply):
    """The connection goes on with the newer token."""

    type: Literal["token_refreshed"] = "token_refreshed"
    expires_at: Time
    expires_in: Count


class TokenExpiring(ServerFrame):
    """The connection is closed in so many seconds, unless a newer token comes."""

    type: Literal["token_expiring"] = "token_expiring"
    expires_in: Count


class ServerDraining(ServerFrame):
    """The server goes away: reconnect after a random part of this time."""

    type: Literal["server_draining"] = "server_draining"
    reconnect_after_ms: Count


class _ThreadNotice(ServerFrame):
    """The list of threads has changed, and so its version."""

    thread: Thread
    threads_version: Number


class ThreadCreated(_ThreadNotice):
    """There is a new thread, or one that was deleted is back."""

    type: Literal["thread_created"] = "thread_created"


class ThreadUpdated(_ThreadNotice):
    """A thread was written in, named, put away or brought back."""

    type: Literal["thread_updated"] = "thread_updated"


class ThreadDeleted(_ThreadNotice):
    """A thread is gone, and its runs with it; events of them that still come are dropped."""

    type: Literal["thread_deleted"] = "thread_deleted"


ThreadNotice = ThreadCreated | ThreadUpdated | ThreadDeleted


class OpenRun(Part):
    """A run that has not ended."""

    run_id: Id
    run_number: Number
    thread_id: Id
    status: Status
    last_seq: Count


class StreamEstablished(ServerFrame):
    """The first event of `GET /api/events`: where its person stands. Its open runs follow, or what was missed."""

    type: Literal["stream_established"] = "stream_established"
    last_run_number: Count
    threads_version: Count
    open_runs: list[OpenRun]


class ConnectionEstablished(ServerFrame):
    """The first frame of every connection that is not refused: who and what is there, and where its person stands."""

    type: Literal["connection_established"] = "connection_established"
    event: Literal["connection_established"] = "connection_established"
    connection_ready: Literal[True] = True
    protocol: Literal["netra.v1"] = "netra.v1"
    connection_id: str
    user: User
    environment: str
    server_time: Time
    services: Services
    agents: list[str]
    last_run_number: Count
    threads_version: Count
    open_runs: list[OpenRun]
    token: Token
    heartbeat: Heartbeat
    limits: Limits


def error_frame(error: ChatError, *, ref: str | None = None) -> ErrorMessage:
    return ErrorMessage(
        error_code=error.code,
        error_message=error.message,
        details=error.details,
        retry_after=error.retry_after,
        ref=ref if ref is not None else error.ref,
    )
