"""Agents for the tests of what can be done to messages: NETRA_AGENTS names AGENTS.

`echo` and `parrot` say what they were asked, with a number that counts their answers to the same question. For each
question once, they break off in the middle of "break" and say nothing before they fail at "fail"; at "wait" they wait
until a file `go` is there, in the folder SCRIPTED_FOLDER.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agents.definition import AgentDefinition
from agents.errors import ModelError
from agents.models.choice import ChosenModel
from agents.pydantic_agent import PydanticAgent

SOURCE = """Here is **the** source, with _signs_:

```python
print("hello")
```

| a | b |
|---|---|
| 1 | 2 |
"""
_asked: Counter[str] = Counter()


async def say(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
    parts = [part for message in messages if isinstance(message, ModelRequest) for part in message.parts]
    question = [str(part.content) for part in parts if isinstance(part, UserPromptPart)][-1]
    _asked[question] += 1
    number = _asked[question]
    if question.startswith("source"):
        yield SOURCE
        return
    if question.startswith("wait"):
        yield "I wait. "
        while not (Path(os.environ["SCRIPTED_FOLDER"]) / "go").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)
    if question.startswith("break") and number == 1:
        yield "This is half of "
    if question.startswith(("fail", "break")) and number == 1:
        raise ModelError("The model is away", retryable=True)
    yield f"{question}, answer {number}"


def _agent(name: str, description: str) -> PydanticAgent:
    definition = AgentDefinition(name=name, description=description, instructions="")
    return PydanticAgent(
        definition, ChosenModel(name="moody", model=FunctionModel(stream_function=say), context_tokens=9000)
    )


AGENTS = [_agent("echo", "Says what you say."), _agent("parrot", "Says it, too.")]
