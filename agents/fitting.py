"""Each model request with the attached files in it, cut to the model's context, and the run told of what was cut."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import ModelRequestContext

from agents.events import ContextReduced
from agents.models.context import Reduction, estimate_messages, fit
from agents.tools.context import ToolContext


@dataclass
class FittingContext(AbstractCapability[ToolContext]):
    """What is cut is the request's copy: the run's own messages stay whole, so that each request is cut anew."""

    limit_tokens: int
    takes_images: bool = True

    async def before_model_request(
        self, ctx: RunContext[ToolContext], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        filled = await ctx.deps.files.fill(
            request_context.messages,
            ctx.deps.services,
            limit_tokens=self.limit_tokens,
            takes_images=self.takes_images,
        )
        request_context.messages, reduction = fit(filled.messages, self.limit_tokens)
        if filled.shortened:
            reduction = _with_files(reduction, request_context.messages, filled.shortened)
        if reduction is not None and _is_news(reduction, ctx.deps.reductions):
            ctx.deps.reductions.append(reduction)
            await ctx.deps.hear(
                ContextReduced(
                    agent=ctx.deps.agent,
                    limit_tokens=self.limit_tokens,
                    estimated_tokens=reduction.estimated_tokens,
                    kept_messages=reduction.kept_messages,
                    dropped_messages=reduction.dropped_messages,
                    shortened_results=reduction.shortened_results,
                )
            )
        return request_context


def _with_files(reduction: Reduction | None, messages: list[ModelMessage], shortened: int) -> Reduction:
    """A reduction that also counts the files of which only the beginning was sent."""
    if reduction is None:
        return Reduction(
            kept_messages=len(messages),
            dropped_messages=0,
            shortened_results=shortened,
            estimated_tokens=estimate_messages(messages),
        )
    return dataclasses.replace(reduction, shortened_results=reduction.shortened_results + shortened)


def _is_news(reduction: Reduction, told: list[Reduction]) -> bool:
    return not told or (reduction.dropped_messages, reduction.shortened_results) > (
        told[-1].dropped_messages,
        told[-1].shortened_results,
    )
