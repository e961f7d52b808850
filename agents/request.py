"""What one run of an agent is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from agents.account import ModelRequestRecord, UsageQuery, UsageRow
from agents.delegation import Delegation


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachedFile:
    """A file that the person sent with a message: an image, or text. `name` is theirs, one line of text."""

    id: str
    name: str
    media_type: str
    bytes: int

    @property
    def is_image(self) -> bool:
        return self.media_type.startswith("image/")


class AttachmentUnreadable(Exception):
    """A file is not there, or cannot be read at the moment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """An earlier message of the conversation, and the files with it."""

    role: Literal["user", "assistant"]
    content: str
    attachments: tuple[AttachedFile, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RunUser:
    """The person the run belongs to."""

    id: str
    username: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundMessage:
    """A message that a search found."""

    thread_id: str
    thread_title: str
    role: str
    excerpt: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something that the user wants agents to remember. `id` counts per server and names it for `forget`."""

    id: int
    content: str
    created_at: datetime


class RunServices(Protocol):
    """What tools need from outside. Its maker restricts it to the run's user; no tool names a user."""

    async def search_messages(self, query: str, limit: int) -> list[FoundMessage]:
        """The user's own messages that match, best first, at most `limit`."""
        ...

    async def read_attachment(self, attachment_id: str, limit: int) -> bytes:
        """The first `limit` bytes of one of the user's files; a text as UTF-8. Raises AttachmentUnreadable."""
        ...

    async def begin_unrepeatable(self, tool: str) -> None:
        """Record that a tool begins whose effect must not happen twice: the run will not be repeated.

        The tool may begin only when this has returned. Raises RunTaken.
        """
        ...

    async def admit_model_request(self) -> None:
        """Ask before each request to a model. Raises AllowanceUsed when the user may make none any more."""
        ...

    async def record_model_request(self, record: ModelRequestRecord) -> None:
        """Enter a model request in the account. When this returns it is stored, or will be."""
        ...

    async def usage(self, query: UsageQuery) -> list[UsageRow]:
        """Sums over the user's own model requests. Raises ToolError when others' are asked for and may not be."""
        ...

    async def remember(self, content: str) -> Note:
        """Store a note; the same text again is the same note. Raises ToolError when there are too many."""
        ...

    async def recall(self, query: str, limit: int) -> list[Note]:
        """The user's notes with all words of `query` (all notes when it is empty), newest first."""
        ...

    async def forget(self, note_id: int) -> Note | None:
        """Remove a note of the user; None when there is none."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What the person answered to a request for approval."""

    approved: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumption:
    """Where a paused run goes on: the state that it paused with, and the answers by `tool_call_id`."""

    state: Mapping[str, Any]
    decisions: Mapping[str, Decision]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """One pick-up of a run: what to answer, for whom, and with what. An agent that another asks gets one, too.

    `attachments` are the files of the question; one that another agent asks gets none.
    """

    run_id: str
    attempt: int
    agent: str
    message_id: str
    prompt: str
    user: RunUser
    services: RunServices
    history: tuple[Turn, ...] = ()
    attachments: tuple[AttachedFile, ...] = ()
    resumption: Resumption | None = None
    delegation: Delegation = field(default_factory=Delegation)
