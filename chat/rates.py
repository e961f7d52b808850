"""How often something was done in the time just gone by: exactly so often as is allowed, in all processes together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chat.shared_redis import SharedRedis

PREFIX = "netra.rates"
# After so many counts of its own a process forgets whom it has not counted in their time.
TIDY_AFTER = 1000

# Each key is a list of the times (in ms, the server's own) at which it was counted, the newest first. Either all of
# the keys are counted or none. Returns of each: whether there was room, how many are counted then, and ms until more
# may be counted.
_COUNT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local found, refused = {}, false
for place, key in ipairs(KEYS) do
    local amount, window = tonumber(ARGV[2 * place - 1]), tonumber(ARGV[2 * place])
    local newest = redis.call('LINDEX', key, 0)
    if newest and tonumber(newest) <= now - window then
        redis.call('DEL', key)
    end
    local oldest = redis.call('LINDEX', key, -1)
    while oldest and tonumber(oldest) <= now - window do
        redis.call('RPOP', key)
        oldest = redis.call('LINDEX', key, -1)
    end
    local used, full = redis.call('LLEN', key), 0
    if used >= amount then
        refused, full = true, 1
        oldest = redis.call('LINDEX', key, amount - 1)
    end
    found[place] = {1 - full, used, tonumber(oldest or now) + window - now}
end
if not refused then
    for place, key in ipairs(KEYS) do
        redis.call('LPUSH', key, now)
        redis.call('PEXPIRE', key, ARGV[2 * place])
        found[place][2] = found[place][2] + 1
    end
end
return found
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `amount` in any `seconds`."""

    amount: int
    seconds: float = 60.0

    @property
    def milliseconds(self) -> int:
        return round(self.seconds * 1000)


@dataclass(frozen=True, slots=True)
class Count:
    """What is counted of a key. In `more_in` seconds the first of it is forgotten; when there was no room, there is
    then.
    """

    rate: Rate
    had_room: bool
    used: int
    more_in: float

    @property
    def remaining(self) -> int:
        return max(0, self.rate.amount - self.used)


class Rates:
    """Counts for all processes where they share a Redis, in one round trip; else, and while it is away, here."""

    def __init__(self, shared: SharedRedis) -> None:
        self._redis = shared
        self._script = shared.client.register_script(_COUNT) if shared.client is not None else None
        self._here: dict[str, tuple[float, deque[float]]] = {}
        self._lock = threading.Lock()
        self._counted = 0

    def count(self, *asked: tuple[str, Rate]) -> list[Count]:
        """Count each key once, or none of them when one has no room. Blocks: not for the thread of an event loop."""
        return self._redis.ask(lambda: self._count_shared(asked), lambda: self._count_here(asked))

    def count_all(self, many: Sequence[Sequence[tuple[str, Rate]]]) -> list[list[Count]]:
        """`count` of each, in one round trip. Blocks: not for the thread of an event loop, where `is_shared`."""
        return self._redis.ask(lambda: self._count_all_shared(many), lambda: [self._count_here(each) for each in many])

    @property
    def is_shared(self) -> bool:
        """Whether there is a Redis, there or away."""
        return self._redis.client is not None

    def look(self, key: str, seconds: float = 60.0) -> Count:
        """What is counted of a key in so many seconds, without counting it."""
        [found] = self.count((key, Rate(0, seconds)))
        return found

    def _count_shared(self, asked: Sequence[tuple[str, Rate]]) -> list[Count]:
        assert self._script is not None  # noqa: S101 - only asked where there is one
        return _counts(asked, self._script(**_script_arguments(asked)))

    def _count_all_shared(self, many: Sequence[Sequence[tuple[str, Rate]]]) -> list[list[Count]]:
        assert self._script is not None  # noqa: S101 - only asked where there is one
        assert self._redis.client is not None  # noqa: S101 - and so is the client
        with self._redis.client.pipeline(transaction=False) as pipeline:
            for asked in many:
                self._script(**_script_arguments(asked), client=pipeline)
            return [_counts(asked, found) for asked, found in zip(many, pipeline.execute(), strict=True)]

    def _count_here(self, asked: Sequence[tuple[str, Rate]]) -> list[Count]:
        """The same rule in the memory of the process."""
        at = time.monotonic()
        with self._lock:
            found = [self._look_here(key, rate, at) for key, rate in asked]
            if all(count.had_room for count in found):
                for key, rate in asked:
                    self._here.setdefault(key, (rate.seconds, deque()))[1].appendleft(at)
                found = [Count(count.rate, True, count.used + 1, count.more_in) for count in found]
                self._tidy(at)
        return found

    def _look_here(self, key: str, rate: Rate, at: float) -> Count:
        _, times = self._here.get(key) or (0.0, deque())
        while times and times[-1] <= at - rate.seconds:
            times.pop()
        has_room = len(times) < rate.amount
        begins = (times[-1] if has_room or not rate.amount else times[rate.amount - 1]) if times else at
        return Count(rate, has_room, len(times), begins + rate.seconds - at)

    def _tidy(self, at: float) -> None:
        self._counted += 1
        if self._counted >= TIDY_AFTER:
            self._counted = 0
            here = self._here.items()
            self._here = {key: (seconds, times) for key, (seconds, times) in here if times and times[0] > at - seconds}


def _script_arguments(asked: Sequence[tuple[str, Rate]]) -> dict[str, Any]:
    keys = [f"{PREFIX}:{key}" for key, _ in asked]
    return {"keys": keys, "args": [number for _, rate in asked for number in (rate.amount, rate.milliseconds)]}


def _counts(asked: Sequence[tuple[str, Rate]], found: Sequence[Sequence[int]]) -> list[Count]:
    return [
        Count(rate, bool(had_room), used, milliseconds / 1000)
        for (_, rate), (had_room, used, milliseconds) in zip(asked, found, strict=True)
    ]
