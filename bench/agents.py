"""Agents for servers under load: `NETRA_AGENTS=bench.agents:agents`. What they say is `bench.tokens.say`.

`plain` is an async generator function. `modelled` is an agent of pydantic-ai whose model is its function model, by the
same way as every model: its requests are limited, repeated and in the account.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agents import AgentDefinition, RunRequest, agent
from agents.models.choice import Models
from agents.pydantic_agent import PydanticAgent
from bench import tokens

PLAIN, MODELLED = "plain", "modelled"
INSTRUCTIONS = "Say as many tokens as you are asked for."


@agent(name=PLAIN, description="Says tokens.")
async def plain(request: RunRequest) -> AsyncIterator[str]:
    async with aclosing(tokens.say(request.prompt)) as said:
        async for token in said:
            yield token


async def _stream(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
    async with aclosing(tokens.say(_question(messages))) as said:
        async for token in said:
            yield token


def _question(messages: list[ModelMessage]) -> str:
    """The newest words of the person; the servers' own names of threads are not asked for here."""
    for message in reversed(messages):
        for part in message.parts if isinstance(message, ModelRequest) else ():
            if isinstance(part, UserPromptPart):
                return part.content if isinstance(part.content, str) else "".join(map(str, part.content))
    raise AssertionError("nobody has asked")


def function_model() -> FunctionModel:
    return FunctionModel(stream_function=_stream, model_name="tokens")


modelled = PydanticAgent(
    AgentDefinition(name=MODELLED, description="Says tokens, by a model.", instructions=INSTRUCTIONS),
    Models(builders={"tokens": function_model}).choose(MODELLED, "tokens"),
)

agents = [plain, modelled]
