"""What is asked while an answer is under way is asked together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from chat.together import MOST_TURNS, Together


class Oracle:
    """Answers with ten times the number, once it may."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.may_answer = asyncio.Event()
        self.asked = asyncio.Event()
        self.failure: BaseException | None = None

    async def __call__(self, group: Sequence[int]) -> list[int]:
        self.groups.append(list(group))
        self.asked.set()
        await self.may_answer.wait()
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return [number * 10 for number in group]


class Ten:
    """Room for numbers that are ten together."""

    def __init__(self) -> None:
        self.left = 10

    def __call__(self, number: int) -> bool:
        self.left -= number
        return self.left >= 0


async def begun(together: Together[int, int], oracle: Oracle, *numbers: int) -> list[asyncio.Task[int]]:
    """The first is under way, the others wait."""
    tasks = [asyncio.create_task(together.ask(numbers[0]))]
    await oracle.asked.wait()
    tasks += [asyncio.create_task(together.ask(number)) for number in numbers[1:]]
    await asyncio.sleep(0)
    return tasks


async def test_each_is_given_its_own_answer_and_what_waits_goes_together() -> None:
    oracle = Oracle()
    together = Together(oracle, name="ask")
    tasks = await begun(together, oracle, 1, 2, 3, 4)
    oracle.may_answer.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
    assert oracle.groups == [[1], [2, 3, 4]]
    assert await together.ask(5) == 50


async def test_what_does_not_fit_waits_for_the_next_group() -> None:
    oracle = Oracle()
    together = Together(oracle, name="ask", room=Ten)
    tasks = await begun(together, oracle, 1, 99, 4, 5, 6)
    oracle.may_answer.set()
    await asyncio.gather(*tasks)
    assert oracle.groups == [[1], [99], [4, 5], [6]]


async def test_a_failure_is_that_of_its_group_alone() -> None:
    oracle = Oracle()
    together = Together(oracle, name="ask")
    tasks = await begun(together, oracle, 1, 2, 3)
    oracle.failure = ValueError("of the first group")
    oracle.may_answer.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[0], ValueError)
    assert outcomes[1:] == [20, 30]


async def test_who_has_gone_is_not_asked_for_any_more() -> None:
    oracle = Oracle()
    together = Together(oracle, name="ask")
    under_way, leaving, staying = await begun(together, oracle, 1, 2, 3)
    under_way.cancel()
    leaving.cancel()
    await asyncio.wait([under_way, leaving])
    oracle.may_answer.set()
    assert await staying == 30
    assert oracle.groups == [[1], [3]]


async def test_all_are_let_go_when_the_asking_is_cancelled() -> None:
    oracle = Oracle()
    together = Together(oracle, name="ask")
    tasks = await begun(together, oracle, 1, 2)
    assert together._asking is not None
    together._asking.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2
    oracle.may_answer.set()
    assert await together.ask(3) == 30


@pytest.mark.parametrize("leaving", [True, False])
async def test_nothing_is_left_behind(leaving: bool) -> None:
    oracle = Oracle()
    together = Together(oracle, name="ask")
    tasks = await begun(together, oracle, 1, 2)
    if leaving:
        tasks[1].cancel()
    oracle.may_answer.set()
    await asyncio.wait(tasks)
    await asyncio.sleep(0)
    assert together._asking is None
    assert not together._waiting


async def test_a_crowd_that_comes_turn_by_turn_goes_together() -> None:
    oracle = Oracle()
    oracle.may_answer.set()
    together = Together(oracle, name="ask", gathers=True)
    tasks = []
    for number in range(5):
        tasks.append(asyncio.create_task(together.ask(number)))
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks) == [0, 10, 20, 30, 40]
    assert oracle.groups == [[0, 1, 2, 3, 4]]


async def test_a_crowd_that_does_not_end_is_not_waited_for() -> None:
    oracle = Oracle()
    oracle.may_answer.set()
    together = Together(oracle, name="ask", gathers=True)
    tasks: list[asyncio.Task[int]] = []
    while not oracle.groups and len(tasks) < 10 * MOST_TURNS:
        tasks.append(asyncio.create_task(together.ask(len(tasks))))
        await asyncio.sleep(0)
    assert MOST_TURNS <= len(oracle.groups[0]) <= MOST_TURNS + 2
    await asyncio.gather(*tasks)


async def test_who_comes_alone_waits_for_nobody() -> None:
    oracle = Oracle()
    oracle.may_answer.set()
    together = Together(oracle, name="ask", gathers=True)
    asked = asyncio.create_task(together.ask(1))
    for _ in range(4):
        await asyncio.sleep(0)
    assert oracle.groups == [[1]]
    assert await asked == 10


async def test_all_are_let_go_when_the_gathering_is_cancelled() -> None:
    oracle = Oracle()
    together = Together(oracle, name="ask", gathers=True)
    tasks = [asyncio.create_task(together.ask(number)) for number in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert together._asking is not None
    together._asking.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert not oracle.groups
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2
