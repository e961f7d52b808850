"""What the tools of one agent's run have at hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic_ai.messages import AgentStreamEvent

from agents.attached import AttachedFiles
from agents.events import ContextReduced
from agents.models.context import Reduction
from agents.request import RunRequest, RunServices, RunUser

Heard = AgentStreamEvent | ContextReduced


def utc_now() -> datetime:
    return datetime.now(UTC)


async def nobody_hears(_event: Heard) -> None:
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolContext:
    """What the tools of one agent's run have: its user, its services, the clock.

    `request` is what the agent was asked. `durations` is filled per call, in milliseconds; `needs_approval` has the
    names of the tools that begin only when a person allows it, `reductions` what was cut from its model's context,
    `files` what was read of attached files. `hear` is told what happens in the run. Tools do not
    call it: what they say goes by `RunContext.emit`.
    """

    user: RunUser
    services: RunServices
    clock: Callable[[], datetime] = utc_now
    agent: str = ""
    request: RunRequest | None = None
    durations: dict[str, int] = field(default_factory=dict)
    needs_approval: set[str] = field(default_factory=set)
    reductions: list[Reduction] = field(default_factory=list)
    files: AttachedFiles = field(default_factory=AttachedFiles)
    hear: Callable[[Heard], Awaitable[None]] = nobody_hears
