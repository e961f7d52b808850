"""An agent that writes MARKDOWN, PIECE characters at a time and RATE times a second: NETRA_AGENTS names AGENTS.

To `short` it answers with one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models.function import AgentInfo
from pydantic_ai.models.function import FunctionModel as Scripted

from agents.definition import AgentDefinition
from agents.models.choice import ChosenModel
from agents.pydantic_agent import PydanticAgent

PIECE = 6
RATE = 400.0
SECTION = """## What was found in part {number}

Some **words** of a long answer, as [models](https://example.org/{number}) write them, with `code` and *emphasis*: they
go on for a while, so that a paragraph has more than one line, and then they end.

- one item of a list
- another, with **bold** text
  1. and one within it

| name | value |
|---|---|
| size | {number} |

```python
def part(number: int) -> str:
    return f"part {{number}} of {number}"
```

"""
MARKDOWN = "".join(SECTION.format(number=number) for number in range(1, 28)) + "The end."


async def say(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
    prompts = [
        part
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart)
    ]
    if prompts[-1].content == "short":
        yield "A short answer."
        return
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number, start in enumerate(range(0, len(MARKDOWN), PIECE)):
        await asyncio.sleep(began + number / RATE - loop.time())
        yield MARKDOWN[start : start + PIECE]


AGENTS = [
    PydanticAgent(
        AgentDefinition(name="paced", description="Writes at a steady pace.", instructions=""),
        ChosenModel(name="script", model=Scripted(stream_function=say), context_tokens=10_000_000),
    )
]
