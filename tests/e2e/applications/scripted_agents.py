"""Agents that do the same for the same question, for the tests of the page: NETRA_AGENTS names AGENTS.

`clerk` writes letters when a person allows it; `manager` asks it; `forgetful` has a short memory. What they do for a
question is in SCRIPTS: a list of tool calls and text for each request to the model. To any other question they say that
they do not know.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from pydantic_ai import Tool
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaThinkingCalls, DeltaThinkingPart, DeltaToolCall, DeltaToolCalls
from pydantic_ai.models.function import FunctionModel as Scripted

from agents.definition import AgentDefinition
from agents.errors import ToolError
from agents.models.choice import ChosenModel
from agents.pydantic_agent import PydanticAgent
from agents.tools.context import ToolContext

Piece = str | DeltaToolCalls | DeltaThinkingCalls

WRITE = "Thank Grace for the compiler."
WRITE_TWICE = "Thank Grace, and thank Ada."
DELEGATE = "Have a letter written to Grace."
DELEGATE_IN_VAIN = "Have the archive searched."
HOSTILE = "Write what the web page says."
LARGE = "Send the whole book."

LETTER = "Dear Grace,\n\nthe compiler works. Thank you!\n\nYours"
HOSTILE_NAME = 'grace\u202egro.elpmaxe@<img src=x onerror="document.title=1">\u200b'
HOSTILE_TEXT = "<script>document.title=2</script>\n[x](javascript:alert(1)) **bold** \u0007 end of the letter"
BOOK = " ".join(f"word{number}" for number in range(4000)) + " the very end"


def call(tool: str, index: int = 0, **arguments: Any) -> DeltaToolCalls:
    return {index: DeltaToolCall(name=tool, json_args=json.dumps(arguments), tool_call_id=f"{tool}-{index}")}


def thought(text: str) -> DeltaThinkingCalls:
    return {0: DeltaThinkingPart(content=text)}


SCRIPTS: dict[str, list[list[Piece]]] = {
    WRITE: [["I have a draft. ", call("send_letter", 1, to="grace", text=LETTER)], ["That is all."]],
    WRITE_TWICE: [
        [
            call("send_letter", 1, to="grace", text=LETTER),
            call("send_letter", 2, to="ada", text="Dear Ada, thank you."),
        ],
        ["Both are answered."],
    ],
    DELEGATE: [
        [
            thought("A letter is the clerk's work."),
            call("ask_clerk", 1, question=WRITE),
            call("ask_clerk", 2, question="How many words has it?"),
        ],
        ["The clerk has done it."],
    ],
    "How many words has it?": [
        [thought("It must be counted."), call("count", 1, text=LETTER)],
        ["Seven words."],
    ],
    DELEGATE_IN_VAIN: [[call("ask_clerk", 1, question="Search the archive.")], ["There is no archive."]],
    "Search the archive.": [[call("search_archive", 1, query="compiler")], ["Nothing can be found."]],
    HOSTILE: [[call("send_letter", 1, to=HOSTILE_NAME, text=HOSTILE_TEXT)], ["It was sent."]],
    LARGE: [[call("send_letter", 1, to="grace", text=BOOK)], ["It was sent."]],
}


async def say(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Piece]:
    """What the script has for the question, and for the number of times that the model was asked about it."""
    question, asked = "", 0
    for message in messages:
        if isinstance(message, ModelResponse):
            asked += 1
        elif isinstance(message, ModelRequest) and (
            prompts := [p for p in message.parts if isinstance(p, UserPromptPart)]
        ):
            question, asked = str(prompts[-1].content), 0
    script = SCRIPTS.get(question, [["I do not know."]])
    for piece in script[min(asked, len(script) - 1)]:
        yield piece


async def send_letter(to: str, text: str) -> str:
    """Send a letter.

    Args:
        to: Whose letter it is.
        text: What it says.
    """
    return f"sent to {to}: {len(text)} characters"


async def count(text: str) -> int:
    """Count words.

    Args:
        text: The words.
    """
    return len(text.split())


async def search_archive(query: str) -> str:
    """Search the archive.

    Args:
        query: What to look for.
    """
    raise ToolError(f"the archive burned down, and {query!r} with it")


def scripted_agent(
    name: str,
    description: str,
    *,
    tools: Sequence[Tool[ToolContext]] = (),
    delegates: Sequence[str] = (),
    context_tokens: int = 32_000,
) -> PydanticAgent:
    definition = AgentDefinition(
        name=name, description=description, instructions="Follow the script.", tools=tools, delegates=delegates
    )
    model = ChosenModel(name="script", model=Scripted(stream_function=say), context_tokens=context_tokens)
    return PydanticAgent(definition, model)


AGENTS = [
    scripted_agent(
        "clerk",
        "Writes letters, when you allow it.",
        tools=[Tool(send_letter, requires_approval=True), Tool(count), Tool(search_archive)],
    ),
    scripted_agent("manager", "Has others write letters.", delegates=("clerk",)),
    scripted_agent("forgetful", "Remembers what was said last.", context_tokens=150),
]
