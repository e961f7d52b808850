"""Asks one question of the evaluation: the roster's agents, the real supervisor, the real services of a person."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from channels.db import database_sync_to_async

from agents.events import AgentEvent, AgentPaused, AgentResponseChunk, PendingApproval, ToolCompleted, ToolExecuting
from agents.models.choice import Models
from agents.pydantic_agent import PydanticAgent
from agents.registry import AgentRegistry
from agents.request import Decision, Resumption, RunRequest, RunUser
from agents.roster import ROSTER
from agents.supervisor import AgentSupervisor
from chat.account import Account
from chat.claiming import HeldRun
from chat.event_log import EventLog
from chat.pool import DatabasePool
from chat.protocol import UserMessage
from chat.publisher import Publisher
from chat.run_services import RunServicesOfUser
from chat.threads import ThreadService
from tests.evals.history import NOW, History

RUN_SECONDS = 240.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """`ask` may name notes: "{tea}" is the number of that note. `approve` answers what waits for the person."""

    id: str
    agent: str
    ask: str
    checks: Sequence[Check]
    user: str = "ann"
    approve: bool = False


@dataclass(kw_only=True, slots=True)
class Asked:
    """A question and what came of it."""

    question: Question
    history: History
    offline: bool
    events: list[AgentEvent] = field(default_factory=list)
    approvals: list[PendingApproval] = field(default_factory=list)

    @property
    def answer(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, AgentResponseChunk))

    @property
    def calls(self) -> list[ToolExecuting]:
        return [event for event in self.events if isinstance(event, ToolExecuting)]

    def results(self, tool: str) -> list[ToolCompleted]:
        return [event for event in self.events if isinstance(event, ToolCompleted) and event.tool == tool]


Check = Callable[[Asked], str | None]
"""What is wrong with it, in a few words; None when nothing is. It may ask the database."""


class Evaluation:
    """The agents on one model, whose clock stands at the end of the history."""

    def __init__(self, models: Models) -> None:
        agents = [
            PydanticAgent(definition, models.choose(definition.name, definition.model), clock=lambda: NOW)
            for definition in ROSTER
        ]
        registry = AgentRegistry(agents)
        for agent in agents:
            agent.introduce(registry)
        self.offline = all(agent.model_name == "offline" for agent in agents)
        self._supervisor = AgentSupervisor(registry, run_timeout=RUN_SECONDS)
        self._pool = DatabasePool()
        self._account = Account(self._pool)
        self._threads = ThreadService(
            event_log=EventLog(self._pool, Publisher()), agents=registry.names, max_open_runs=10
        )

    async def ask(self, question: Question, history: History) -> Asked:
        """The whole run, through any approvals."""
        user = history.user(question.user)
        prompt = question.ask.format(**history.notes)
        run = await self._held(user.pk, UserMessage(type="user_message", content=prompt, agent=question.agent))
        request = RunRequest(
            run_id=str(run.id),
            attempt=1,
            agent=question.agent,
            message_id=str(run.message_id),
            prompt=prompt,
            user=RunUser(id=str(user.pk), username=user.username),
            services=RunServicesOfUser(self._threads, self._account, run),
        )
        asked = Asked(question=question, history=history, offline=self.offline)
        resumption: Resumption | None = None
        while True:
            paused = await self._run(request, resumption, asked)
            if paused is None:
                return asked
            asked.approvals += paused.approvals
            decision = Decision(approved=question.approve)
            decisions = {approval.tool_call_id: decision for approval in paused.approvals}
            # What a pause goes on from is stored as JSON.
            resumption = Resumption(state=json.loads(json.dumps(paused.state)), decisions=decisions)

    async def _run(self, request: RunRequest, resumption: Resumption | None, asked: Asked) -> AgentPaused | None:
        async with aclosing(self._supervisor.execute(dataclasses.replace(request, resumption=resumption))) as events:
            async for event in events:
                if isinstance(event, AgentPaused):
                    return event
                asked.events.append(event)
        return None

    async def _held(self, user_id: int, message: UserMessage) -> HeldRun:
        """The run of a message, claimed as a worker does."""
        accepted = await database_sync_to_async(self._threads.post_message)(user_id, message)
        claimed = await self._threads.event_log.claim(accepted.run_id)
        assert claimed is not None
        return claimed[0]

    async def close(self) -> None:
        await self._account.close()
        await self._pool.close()
