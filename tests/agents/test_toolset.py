"""The guard around tools: what must not be repeated is recorded first, and what is large is cut for the model only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai import Tool
from pydantic_ai.exceptions import ModelRetry
from pydantic_ai.messages import ModelMessage, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agents.definition import AgentLimits
from agents.errors import RunTaken
from agents.events import AgentEvent, AgentThinking, ToolCompleted
from agents.request import RunRequest
from agents.toolset import UNREPEATABLE
from tests.agents.fakes import (
    FakeServices,
    Piece,
    answer,
    call,
    collect,
    make_request,
    model_agent,
    plain_agent,
    scripted,
    supervise,
    tool_errors,
)


async def test_that_an_unrepeatable_tool_begins_is_recorded_before_it_does() -> None:
    services = FakeServices()
    seen: list[list[str]] = []

    async def send(to: str) -> str:
        seen.append(list(services.unrepeatable))
        return f"sent to {to}"

    agent = model_agent(
        scripted([call("send", '{"to": "ann"}', "c1")], ["done"]), tools=[Tool(send, metadata=UNREPEATABLE)]
    )
    events = await collect(supervise(agent), make_request(services=services))
    assert seen == [["send"]]
    assert [event.result for event in events if isinstance(event, ToolCompleted)] == ["sent to ann"]


@pytest.mark.parametrize("metadata", [None, {}, {"repeatable": True}, {"other": 1}])
async def test_a_tool_is_repeatable_unless_it_is_declared_otherwise(metadata: dict[str, Any] | None) -> None:
    async def look() -> str:
        return "seen"

    services = FakeServices()
    services.taken = True  # nobody asks
    agent = model_agent(scripted([call("look", "{}", "c1")], ["done"]), tools=[Tool(look, metadata=metadata)])
    assert answer(await collect(supervise(agent), make_request(services=services))) == "done"
    assert services.unrepeatable == []


async def test_a_call_whose_arguments_are_wrong_has_not_begun() -> None:
    async def send(to: int) -> str:
        return f"sent to {to}"

    services = FakeServices()
    agent = model_agent(
        scripted([call("send", '{"to": "nobody"}', "c1")], ["done"]), tools=[Tool(send, metadata=UNREPEATABLE)]
    )
    events = await collect(supervise(agent), make_request(services=services))
    assert tool_errors(events) != [None]
    assert services.unrepeatable == []


async def test_each_beginning_is_recorded_also_when_the_tool_asks_to_be_called_again() -> None:
    async def send() -> str:
        if len(services.unrepeatable) < 2:
            raise ModelRetry("once more")
        return "sent"

    services = FakeServices()
    agent = model_agent(
        scripted([call("send", "{}", "c1")], [call("send", "{}", "c2")], ["done"]),
        tools=[Tool(send, metadata=UNREPEATABLE)],
    )
    assert answer(await collect(supervise(agent), make_request(services=services))) == "done"
    assert services.unrepeatable == ["send", "send"]


async def test_a_run_that_was_taken_begins_no_unrepeatable_tool_and_tells_no_end() -> None:
    called: list[str] = []

    async def send() -> str:
        called.append("send")
        return "sent"

    services = FakeServices()
    services.taken = True
    agent = model_agent(
        scripted(["Sending. ", call("send", "{}", "c1", index=1)], ["done"]), tools=[Tool(send, metadata=UNREPEATABLE)]
    )
    supervisor, kinds = supervise(agent), set()

    async def follow() -> None:
        async for event in supervisor.execute(make_request(services=services)):
            kinds.add(event.type)

    with pytest.raises(RunTaken):
        await follow()
    assert called == []
    assert kinds == {"agent_started", "agent_thinking", "agent_response_chunk", "tool_executing"}
    assert supervisor.status().active_runs == 0


async def test_any_agent_can_record_what_must_not_be_repeated() -> None:
    async def run(request: RunRequest) -> AsyncIterator[AgentEvent]:
        await request.services.begin_unrepeatable("pay")
        yield AgentThinking(agent="tested", step=1, text="the run was taken, and I go on")

    services = FakeServices()
    services.taken = True
    with pytest.raises(RunTaken):
        await collect(supervise(plain_agent(run)), make_request(services=services))


@pytest.mark.parametrize("whole", ["x" * 5000, {"rows": ["x" * 100] * 50}])
async def test_the_model_gets_the_beginning_of_a_large_result_and_the_log_gets_all_of_it(whole: Any) -> None:
    async def read() -> Any:
        return whole

    given: list[ToolReturnPart] = []

    async def model(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Piece]:
        given.extend(part for message in messages for part in message.parts if isinstance(part, ToolReturnPart))
        yield "done" if given else call("read", "{}", "c1")

    agent = model_agent(
        FunctionModel(stream_function=model), tools=[Tool(read)], limits=AgentLimits(tool_result_characters=1000)
    )
    events = await collect(supervise(agent), make_request())
    [completed] = [event for event in events if isinstance(event, ToolCompleted)]
    assert completed.result == whole
    [part] = given
    assert len(str(part.content)) < 1100
    assert "[cut: the first 1000 of" in str(part.content)
    assert part.metadata is None, "the run does not keep it"
