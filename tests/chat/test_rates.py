"""What is counted in the time just gone by: the same rule in the memory of a process and in a real Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from chat import rates
from chat.rates import PREFIX, Rate, Rates
from chat.shared_redis import SharedRedis
from netra.redis_url import channels_host
from tests.processes import LiveRedis, until

Later = Callable[[float], None]


@pytest.fixture(params=["in process", "redis"])
def counting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Rates, Later]]:
    """Counts, and a way to let time go by."""
    if request.param == "in process":
        at = [time.monotonic()]
        monkeypatch.setattr(rates.time, "monotonic", lambda: at[0])  # type: ignore[attr-defined]

        def go_on(seconds: float) -> None:
            at[0] += seconds

        yield Rates(SharedRedis([])), go_on
        return
    url = request.getfixturevalue("redis_url")
    with redis.Redis.from_url(url) as client:

        def grow_old(seconds: float) -> None:
            """Redis has a clock of its own: what is counted becomes older instead."""
            for key in client.keys(f"{PREFIX}:*"):
                for place, moment in enumerate(client.lrange(key, 0, -1)):
                    client.lset(key, place, str(int(moment) - round(seconds * 1000)))

        yield Rates(SharedRedis([channels_host(url)])), grow_old
        assert client.keys(f"{PREFIX}:*"), "it was counted in Redis"
        client.flushdb()


def had_room(counting: Rates, *asked: tuple[str, Rate]) -> bool:
    return all(count.had_room for count in counting.count(*asked))


def test_as_many_as_are_allowed_and_then_when_the_first_is_old(counting: tuple[Rates, Later]) -> None:
    count, later = counting
    rate = Rate(3)
    assert had_room(count, ("a", rate))
    later(20)
    found = [count.count(("a", rate))[0] for _ in range(4)]
    assert [each.had_room for each in found] == [True, True, False, False]
    assert [each.used for each in found] == [2, 3, 3, 3]
    assert [each.remaining for each in found] == [1, 0, 0, 0]
    assert 39 <= found[-1].more_in <= 40, "the first one is forgotten then"
    later(41)
    found = [count.count(("a", rate))[0] for _ in range(2)]
    assert [each.had_room for each in found] == [True, False]
    assert 18 <= found[-1].more_in <= 20, "what was refused is not counted"


def test_either_all_or_nothing_is_counted(counting: tuple[Rates, Later]) -> None:
    count, _ = counting
    own, everybody = ("own", Rate(5)), ("everybody", Rate(2))
    assert had_room(count, own, everybody)
    assert had_room(count, own, everybody)
    found = count.count(own, everybody)
    assert [each.had_room for each in found] == [True, False]
    assert count.look("own").used == 2


def test_others_have_room(counting: tuple[Rates, Later]) -> None:
    count, _ = counting
    assert [had_room(count, ("a", Rate(1))) for _ in range(2)] == [True, False]
    assert had_room(count, ("b", Rate(1)))


def test_looking_counts_nothing(counting: tuple[Rates, Later]) -> None:
    count, later = counting
    assert count.look("a").used == 0
    assert had_room(count, ("a", Rate(3)))
    assert [count.look("a").used for _ in range(5)] == [1] * 5
    later(61)
    assert count.look("a").used == 0
    assert had_room(count, ("a", Rate(3)))


def test_a_number_that_is_lowered_holds_at_once(counting: tuple[Rates, Later]) -> None:
    count, later = counting
    for _ in range(5):
        assert had_room(count, ("a", Rate(10)))
        later(10)
    [found] = count.count(("a", Rate(2)))
    assert (found.had_room, found.used, found.remaining) == (False, 5, 0)
    assert 39 <= found.more_in <= 40, "until only one of them is left"
    later(41)
    assert had_room(count, ("a", Rate(2)))


def test_of_many_at_once_exactly_so_many_have_room(counting: tuple[Rates, Later]) -> None:
    count, _ = counting
    asked = ("a", Rate(30)), ("b", Rate(1000))
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(lambda _: had_room(count, *asked), range(100)))
    assert sum(found) == 30
    assert count.look("b").used == 30


def test_processes_that_share_a_redis_count_together(redis_url: str) -> None:
    processes = [Rates(SharedRedis([channels_host(redis_url)])) for _ in range(4)]
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(lambda place: had_room(processes[place % 4], ("together", Rate(25))), range(100)))
    assert sum(found) == 25


def test_a_count_is_one_round_trip(redis_url: str) -> None:
    count = Rates(SharedRedis([channels_host(redis_url)]))
    count.count(("trip", Rate(5)))
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:

        def calls() -> int:
            told: Any = client.info("stats")
            return int(told["total_commands_processed"])

        before = calls()
        count.count(("trip", Rate(5)), ("other", Rate(5)))
        inside = 2 * 3 + 1 + 2 * 2 + 1  # LINDEX, LINDEX, LLEN; TIME; LPUSH, PEXPIRE; and INFO itself
        assert calls() - before <= inside + 1, "one EVALSHA, and what it does there"


def test_what_nobody_needs_any_more_is_forgotten(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count = Rates(SharedRedis([channels_host(redis_url)]))
    assert had_room(count, ("short", Rate(1, seconds=0.2)))
    with redis.Redis.from_url(redis_url) as client:
        until(lambda: not client.exists(f"{PREFIX}:short"), what="the key to expire")
    assert had_room(count, ("short", Rate(1, seconds=0.2)))
    here = Rates(SharedRedis([]))
    at = time.monotonic()
    monkeypatch.setattr(rates.time, "monotonic", lambda: at)  # type: ignore[attr-defined]
    monkeypatch.setattr(rates, "TIDY_AFTER", 10)
    for number in range(9):
        here.count((f"person {number}", Rate(1)))
    at += 61
    here.count(("somebody", Rate(1)))
    assert list(here._here) == ["somebody"]


def test_while_redis_is_away_each_process_counts_and_nothing_fails() -> None:
    with LiveRedis() as server:
        one, other = (Rates(SharedRedis([channels_host(server.url)])) for _ in range(2))
        assert had_room(one, ("a", Rate(2)))
        server.kill()
        assert [had_room(each, ("a", Rate(2))) for each in (one, one, one, other, other, other)] == [
            *(True, True, False),
            *(True, True, False),
        ]
