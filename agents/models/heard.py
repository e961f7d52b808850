"""A model whose answers are heard while they come, in a loop that only waits for whole answers.

The library's own way from a model's stream to who runs the agent has three locks, each of which is a turn of the event
loop, and a dozen generators, for every token.
"""

from __future__ import annotations

import dataclasses

from pydantic_ai._genai_prices import fill_response_cost
from pydantic_ai._run_context import get_current_run_context
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent, PartStartEvent
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RunUsage

from agents.tools.context import ToolContext


class HeardModel(WrapperModel):
    """Streams every request, and hands each event to `ToolContext.hear` of the run that makes it."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        run = get_current_run_context()
        if run is None or not isinstance(run.deps, ToolContext):
            raise RuntimeError("nobody hears the model's answer")
        hear, before = run.deps.hear, _parts_before(messages)
        response: StreamedResponse | None = None
        try:
            async with self.wrapped.request_stream(messages, model_settings, model_request_parameters, run) as response:
                async for event in response:
                    await hear(_numbered_on(event, before) if before else event)
        except BaseException:
            if response is not None:
                _count(response.get(), run.usage)
            raise
        return response.get()


def _count(interrupted: ModelResponse, usage: RunUsage) -> None:
    """The loop counts whole answers only. Of one that breaks off, too, the provider wants to be paid."""
    fill_response_cost(interrupted)
    usage.incr(interrupted.usage)
    if interrupted.parts:
        usage.requests += 1


def _parts_before(messages: list[ModelMessage]) -> int:
    """Of an answer that the provider interrupted and goes on with: the number of parts that were heard already."""
    return len(messages[-1].parts) if messages and isinstance(messages[-1], ModelResponse) else 0


def _numbered_on(event: ModelResponseStreamEvent, before: int) -> ModelResponseStreamEvent:
    return dataclasses.replace(event, index=event.index + before) if isinstance(event, PartStartEvent) else event
