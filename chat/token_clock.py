"""When the access token of a connection ends: told a minute ahead, and once it has. docs/protocol.md, section 1."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable

from chat.protocol import TokenExpiring
from chat.run_event import now

WARN_SECONDS = 60.0


class TokenClock:
    """Two timers. `warn` is called at once when less than a minute is left."""

    def __init__(self, *, warn: Callable[[TokenExpiring], None], expire: Callable[[], None]) -> None:
        self._warn = warn
        self._expire = expire
        self._timers: list[asyncio.TimerHandle] = []

    def start(self, expires_at: datetime.datetime) -> None:
        """For the first token, and for each that takes its place."""
        self._cancel()
        left = seconds_until(expires_at)
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later(max(0.0, left - WARN_SECONDS), self._say, round(min(left, WARN_SECONDS))),
            loop.call_later(left, self._expire),
        ]

    def stop(self) -> None:
        """For ever: nobody is called any more."""
        self._cancel()
        self._warn = self._expire = _nobody

    def _say(self, seconds: int) -> None:
        self._warn(TokenExpiring(expires_in=seconds))

    def _cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def _nobody(*_: object) -> None:
    """Whoever was called has gone."""


def seconds_until(moment: datetime.datetime) -> float:
    return max(0.0, (moment - now()).total_seconds())
