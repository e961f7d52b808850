"""How often a secret may be guessed, counted in the process and in a real Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from chat.attempt_limit import LIMITS, AttemptLimit, Guarded, Limits
from chat.errors import ChatError, ErrorCode
from chat.shared_redis import SharedRedis
from netra.redis_url import channels_host
from tests.processes import LiveRedis

HERE, THERE, ELSEWHERE = "192.0.2.1", "192.0.2.2", "198.51.100.3"
SIGN_IN = Guarded.SIGN_IN


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def go(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "time", lambda: made.now)
    return made


@pytest.fixture(params=["in process", "redis"])
def limit(request: pytest.FixtureRequest) -> Iterator[AttemptLimit]:
    if request.param == "in process":
        yield AttemptLimit(SharedRedis([]))
        return
    url = request.getfixturevalue("redis_url")
    yield AttemptLimit(SharedRedis([channels_host(url)]))
    with redis.Redis.from_url(url) as client:
        assert client.keys("netra.attempts*"), "it was counted in Redis"
        client.flushdb()


def refused(limit: AttemptLimit, name: str, address: str, guarded: Guarded = SIGN_IN) -> float:
    """Seconds to wait; 0 when the attempt is let through."""
    try:
        limit.spend(guarded, name, address)
    except ChatError as error:
        assert error.code == ErrorCode.RATE_LIMITED
        assert error.retry_after is not None
        return error.retry_after
    return 0.0


def let_through(limit: AttemptLimit, clock: Clock, name: str, address: str, *, seconds: float) -> int:
    """How many attempts get through in so long of somebody who does not stop, and waits when told to."""
    until, number = clock.now + seconds, 0
    while clock.now < until:
        if wait := refused(limit, name, address):
            clock.go(wait)
        else:
            number += 1
    return number


def test_guessing_becomes_slower_the_longer_it_goes_on(limit: AttemptLimit, clock: Clock) -> None:
    assert [refused(limit, "ann", HERE) for _ in range(5)] == [0] * 5
    first = refused(limit, "ann", HERE)
    assert 55 <= first <= 61
    clock.go(first)
    assert [refused(limit, "ann", HERE) for _ in range(5)] == [0] * 5
    second = refused(limit, "ann", HERE)
    assert 480 <= second <= 601, "the second wait is longer"
    clock.go(second)
    assert let_through(limit, clock, "ann", HERE, seconds=86_400 - 700) <= 40, "of a day, with the ten before"


def test_what_is_refused_is_not_counted(limit: AttemptLimit, clock: Clock) -> None:
    for _ in range(5):
        limit.spend(SIGN_IN, "ann", HERE)
    waits = [refused(limit, "ann", HERE) for _ in range(30)]
    assert all(waits)
    clock.go(waits[0])
    assert not refused(limit, "ann", HERE)


def test_who_knows_the_password_begins_anew(limit: AttemptLimit, clock: Clock) -> None:
    for _ in range(4):
        for _ in range(5):
            limit.spend(SIGN_IN, "ann", HERE)
        limit.succeeded(SIGN_IN, "ann", HERE)
    assert not refused(limit, "ann", HERE)


def test_who_guesses_does_not_lock_out_who_signs_in_from_another_address(limit: AttemptLimit, clock: Clock) -> None:
    while not refused(limit, "ann", ELSEWHERE):
        pass
    assert not refused(limit, "ann", HERE)


def test_a_name_that_is_guessed_from_everywhere_is_slowed_down_but_not_where_its_person_was(
    limit: AttemptLimit, clock: Clock
) -> None:
    limit.succeeded(SIGN_IN, "ann", HERE)
    addresses = [f"198.51.100.{number}" for number in range(60)]
    assert sum(not refused(limit, "ann", address) for address in addresses) == 20
    assert refused(limit, "ann", THERE), "nobody was here before"
    assert not refused(limit, "ann", HERE)
    assert not refused(limit, "bob", addresses[0])


def test_an_address_that_tries_many_names_is_slowed_down(limit: AttemptLimit, clock: Clock) -> None:
    names = [f"name-{number}" for number in range(100)]
    assert sum(not refused(limit, name, HERE) for name in names) == 60
    assert not refused(limit, "name-0", THERE)


def test_of_many_attempts_at_once_no_more_get_through(limit: AttemptLimit) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        waits = list(pool.map(lambda _: refused(limit, "ann", HERE), range(40)))
    assert sum(not wait for wait in waits) <= 5


def test_two_processes_count_together_in_redis(redis_url: str, clock: Clock) -> None:
    one, other = (
        AttemptLimit(SharedRedis([channels_host(redis_url)])),
        AttemptLimit(SharedRedis([channels_host(redis_url)])),
    )
    for limit in (one, other, one, other, one):
        limit.spend(SIGN_IN, "together", HERE)
    assert refused(one, "together", HERE)
    assert refused(other, "together", HERE)


def test_while_redis_is_away_the_process_counts(caplog: pytest.LogCaptureFixture) -> None:
    with LiveRedis() as server:
        limit = AttemptLimit(SharedRedis([channels_host(server.url)]))
        limit.spend(SIGN_IN, "ann", HERE)
        server.kill()
        began = time.monotonic()
        assert [bool(refused(limit, "ann", HERE)) for _ in range(6)] == [False] * 5 + [True]
        assert time.monotonic() - began < 3
    assert "counting_redis_lost" in caplog.text


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1:5678", "192.0.2.1", True),
        ("[2001:db8::1]:443", "2001:db8::2", True),
        ("", "nonsense", True),
        ("[::1", "nonsense", True),
    ],
)
def test_a_network_of_ipv6_is_one_person(one: str, other: str, is_same: bool) -> None:
    limit = AttemptLimit(SharedRedis([]), limits={SIGN_IN: Limits("9/minute", "1/minute", "9/minute")})
    limit.spend(SIGN_IN, "ann", one)
    assert bool(refused(limit, "bob", other)) is is_same


def test_nothing_that_was_typed_is_kept(redis_url: str) -> None:
    AttemptLimit(SharedRedis([channels_host(redis_url)])).spend(SIGN_IN, "hunter2", HERE)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        keys: Any = client.keys("*")
        assert keys
        assert not [key for key in keys if "hunter2" in key]


def test_everything_that_is_guarded_has_its_limits() -> None:
    assert set(LIMITS) == set(Guarded)


@pytest.mark.parametrize(("seconds", "words"), [(1, "6[01] seconds"), (600, "1[01] minutes"), (86_400, "2[45] hours")])
def test_the_wait_is_said_in_words(seconds: int, words: str) -> None:
    limit = AttemptLimit(
        SharedRedis([]), limits={SIGN_IN: Limits(f"1 per {max(60, seconds)} seconds", "9/minute", "9/minute")}
    )
    limit.spend(SIGN_IN, "ann", HERE)
    with pytest.raises(ChatError, match=words):
        limit.spend(SIGN_IN, "ann", HERE)
