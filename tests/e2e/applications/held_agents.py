"""Agents that go on when the test lets them, for the tests of how a run is shown: NETRA_AGENTS names AGENTS.

`worker` does what SCRIPTS has for a question, `manager` asks it. At a `Hold` the model says nothing more until there is
a file of that name in the folder HELD_FOLDER. A question that is no script is answered by its own words.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_ai import Tool
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agents.definition import AgentDefinition
from agents.errors import ModelError, ToolError
from agents.models.choice import ChosenModel
from agents.models.limits import ModelLimits
from agents.models.metering import MeteredModel
from agents.pydantic_agent import PydanticAgent
from tests.e2e.applications.scripted_agents import Piece, call, thought


@dataclass(frozen=True)
class Hold:
    name: str


class Failure:
    """The model is away."""


THINK = "Think it over."
TELL = "Tell me a long story."
FAIL = "Begin, and fail."
LIST = "List everything."
USE = "Use the slow tool."
COMPARE = "Compare two weeks."
WEEKS = ("The first week?", "The second week?")
REASONING = "There are **two** ways:\n\n1. the short one\n2. the long one"
ROWS = 3000

SCRIPTS: dict[str, list[list[Piece | Hold | Failure]]] = {
    THINK: [[thought(REASONING), Hold("thought"), "The short one. ", Hold("said"), "That is all."]],
    TELL: [["Once upon a time", Hold("story"), " it ended."]],
    FAIL: [["Half of it", Hold("failure"), Failure()]],
    LIST: [[call("list_rows", 1, many=ROWS), call("list_rows", 2, many=40), call("break_down", 3)], ["It is listed."]],
    USE: [["I look. ", call("dig", 1)], ["Found."]],
    COMPARE: [
        [call("ask_worker", 1, question=WEEKS[0]), call("ask_worker", 2, question=WEEKS[1])],
        ["They are alike."],
    ],
    WEEKS[0]: [[thought("I look at the first."), call("list_rows", 1, many=1)], [Hold("weeks"), "One."]],
    WEEKS[1]: [[thought("I look at the second."), call("list_rows", 1, many=2)], [Hold("weeks"), "Two."]],
}


async def hold(name: str) -> None:
    while not (Path(os.environ["HELD_FOLDER"]) / name).exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)


async def respond(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Piece]:
    question, asked = "", 0
    for message in messages:
        if isinstance(message, ModelResponse):
            asked += 1
        elif isinstance(message, ModelRequest):
            prompts = [part for part in message.parts if isinstance(part, UserPromptPart)]
            question, asked = (str(prompts[-1].content), 0) if prompts else (question, asked)
    # Who asks for a title of a conversation gets one.
    script = SCRIPTS.get(
        question, [["A held conversation" if question.startswith("<question>") else f"You said: {question}"]]
    )
    for piece in script[min(asked, len(script) - 1)]:
        match piece:
            case Hold(name=name):
                await hold(name)
            case Failure():
                raise ModelError("The model is away", retryable=True)
            case _:
                yield piece


async def list_rows(many: int) -> str:
    """List rows.

    Args:
        many: How many.
    """
    return json.dumps([{"row": number, "name": f"name {number}"} for number in range(many)])


async def dig() -> str:
    """Dig until something is found."""
    await hold("dug")
    return "a coin"


async def break_down() -> Any:
    """Break down."""
    raise ToolError("the machine broke down")


def held_agent(name: str, description: str, **given: Any) -> PydanticAgent:
    definition = AgentDefinition(name=name, description=description, instructions="Follow the script.", **given)
    scripted = FunctionModel(stream_function=respond)
    model = MeteredModel(scripted, name="script", limits=ModelLimits(), pricing="free")
    return PydanticAgent(definition, ChosenModel(name="script", model=model, context_tokens=100_000))


AGENTS = [
    held_agent("worker", "Works.", tools=[Tool(list_rows), Tool(dig, metadata={"timeout": None}), Tool(break_down)]),
    held_agent("manager", "Has others work.", delegates=("worker",)),
]
