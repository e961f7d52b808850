"""What is heard of a model's answer, and what is counted of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic_ai import RunContext
from pydantic_ai._run_context import set_current_run_context
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    FinalResultEvent,
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RunUsage

from agents.models.heard import HeardModel
from agents.request import RunUser
from agents.tools.context import Heard, ToolContext
from tests.agents.fakes import FakeServices, scripted

PARAMETERS = ModelRequestParameters()


class Ear:
    """A run that keeps what it hears."""

    def __init__(self, model: FunctionModel) -> None:
        self.heard: list[Heard] = []
        self.usage = RunUsage()
        self.model = HeardModel(model)
        deps = ToolContext(user=RunUser(id="7", username="ada"), services=FakeServices(), hear=self._hear)
        self._context = RunContext(deps=deps, model=self.model, usage=self.usage)

    async def _hear(self, event: Heard) -> None:
        self.heard.append(event)

    async def request(self, *messages: ModelMessage) -> ModelResponse:
        with set_current_run_context(self._context):
            return await self.model.request(list(messages), None, PARAMETERS)


async def test_the_answer_is_heard_and_whole() -> None:
    ear = Ear(scripted(["Hel", "lo"]))
    answer = await ear.request()
    assert answer.parts == [TextPart("Hello")]
    assert [type(event) for event in ear.heard] == [PartStartEvent, FinalResultEvent, PartDeltaEvent, PartEndEvent]
    assert ear.usage == RunUsage()  # the loop counts it


async def test_an_answer_that_goes_on_does_not_begin_again() -> None:
    ear = Ear(scripted(["and on"]))
    await ear.request(ModelResponse(parts=[TextPart("On")], state="suspended"))
    [start] = [event for event in ear.heard if isinstance(event, PartStartEvent)]
    assert start.index == 1


async def test_what_breaks_off_is_counted() -> None:
    async def breaking_off(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
        yield "one two three"
        raise ModelHTTPError(500, "tested")

    ear = Ear(FunctionModel(stream_function=breaking_off))
    with pytest.raises(ModelHTTPError):
        await ear.request()
    assert ear.usage.requests == 1
    assert ear.usage.output_tokens == 3


async def test_without_a_run_nobody_would_hear_it() -> None:
    with pytest.raises(RuntimeError, match="nobody hears"):
        await HeardModel(scripted(["Hello"])).request([], None, PARAMETERS)
