"""Two agents for pictures of the page, beside the roster: NETRA_AGENTS names AGENTS.

`writer` thinks, and writes an answer that has everything; asked for the long one, it goes on from the middle when the
file SHOWCASE_GO is there. `unlucky` loses its model in mid-answer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaThinkingCalls, DeltaThinkingPart, FunctionModel

from agents.definition import AgentDefinition
from agents.errors import ModelError
from agents.models.choice import ChosenModel
from agents.pydantic_agent import PydanticAgent

LONG = "How do I keep a retry from making things worse?"
SHORT = "Show me the same in Python."
GO = "SHOWCASE_GO"

THOUGHT = """The question is about retries under load. Three things matter: whether the request may be repeated at all,
how long to wait, and when to give up. A table makes the waiting concrete."""
BEGINNING = """A retry is a second request at the worst moment: when the other side is already in trouble. **Wait longer
each time, and never all at once.**

1. Repeat only what may be repeated: a request with a key that makes the second one harmless.
2. Wait twice as long as before, and a random part of it, so that clients do not come back in step.
3. Give up after a deadline, not after a number of tries.

| try | waits at most | together |
|----:|--------------:|---------:|
| 1   | 0.5 s         | 0.5 s    |
| 2   | 1 s           | 1.5 s    |
| 3   | 2 s           | 3.5 s    |
"""
END = """
> A limit on retries for the whole client, say one for every ten requests, keeps a bad minute from becoming a bad hour.

The expected wait before try $n$ is $b \\cdot 2^{n-1} / 2$.
"""
CODE = """The waiting belongs in one place:

```python
async def repeated(request: Request, *, deadline: float) -> Answer:
    for attempt in itertools.count():
        try:
            return await send(request)
        except Unavailable:
            pause = random.uniform(0, 0.5 * 2**attempt)
            if time.monotonic() + pause > deadline:
                raise
            await asyncio.sleep(pause)
```
"""


async def write(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str | DeltaThinkingCalls]:
    if _question(messages) != LONG:
        yield CODE
        return
    yield {0: DeltaThinkingPart(content=THOUGHT)}
    yield BEGINNING
    while not _go().exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)
    yield END


def _go() -> Path:
    return Path(os.environ[GO])


async def lose(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
    yield "Of the three servers the first one answers well, and the second"
    raise ModelError("The model cannot be reached", retryable=True)


def _question(messages: list[ModelMessage]) -> str:
    parts = messages[-1].parts if isinstance(messages[-1], ModelRequest) else ()
    return next((str(part.content) for part in reversed(parts) if isinstance(part, UserPromptPart)), "")


def _agent(name: str, description: str, model: FunctionModel) -> PydanticAgent:
    chosen = ChosenModel(name="showcase", model=model, context_tokens=100_000)
    return PydanticAgent(AgentDefinition(name=name, description=description, instructions=""), chosen)


AGENTS = [
    _agent("writer", "Explains, with tables and code.", FunctionModel(stream_function=write)),
    _agent("unlucky", "Loses its model.", FunctionModel(stream_function=lose)),
]
