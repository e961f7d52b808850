"""Agents whose loop pydantic-ai runs, and the one translation of its event stream into ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import pydantic_ai
from pydantic_ai import Agent, AgentRunResultEvent
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.messages import (
    AgentStreamEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.toolsets import AbstractToolset, CombinedToolset, FunctionToolset
from pydantic_ai.usage import RunUsage, UsageLimits

from agents.definition import AgentDefinition
from agents.events import (
    AgentCompleted,
    AgentEvent,
    AgentResponseChunk,
    AgentThinking,
    ToolCompleted,
    ToolExecuting,
    Usage,
)
from agents.model import ChosenModel
from agents.model_errors import model_error
from agents.plain import plain_object, plain_text, plain_value
from agents.request import RunRequest, Turn
from agents.tools import ToolContext, utc_now
from agents.toolset import GuardedToolset, WholeResult

# A server's standard error is its log; the library's greeting does not belong there.
pydantic_ai.BANNER_ENABLED = False


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
        self._limits = definition.limits
        self._clock = clock
        toolset = GuardedToolset(
            CombinedToolset([FunctionToolset(definition.tools), *toolsets]),
            timeout=self._limits.tool_seconds,
            result_limit=self._limits.tool_result_characters,
        )
        self._agent = Agent(
            chosen.model,
            name=self.name,
            deps_type=ToolContext,
            instructions=definition.instructions,
            toolsets=[toolset],
            # The limit of model requests bounds repeated tool mistakes; none of them ends the run by itself.
            retries={"tools": self._limits.model_requests, "output": 2},
        )

    async def run(self, request: RunRequest) -> AsyncIterator[AgentEvent]:
        context = ToolContext(user=request.user, services=request.services, clock=self._clock)
        translation = Translation(request, context.durations)
        yield translation.begin_step()
        try:
            async with self._agent.run_stream_events(
                request.prompt,
                message_history=message_history(request.history),
                deps=context,
                usage_limits=UsageLimits(request_limit=self._limits.model_requests),
            ) as events:
                async for event in events:
                    if isinstance(event, AgentRunResultEvent):
                        yield self._completed(event.result.usage)
                    else:
                        for translated in translation.translate(event):
                            yield translated
        except AgentRunError as error:
            if (failure := model_error(error, self.model_name)) is None:
                raise
            raise failure from error

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


class Translation:
    """One run's events, from pydantic-ai's vocabulary to ours. No I/O.

    The concatenated text of the chunks is the answer: text that follows a tool call or reasoning is set off
    by a blank line, adjacent text parts are one text.
    """

    def __init__(self, request: RunRequest, durations: dict[str, int]) -> None:
        self._agent = request.agent
        self._message_id = request.message_id
        self._durations = durations
        self._step = 0
        self._unanswered_calls = 0
        self._call_ids: dict[str, list[str]] = {}
        self._used_ids: set[str] = set()
        self._newlines = 2
        self._separate = False
        self._responding = False

    def begin_step(self) -> AgentThinking:
        """A model request begins now."""
        self._step += 1
        self._unanswered_calls = 0
        self._separate = True
        self._responding = False
        return AgentThinking(agent=self._agent, step=self._step)

    def translate(self, event: AgentStreamEvent) -> Iterator[AgentEvent]:
        match event:
            case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                yield from self._text(text)
            case PartStartEvent(index=index, part=part, previous_part_kind=previous):
                if index == 0 and self._responding:
                    # The model is asked again without a tool call in between: its answer was unusable.
                    yield self.begin_step()
                self._responding = True
                if isinstance(part, TextPart):
                    self._separate = self._separate or previous != "text"
                    yield from self._text(part.content)
                elif isinstance(part, ThinkingPart):
                    yield from self._thinking(part.content)
            case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=text)):
                yield from self._thinking(text)
            case PartEndEvent(part=ToolCallPart()):
                self._unanswered_calls += 1
            case FunctionToolCallEvent(part=call):
                yield self._executing(call)
            case FunctionToolResultEvent(part=outcome):
                yield self._completed(outcome)
                self._unanswered_calls -= 1
                if self._unanswered_calls == 0:
                    yield self.begin_step()
            case _:
                # Part ends, final-result marks and bookkeeping say nothing to a person.
                pass

    def _text(self, text: str) -> Iterator[AgentResponseChunk]:
        text = plain_text(text)
        if self._separate:
            text = text.lstrip("\n")
            if not text:
                return
            text = "\n" * (2 - self._newlines) + text
            self._separate = False
        if text:
            self._newlines = 2 if text.endswith("\n\n") else 1 if text.endswith("\n") else 0
            yield AgentResponseChunk(agent=self._agent, message_id=self._message_id, text=text)

    def _thinking(self, text: str | None) -> Iterator[AgentThinking]:
        if text:
            yield AgentThinking(agent=self._agent, step=self._step, text=plain_text(text))

    def _executing(self, call: ToolCallPart) -> ToolExecuting:
        # Some servers number the calls of each response from zero; here an id is unique within the run.
        identity, number = plain_text(call.tool_call_id), 2
        while identity in self._used_ids:
            identity, number = f"{plain_text(call.tool_call_id)}.{number}", number + 1
        self._used_ids.add(identity)
        self._call_ids.setdefault(call.tool_call_id, []).append(identity)
        return ToolExecuting(
            agent=self._agent,
            tool_call_id=identity,
            tool=plain_text(call.tool_name),
            arguments=plain_object(call.args_as_dict()),
        )

    def _completed(self, outcome: ToolReturnPart) -> ToolCompleted:
        waiting = self._call_ids.get(outcome.tool_call_id)
        failed = outcome.outcome != "success"
        content = outcome.content
        if isinstance(outcome.metadata, WholeResult):
            # The log gets all of it; the run's history need not keep it.
            content, outcome.metadata = outcome.metadata.value, None
        return ToolCompleted(
            agent=self._agent,
            tool_call_id=waiting.pop(0) if waiting else plain_text(outcome.tool_call_id),
            tool=plain_text(outcome.tool_name),
            duration_ms=self._durations.pop(outcome.tool_call_id, 0),
            result=None if failed else plain_value(content),
            error=_error_text(content) if failed else None,
        )


def _error_text(content: Any) -> str:
    """A tool's failure as text; argument errors come as a list of pydantic's error objects."""
    if isinstance(content, list):
        problems = [item for item in content if isinstance(item, dict) and "msg" in item]
        if problems and len(problems) == len(content):
            content = "; ".join(
                ": ".join(filter(None, (".".join(map(str, item.get("loc", ()))), str(item["msg"]))))
                for item in problems
            )
    return plain_text(str(content)) or "the tool failed"


def message_history(history: Sequence[Turn]) -> list[ModelMessage]:
    """Earlier turns as the library's messages. The empty answer of a run stopped early is left out."""
    messages: list[ModelMessage] = []
    for turn in history:
        if turn.role == "user":
            messages.append(ModelRequest(parts=[UserPromptPart(content=turn.content)]))
        elif turn.content.strip():
            messages.append(ModelResponse(parts=[TextPart(content=turn.content)]))
    return messages
