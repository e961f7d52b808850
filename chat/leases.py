"""Who is connected how often, in all processes that share a Redis: exactly as often as is allowed.

Each connection has a lease there. It ends by itself unless its process renews it, so that nothing has to be tidied up
after a process that was killed. A Redis that lost its memory is told again by the next renewal. While there is none,
each process counts for itself.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

from chat.shared_redis import SharedRedis

PREFIX = "netra.connections"
LEASE_SECONDS = 45.0
# Two of them may fail before a lease ends.
RENEW_SECONDS = 15.0
# So many leases are renewed by one command.
RENEWED_AT_ONCE = 500

# Of each user a sorted set: the names of the leases by the time of their end (in ms, the server's own clock).
_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""
_TAKE = (
    _NOW
    + """
local allowed, milliseconds, name = tonumber(ARGV[1]), ARGV[2], ARGV[3]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= allowed then return 0 end
redis.call('ZADD', KEYS[1], now + milliseconds, name)
redis.call('PEXPIRE', KEYS[1], milliseconds)
return 1
"""
)
_RENEW = (
    _NOW
    + """
for place, key in ipairs(KEYS) do
    redis.call('ZADD', key, now + ARGV[1], ARGV[place + 1])
    redis.call('PEXPIRE', key, ARGV[1])
end
"""
)
_COUNT = _NOW + "return redis.call('ZCOUNT', KEYS[1], now, '+inf')"


class Lease:
    """Of one connection, from before it is taken until it is left."""

    __slots__ = ("is_left", "name", "user_id")

    def __init__(self, user_id: Any, name: str) -> None:
        self.user_id = user_id
        self.name = name
        self.is_left = False

    @property
    def key(self) -> str:
        return f"{PREFIX}:{self.user_id}"


class Leases:
    """Those of one process. But for `new`, `leave` and `len`, all of it blocks: not for the thread of an event loop."""

    def __init__(self, shared: SharedRedis) -> None:
        self._redis = shared
        self._process = uuid.uuid4().hex
        self._numbers = itertools.count()
        self._held: set[Lease] = set()
        self._per_user: Counter[Any] = Counter()
        self._lock = threading.Lock()
        # Who writes leases of this process holds it, so that none is renewed after it was given back.
        self._writing = threading.Lock()
        if shared.client is not None:
            self._take, self._renew, self._count = map(shared.client.register_script, (_TAKE, _RENEW, _COUNT))

    def __len__(self) -> int:
        return len(self._held)

    @property
    def is_shared(self) -> bool:
        """Whether there is a Redis, there or away."""
        return self._redis.client is not None

    @property
    def is_away(self) -> bool:
        return self._redis.is_away

    def new(self, user_id: Any) -> Lease:
        return Lease(user_id, f"{self._process}.{next(self._numbers)}")

    def take(self, wanted: Sequence[tuple[Lease, int]]) -> list[bool]:
        """Of each lease, with how many its user may have, whether there was room for it, in one round trip.

        Of one that was left meanwhile nothing remains, and it is not taken.
        """
        taken = self._redis.ask(
            lambda: self._take_shared(wanted), lambda: [self._take_here(lease, allowed) for lease, allowed in wanted]
        )
        return [had_room and self._stays(lease) for (lease, _), had_room in zip(wanted, taken, strict=True)]

    def _stays(self, lease: Lease) -> bool:
        if not lease.is_left:
            return True
        self.leave(lease)
        self.give_back(lease)
        return False

    def leave(self, lease: Lease) -> None:
        """For this process it is at an end; `give_back` tells the others."""
        with self._lock:
            lease.is_left = True
            if lease in self._held:
                self._held.remove(lease)
                self._per_user[lease.user_id] -= 1
                if not self._per_user[lease.user_id]:
                    del self._per_user[lease.user_id]

    def give_back(self, lease: Lease) -> None:
        """What cannot be told ends by itself."""
        if (client := self._redis.client) is not None:
            with self._writing:
                self._redis.ask(lambda: client.zrem(lease.key, lease.name), lambda: None)

    def renew(self) -> None:
        """All that are held."""
        with self._lock:
            held = list(self._held)
        for begin in range(0, len(held), RENEWED_AT_ONCE):
            self._renew_some(held[begin : begin + RENEWED_AT_ONCE])

    def used(self, user_id: Any) -> int:
        """How many connections the user has."""
        lease = Lease(user_id, "")
        return self._redis.ask(lambda: int(self._count(keys=[lease.key])), lambda: self._per_user[user_id])

    def _take_shared(self, wanted: Sequence[tuple[Lease, int]]) -> list[bool]:
        assert self._redis.client is not None  # noqa: S101 - only asked where there is one
        with self._redis.client.pipeline(transaction=False) as pipeline:
            for lease, allowed in wanted:
                self._take(keys=[lease.key], args=[allowed, _milliseconds(), lease.name], client=pipeline)
            taken = [bool(had_room) for had_room in pipeline.execute()]
        with self._lock:
            for (lease, _), had_room in zip(wanted, taken, strict=True):
                if had_room:
                    self._hold(lease)
        return taken

    def _take_here(self, lease: Lease, allowed: int) -> bool:
        with self._lock:
            if self._per_user[lease.user_id] >= allowed:
                return False
            self._hold(lease)
            return True

    def _hold(self, lease: Lease) -> None:
        self._held.add(lease)
        self._per_user[lease.user_id] += 1

    def _renew_some(self, leases: list[Lease]) -> None:
        with self._writing:
            held = [lease for lease in leases if not lease.is_left]
            keys, names = [lease.key for lease in held], [lease.name for lease in held]
            if held:
                self._redis.ask(lambda: self._renew(keys=keys, args=[_milliseconds(), *names]), lambda: None)


def _milliseconds() -> int:
    return round(LEASE_SECONDS * 1000)
