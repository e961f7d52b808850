"""What tests of an own agent need: a run of it without a server, and services that keep everything in memory.

events = await ask(weather, "/rain_today Paris")
assert answer(events) == "…"
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import datetime

from pydantic_ai.models import Model

from agents.account import ModelRequestRecord, UsageQuery, UsageRow
from agents.definition import AgentDefinition
from agents.errors import AllowanceUsed
from agents.events import AgentEvent, AgentPaused, AgentResponseChunk
from agents.models.choice import Models
from agents.registry import Agent
from agents.request import (
    AttachedFile,
    AttachmentUnreadable,
    Decision,
    FoundMessage,
    Note,
    Resumption,
    RunRequest,
    RunServices,
    RunUser,
    Turn,
)
from agents.roster import build_registry
from agents.supervisor import AgentSupervisor
from agents.tools.context import utc_now

MODEL = "tested"


class MemoryServices:
    """`agents.request.RunServices` that find what they were given, and keep what they are told."""

    def __init__(self, found: Sequence[FoundMessage] = (), *, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self.found = list(found)
        self.unrepeatable: list[str] = []
        self.used_up: str | None = None
        self.recorded: list[ModelRequestRecord] = []
        self.rows: list[UsageRow] = []
        self.notes: list[Note] = []
        self.files: dict[str, bytes] = {}

    async def read_attachment(self, attachment_id: str, limit: int) -> bytes:
        if attachment_id not in self.files:
            raise AttachmentUnreadable
        return self.files[attachment_id][:limit]

    async def begin_unrepeatable(self, tool: str) -> None:
        self.unrepeatable.append(tool)

    async def search_messages(self, query: str, limit: int) -> list[FoundMessage]:
        return [message for message in self.found if query.lower() in message.excerpt.lower()][:limit]

    async def admit_model_request(self) -> None:
        if self.used_up is not None:
            raise AllowanceUsed(self.used_up)

    async def record_model_request(self, record: ModelRequestRecord) -> None:
        self.recorded.append(record)

    async def usage(self, query: UsageQuery) -> list[UsageRow]:
        return self.rows[: query.limit]

    async def remember(self, content: str) -> Note:
        number = max((note.id for note in self.notes), default=0) + 1
        self.notes.insert(0, Note(id=number, content=content, created_at=self._clock()))
        return self.notes[0]

    async def recall(self, query: str, limit: int) -> list[Note]:
        return [note for note in self.notes if query.lower() in note.content.lower()][:limit]

    async def forget(self, note_id: int) -> Note | None:
        forgotten = next((note for note in self.notes if note.id == note_id), None)
        if forgotten is not None:
            self.notes.remove(forgotten)
        return forgotten


async def ask(
    agent: AgentDefinition | Agent,
    question: str,
    *,
    model: Model | None = None,
    colleagues: Sequence[AgentDefinition | Agent] = (),
    history: Sequence[Turn] = (),
    attachments: Sequence[AttachedFile] = (),
    services: RunServices | None = None,
    approve: bool | None = None,
) -> list[AgentEvent]:
    """All events of one run of the agent; with definitions, on this model, or on the offline model.

    `colleagues` are the agents that it may ask. With `approve`, what needs a person's word gets it and the run goes
    on; without, it ends with AgentPaused.
    """
    models = Models(default=MODEL, builders={MODEL: lambda: model}) if model is not None else Models()
    given = [
        dataclasses.replace(each, model=None) if isinstance(each, AgentDefinition) else each
        for each in (agent, *colleagues)
    ]
    supervisor = AgentSupervisor(build_registry(given, models), run_timeout=60.0)
    request = RunRequest(
        run_id="tested",
        attempt=1,
        agent=agent.name,
        message_id="tested",
        prompt=question,
        history=tuple(history),
        attachments=tuple(attachments),
        user=RunUser(id="1", username="tester"),
        services=services or MemoryServices(),
    )
    events: list[AgentEvent] = []
    while True:
        async with aclosing(supervisor.execute(request)) as stream:
            events.extend([event async for event in stream])
        last = events[-1]
        if approve is None or not isinstance(last, AgentPaused):
            return events
        decisions = {each.tool_call_id: Decision(approved=approve) for each in last.approvals}
        request = dataclasses.replace(request, resumption=Resumption(state=last.state, decisions=decisions))


def answer(events: Sequence[AgentEvent]) -> str:
    """What the agent said."""
    return "".join(event.text for event in events if isinstance(event, AgentResponseChunk))
