"""How many connections a user has, in the memory of a process and in a real Redis; none is counted for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from channels.db import database_sync_to_async
from django.conf import settings

from chat import handshake, leases, places
from chat.leases import PREFIX, Lease, Leases
from chat.models import Allowance
from chat.shared_redis import SharedRedis
from netra.redis_url import channels_host
from netra.testing import Netra, eventually, receive
from tests.processes import LiveRedis, until

USER = 7


def process(*hosts: str) -> Leases:
    return Leases(SharedRedis([channels_host(host) for host in hosts]))


@pytest.fixture
def redis_client(redis_url: str) -> Any:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture(params=["in process", "redis"])
def places_of_one(request: pytest.FixtureRequest) -> Leases:
    if request.param == "in process":
        return process()
    request.getfixturevalue("redis_client")
    return process(request.getfixturevalue("redis_url"))


def taken(of: Leases, *, allowed: int, user: int = USER) -> Lease | None:
    lease = of.new(user)
    return lease if of.take([(lease, allowed)]) == [True] else None


def left(of: Leases, lease: Lease) -> None:
    of.leave(lease)
    of.give_back(lease)


def test_there_are_as_many_places_as_are_allowed(places_of_one: Leases) -> None:
    first, second, third = (taken(places_of_one, allowed=2) for _ in range(3))
    assert first
    assert second
    assert third is None
    assert (places_of_one.used(USER), len(places_of_one)) == (2, 2)
    assert taken(places_of_one, allowed=2, user=8), "another user has places of their own"
    left(places_of_one, first)
    left(places_of_one, first)
    assert places_of_one.used(USER) == 1, "once, however often it is left"
    assert taken(places_of_one, allowed=2)
    assert taken(places_of_one, allowed=2) is None
    assert taken(places_of_one, allowed=3), "more are allowed by now"


def test_of_many_at_once_exactly_so_many_have_a_place(places_of_one: Leases) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(lambda _: taken(places_of_one, allowed=20), range(60)))
    assert sum(lease is not None for lease in found) == 20
    assert places_of_one.used(USER) == 20


def test_processes_that_share_a_redis_have_the_places_together(redis_url: str, redis_client: Any) -> None:
    two = [process(redis_url), process(redis_url)]
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(lambda number: taken(two[number % 2], allowed=20), range(40)))
    assert sum(lease is not None for lease in found) == 20
    assert [each.used(USER) for each in two] == [20, 20]
    assert sum(len(each) for each in two) == 20


def test_those_of_a_process_that_was_killed_end_by_themselves(
    redis_url: str, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, other = process(redis_url), process(redis_url)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.3)
    for _ in range(3):
        assert taken(killed, allowed=3)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 60.0)
    until(lambda: taken(other, allowed=1), what="its leases to end")
    assert other.used(USER) == 1


def test_a_lease_ends_within_a_minute_and_is_renewed_before() -> None:
    assert leases.LEASE_SECONDS <= 60
    assert 2 * leases.RENEW_SECONDS < leases.LEASE_SECONDS


def test_renewing_goes_on_for_all_at_once_and_tells_a_redis_that_has_forgotten(
    redis_url: str, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWED_AT_ONCE", 2)
    one = process(redis_url)
    held = [taken(one, allowed=9, user=user) for user in (1, 1, 2, 3, 3)]
    # Each is half over.
    before = {lease: redis_client.zincrby(lease.key, -20_000, lease.name) for lease in held if lease}
    one.renew()
    assert all(redis_client.zscore(lease.key, lease.name) >= end + 20_000 for lease, end in before.items())
    redis_client.flushdb()
    assert one.used(1) == 0
    one.renew()
    assert [one.used(user) for user in (1, 2, 3)] == [2, 1, 2]
    assert 0 < redis_client.pttl(f"{PREFIX}:1") <= leases.LEASE_SECONDS * 1000, "and nothing stays for ever"


def test_what_is_left_while_it_is_taken_leaves_nothing(
    redis_url: str, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client has gone while Redis was asked: the answer comes to nobody."""
    one = process(redis_url)
    take: Any = one._take

    def take_late(**asked: Any) -> Any:
        one.leave(lease)
        one.give_back(lease)
        return take(**asked)

    monkeypatch.setattr(one, "_take", take_late)
    lease = one.new(USER)
    assert one.take([(lease, 5)]) == [False]
    assert (one.used(USER), len(one)) == (0, 0)
    one.renew()
    assert redis_client.keys(f"{PREFIX}:*") == []


