"""Runs with the local model: a real server of OpenAI's protocol in a process that can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from pydantic_ai import ToolDefinition
from pydantic_ai.messages import (
    InstructionPart,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters

from agents.apps import local_model
from agents.events import AgentCompleted, AgentError, AgentResponseChunk
from agents.models.choice import Models
from agents.models.limits import ModelLimits
from agents.models.local_model import INSTRUCTIONS, LocalModel, without_tools
from agents.models.local_server import ANSWER_TOKENS, CONTEXT_TOKENS, LocalPackages, LocalServer
from agents.pydantic_agent import PydanticAgent
from agents.request import Turn
from agents.roster.assistant import ASSISTANT
from agents.supervisor import AgentSupervisor
from tests.agents.fakes import FakeServices, answer, collect, make_request, shapes, supervise
from tests.agents.local_packages import installed

LONG = "Tell me a very long story about a ship, a storm and an island."
PATIENCE = 60.0


@pytest.fixture(scope="module")
def packages() -> LocalPackages:
    return installed()


@pytest.fixture(scope="module")
def server(packages: LocalPackages) -> Iterator[LocalServer]:
    server = LocalServer(packages, slots_endpoint=True)
    yield server
    server.stop()


@pytest.fixture
def supervisor(server: LocalServer) -> AgentSupervisor:
    # On a busy machine it reads a long question for a while.
    limits = ModelLimits(first_token_seconds=300)
    models = Models(default="local", builders={"local": lambda: LocalModel(server)}, limits=limits)
    chosen = models.choose("assistant")
    return supervise(PydanticAgent(ASSISTANT, chosen), run_timeout=300)


async def slots(server: LocalServer) -> list[dict[str, Any]]:
    endpoint = await server.endpoint()
    async with httpx2.AsyncClient(trust_env=False) as client:
        url = f"http://{endpoint.host}:{endpoint.port}/slots"
        found = await client.get(url, headers={"Authorization": f"Bearer {endpoint.key}"})
    answered: list[dict[str, Any]] = found.json()
    return answered


async def test_an_answer_is_streamed_and_accounted(supervisor: AgentSupervisor) -> None:
    services = FakeServices()
    events = await collect(supervisor, make_request("Say hello.", agent="assistant", services=services))
    assert shapes(events) == ["agent_started", "agent_thinking", "agent_response_chunk", "agent_completed"]
    chunks = [event for event in events if isinstance(event, AgentResponseChunk)]
    assert len(chunks) > 1
    completed = events[-1]
    assert isinstance(completed, AgentCompleted)
    usage = completed.usage
    assert (usage.model, usage.requests) == ("local", 1)
    [record] = services.recorded
    assert (record.model, record.provider, record.outcome, record.estimated) == ("local", "local", "completed", False)
    assert (record.input_tokens, record.output_tokens) == (usage.input_tokens, usage.output_tokens)
    assert record.output_tokens >= len(chunks)
    assert record.cost_usd == Decimal(0)


async def test_cancelling_in_mid_token_ends_the_work_at_once(supervisor: AgentSupervisor, server: LocalServer) -> None:
    services = FakeServices()
    begun = asyncio.Event()

    async def run() -> None:
        async with aclosing(supervisor.execute(make_request(LONG, agent="assistant", services=services))) as events:
            async for event in events:
                if isinstance(event, AgentResponseChunk):
                    begun.set()

    task = asyncio.create_task(run())
    async with asyncio.timeout(PATIENCE):
        await begun.wait()
        [busy] = [slot for slot in await slots(server) if slot["is_processing"]]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while True:
            [slot] = [slot for slot in await slots(server) if slot["id"] == busy["id"]]
            if not slot["is_processing"]:
                break
    # Left to itself the server would have written on, to the end of what it may.
    assert slot["n_prompt_tokens"] < busy["n_prompt_tokens"] + ANSWER_TOKENS // 2
    [record] = services.recorded
    assert (record.outcome, record.estimated) == ("cancelled", True)


async def test_a_server_killed_in_mid_answer_is_a_model_error_and_a_retry_works(
    supervisor: AgentSupervisor, server: LocalServer
) -> None:
    services, killed, events = FakeServices(), None, []
    async with aclosing(supervisor.execute(make_request(LONG, agent="assistant", services=services))) as running:
        async for event in running:
            events.append(event)
            if isinstance(event, AgentResponseChunk) and killed is None:
                killed = server.pid
                assert killed is not None
                os.kill(killed, signal.SIGKILL)
    assert answer(events)
    assert events[-1] == AgentError(
        agent="assistant",
        error_code="MODEL_ERROR",
        error_message="The connection to the model provider failed.",
        retryable=True,
    )
    [record] = services.recorded
    assert (record.outcome, record.error) == ("failed", "connection")

    events = await collect(supervisor, make_request("Say hello.", agent="assistant", attempt=2))
    assert isinstance(events[-1], AgentCompleted)
    assert answer(events)
    assert server.pid not in (None, killed)


async def test_a_server_that_cannot_start_is_a_model_error(packages: LocalPackages, tmp_path: Any) -> None:
    (tmp_path / "weights.gguf").write_bytes(b"not a model")
    broken = LocalServer(LocalPackages(folder=packages.folder, weights=tmp_path / "weights.gguf"))
    chosen = Models(default="local", builders={"local": lambda: LocalModel(broken)}).choose("assistant")
    events = await collect(supervise(PydanticAgent(ASSISTANT, chosen)), make_request(agent="assistant"))
    broken.stop()
    assert isinstance(events[-1], AgentError)
    assert (events[-1].error_code, events[-1].retryable) == ("MODEL_ERROR", True)


@pytest.mark.timeout(300)
async def test_a_thread_too_long_for_it_is_answered(supervisor: AgentSupervisor) -> None:
    history = [
        turn
        for number in range(150)
        for turn in (Turn(role="user", content=f"Question {number}?"), Turn(role="assistant", content="words " * 50))
    ]
    events = await collect(supervisor, make_request("Say hello.", agent="assistant", history=history))
    assert isinstance(events[-1], AgentCompleted)
    assert events[-1].usage.input_tokens < CONTEXT_TOKENS
    assert "context_reduced" in shapes(events)


# Without tools, and without a server -------------------------------------------------------------------------


@pytest.fixture
def unstarted(tmp_path: Any) -> LocalModel:
    return LocalModel(LocalServer(LocalPackages(folder=tmp_path, weights=tmp_path / "none")))


def test_it_is_asked_without_tools_and_without_instructions_about_them(unstarted: LocalModel) -> None:
    own = [InstructionPart(content="Use the tools.")]
    parameters = ModelRequestParameters(function_tools=[ToolDefinition(name="calculate")], instruction_parts=own)
    _, prepared = unstarted.prepare_request(None, parameters)
    assert prepared.function_tools == []
    assert [part.content for part in prepared.instruction_parts or []] == [INSTRUCTIONS]


def test_an_agent_without_tools_keeps_its_instructions(unstarted: LocalModel) -> None:
    own = [InstructionPart(content="Speak like a pirate.")]
    _, prepared = unstarted.prepare_request(None, ModelRequestParameters(instruction_parts=own))
    assert prepared.instruction_parts == own


def test_what_tools_gave_another_model_is_told_as_text() -> None:
    question = ModelRequest(parts=[UserPromptPart(content="What is 6 * 7?")])
    call = ToolCallPart(tool_name="calculate", args={}, tool_call_id="1")
    result = ToolReturnPart(tool_name="calculate", content={"result": "42"}, tool_call_id="1")
    told = without_tools(
        [question, ModelResponse(parts=[TextPart(content="Let me see."), call]), ModelRequest(parts=[result])]
    )
    assert [[getattr(part, "content", None) for part in message.parts] for message in told] == [
        ["What is 6 * 7?"],
        ["Let me see."],
        ['Result of calculate: {"result":"42"}'],
    ]
    assert len(without_tools([question, ModelResponse(parts=[call]), ModelRequest(parts=[result])])) == 2


def test_configuration_names_it(packages: LocalPackages) -> None:
    model = local_model()
    assert (model.model_name, model.system, model.context_window) == ("local", "local", CONTEXT_TOKENS)
