"""Agents whose loop pydantic-ai runs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime

import pydantic_ai
from pydantic_ai import Agent, AgentRunResult, DeferredToolRequests
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.toolsets import AbstractToolset, CombinedToolset, FunctionToolset
from pydantic_ai.usage import RunUsage, UsageLimits

from agents.attached import prompt
from agents.colleagues import Consultation, ask_tool, deferred
from agents.definition import AgentDefinition
from agents.delegation import Delegation
from agents.errors import ModelError
from agents.events import AgentCompleted, AgentEvent, AgentPaused, PendingApproval, Usage, within_call
from agents.fitting import FittingContext
from agents.models.choice import OFFLINE, ChosenModel
from agents.models.errors import model_error
from agents.models.heard import HeardModel
from agents.pausing import Pause, Resumed
from agents.plain import plain_object, plain_text
from agents.registry import AgentRegistry
from agents.request import Resumption, RunRequest
from agents.tools.context import Heard, ToolContext, utc_now
from agents.toolset import GuardedToolset
from agents.translation import Translation, message_history
from agents.working import Working

# A server's standard error is its log; the library's greeting does not belong there.
pydantic_ai.BANNER_ENABLED = False

Output = str | DeferredToolRequests


class PydanticAgent:
    """An agent of `agents.registry.Agent` made of a definition and a model. `toolsets` come beside its own tools."""

    def __init__(
        self,
        definition: AgentDefinition,
        chosen: ChosenModel,
        *,
        toolsets: Sequence[AbstractToolset[ToolContext]] = (),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.definition = definition
        self.name = definition.name
        self.description = definition.description
        self.model_name = chosen.name
        self.chosen = chosen
        self._limits = definition.limits
        self._clock = clock
        self._colleagues = AgentRegistry([])
        self._tools = FunctionToolset(definition.tools)
        toolset = GuardedToolset(
            CombinedToolset([self._tools, *toolsets]),
            timeout=self._limits.tool_seconds,
            result_limit=self._limits.tool_result_characters,
        )
        self._agent: Agent[ToolContext, Output] = Agent(
            HeardModel(chosen.model),
            name=self.name,
            deps_type=ToolContext,
            output_type=[str, DeferredToolRequests],
            instructions=definition.instructions,
            toolsets=[toolset],
            capabilities=[FittingContext(chosen.context_tokens, chosen.takes_images)],
            # The limit of model requests bounds repeated tool mistakes; none of them ends the run by itself.
            retries={"tools": self._limits.model_requests, "output": 2},
        )

    @property
    def refuses_images(self) -> bool:
        """Whether a question with an image fails. The offline model answers, and says that it sees none."""
        return not self.chosen.takes_images and self.model_name != OFFLINE

    def introduce(self, colleagues: AgentRegistry) -> None:
        """Make the other agents known: those of the definition's `delegates` can be asked from now on.

        Raises UnknownAgent.
        """
        self._colleagues = colleagues
        for name in self.definition.delegates:
            self._tools.add_tool(ask_tool(colleagues.get(name)))

    async def run(self, request: RunRequest) -> AsyncIterator[AgentEvent]:
        if self.refuses_images and any(file.is_image for file in request.attachments):
            raise ModelError(f"The model {self.model_name} cannot read images.", retryable=False)
        resumed = Resumed(request.resumption) if request.resumption else None
        if resumed is not None and request.delegation.depth == 0:
            request = dataclasses.replace(request, delegation=Delegation(shared=resumed.shared()))
        shared = request.delegation.shared

        async def hear(event: Heard) -> None:
            for translated in translation.translate(event):
                await working.say(translated)

        context = ToolContext(
            user=request.user, services=request.services, clock=self._clock, agent=self.name, request=request, hear=hear
        )
        translation = Translation(
            request,
            shared,
            durations=context.durations,
            needs_approval=context.needs_approval,
            state=resumed.translation if resumed else None,
        )
        if resumed is None:
            yield translation.begin_step()
        else:
            waiting = self._answer_waiting(resumed, request, translation, context.durations)
            async with aclosing(waiting) as events:
                async for earlier in events:
                    yield earlier
            if resumed.unanswered:
                yield self._paused(resumed, translation, request.delegation)
                return
        working: Working[AgentEvent, AgentRunResult[Output]] = Working(
            lambda: self._answer(request, resumed, context), name=f"agent {self.name}"
        )
        try:
            async with working:
                async for event in working:
                    yield event
            yield self._ended(working.result, translation, request.delegation, resumed)
        except AgentRunError as error:
            if (failure := model_error(error, self.model_name, images=context.files.images_sent)) is None:
                raise
            raise failure from error

    async def _answer(
        self, request: RunRequest, resumed: Resumed | None, context: ToolContext
    ) -> AgentRunResult[Output]:
        """Runs the library's loop. Its model tells by itself what it answers; what its tools do is told here."""
        async with self._agent.iter(
            None if resumed else prompt(request.prompt, request.attachments),
            message_history=[*message_history(request.history), *(resumed.messages if resumed else ())],
            deferred_tool_results=resumed.results if resumed else None,
            deps=context,
            usage=request.delegation.shared.usage,
            usage_limits=UsageLimits(request_limit=self._limits.model_requests),
        ) as run:
            async for node in run:
                if Agent.is_call_tools_node(node):
                    async with node.stream(run.ctx) as events:
                        async for event in events:
                            await context.hear(event)
        if run.result is None:
            raise RuntimeError("the loop ended without a result")
        return run.result

    async def _answer_waiting(
        self, resumed: Resumed, request: RunRequest, translation: Translation, durations: dict[str, int]
    ) -> AsyncGenerator[AgentEvent, None]:
        """Let the agents go on that were asked and waited for a person; give the model what the person said."""
        for call_id, waiting in list(resumed.waiting.items()):
            match waiting["kind"]:
                case "approval":
                    resumed.decide(call_id, waiting["id"], translation)
                case "result":
                    resumed.answer(call_id, result=waiting["result"], error=waiting["error"])
                case "colleague":
                    consultation = Consultation(colleague=self._colleagues.get(waiting["agent"]), text=waiting["text"])
                    asking = dataclasses.replace(
                        request,
                        agent=waiting["agent"],
                        prompt="",
                        history=(),
                        resumption=Resumption(state=waiting["state"], decisions=resumed.decisions),
                        delegation=request.delegation.deeper(),
                    )
                    began = time.perf_counter()
                    async with aclosing(consultation.events(asking)) as events:
                        async for event in events:
                            yield within_call(event, translation.wire_id(call_id))
                    durations[call_id] = round((time.perf_counter() - began) * 1000)
                    if (paused := consultation.paused) is not None:
                        resumed.waiting[call_id] = {**waiting, "text": consultation.text, "state": paused.state}
                        resumed.unanswered += within(paused.approvals, translation.wire_id(call_id))
                    else:
                        yield consultation.completed(self.name, translation.wire_id(call_id))
                        resumed.answer(call_id, result=consultation.text, error=consultation.error)

    def _ended(
        self,
        result: AgentRunResult[Output],
        translation: Translation,
        delegation: Delegation,
        resumed: Resumed | None,
    ) -> AgentCompleted | AgentPaused:
        if not isinstance(result.output, DeferredToolRequests):
            return self._completed(delegation.shared.usage)
        pause = Pause(messages=[*(resumed.messages if resumed else ()), *result.new_messages()])
        for call in result.output.approvals:
            identity = translation.wire_id(call.tool_call_id)
            pause.waiting[call.tool_call_id] = {"kind": "approval", "id": identity}
            pause.unanswered.append(
                PendingApproval(
                    agent=self.name,
                    tool_call_id=identity,
                    tool=plain_text(call.tool_name),
                    arguments=plain_object(call.args_as_dict()),
                )
            )
        for call in result.output.calls:
            waiting, approvals = deferred(result.output.metadata[call.tool_call_id])
            pause.waiting[call.tool_call_id] = waiting
            pause.unanswered += within(approvals, translation.wire_id(call.tool_call_id))
        return self._paused(pause, translation, delegation)

    def _paused(self, pause: Pause, translation: Translation, delegation: Delegation) -> AgentPaused:
        state = pause.to_json(translation)
        if delegation.depth == 0:
            state["shared"] = delegation.shared.to_json()
        return AgentPaused(agent=self.name, approvals=tuple(pause.unanswered), state=state)

    def _completed(self, usage: RunUsage) -> AgentCompleted:
        return AgentCompleted(
            agent=self.name,
            usage=Usage(
                model=self.model_name,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                requests=usage.requests,
                cost_usd=None if usage.cost is None else float(usage.cost),
            ),
            duration_ms=0,
        )


def within(approvals: Iterable[PendingApproval], tool_call_id: str) -> list[PendingApproval]:
    """What agents wait for that this call asked, or that those have asked: they name their own call already."""
    return [dataclasses.replace(each, within=each.within or tool_call_id) for each in approvals]
