"""The model used when none is configured: deterministic, without network, and honest about both.

It plans by the rules of `agents.offline_plan` over the tools it is given, calls them like any model does, and
words what they return. It computes nothing itself and shows no reasoning, since it does none.
"""

from __future__ import annotations

import re
from asyncio import get_running_loop, sleep
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from agents.offline_answer import Outcome, write_answer
from agents.offline_plan import Plan, make_plan

MODEL_NAME = "offline"

_TOKEN = re.compile(r"\S+\s*|\s+")


def tokens(text: str) -> list[str]:
    """The text in the pieces it is streamed in: words with the space after them."""
    return _TOKEN.findall(text)


class OfflineModel(Model[None]):
    """Answers at `tokens_per_second`; 0 is as fast as it can."""

    def __init__(self, *, tokens_per_second: float = 0.0) -> None:
        super().__init__()
        self.tokens_per_second = tokens_per_second

    @property
    def model_name(self) -> str:
        return MODEL_NAME

    @property
    def system(self) -> str:
        return "netra"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,  # noqa: ARG002 - Model's signature
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        parts = respond(messages, model_request_parameters)
        return ModelResponse(parts=parts, model_name=MODEL_NAME, usage=_usage(messages, parts))

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,  # noqa: ARG002 - Model's signature
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,  # noqa: ARG002 - Model's signature
    ) -> AsyncGenerator[StreamedResponse]:
        parts = respond(messages, model_request_parameters)
        yield OfflineResponse(
            model_request_parameters=model_request_parameters,
            parts=parts,
            tokens_per_second=self.tokens_per_second,
            total_usage=_usage(messages, parts),
        )


@dataclass
class OfflineResponse(StreamedResponse):
    """Streams parts that are known from the start."""

    parts: list[ModelResponsePart]
    tokens_per_second: float
    total_usage: RequestUsage
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        self._usage = self.total_usage
        for index, part in enumerate(self.parts):
            if isinstance(part, ToolCallPart):
                yield self._parts_manager.handle_part(vendor_part_id=index, part=part)
            elif isinstance(part, TextPart):
                async for token in self._paced(tokens(part.content)):
                    for event in self._parts_manager.handle_text_delta(vendor_part_id=index, content=token):
                        yield event

    async def _paced(self, pieces: list[str]) -> AsyncIterator[str]:
        loop = get_running_loop()
        begin = loop.time()
        for number, piece in enumerate(pieces):
            if self.tokens_per_second:
                # Against the start of the answer, so that late wake-ups do not add up.
                delay = begin + number / self.tokens_per_second - loop.time()
                if delay > 0:
                    await sleep(delay)
            yield piece

    async def close_stream(self) -> None:
        """There is no connection to close."""

    @property
    def model_name(self) -> str:
        return MODEL_NAME

    @property
    def provider_name(self) -> str | None:
        return None

    @property
    def provider_url(self) -> str | None:
        return None

    @property
    def timestamp(self) -> datetime:
        return self.started_at


def respond(messages: list[ModelMessage], parameters: ModelRequestParameters) -> list[ModelResponsePart]:
    """Tool calls, or, when they have been answered, the answer."""
    question, outcomes = _conversation(messages)
    plan = make_plan(question)
    available = {tool.name for tool in parameters.function_tools}
    plan = Plan(
        calls=[call for call in plan.calls if call.tool in available],
        greeting=plan.greeting,
        thanks=plan.thanks,
        help=plan.help,
        unanswered=plan.unanswered + [call.value for call in plan.calls if call.tool not in available],
    )
    ids = [f"offline-{number}" for number in range(1, len(plan.calls) + 1)]
    if plan.calls and not outcomes:
        return [
            ToolCallPart(call.tool, {call.parameter: call.value}, tool_call_id=identity)
            for call, identity in zip(plan.calls, ids, strict=True)
        ]
    lost = Outcome(error="the tool gave no result")
    return [TextPart(write_answer(plan, [outcomes.get(identity, lost) for identity in ids]))]


def _conversation(messages: list[ModelMessage]) -> tuple[str, dict[str, Outcome]]:
    """The last question, and what the tools called for it have returned."""
    question, outcomes = "", dict[str, Outcome]()
    for message in messages:
        if not isinstance(message, ModelRequest):
            continue
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                question, outcomes = _text(part), {}
            elif isinstance(part, ToolReturnPart):
                succeeded = part.outcome == "success"
                outcomes[part.tool_call_id] = (
                    Outcome(result=part.content) if succeeded else Outcome(error=str(part.content))
                )
    return question, outcomes


def _text(part: UserPromptPart) -> str:
    if isinstance(part.content, str):
        return part.content
    return " ".join(item for item in part.content if isinstance(item, str))


def _usage(messages: list[ModelMessage], parts: list[ModelResponsePart]) -> RequestUsage:
    """Counted in the pieces that are streamed; they cost nothing."""
    read = sum(len(tokens(text)) for message in messages for text in _texts(message))
    written = sum(len(tokens(part.content)) if isinstance(part, TextPart) else 1 for part in parts)
    return RequestUsage(input_tokens=read, output_tokens=written)


def _texts(message: ModelMessage) -> Iterator[str]:
    for part in message.parts:
        content = getattr(part, "content", None)
        if isinstance(content, str):
            yield content
