"""How much one user, one address and one connection may ask for in a minute."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from chat import metrics
from chat.errors import ChatError, ConnectionRefused, ErrorCode
from chat.network import UNKNOWN, network_of
from chat.rates import Count, Rate, Rates

WARNINGS_BEFORE_CLOSE = 50


class RateLimits:
    """What is counted for all processes together. All of it blocks: not for the thread of an event loop."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates

    def message(self, user_id: Any, per_minute: int) -> None:
        """Count a message of a user. Raises ChatError with RATE_LIMITED."""
        self._spend("messages", user_id, per_minute, f"At most {per_minute} messages a minute")

    def messages_counted(self, user_id: Any) -> Count:
        """How many messages of a user are counted, and when the first of them is forgotten."""
        return self._rates.look(f"messages:{user_id}")

    def file(self, user_id: Any, messages_per_minute: int) -> None:
        """Count a file of a user: as many as the messages may have. Raises ChatError with RATE_LIMITED."""
        per_minute = messages_per_minute * settings.NETRA.max_attachments
        self._spend("files", user_id, per_minute, f"At most {per_minute} files a minute")

    @property
    def are_shared(self) -> bool:
        """Whether to count takes a round trip."""
        return self._rates.is_shared

    def connects(self, arriving: Sequence[tuple[Any | None, str]]) -> list[ConnectionRefused | None]:
        """Count sockets that open, for the address and, of a valid token, for the user.

        Returns of each the refusal with RATE_LIMITED, if it has to be refused.
        """
        counted = self._rates.count_all([_of_connect(user_id, address) for user_id, address in arriving])
        return [_refused(counts) for counts in counted]

    def request(self, user_id: Any | None, address: str) -> Count | None:
        """Count a request, for the user of its token, or for the address when it has none that is valid.

        None when nothing was counted. It is for the caller to refuse what had no room.
        """
        config = settings.NETRA
        if user_id is not None:
            asked = [(f"requests:{user_id}", Rate(config.requests_per_minute))]
        else:
            asked = _of_address("requests", address, config.requests_per_minute_per_address)
        return next(iter(self._rates.count(*asked)), None)

    def _spend(self, kind: str, user_id: Any, per_minute: int, text: str) -> None:
        [count] = self._rates.count((f"{kind}:{user_id}", Rate(per_minute)))
        if not count.had_room:
            metrics.limited(kind)
            raise ChatError(ErrorCode.RATE_LIMITED, text, retry_after=_wait([count]))


def too_many_requests(count: Count) -> ChatError:
    """The refusal of a request that had no room."""
    metrics.limited("requests")
    text = f"At most {count.rate.amount} requests a minute"
    return ChatError(ErrorCode.RATE_LIMITED, text, retry_after=_wait([count]))


def _of_connect(user_id: Any | None, address: str) -> list[tuple[str, Rate]]:
    config = settings.NETRA
    asked = _of_address("connects", address, config.connects_per_minute_per_address)
    if user_id is not None:
        asked.append((f"connects:{user_id}", Rate(config.connects_per_minute)))
    return asked


def _refused(counts: list[Count]) -> ConnectionRefused | None:
    if not (full := [count for count in counts if not count.had_room]):
        return None
    metrics.limited("connects")
    text = f"At most {full[-1].rate.amount} connects a minute"
    return ConnectionRefused(ErrorCode.RATE_LIMITED, text, retry_after=_wait(full))


def _of_address(kind: str, address: str, per_minute: int) -> list[tuple[str, Rate]]:
    """Nothing for what is no address: it would be everybody's."""
    network = network_of(address)
    return [] if network == UNKNOWN else [(f"{kind}:at {network}", Rate(per_minute))]


def _wait(counts: list[Count]) -> float:
    """In tenths of a second, of which the last one has begun."""
    return max(0.1, math.ceil(max(count.more_in for count in counts) * 10) / 10)


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
        metrics.limited("frames")
        error = ConnectionRefused if self._refused > WARNINGS_BEFORE_CLOSE else ChatError
        raise error(
            ErrorCode.RATE_LIMITED,
            "Too many frames",
            retry_after=round((1 - self._tokens) / self._per_second, 3),
        )