def test_what_is_given_back_while_all_are_renewed_does_not_come_back(
    redis_url: str, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = process(redis_url)
    lease = taken(one, allowed=1)
    assert lease
    renew: Any = one._renew
    leaving = threading.Thread(target=left, args=(one, lease))

    def renew_meanwhile(**asked: Any) -> Any:
        leaving.start()
        until(lambda: lease.is_left, what="the lease to be left")
        return renew(**asked)

    monkeypatch.setattr(one, "_renew", renew_meanwhile)
    one.renew()
    leaving.join()
    assert one.used(USER) == 0


def test_while_redis_is_away_each_process_has_the_places_for_itself() -> None:
    with LiveRedis() as server:
        two = [process(server.url), process(server.url)]
        first = taken(two[0], allowed=2)
        assert first
        server.kill()
        for each, more in zip(two, (1, 2), strict=True):
            assert [taken(each, allowed=2) is not None for _ in range(3)] == [True] * more + [False] * (3 - more)
        left(two[0], first)
        assert taken(two[0], allowed=2)


# Sockets and streams


@pytest.fixture
def with_redis(redis_client: Any, redis_url: str, settings: Any) -> None:
    settings.REDIS_HOSTS = [channels_host(redis_url)]


async def nobody_is_connected(netra: Netra, user: Any) -> None:
    async def nobody() -> bool:
        await netra.chat.places.settled()
        return await database_sync_to_async(netra.chat.places.leases.used)(user.pk) == 0

    await eventually(nobody)


async def code_of(netra: Netra, user: Any) -> str:
    """How a handshake ends."""
    socket = netra.communicator(headers=netra.headers(user))
    await socket.connect()
    frame = await receive(socket)
    return str(frame.get("error_code", frame["type"]))


async def test_a_person_has_as_many_sockets_as_an_administrator_said(with_redis: None, netra: Netra) -> None:
    ann, bob = await netra.user("ann"), await netra.user("bob")
    await database_sync_to_async(Allowance.objects.create)(user=ann, connections=2)
    one, _ = await netra.connect(ann), await netra.connect(ann)
    assert await code_of(netra, ann) == "TOO_MANY_CONNECTIONS"
    assert await code_of(netra, bob) == "connection_established"
    await one.disconnect()
    await netra.chat.places.settled()
    assert await code_of(netra, ann) == "connection_established"
    await netra.close()
    await nobody_is_connected(netra, ann)
    assert netra.chat.places._renewing is None, "nothing is renewed when nobody is there"


async def test_a_handshake_that_takes_too_long_keeps_no_place(
    with_redis: None, netra: Netra, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    ann = await netra.user("ann")
    asked, answered = threading.Event(), threading.Event()
    take: Callable[..., list[bool]] = netra.chat.places.leases.take

    def take_late(wanted: Sequence[tuple[Lease, int]]) -> list[bool]:
        asked.set()
        answered.wait(10)
        return take(wanted)

    monkeypatch.setattr(netra.chat.places.leases, "take", take_late)
    settings.NETRA = settings.NETRA.model_copy(update={"ws_connect_timeout": 0.2})
    assert await code_of(netra, ann) == "SERVICE_UNAVAILABLE"
    assert asked.is_set()
    answered.set()
    await nobody_is_connected(netra, ann)


async def test_a_handshake_that_fails_after_it_keeps_no_place(
    with_redis: None, netra: Netra, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await netra.user("ann")

    def broken(**_: Any) -> None:
        raise RuntimeError("no greeting")

    monkeypatch.setattr(handshake, "connection_established", broken)
    assert await code_of(netra, ann) == "SERVICE_UNAVAILABLE"
    await netra.close()
    await nobody_is_connected(netra, ann)


async def test_leases_are_renewed_as_long_as_somebody_is_there(
    with_redis: None, netra: Netra, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.REDIS_HOSTS
    monkeypatch.setattr(places, "RENEW_SECONDS", 0.05)
    ann = await netra.user("ann")
    await netra.connect(ann)
    await database_sync_to_async(redis_client.flushdb)()

    async def told_again() -> bool:
        return await database_sync_to_async(netra.chat.places.leases.used)(ann.pk) == 1

    await eventually(told_again)
