"""How often a secret may be guessed: a password, or whether there is somebody of a name.

Each attempt counts before it is looked at, so that many at once are no way around it, and for names that nobody has as
for others. It counts three times, under ever wider limits: for the name from this address; for this address whatever
the name; and for the name from wherever. Several windows make the waits longer the longer it goes on.

Who got in from an address is known there for a month: the limit of the name alone, which anybody can use up for
anybody, is not for them.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from django.utils.crypto import salted_hmac
from limits import RateLimitItem, RateLimitItemPerDay, parse_many
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

from chat import metrics
from chat.errors import ChatError, ErrorCode
from chat.network import network_of
from chat.shared_redis import SharedRedis

T = TypeVar("T")

_KNOWN = RateLimitItemPerDay(1, 30, namespace="known")


class Guarded(enum.StrEnum):
    """What is attempted."""

    SIGN_IN = "sign_in"
    REGISTER = "register"
    RESET = "reset"
    CONFIRM = "confirm"
    PASSWORD = "password"  # noqa: S105 - the old password of somebody who is signed in
    EXPORT = "export"


@dataclass(frozen=True, slots=True)
class Limits:
    """In the notation of the library: for a name from an address, for an address, for a name."""

    together: str
    address: str
    name: str


LIMITS: Mapping[Guarded, Limits] = {
    Guarded.SIGN_IN: Limits(
        together="5/minute; 10 per 10 minutes; 20/hour; 50/day",
        address="60/minute; 300/hour; 1000/day",
        name="20/minute; 60/hour",
    ),
    Guarded.REGISTER: Limits(together="10/minute; 20/hour", address="20/minute; 60/hour; 200/day", name="20/hour"),
    Guarded.RESET: Limits(together="3/minute; 6/hour", address="10/minute; 30/hour; 100/day", name="10/hour"),
    Guarded.CONFIRM: Limits(together="10/minute; 30/hour", address="30/minute; 100/hour", name="60/hour"),
    Guarded.PASSWORD: Limits(together="5/minute; 10 per 10 minutes; 20/hour", address="60/minute", name="30/hour"),
    Guarded.EXPORT: Limits(together="3/minute; 10/hour", address="30/minute", name="20/hour"),
}


class AttemptLimit:
    """Counted for all processes where they share a Redis."""

    def __init__(self, shared: SharedRedis, *, limits: Mapping[Guarded, Limits] = LIMITS) -> None:
        self._limits = limits
        self._redis = shared
        self._here = MovingWindowRateLimiter(MemoryStorage())
        self._shared = self._here
        if shared.client is not None:
            pool = shared.client.connection_pool
            self._shared = MovingWindowRateLimiter(
                RedisStorage("redis://", connection_pool=pool, key_prefix="netra.attempts")
            )

    def spend(self, guarded: Guarded, name: str, address: str) -> None:
        """Count an attempt. Raises ChatError with RATE_LIMITED, and when to try again."""
        wait = self._on(lambda limiter: self._spend(limiter, guarded, _hidden(name), network_of(address)))
        if wait:
            metrics.limited(f"{guarded}_attempts")
            raise ChatError(
                ErrorCode.RATE_LIMITED, f"Too many attempts: try again in {_in_words(wait)}", retry_after=wait
            )

    def succeeded(self, guarded: Guarded, name: str, address: str) -> None:
        """Who knows the secret was here: what was counted for the name from this address is forgotten."""
        hidden, network = _hidden(name), network_of(address)

        def forget(limiter: MovingWindowRateLimiter) -> None:
            for item in parse_many(self._limits[guarded].together):
                limiter.clear(item, guarded, "together", hidden, network)
            limiter.hit(_KNOWN, hidden, network)

        self._on(forget)

    def _spend(self, limiter: MovingWindowRateLimiter, guarded: Guarded, name: str, network: str) -> float:
        """Seconds to wait; 0 when the attempt was counted. One that is refused is not."""
        is_known = not limiter.test(_KNOWN, name, network)
        counted = list(_counted(self._limits[guarded], name, network, with_name=not is_known))
        waits = [_wait(limiter, item, guarded, key) for item, key in counted if not limiter.test(item, guarded, *key)]
        # Of many at once that found room, as many get through as there was room for.
        if not waits:
            waits = [
                _wait(limiter, item, guarded, key) for item, key in counted if not limiter.hit(item, guarded, *key)
            ]
        return max(waits, default=0.0)

    def _on(self, work: Callable[[MovingWindowRateLimiter], T]) -> T:
        return self._redis.ask(lambda: work(self._shared), lambda: work(self._here))


def _counted(
    limits: Limits, name: str, network: str, *, with_name: bool
) -> Iterator[tuple[RateLimitItem, tuple[str, ...]]]:
    for item in parse_many(limits.together):
        yield item, ("together", name, network)
    for item in parse_many(limits.address):
        yield item, ("address", network)
    for item in parse_many(limits.name) if with_name else ():
        yield item, ("name", name)


def _wait(limiter: MovingWindowRateLimiter, item: RateLimitItem, guarded: Guarded, key: Sequence[str]) -> float:
    """At its end there is room: whole seconds, of which the last one has begun. Redis tells times to a tenth of a
    millisecond.
    """
    left = limiter.get_window_stats(item, guarded, *key).reset_time - time.time()
    return max(1.0, 1.0 + math.floor(left + 0.001))


def _hidden(name: str) -> str:
    """People type passwords into the field for the name: nothing of it is kept."""
    return salted_hmac("netra.attempt_limit", name, algorithm="sha256").hexdigest()[:32]


def _in_words(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{math.ceil(seconds / 60)} minutes" if seconds < 7200 else f"{math.ceil(seconds / 3600)} hours"
