"""An agent for servers of the tests (`NETRA_AGENTS=tests.scripted_agent:scripted`), which does what it is told.

A question is the script: responses of the model separated by ";", in each of which words of text and calls stand,
separated by "&". `write a` calls the tool that appends "a" to a file when a person allows it, `note a` the same without
asking; `read a` is allowed by a person, too, and may be done again. `wait` returns when there is a file `go`,
`outcomes` tells what the model was told of its calls, `heard` what was said before, `think` what it thinks, and with
`fail` it is away. All files are in the folder SCRIPTED_FOLDER.

    "Let me ask & write a; Thanks & note b; Done"
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic_ai import Tool
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import (
    AgentInfo,
    DeltaThinkingCalls,
    DeltaThinkingPart,
    DeltaToolCall,
    DeltaToolCalls,
    FunctionModel,
)

from agents.definition import AgentDefinition
from agents.errors import ModelError
from agents.models.choice import ChosenModel
from agents.pydantic_agent import PydanticAgent
from agents.toolset import REPEATABLE

TOOLS = ("write", "read", "note", "wait")


def folder() -> Path:
    return Path(os.environ["SCRIPTED_FOLDER"])


def written(where: Path) -> list[str]:
    """What the tools have written, in its order."""
    file = where / "written"
    return file.read_text().split() if file.exists() else []


def _append(text: str) -> str:
    with (folder() / "written").open("a") as file:
        file.write(f"{text}\n")
    return f"{text} is written"


async def write(text: str) -> str:
    """Append a line to the file, when a person allows it."""
    return _append(text)


async def read(text: str) -> str:
    """Append a line to the file, when a person allows it. It does no harm twice."""
    return _append(f"read-{text}")


async def note(text: str) -> str:
    """Append a line to the file."""
    return _append(text)


async def wait(text: str = "") -> str:
    """Wait until there is a file `go`."""
    _append(f"waiting{text}")
    while not (folder() / "go").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)
    return "gone on"


async def respond(
    messages: list[ModelMessage], _info: AgentInfo
) -> AsyncIterator[str | DeltaToolCalls | DeltaThinkingCalls]:
    asked = max(number for number, message in enumerate(messages) if _question(message) is not None)
    responses = [message for message in messages[asked:] if isinstance(message, ModelResponse)]
    script = (_question(messages[asked]) or "").split(";")
    if len(responses) >= len(script):
        yield "The script is over."
        return
    for number, piece in enumerate(script[len(responses)].split("&")):
        word, _, text = piece.strip().partition(" ")
        if word in TOOLS:
            # The ids of each response are the same, as those of some model servers.
            call = DeltaToolCall(name=word, json_args=json.dumps({"text": text}), tool_call_id=f"call-{number}")
            yield {number: call}
        elif word == "outcomes":
            yield ", ".join(_outcomes(messages))
        elif word == "heard":
            yield ", ".join(_heard(messages[:asked])) or "nothing"
        elif word == "think":
            yield {number: DeltaThinkingPart(content=text)}
        elif word == "fail":
            raise ModelError("The model is away", retryable=True)
        else:
            yield piece.strip()


def _question(message: ModelMessage) -> str | None:
    """The newest one: those that had no answer stand before it."""
    parts = message.parts if isinstance(message, ModelRequest) else ()
    return next((str(part.content) for part in reversed(parts) if isinstance(part, UserPromptPart)), None)


def _outcomes(messages: list[ModelMessage]) -> list[str]:
    """What the model was told of its calls."""
    parts = [part for message in messages if isinstance(message, ModelRequest) for part in message.parts]
    return [f"{part.outcome}: {part.content}" for part in parts if isinstance(part, ToolReturnPart)]


def _heard(messages: list[ModelMessage]) -> list[str]:
    """What the person said, and what was answered."""
    questions = (
        _question(message) or (message.text if isinstance(message, ModelResponse) else "") for message in messages
    )
    return [text for text in questions if text]


scripted = PydanticAgent(
    AgentDefinition(
        name="scripted",
        description="Does what the test says.",
        instructions="",
        tools=[
            Tool(write, requires_approval=True),
            Tool(read, requires_approval=True, metadata=REPEATABLE),
            Tool(note),
            Tool(wait, metadata={"timeout": None}),
        ],
    ),
    ChosenModel(name="script", model=FunctionModel(stream_function=respond), context_tokens=100_000),
)
