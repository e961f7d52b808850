"""One agent asks another: the tool `ask_<name>`, and what comes of the other's events."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai import RunContext, Tool
from pydantic_ai.exceptions import CallDeferred

from agents.errors import ModelError, RunTaken, ToolError
from agents.events import (
    AgentCompleted,
    AgentError,
    AgentEvent,
    AgentPaused,
    AgentResponseChunk,
    PendingApproval,
    SubagentCompleted,
    SubagentStarted,
)
from agents.registry import Agent
from agents.request import RunRequest
from agents.tools.context import ToolContext
from agents.translation import Forwarded

LONGEST_QUESTION = 20_000


@dataclass(kw_only=True, slots=True)
class Consultation:
    """One agent being asked by another. Its text is its answer; `events` are what others see of it."""

    colleague: Agent
    text: str = ""
    error: str | None = None
    paused: AgentPaused | None = None
    _pieces: list[str] = field(default_factory=list)

    async def events(self, request: RunRequest) -> AsyncGenerator[AgentEvent, None]:
        """Runs the agent to its end, which is then in `text`, `error` or `paused`. Raises what it raises."""
        self.error = f"the agent {self.colleague.name} ended without an answer"
        try:
            async with aclosing(_generator(self.colleague.run(request))) as stream:
                async for event in stream:
                    match event:
                        case AgentResponseChunk():
                            self._pieces.append(event.text)
                        case AgentPaused():
                            self.error, self.paused = None, event
                            break
                        case AgentCompleted():
                            self.error = None
                            break
                        case AgentError():
                            self.error = event.error_message
                            break
                        case _:
                            yield event
        except ModelError as error:
            self.error = str(error)
        finally:
            self.text += "".join(self._pieces)
            self._pieces.clear()

    def completed(self, agent: str, parent_tool_call_id: str = "") -> SubagentCompleted:
        return SubagentCompleted(
            agent=agent,
            subagent=self.colleague.name,
            parent_tool_call_id=parent_tool_call_id,
            result=None if self.error else self.text,
            error=self.error,
        )


class ConsultationPaused(CallDeferred):
    """The agent that was asked waits for a person, and so does who asked."""

    def __init__(self, consultation: Consultation, paused: AgentPaused) -> None:
        super().__init__(
            metadata={
                "waiting": {
                    "kind": "colleague",
                    "agent": consultation.colleague.name,
                    "text": consultation.text,
                    "state": paused.state,
                },
                "approvals": paused.approvals,
            }
        )


def deferred(metadata: dict[str, Any]) -> tuple[dict[str, Any], tuple[PendingApproval, ...]]:
    """Of a paused consultation: what to go on from, as plain JSON, and the approvals that it waits for."""
    return metadata["waiting"], metadata["approvals"]


def ask_tool(colleague: Agent) -> Tool[ToolContext]:
    """The tool through which an agent asks this one. It takes the time that the run has."""

    async def ask(ctx: RunContext[ToolContext], question: str) -> str:
        """Ask another agent, and get its answer.

        Args:
            question: The whole question. The other agent sees nothing else of the conversation.
        """
        request = ctx.deps.request
        if request is None or not question.strip():
            raise ToolError("there is no question")
        if (refusal := request.delegation.refusal()) is not None:
            raise ToolError(refusal)
        asking = dataclasses.replace(
            request,
            agent=colleague.name,
            prompt=question[:LONGEST_QUESTION],
            history=(),
            attachments=(),
            resumption=None,
            delegation=request.delegation.deeper(),
        )
        consultation = Consultation(colleague=colleague)
        await ctx.emit(
            Forwarded(event=SubagentStarted(agent=ctx.deps.agent, subagent=colleague.name, parent_tool_call_id=""))
        )
        try:
            async with aclosing(consultation.events(asking)) as events:
                async for event in events:
                    await ctx.emit(Forwarded(event=event))
        except RunTaken:
            raise
        except Exception:
            consultation.error = "it failed unexpectedly"
            await ctx.emit(Forwarded(event=consultation.completed(ctx.deps.agent)))
            raise
        if consultation.paused is not None:
            raise ConsultationPaused(consultation, consultation.paused)
        await ctx.emit(Forwarded(event=consultation.completed(ctx.deps.agent)))
        if consultation.error is not None:
            raise ToolError(consultation.error)
        return consultation.text

    return Tool(
        ask,
        name=f"ask_{colleague.name}",
        description=f"Ask the agent {colleague.name!r}. {colleague.description}",
        takes_ctx=True,
        require_parameter_descriptions=True,
        metadata={"timeout": None},
    )


async def _generator(events: AsyncIterator[AgentEvent]) -> Any:
    """Any iterator as a generator, which can be closed."""
    try:
        async for event in events:
            yield event
    finally:
        if (aclose := getattr(events, "aclose", None)) is not None:
            await aclose()
