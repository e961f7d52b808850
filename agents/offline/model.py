"""The model used when none is configured: deterministic, without network, and honest about both.

It plans by the rules of `agents.offline.plan` over the tools it is given, calls them like any model does, in one round
or two, and words what they return. It computes nothing itself and shows no reasoning, since it does none.
"""

from __future__ import annotations

import re
from asyncio import get_running_loop, sleep
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from agents.offline.answer import Outcome, write_answer
from agents.offline.call import Call
from agents.offline.command import read_command, respond_to_command
from agents.offline.delegation import FINDINGS, with_findings
from agents.offline.files import files_answer
from agents.offline.plan import make_plan

MODEL_NAME = "offline"
LOST = Outcome(error="the tool gave no result")

_TOKEN = re.compile(r"\S+\s*|\s+")


def tokens(text: str) -> list[str]:
    """The text in the pieces it is streamed in: words with the space after them."""
    return _TOKEN.findall(text)


class OfflineModel(Model[None]):
    """Answers at `tokens_per_second`; 0 is as fast as it can."""

    def __init__(self, *, tokens_per_second: float = 0.0) -> None:
        super().__init__(profile=ModelProfile(supports_image_input=False))
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
    """The next tool calls of the plan, or, when all have been answered, the answer."""
    question, asked, outcomes = _conversation(messages)
    if (command := read_command(question, parameters.function_tools)) is not None:
        return respond_to_command(command, outcomes)
    tools = {tool.name for tool in parameters.function_tools}
    plan = make_plan(question, tools)
    calls = dict(zip(_identities(1), plan.calls, strict=False))
    afterwards = dict(zip(_identities(1 + len(calls)), plan.afterwards, strict=False))
    given = [outcomes.get(identity, LOST) for identity in (*calls, *afterwards)]
    if calls and not asked & calls.keys():
        return [_part(call, identity) for identity, call in calls.items()]
    if afterwards and not asked & afterwards.keys():
        findings = _findings(plan.calls, given)
        return [_part(with_findings(call, findings), identity) for identity, call in afterwards.items()]
    files = files_answer(messages)
    if files and not given and not plan.greeting and not plan.help:
        return [TextPart(files)]
    return [TextPart("\n\n".join(filter(None, [write_answer(plan, given, tools), files])))]


def _findings(calls: Sequence[Call], outcomes: Sequence[Outcome]) -> str | None:
    """What the agent data answered."""
    answers = (outcome.result for call, outcome in zip(calls, outcomes, strict=False) if call.tool == "ask_data")
    return next((answer for answer in answers if isinstance(answer, str)), None)


def _identities(first: int) -> Iterator[str]:
    return (f"offline-{number}" for number in count(first))


def _part(call: Call, identity: str) -> ToolCallPart:
    arguments = {name: list(value) if isinstance(value, tuple) else value for name, value in call.arguments}
    return ToolCallPart(call.tool, arguments, tool_call_id=identity)


def _conversation(messages: list[ModelMessage]) -> tuple[str, set[str], dict[str, Outcome]]:
    """The last question, the calls that were made for it, and what they have returned."""
    question, asked, outcomes = "", set[str](), dict[str, Outcome]()
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                question, asked, outcomes = _text(part).partition(FINDINGS)[0], set(), {}
            elif isinstance(part, ToolCallPart):
                asked.add(part.tool_call_id)
            elif isinstance(part, ToolReturnPart):
                outcomes[part.tool_call_id] = _outcome(part)
    return question, asked, outcomes


def _outcome(part: ToolReturnPart) -> Outcome:
    if part.outcome == "success":
        return Outcome(result=part.content)
    return Outcome(error=_error(part.content), denied=part.outcome == "denied")


def _error(content: Any) -> str:
    """A failure as text; arguments that were refused come as a list of what is wrong."""
    if isinstance(content, list):
        content = "; ".join(str(item.get("msg", item)) if isinstance(item, dict) else str(item) for item in content)
    return str(content).strip().rstrip(".")


def _text(part: UserPromptPart) -> str:
    if isinstance(part.content, str):
        return part.content
    # What a file says is no question.
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
        elif isinstance(part, UserPromptPart):
            yield from (item if isinstance(item, str) else getattr(item, "content", "") for item in part.content)
