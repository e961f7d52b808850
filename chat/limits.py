"""How much one user, and one connection, may ask for."""

from __future__ import annotations

import time
from typing import Any

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from chat.errors import ChatError, ConnectionRefused, ErrorCode

WARNINGS_BEFORE_CLOSE = 50


class MessageLimit:
    """How many messages a user may send a minute, or `what` else, over all connections to this process."""

    def __init__(self, per_minute: int, what: str = "messages") -> None:
        self._what = what
        self._limit = RateLimitItemPerMinute(per_minute)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def spend(self, user_id: Any) -> None:
        """Count one message. Raises ChatError with RATE_LIMITED."""
        if self._limiter.hit(self._limit, "user_message", str(user_id)):
            return
        stats = self._limiter.get_window_stats(self._limit, "user_message", str(user_id))
        raise ChatError(
            ErrorCode.RATE_LIMITED,
            f"At most {self._limit.amount} {self._what} a minute",
            retry_after=max(0.1, round(stats.reset_time - time.time(), 1)),
        )


class CommandLimit:
    """How many frames one connection may send: a bucket that refills evenly. Who goes on regardless is cut off."""

    def __init__(self, per_minute: int) -> None:
        self._per_second = per_minute / 60
        self._capacity = float(per_minute)
        self._tokens = self._capacity
        self._filled_at = time.monotonic()
        self._refused = 0

    def spend(self) -> None:
        """Count one frame. Raises ChatError with RATE_LIMITED, and ConnectionRefused after many warnings."""
        at = time.monotonic()
        self._tokens = min(self._capacity, self._tokens + (at - self._filled_at) * self._per_second)
        self._filled_at = at
        if self._tokens >= 1:
            self._tokens -= 1
            self._refused = 0
            return
        self._refused += 1
        error = ConnectionRefused if self._refused > WARNINGS_BEFORE_CLOSE else ChatError
        raise error(
            ErrorCode.RATE_LIMITED,
            "Too many frames",
            retry_after=round((1 - self._tokens) / self._per_second, 3),
        )
