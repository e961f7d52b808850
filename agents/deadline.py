"""A time-out for an iterator's items that costs one timer, not one for each item."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

T = TypeVar("T")


class DeadlinePassed(Exception):
    """No item came in time."""


class Deadline:
    """Interrupts the wait for an item once the time is over, and nothing else the waiting task does.

    `asyncio.timeout` around each item is a tenth of the time of a fast stream; around the whole loop it
    would interrupt the code that consumes the items, since a generator shares its consumer's task.
    """

    def __init__(self, seconds: float) -> None:
        self._passed = seconds <= 0
        self._interrupted = False
        self._waiting: asyncio.Task[object] | None = None
        self._timer = asyncio.get_running_loop().call_later(max(seconds, 0), self._pass)

    def _pass(self) -> None:
        self._passed = True
        if self._waiting is not None:
            self._interrupted = True
            self._waiting.cancel()

    async def next(self, iterator: AsyncIterator[T]) -> T:
        """The next item. Raises DeadlinePassed, StopAsyncIteration, or what the iterator raises.

        CancelledError means that someone else cancelled this task, or that the iterator raised it.
        """
        if self._passed:
            raise DeadlinePassed
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an item is awaited by a task only")
        cancelled_before = task.cancelling()
        self._waiting = task
        try:
            item = await anext(iterator)
        except BaseException as error:
            self._waiting = None
            # After uncancel() the count tells whether anyone but the timer asked for it.
            if not self._interrupted or task.uncancel() > cancelled_before:
                raise
            raise DeadlinePassed from error
        self._waiting = None
        if self._interrupted:
            # The iterator swallowed the interruption. Its item came too late.
            task.uncancel()
            raise DeadlinePassed
        return item

    def cancel(self) -> None:
        """The time no longer matters."""
        self._timer.cancel()


class Silence(Deadline):
    """The time begins anew with each wait for an item, and it is still one timer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        super().__init__(seconds)

    def _pass(self) -> None:
        waited = self._loop.time() - self._since if self._waiting is not None else 0.0
        if waited < self._seconds:
            self._timer = self._loop.call_later(self._seconds - waited, self._pass)
        else:
            super()._pass()

    async def next(self, iterator: AsyncIterator[T]) -> T:
        self._since = self._loop.time()
        return await super().next(iterator)
