"""What `bench/soak.py` takes for growth."""

import random

import pytest

from bench.soak import grown


def has_grown(values: list[float], name: str = "web fds") -> bool:
    return grown(name, values)[3]


def test_what_rises_steadily_has_grown() -> None:
    assert has_grown([100 + number / 10 for number in range(360)])
    assert has_grown([180_000 + 50.0 * number for number in range(360)], "web rss_kb")


def test_what_rises_steadily_under_a_load_that_comes_and_goes_has_grown() -> None:
    chance = random.Random(1)
    assert has_grown([100 + number / 4 + chance.uniform(-20, 20) for number in range(360)])


@pytest.mark.parametrize("seed", range(20))
def test_what_comes_and_goes_has_not(seed: int) -> None:
    chance = random.Random(seed)
    assert not has_grown([chance.uniform(50, 150) for _ in range(360)])


def test_what_grows_while_it_warms_up_has_not() -> None:
    assert not has_grown([min(number, 100) for number in range(360)])


def test_one_more_of_few_has_not() -> None:
    assert not has_grown([10.0] * 240 + [11.0] * 120)


def test_what_shrinks_has_not() -> None:
    assert not has_grown([360.0 - number for number in range(360)])
