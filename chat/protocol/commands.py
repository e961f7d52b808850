"""What a client sends: docs/protocol.md, section 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar, get_args
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from chat.errors import ChatError, ErrorCode
from chat.strict_json import read_json

MAX_REF_LENGTH = 256
MAX_CURSORS = 1000
# Of one message. What a server allows is told by `limits.max_attachments`.
MAX_ATTACHMENTS = 50
USER_MESSAGE_TYPES = (
    "user_message",
    "message",
    "chat",
    "chat_message",
    "start_agent",
    "execute_agent",
    "stream_request",
)


def storable(text: str) -> str:
    """PostgreSQL stores no NUL, and UTF-8 has no lone surrogates."""
    if "\x00" in text:
        raise ValueError("must not contain the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain lone surrogates") from None
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _null_is_none(ids: Any) -> Any:
    return [] if ids is None else ids


def _all_different(ids: list[UUID]) -> list[UUID]:
    if len(set(ids)) < len(ids):
        raise ValueError("must not name a file twice")
    return ids


Text = Annotated[StrictStr, AfterValidator(storable)]
Ref = Annotated[StrictStr, Field(max_length=MAX_REF_LENGTH), AfterValidator(storable)]
Seq = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Reason = Annotated[StrictStr, Field(max_length=2000), AfterValidator(storable)]
Cursors = Annotated[dict[UUID, Seq], Field(max_length=MAX_CURSORS)]
AgentName = Annotated[StrictStr, Field(min_length=1, max_length=64), AfterValidator(storable)]
_Files = Annotated[
    list[UUID],
    Field(max_length=MAX_ATTACHMENTS, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_all_different),
]
Attachments = Annotated[_Files, BeforeValidator(_null_is_none, json_schema_input_type=_Files | None)]
WhenBusy = Literal["enqueue", "interrupt", "reject"]


class Command(BaseModel):
    """What a client may send. Unknown fields are ignored."""

    model_config = ConfigDict(frozen=True)
    ref: Ref | None = None


class Ping(Command):
    """Ask whether the connection and the server live, and for the version of the list of threads."""

    type: Literal["ping"]


class UserMessage(Command):
    """Ask an agent. Without `thread_id` a new thread begins.

    A resend with the same `message_id` gets the first acceptance again. `edits` is the person's earlier message beside
    which this one stands, `parent_id` the message that it follows: at most one of them. `attachments` are files of
    `POST /api/attachments` that no message has, or that the edited message has. The other names of its type are
    synonyms for existing clients.
    """

    type: Annotated[Literal["user_message"], WithJsonSchema({"type": "string", "enum": list(USER_MESSAGE_TYPES)})]
    content: Annotated[Text, AfterValidator(_not_blank), Field(json_schema_extra={"pattern": r"\S"})]
    thread_id: UUID | None = None
    agent: AgentName | None = None
    message_id: UUID | None = None
    when_busy: WhenBusy = "enqueue"
    edits: UUID | None = None
    parent_id: UUID | None = None
    attachments: Attachments = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.edits is not None and self.parent_id is not None:
            raise ValueError("a message either edits another or follows one")
        return self


class Regenerate(Command):
    """Answer a question again: a new branch beside the earlier answer. `message_id` is of either."""

    type: Literal["regenerate"]
    message_id: UUID
    agent: AgentName | None = None


class StopRun(Command):
    """End a run at once. Of one that has ended the status is told."""

    type: Literal["stop_run"]
    run_id: UUID


class Resume(Command):
    """Go on after a reconnect: the last `seq` received of each run, 0 for all of it.

    `after_run` is the highest run number that the client knows: it gets the runs that were begun since.
    """

    type: Literal["resume"]
    cursors: Cursors = Field(default_factory=dict)
    after_run: Annotated[int, Field(strict=True, ge=0, le=2**62)] | None = None


class Ack(Command):
    """What was received, so that more can be sent. There is no reply.

    `received` counts the frames of this connection, the first one included.
    """

    type: Literal["ack"]
    cursors: Cursors = Field(default_factory=dict)
    received: Annotated[int, Field(strict=True, ge=0, le=2**62)] | None = None


class ResolveApproval(Command):
    """Answer a request for approval. The first answer counts; the model is told the `reason`."""

    type: Literal["resolve_approval"]
    run_id: UUID
    tool_call_id: Annotated[Text, Field(min_length=1, max_length=200)]
    approved: Annotated[bool, Field(strict=True)]
    reason: Reason = ""


class RefreshToken(Command):
    """A newer access token of the same user, before the one of the connection expires."""

    type: Literal["refresh_token"]
    token: Annotated[StrictStr, Field(min_length=1, repr=False)]


AnyCommand = Ping | UserMessage | Regenerate | StopRun | Resume | Ack | ResolveApproval | RefreshToken
COMMANDS: Mapping[str, TypeAdapter[Any]] = {
    "ping": TypeAdapter(Ping),
    "regenerate": TypeAdapter(Regenerate),
    "stop_run": TypeAdapter(StopRun),
    "resume": TypeAdapter(Resume),
    "resolve_approval": TypeAdapter(ResolveApproval),
    "ack": TypeAdapter(Ack),
    "refresh_token": TypeAdapter(RefreshToken),
    **dict.fromkeys(USER_MESSAGE_TYPES, TypeAdapter(UserMessage)),
}


# As JSON.stringify writes it: all that most connections say most of the time.
PING_TEXT = '{"type":"ping"}'
_PING = Ping(type="ping")


def parse_command(text: str, *, max_bytes: int) -> AnyCommand:
    """Read one text frame.

    Raises ChatError with MESSAGE_TOO_LARGE, INVALID_JSON, INVALID_MESSAGE or UNKNOWN_TYPE.
    """
    if text == PING_TEXT:
        return _PING
    # A character takes at least one byte: most oversized frames are refused without encoding them.
    if len(text) > max_bytes or len(text.encode("utf-8", "surrogatepass")) > max_bytes:
        raise ChatError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"A frame may have at most {max_bytes} bytes",
            details={"max_message_bytes": max_bytes},
        )
    raw = read_json(text, "The frame")
    if not isinstance(raw, dict):
        raise ChatError(ErrorCode.INVALID_MESSAGE, "A frame must be a JSON object")
    ref = raw.get("ref")
    ref = ref if isinstance(ref, str) and len(ref) <= MAX_REF_LENGTH and ref.isprintable() else None
    kind = raw.get("type")
    if not isinstance(kind, str):
        raise ChatError(ErrorCode.INVALID_MESSAGE, "type: must be a string", ref=ref)
    adapter = COMMANDS.get(kind)
    if adapter is None:
        raise ChatError(
            ErrorCode.UNKNOWN_TYPE,
            f"Unknown message type {kind[:64]!a}",
            details={"known_types": sorted(COMMANDS)},
            ref=ref,
        )
    if kind in USER_MESSAGE_TYPES:
        raw["type"] = "user_message"
    try:
        command: AnyCommand = adapter.validate_python(raw)
    except ValidationError as error:
        raise _invalid_message(error, ref) from None
    return command


C = TypeVar("C", bound=Command)
M = TypeVar("M", bound=BaseModel)


def command_of(kind: type[C], body: Any, **fields: Any) -> C:
    """The command in the body of a request; `fields` are given by its path. Raises ChatError with INVALID_MESSAGE."""
    return body_of(kind, body, **fields, type=get_args(kind.model_fields["type"].annotation)[0])


def body_of(kind: type[M], body: Any, **fields: Any) -> M:
    """The body of a request as its type has it. Raises ChatError with INVALID_MESSAGE."""
    if not isinstance(body, Mapping):
        details = {"problems": [{"field": "", "problem": "must be a JSON object"}]}
        raise ChatError(ErrorCode.INVALID_MESSAGE, "The body must be a JSON object", details=details)
    try:
        return kind.model_validate({**body, **fields})
    except ValidationError as error:
        raise _invalid_message(error, None) from None


def _invalid_message(error: ValidationError, ref: str | None) -> ChatError:
    problems = [
        {"field": ".".join(str(part)[:64] for part in item["loc"]), "problem": _reason(item["msg"])}
        for item in error.errors(include_url=False, include_input=False, include_context=False)[:10]
    ]
    first = problems[0]
    text = ": ".join(filter(None, (first["field"], first["problem"])))
    return ChatError(ErrorCode.INVALID_MESSAGE, text, details={"problems": problems}, ref=ref)


def _reason(message: str) -> str:
    reason = message.removeprefix("Value error, ")
    return reason[:1].lower() + reason[1:]
