"""Whether a service is there, as one process sees it. The log says once that it is gone and once that it is back."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterator
from typing import Any

import structlog

logger = structlog.get_logger(__name__)


class Reachability:
    """Of one service. Shared by all of a process that use it.

    `is_loss` tells the errors that mean its absence from those that are its answer. `labels` stand in both lines.
    """

    def __init__(self, service: str, *, is_loss: Callable[[Exception], bool] = lambda _: True, **labels: Any) -> None:
        self.available = True
        self.changed_at = float("-inf")
        self._service = service
        self._is_loss = is_loss
        self._log = logger.bind(**labels)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Take the end of the block, or its error, as a sign. Raises what the block raises.

        What began before the last change says nothing about what has been since: many attempts are under way at once.
        """
        began = time.monotonic()
        try:
            yield
        except Exception as error:
            if self.available and began >= self.changed_at and self._is_loss(error):
                self._change(available=False)
                self._say("warning", f"{self._service}_lost", cause=first_line(error))
            raise
        else:
            if not self.available and began >= self.changed_at:
                self._change(available=True)
                self._say("info", f"{self._service}_back")

    def _change(self, *, available: bool) -> None:
        self.available = available
        self.changed_at = time.monotonic()

    def _say(self, level: str, event: str, **fields: str) -> None:
        """Without the ids of the run or request that happened to meet the change."""
        contextvars.Context().run(getattr(self._log, level), event, **fields)


def first_line(error: BaseException) -> str:
    """What an error says, short enough for a line of the log."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
