"""What becomes of a request that failed before anything of the answer was seen: it is repeated, or made elsewhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
import tenacity
from pydantic_ai import RunContext
from pydantic_ai.exceptions import FallbackExceptionGroup, ModelAPIError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import ModelRequestParameters, StreamedResponse
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.settings import ModelSettings

from agents.models.errors import AllModelsFailed, Category, category
from agents.models.limits import ModelLimits
from agents.models.metering import MeteredModel, StreamingModel, request_by_stream

REPEATED: frozenset[Category] = frozenset(
    {
        "rate_limit",
        "overloaded",
        "unavailable",
        "server_error",
        "timeout",
        "connect_timeout",
        "first_token_timeout",
        "connection",
    }
)
# What is wrong with the request itself is wrong with it everywhere, and better told than hidden.
OWN_FAULT: frozenset[Category] = frozenset({"rejected", "context_length"})

logger = structlog.get_logger(__name__)


class RepeatingModel(StreamingModel):
    """Repeats what may succeed a moment later, with growing pauses, or after the pause that the provider asks for."""

    def __init__(self, wrapped: MeteredModel, *, limits: ModelLimits) -> None:
        super().__init__(wrapped)
        self.name = wrapped.name
        self._limits = limits
        self._pauses = tenacity.wait_exponential_jitter(
            initial=limits.first_pause_seconds, jitter=limits.first_pause_seconds, max=limits.longest_pause_seconds
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        async with AsyncExitStack() as stack:
            # After this loop the answer has begun, and nothing is repeated any more.
            async for attempt in self._attempts():
                with attempt:
                    response = await stack.enter_async_context(
                        self.wrapped.request_stream(messages, model_settings, model_request_parameters, run_context)
                    )
            yield response

    def _attempts(self) -> tenacity.AsyncRetrying:
        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(self._is_repeated),
            wait=self._pause,
            stop=tenacity.stop_after_attempt(self._limits.attempts),
            before_sleep=self._log,
            reraise=True,
        )

    def _is_repeated(self, error: BaseException) -> bool:
        asked = error.retry_after if isinstance(error, ModelAPIError) else None
        return category(error) in REPEATED and (asked or 0.0) <= self._limits.longest_retry_after_seconds

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = _error(state)
        asked = error.retry_after if isinstance(error, ModelAPIError) else None
        return max(self._pauses(state), asked or 0.0)

    def _log(self, state: tenacity.RetryCallState) -> None:
        # Neither the error's text nor its headers: a provider may have written the key into them.
        logger.warning(
            "model_request_repeated",
            model=self.name,
            error=category(_error(state)),
            attempt=state.attempt_number,
            pause_seconds=round(state.upcoming_sleep, 2),
        )


class ModelWithFallback(FallbackModel):
    """Asks the second model when the first has failed before anything of its answer was seen."""

    def __init__(self, model: RepeatingModel, fallback: RepeatingModel) -> None:
        super().__init__(model, fallback, fallback_on=self._moves_on)

    def _moves_on(self, error: Exception) -> bool:
        if not isinstance(error, ModelAPIError) or (kind := category(error)) in OWN_FAULT:
            return False
        logger.warning("model_given_up", model=error.model_name, error=kind)
        return True

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        return await request_by_stream(self, messages, model_settings, model_request_parameters)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        try:
            async with super().request_stream(
                messages, model_settings, model_request_parameters, run_context
            ) as response:
                yield response
        except FallbackExceptionGroup as group:
            raise AllModelsFailed(group.exceptions) from group


def _error(state: tenacity.RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome is not None else None
    return error if error is not None else RuntimeError("there is no error")
