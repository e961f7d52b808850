"""One request to a model: it takes no longer than it may, and however it ends, it is in the account."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any, Literal

import anyio
import structlog
from pydantic_ai import RunContext
from pydantic_ai._run_context import get_current_run_context
from pydantic_ai.exceptions import ModelRequestTimeout
from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponseStreamEvent
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings, merge_model_settings
from pydantic_ai.usage import RequestUsage

from agents.account import ModelRequestRecord
from agents.deadline import DeadlinePassed, Silence
from agents.models.context import estimate_message, estimate_messages, estimate_text
from agents.models.cost import Pricing, request_cost
from agents.models.errors import ModelFellSilent, category
from agents.models.limits import ModelLimits
from agents.tools.context import ToolContext, utc_now

RECORD_SECONDS = 3.0
# The HTTP client's own limit for silence stands behind ours, which count what has a meaning.
TRANSPORT_SECONDS = 5.0

logger = structlog.get_logger(__name__)


class StreamingModel(WrapperModel):
    """Makes every request a streamed one, so that there is one way to measure, bound and record them."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        return await request_by_stream(self, messages, model_settings, model_request_parameters)


async def request_by_stream(
    model: Model, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
) -> ModelResponse:
    """The whole answer of a streamed request."""
    async with model.request_stream(messages, settings, parameters, get_current_run_context()) as response:
        async for _event in response:
            pass
    return response.get()


