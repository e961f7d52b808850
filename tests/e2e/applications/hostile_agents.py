"""Agents that say what the question says, in every place that the page shows: NETRA_AGENTS names AGENTS.

`echo` answers with the question, thought first, in small pieces. The question's first word may tell it to put the rest
elsewhere: `call` into a call, its result and the error of another, `unknown` into the name of a tool that there is not,
`may` into a request for approval, `ask` into a question to `parrot`, `fail` into the error of the model. `large NAME`
answers with one of LARGE.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

from pydantic_ai import Tool
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaThinkingCalls, DeltaThinkingPart, DeltaToolCall, DeltaToolCalls
from pydantic_ai.models.function import FunctionModel as Scripted

from agents.definition import AgentDefinition
from agents.errors import ModelError, ToolError
from agents.models.choice import ChosenModel
from agents.pydantic_agent import PydanticAgent

PIECE = 17
LARGE_PIECE = 20_000
END = "the very end"

# What takes the highlighter long.
BOMBS = {"js": "a:<?(", "cpp": "0x", "bash": "_", "typescript": "e1"}
LARGE = {
    "prose": "Some *words* of a `long` answer, as [models](https://example.org/) write them.\n\n" * 26_000 + END,
    "line": "word " * 400_000 + END,
    "word": "x" * 2_000_000 + END,
    "items": "- an item of the list\n" * 5000 + f"\n{END}",
    "quotes": "> " * 500 + "x\n\n" + "\n".join("> " * (60 - at) + "y" for at in range(60)) + f"\n\n{END}",
    "lists": "\n".join("  " * at + "- x" for at in range(500)) + f"\n\n{END}",
    "columns": "\n".join("|" + f"{cell}|" * 10_000 for cell in ("a", "-", "b")) + f"\n\n{END}",
    "fence": "```js\n" + "let a = 'an open fence';\n" * 20_000 + END,
    "code": "".join(f"```{name}\n{part * 900}\n```\n\n" for name, part in BOMBS.items()) + END,
}


async def say(
    messages: list[ModelMessage], _info: AgentInfo
) -> AsyncIterator[str | DeltaToolCalls | DeltaThinkingCalls]:
    question, asked = _asked(messages)
    word, _, rest = question.partition(" ")
    match word:
        case "large":
            for piece in _pieces(LARGE[rest], LARGE_PIECE):
                yield piece
            return
        case "fail":
            raise ModelError(rest, retryable=False)
        case "call" if asked == 0:
            yield _call("repeat", 1, {"text": rest, "more": {rest: [rest]}})
            yield _call("refuse", 2, {"text": rest})
        case "unknown" if asked == 0:
            yield {0: DeltaToolCall(name=rest, json_args="{}", tool_call_id="unknown")}
        case "may" if asked == 0:
            yield _call("allowed", 1, {"text": rest, "more": {rest: rest}})
        case "ask" if asked == 0:
            yield _call("ask_parrot", 1, {"question": rest})
        case _:
            yield {0: DeltaThinkingPart(content=question)}
            for piece in _pieces(rest if word in ("call", "unknown", "may", "ask") else question, PIECE):
                yield piece


def _pieces(text: str, longest: int) -> Iterator[str]:
    return (text[at : at + longest] for at in range(0, len(text), longest))


def _call(tool: str, index: int, arguments: dict[str, object]) -> DeltaToolCalls:
    return {index: DeltaToolCall(name=tool, json_args=json.dumps(arguments), tool_call_id=f"{tool}-{index}")}


def _asked(messages: list[ModelMessage]) -> tuple[str, int]:
    """The newest question, and how often the model has answered to it."""
    question, asked = "", 0
    for message in messages:
        if isinstance(message, ModelResponse):
            asked += 1
        elif isinstance(message, ModelRequest):
            for prompt in (part for part in message.parts if isinstance(part, UserPromptPart)):
                question, asked = str(prompt.content), 0
    return question, asked


async def repeat(text: str, more: dict[str, list[str]]) -> dict[str, str]:
    """Say it again.

    Args:
        text: What to say.
        more: What else.
    """
    return {text: text, "more": "".join(more)}


async def refuse(text: str) -> str:
    """Say no.

    Args:
        text: To what.
    """
    raise ToolError(text)


async def allowed(text: str, more: dict[str, str]) -> str:
    """Say it when a person allows it.

    Args:
        text: What to say.
        more: What else.
    """
    return text + "".join(more)


def _agent(name: str, *, tools: tuple[Tool, ...] = (), delegates: tuple[str, ...] = ()) -> PydanticAgent:
    definition = AgentDefinition(
        name=name, description="Says what it is told.", instructions="", tools=tools, delegates=delegates
    )
    model = ChosenModel(name="script", model=Scripted(stream_function=say), context_tokens=10_000_000)
    return PydanticAgent(definition, model)


AGENTS = [
    _agent("echo", tools=(Tool(repeat), Tool(refuse), Tool(allowed, requires_approval=True)), delegates=("parrot",)),
    _agent("parrot"),
]
