"""What every agent under load says, whoever serves it: tokens that tell when they were made.

Each token is twelve characters: its number (4 hexadecimal digits), when it was made (7, of units of 10 µs of
CLOCK_MONOTONIC, which is one clock for all processes of a machine) and a space. So whoever receives text of any length
knows of each token how long it took, and that none is missing, there twice or out of order.

The question says how many, and how fast:

    2000 tokens
    1500 tokens, 50 a second

Nothing but the standard library is needed, so that peers in environments of their own say the same.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from itertools import pairwise

TOKEN_CHARACTERS = 12
_UNIT_NS = 10_000
_NUMBERS, _TIMES = 0xFFFF, 0xFFF_FFFF


def question(tokens: int, per_second: float | None = None) -> str:
    return f"{tokens} tokens" if per_second is None else f"{tokens} tokens, {per_second:g} a second"


def parsed(asked: str) -> tuple[int, float | None]:
    """How many tokens a question asks for, and how many a second. Raises ValueError."""
    found = re.match(r"(\d+) tokens(?:, ([\d.]+) a second)?", asked)
    if found is None:
        raise ValueError(f"no question for tokens: {asked!r}")
    return int(found[1]), float(found[2]) if found[2] else None


async def say(asked: str) -> AsyncGenerator[str]:
    """The tokens that a question asks for.

    Without a rate each comes after one turn of the event loop, as one that a socket had ready would. With a rate each
    is due at a time: that is the time it tells, since a model's server would have sent it then. So an event loop that
    is late shows as lag, and not as a slower model.
    """
    number, per_second = parsed(asked)
    if per_second is None:
        for index in range(number):
            await asyncio.sleep(0)
            yield token(index, time.perf_counter_ns())
        return
    period, began = 1e9 / per_second, time.perf_counter_ns()
    for index in range(number):
        due = began + round(index * period)
        if (wait := due - time.perf_counter_ns()) > 0:
            await asyncio.sleep(wait / 1e9)
        yield token(index, due)


def token(number: int, made_at_ns: int) -> str:
    return f"{number & _NUMBERS:04x}{made_at_ns // _UNIT_NS & _TIMES:07x} "


def lags_ms(text: str, arrived_ns: int) -> list[float]:
    """Of each token of a text, the milliseconds from when it was made to `arrived_ns`."""
    arrived = arrived_ns // _UNIT_NS
    lags = []
    for start in range(0, len(text), TOKEN_CHARACTERS):
        lag = (arrived - int(text[start + 4 : start + 11], 16)) & _TIMES
        # Timers of a loop may be early by less than a millisecond.
        lags.append((lag if lag <= _TIMES >> 1 else lag - _TIMES - 1) * _UNIT_NS / 1e6)
    return lags


def assert_whole(text: str, tokens: int) -> None:
    """Each token of the answer is there, once, in order."""
    assert len(text) == tokens * TOKEN_CHARACTERS, f"{len(text) / TOKEN_CHARACTERS:g} tokens came of {tokens}"
    numbers = [int(text[start : start + 4], 16) for start in range(0, len(text), TOKEN_CHARACTERS)]
    assert not numbers or numbers[0] == 0, f"the first token is {numbers[0]}"
    for before, after in pairwise(numbers):
        assert after == (before + 1) & _NUMBERS, f"token {after} follows token {before}"