class MeteredModel(StreamingModel):
    """A provider's model under `limits`. Each request ends in one record of the run that makes it.

    `name` is what configuration calls the model.
    """

    def __init__(self, wrapped: Model, *, name: str, limits: ModelLimits, pricing: Pricing) -> None:
        super().__init__(wrapped)
        self.name = name
        self._limits = limits
        self._pricing: Pricing = pricing
        self._recordings: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Yields when the first event is there, so that an error until then can be told from one in mid-answer."""
        context = run_context.deps if run_context is not None else None
        if isinstance(context, ToolContext):
            await context.services.admit_model_request()
        meter = _Meter()
        settings = merge_model_settings(self._transport_settings(), model_settings)
        try:
            async with AsyncExitStack() as stack:
                opening = self.wrapped.request_stream(messages, settings, model_request_parameters, run_context)
                first, events = await self._open(stack, opening, meter)
                response = meter.opened()
                # What iterates the response gets these, as in the library's own FallbackModel.
                silence = Silence(self._limits.silence_seconds)
                stack.callback(silence.cancel)
                response._event_iterator = self._metered(first, events, meter, silence)
                yield response
        except BaseException as error:
            meter.ended(error)
            raise
        finally:
            # The connection is closed by now: nobody pays for more of the answer while this is written.
            await self._record(meter, messages, model_request_parameters, context)

    def _transport_settings(self) -> ModelSettings:
        limits = self._limits
        silence = max(limits.first_token_seconds, limits.silence_seconds) + TRANSPORT_SECONDS
        # The libraries' own repetitions would be requests that nobody sees.
        wanted = ModelSettings(timeout=silence, max_retries=0)
        for name in self.wrapped.unsupported_settings & wanted.keys():
            wanted.pop(name)
        return wanted

    async def _open(
        self, stack: AsyncExitStack, opening: Any, meter: _Meter
    ) -> tuple[ModelResponseStreamEvent | None, AsyncIterator[ModelResponseStreamEvent]]:
        seconds = self._limits.first_token_seconds
        try:
            async with asyncio.timeout(seconds) as limit:
                meter.response = await stack.enter_async_context(opening)
                events = aiter(meter.opened())
                first = await anext(events, None)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ModelRequestTimeout(self.model_name, seconds, setting="first_event_timeout") from None
        meter.first_event()
        return first, events

    async def _metered(
        self,
        first: ModelResponseStreamEvent | None,
        events: AsyncIterator[ModelResponseStreamEvent],
        meter: _Meter,
        silence: Silence,
    ) -> AsyncIterator[ModelResponseStreamEvent]:
        event = first
        try:
            while event is not None:
                yield event
                try:
                    event = await silence.next(events)
                except StopAsyncIteration:
                    break
                except DeadlinePassed:
                    raise ModelFellSilent(self.model_name, self._limits.silence_seconds) from None
        except BaseException as error:
            meter.ended(error)
            raise
        meter.ended(None)

    async def _record(
        self,
        meter: _Meter,
        messages: list[ModelMessage],
        parameters: ModelRequestParameters,
        context: Any,
    ) -> None:
        """Returns when it is written, or after a while: a run that is being cancelled waits, too, but not for ever."""
        if not isinstance(context, ToolContext):
            logger.warning("model_request_unaccounted", model=self.name, outcome=meter.outcome)
            return
        record = self._entry(meter, messages, parameters, context.agent)
        recording = asyncio.create_task(
            context.services.record_model_request(record), name=f"record model request {record.id}"
        )
        self._recordings.add(recording)
        recording.add_done_callback(self._recorded)
        with anyio.move_on_after(RECORD_SECONDS, shield=True):
            await asyncio.wait([recording])

    def _recorded(self, task: asyncio.Task[None]) -> None:
        self._recordings.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("model_request_not_recorded", model=self.name, cause=type(error).__name__)

    def _entry(
        self, meter: _Meter, messages: list[ModelMessage], parameters: ModelRequestParameters, agent: str
    ) -> ModelRequestRecord:
        duration_ms = _milliseconds(meter.begin)
        response = meter.response.get() if meter.response is not None else ModelResponse(parts=[])
        usage, estimated = response.usage, meter.needs_estimate(response.usage)
        if estimated:
            usage = _estimate(response, messages, parameters)
        response = dataclasses.replace(response, usage=usage)
        # What was refused or did not reach anyone costs nothing, whatever the price.
        spent = usage.has_values() or meter.outcome == "completed"
        cost = request_cost(response, model=self.model_name, pricing=self._pricing) if spent else Decimal(0)
        return ModelRequestRecord(
            agent=agent,
            model=self.name,
            provider=self.system,
            outcome=meter.outcome,
            error=meter.error,
            started_at=meter.started_at,
            duration_ms=duration_ms,
            first_token_ms=meter.first_token_ms,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            estimated=estimated,
            cost_usd=cost,
        )


class _Meter:
    """What is known of one request while it is under way. The first end that it is told of counts."""

    def __init__(self) -> None:
        self.started_at = utc_now()
        self.begin = time.perf_counter()
        self.response: StreamedResponse | None = None
        self.first_token_ms: int | None = None
        # A stream that nobody reads to its end was given up.
        self.outcome: Literal["completed", "failed", "cancelled"] = "cancelled"
        self.error = ""
        self._ended = False

    def opened(self) -> StreamedResponse:
        if self.response is None:
            raise RuntimeError("the stream is not open")
        return self.response

    def first_event(self) -> None:
        self.first_token_ms = _milliseconds(self.begin)

    def ended(self, error: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        if error is None:
            self.outcome = "cancelled" if self.opened().cancelled else "completed"
        elif isinstance(error, Exception):
            self.outcome, self.error = "failed", category(error)

    def needs_estimate(self, usage: RequestUsage) -> bool:
        """Whether the provider has worked and not told the tokens: not when it refused or was not reached."""
        match self.outcome:
            case "completed":
                return not usage.has_values() or bool(usage.unmeasured_requests)
            case "cancelled":
                return True
            case "failed":
                return self.first_token_ms is not None or self.error == "first_token_timeout"


def _estimate(
    response: ModelResponse, messages: list[ModelMessage], parameters: ModelRequestParameters
) -> RequestUsage:
    """What the provider told so far, and at least what the texts amount to."""
    told = response.usage
    tools = "".join(
        f"{tool.name}{tool.description}{json.dumps(tool.parameters_json_schema, default=str)}"
        for tool in parameters.function_tools
    )
    return dataclasses.replace(
        told,
        input_tokens=told.input_tokens or estimate_messages(messages) + estimate_text(tools),
        output_tokens=max(told.output_tokens, estimate_message(response) if response.parts else 0),
        unmeasured_requests=0,
    )


def _milliseconds(since: float) -> int:
    return round((time.perf_counter() - since) * 1000)
