"""What the API reads: each body as it is checked, and as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from chat.protocol.commands import AgentName, Attachments, Reason, Text, WhenBusy, storable

# White space around it is not counted, and not kept.
Title = Annotated[StrictStr, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(storable)]
Note = Annotated[StrictStr, StringConstraints(strip_whitespace=True, max_length=4000), AfterValidator(storable)]
Username = Annotated[
    StrictStr,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(storable),
    Field(json_schema_extra={"pattern": r"\S"}),
]
Content = Annotated[Text, Field(min_length=1, json_schema_extra={"pattern": r"\S"})]


def _is_address(text: str) -> str:
    try:
        validate_email(text)
    except ValidationError:
        raise ValueError("must be an e-mail address") from None
    return text


Email = Annotated[
    StrictStr,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(_is_address),
    Field(json_schema_extra={"format": "email"}),
]
Password = Annotated[Text, Field(min_length=1, max_length=4096, repr=False)]
SessionKind = Literal["cookie"] | None


class Body(BaseModel):
    """What a request may carry. Unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class SignInBody(Body):
    """A name, a password, and where the refresh token is to be kept."""

    username: Username
    password: Password
    session: SessionKind = None
    """`cookie`: the refresh token comes as a cookie that scripts cannot read, and not in the answer."""


class RegisterBody(Body):
    """Who somebody wants to be."""

    username: Username
    """At most 150 letters, digits and `@.+-_`."""
    email: Email | None = None
    """Without one a password cannot be reset by mail."""
    password: Password
    """As `password_rules` of `GET /api/auth/options` say."""
    session: SessionKind = None
    """As for a sign-in."""


class ResetBody(Body):
    """Who has forgotten the password."""

    email: Email


class ResetConfirmationBody(Body):
    """What the link of the mail has, `/reset/<uid>/<token>`, and the new password."""

    uid: Annotated[StrictStr, StringConstraints(max_length=200), AfterValidator(storable)]
    token: Annotated[StrictStr, StringConstraints(max_length=200), AfterValidator(storable)]
    password: Password


class PasswordChangeBody(Body):
    """The password that is, and the one that is to be."""

    old_password: Password
    new_password: Password
    session: SessionKind = None
    """As for a sign-in."""


class PasswordBody(Body):
    """The password of who is signed in, asked for once more."""

    password: Password


class MeBody(Body):
    """What is to change of who is signed in."""

    default_agent: AgentName | None
    """Who is asked when no agent is named. Null: the server's default."""


class ExchangeBody(Body):
    """What the identity provider has given. Without a token its proxy has to have said who it is."""

    token: Annotated[StrictStr | None, StringConstraints(max_length=16_384), Field(repr=False)] = None
    """An ID token or an access token, as the server is set."""
    session: SessionKind = None
    """As for a sign-in."""


class RefreshBody(Body):
    """A refresh token. Without one the cookie of the sign-in is taken."""

    refresh: Annotated[StrictStr | None, Field(repr=False)] = None


class ThreadBody(Body):
    """A new thread. Without a title it is named after what is said in it."""

    title: Title = ""


class ThreadChangeBody(Body):
    """What is to change of a thread: at least one of them."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["title"]}, {"required": ["archived"]}]})
    title: Title = ""
    """An empty one takes the title away: the next exchange gives another."""
    archived: StrictBool = False

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set & {"title", "archived"}:
            raise ValueError("there is nothing to change: give title or archived")
        return self


class Asked(Body):
    """How something is asked, whatever the question is called."""

    message_id: UUID | None = None
    """Chosen by the client. A repeated request with the same one gets the first answer again, and begins nothing."""
    when_busy: WhenBusy = "enqueue"
    """When the thread has a run already: wait for it, cancel it, or be refused with `RUN_ACTIVE`."""
    edits: UUID | None = None
    """An earlier message of the person's beside which this one stands, in a branch of its own."""
    parent_id: UUID | None = None
    """The message that this one follows, instead of the newest. At most one of `edits` and `parent_id`."""
    attachments: Attachments = Field(default_factory=list)
    """Files of `POST /api/attachments` that no message has, or that the edited message has."""


class MessageBody(Asked):
    """Something to say in a thread."""

    content: Content
    """At most `limits.max_message_bytes` bytes, as a socket is told them: 65,536 unless configured otherwise."""
    agent: AgentName | None = None
    """Who is asked; otherwise the person's default agent, else the server's."""


class AskBody(Asked):
    """A question to an agent. Without `thread_id` a new thread begins."""

    message: Content
    """At most `limits.max_message_bytes` bytes, as a socket is told them: 65,536 unless configured otherwise."""
    thread_id: UUID | None = None


class ExecuteBody(AskBody):
    """A question, and the name of the agent that is asked."""

    type: AgentName
    """The agent's name, as `GET /api/agents` has it."""


class AgUiBody(Body):
    """AG-UI 1.0's `RunAgentInput`. Of `messages` only the newest one of a user is read; other fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel)

    thread_id: Annotated[StrictStr, Field(min_length=1, max_length=1000)]
    """The id of a thread of the person's, or any other name for one."""
    run_id: Annotated[StrictStr, Field(min_length=1, max_length=1000)]
    """The client's name for this answer."""
    messages: list[dict[str, Any]]
    """AG-UI's messages, the newest last."""
    resume: list[dict[str, Any]] | None = None
    """Answers to the interrupts of the run that waits: `{interruptId, status, payload?: {approved, reason?}}`."""


class UploadBody(Body):
    """One file. Of its name the last part is kept, to be shown."""

    file: Annotated[bytes, WithJsonSchema({"type": "string", "format": "binary", "minLength": 1})]


class RegenerateBody(Body):
    """Who is to answer this time."""

    agent: AgentName | None = None
    """Otherwise the agent that answered before."""


class DecisionBody(Body):
    """The answer to a request for approval."""

    approved: StrictBool
    reason: Reason = ""
    """What the model is told."""


class FeedbackBody(Body):
    """What the person thinks of an answer."""

    rating: Literal["up", "down"]
    text: Note = ""
