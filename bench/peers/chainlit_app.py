"""The application that Chainlit runs: an answer that streams, as its documentation has it.

It is copied beside `bench/tokens.py` into a folder of its own, and run by Chainlit's environment.
"""

from __future__ import annotations

import chainlit  # type: ignore[import-not-found]  # in an environment of its own
from tokens import say  # type: ignore[import-not-found]


@chainlit.on_message  # type: ignore[untyped-decorator]
async def answer(question: chainlit.Message) -> None:
    said = chainlit.Message(content="")
    async for token in say(question.content):
        await said.stream_token(token)
    await said.send()
