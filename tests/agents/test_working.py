from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agents.working import MOST_UNHEARD, Working

Say = Callable[[int], Coroutine[Any, Any, None]]


def working(work: Callable[[Say], Coroutine[Any, Any, str]]) -> Working[int, str]:
    async def done() -> str:
        return await work(said.say)

    said: Working[int, str] = Working(done, name="tested")
    return said


async def counting(say: Say) -> str:
    for number in range(100):
        await say(number)
    return "counted"


async def test_what_is_said_is_heard_in_order_and_then_there_is_a_result() -> None:
    async with working(counting) as said:
        heard = [number async for number in said]
    assert heard == list(range(100))
    assert said.result == "counted"


async def test_nothing_is_done_before_somebody_listens() -> None:
    async with working(counting) as said:
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="no result"):
        _ = said.result


async def test_the_work_waits_for_who_listens() -> None:
    begun: list[int] = []

    async def work(say: Say) -> str:
        for number in range(100):
            begun.append(number)
            await say(number)
        return ""

    async with working(work) as said:
        assert await anext(said) == 0
        for _ in range(200):  # turns of the loop: as many as it would take to say all
            await asyncio.sleep(0)
        assert len(begun) <= MOST_UNHEARD + 2


async def test_each_is_heard_while_the_work_goes_on() -> None:
    heard = asyncio.Event()

    async def work(say: Say) -> str:
        await say(1)
        await heard.wait()
        await say(2)
        return ""

    async with working(work) as said:
        assert await anext(said) == 1
        heard.set()
        assert await anext(said) == 2


async def test_what_was_said_before_a_failure_is_heard_before_it() -> None:
    async def work(say: Say) -> str:
        await say(1)
        raise ValueError("it failed")

    async with working(work) as said:
        assert await anext(said) == 1
        with pytest.raises(ValueError, match="it failed"):
            await anext(said)


async def test_who_leaves_waits_until_the_work_has_cleaned_up() -> None:
    cleaned: list[str] = []

    async def work(say: Say) -> str:
        try:
            return await counting(say)
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    async with working(work) as said:
        await anext(said)
    assert cleaned == ["up"]


async def test_work_that_swallows_its_cancellation_has_nobody_to_talk_to() -> None:
    async def work(say: Say) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await counting(say)
        return await counting(say)

    async with asyncio.timeout(5), working(work) as said:
        await anext(said)
    with pytest.raises(RuntimeError, match="no result"):
        _ = said.result


async def failing(say: Say) -> str:
    await say(1)
    raise ValueError


@pytest.mark.parametrize("heard", [0, 1, 2])
async def test_what_failed_or_was_left_keeps_nothing(heard: int) -> None:
    gone = asyncio.Event()
    gc.disable()
    try:
        await listened(failing, heard, gone)
        async with asyncio.timeout(5):
            await gone.wait()
    finally:
        gc.enable()


async def listened(work: Callable[[Say], Coroutine[Any, Any, str]], heard: int, gone: asyncio.Event) -> None:
    said = working(work)
    weakref.finalize(said, gone.set)
    with contextlib.suppress(ValueError):
        async with said:
            for _ in range(heard):
                await anext(said)
