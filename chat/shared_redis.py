"""The Redis in which all processes count together, asked by threads. While it is away, each counts for itself."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from chat.reachability import Reachability

T = TypeVar("T")

REDIS_SECONDS = 1.0
# How long a Redis that was away is not asked again.
PAUSE_SECONDS = 5.0
# A pool of redis-py has a hundred connections and refuses who comes beyond: so many requests at once would have Redis
# taken for away. Here they wait for each other.
MOST_AT_ONCE = 50


class SharedRedis:
    """Shared by all of a process that count. `client` is None where there is no Redis; it opens no connection yet.

    `hosts` are as `netra.redis_url` makes them; the first one counts.
    """

    def __init__(self, hosts: Sequence[Mapping[str, Any]]) -> None:
        self.client = redis.Redis(connection_pool=_pool(hosts[0])) if hosts else None
        self._reachability = Reachability("counting_redis")
        self._ask_again_at = 0.0
        self._turns = threading.BoundedSemaphore(MOST_AT_ONCE)

    @property
    def is_away(self) -> bool:
        """Whether there is one, and it did not answer when it was asked last."""
        return not self._reachability.available

    def ask(self, shared: Callable[[], T], here: Callable[[], T]) -> T:
        """What Redis says; what this process says without one. Blocks: it is not for the thread of an event loop."""
        if self.client is not None and time.monotonic() >= self._ask_again_at:
            try:
                with self._reachability.watching(), self._turn():
                    return shared()
            except (redis.RedisError, OSError):
                self._ask_again_at = time.monotonic() + PAUSE_SECONDS
        return here()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Raises TimeoutError when those before take so long that Redis does not answer."""
        if not self._turns.acquire(timeout=REDIS_SECONDS):
            raise TimeoutError("all connections are in use")
        try:
            yield
        finally:
            self._turns.release()


def _pool(host: Mapping[str, Any]) -> redis.ConnectionPool:
    bounds = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS, "retry": Retry(NoBackoff(), 0)}
    given = {**host, **bounds}
    if (sentinels := given.pop("sentinels", None)) is None:
        return redis.ConnectionPool.from_url(given.pop("address"), **given)
    asked = {**given.pop("sentinel_kwargs"), "retry": Retry(NoBackoff(), 0)}
    master = given.pop("master_name")
    known = Sentinel(sentinels, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    return SentinelConnectionPool(master, known, **given)  # type: ignore[no-untyped-call]
