"""What one run of an agent is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """An earlier message of the conversation."""

    role: Literal["user", "assistant"]
    content: str


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


class RunServices(Protocol):
    """What tools need from outside. Its maker restricts it to the run's user; no tool names a user."""

    async def search_messages(self, query: str, limit: int) -> list[FoundMessage]:
        """The user's own messages that match, best first, at most `limit`."""
        ...

    async def begin_unrepeatable(self, tool: str) -> None:
        """Record that a tool begins whose effect must not happen twice: the run will not be repeated.

        The tool may begin only when this has returned. Raises RunTaken.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """One pick-up of a run: what to answer, for whom, and with what."""

    run_id: str
    attempt: int
    agent: str
    message_id: str
    prompt: str
    user: RunUser
    services: RunServices
    history: tuple[Turn, ...] = ()
