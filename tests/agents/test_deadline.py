from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agents.deadline import Deadline, DeadlinePassed, Silence


async def counting(*numbers: int) -> AsyncIterator[int]:
    for number in numbers:
        yield number


async def hanging() -> AsyncIterator[int]:
    await asyncio.Event().wait()
    yield 0


async def test_items_in_time_pass_through() -> None:
    deadline, items = Deadline(30), counting(1, 2)
    assert [await deadline.next(items), await deadline.next(items)] == [1, 2]
    with pytest.raises(StopAsyncIteration):
        await deadline.next(items)
    deadline.cancel()


async def test_a_wait_is_interrupted() -> None:
    with pytest.raises(DeadlinePassed):
        await Deadline(0.001).next(hanging())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_no_time_at_all_starts_nothing() -> None:
    with pytest.raises(DeadlinePassed):
        await Deadline(0).next(counting(1))


async def test_after_the_end_nothing_more_is_asked_for() -> None:
    deadline = Deadline(0.001)
    with pytest.raises(DeadlinePassed):
        await deadline.next(hanging())
    with pytest.raises(DeadlinePassed):
        await deadline.next(counting(1))


@pytest.mark.parametrize("error", [ValueError, StopAsyncIteration])
async def test_what_an_iterator_makes_of_the_interruption_does_not_matter(error: type[Exception]) -> None:
    class Converting:
        def __aiter__(self) -> Converting:
            return self

        async def __anext__(self) -> int:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise error from None
            return 0

    with pytest.raises(DeadlinePassed):
        await Deadline(0.001).next(Converting())


async def test_a_cancellation_by_someone_else_stays_one() -> None:
    deadline, waiting = Deadline(30), asyncio.Event()

    async def items() -> AsyncIterator[int]:
        waiting.set()
        await asyncio.Event().wait()
        yield 0

    task = asyncio.create_task(deadline.next(items()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    deadline.cancel()


async def test_a_cancellation_by_someone_else_wins_over_the_deadline() -> None:
    async def items() -> AsyncIterator[int]:
        current = asyncio.current_task()
        assert current is not None
        try:
            await asyncio.Event().wait()
        finally:
            # Cancelled a second time while the interruption is under way.
            current.cancel()
        yield 0

    task = asyncio.create_task(Deadline(0.001).next(items()))
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_silence_is_counted_from_each_item_anew() -> None:
    async def slow() -> AsyncIterator[int]:
        for number in range(4):
            await asyncio.sleep(0.15)  # all four are longer than the silence, each has room for a busy machine
            yield number
        await asyncio.Event().wait()

    silence, items = Silence(0.5), slow()
    assert [await silence.next(items) for _ in range(4)] == [0, 1, 2, 3]
    began = asyncio.get_running_loop().time()
    with pytest.raises(DeadlinePassed):
        await silence.next(items)
    assert asyncio.get_running_loop().time() - began >= 0.49


async def test_who_does_not_wait_hears_no_silence() -> None:
    silence, items = Silence(0.01), counting(1, 2)
    await silence.next(items)
    await asyncio.sleep(0.05)
    assert await silence.next(items) == 2
    silence.cancel()
