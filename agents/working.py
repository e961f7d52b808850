"""A task that says things while it works, and who listens to it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_UNHEARD = 16


class Working(AsyncIterator[Item], Generic[Item, Result]):
    """What is said while `work` is under way, in order; then its `result`, or what it raises.

    The work begins with the first item that is asked for, in a task of its own, which ends with the context. It waits
    in `say` while much of what it has said was not heard yet. What it has said when it fails is heard before that.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, Result]], *, name: str) -> None:
        self._work: Callable[[], Coroutine[Any, Any, Result]] | None = work
        self._name = name
        self._unheard: deque[Item] = deque()
        self._room = asyncio.Event()
        self._listener: asyncio.Future[None] | None = None
        self._closed = False
        self._task: asyncio.Task[Result] | None = None

    async def say(self, item: Item) -> None:
        """Raises CancelledError when nobody listens any more, also to work that has swallowed its cancellation."""
        while len(self._unheard) >= MOST_UNHEARD and not self._closed:
            self._room.clear()
            await self._room.wait()
        if self._closed:
            raise asyncio.CancelledError
        self._unheard.append(item)
        self._wake()

    @property
    def result(self) -> Result:
        """What came of it, when there is nothing more to hear."""
        if self._task is None:
            raise RuntimeError("the work has no result")
        return self._task.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._work = None
        if self._task is None:
            return
        self._closed = True
        self._room.set()
        self._task.cancel()
        # A scope of anyio that was cancelled around this would not let the task clean up.
        with anyio.CancelScope(shield=True):
            await asyncio.wait([self._task])
        if self._task.cancelled() or self._task.exception() is not None:
            self._task = None  # what failed refers to all that it was doing, and so to this

    async def __anext__(self) -> Item:
        task = self._task or self._begin()
        while not self._unheard:
            if task.done():
                try:
                    task.result()
                finally:
                    del task  # an error knows this frame by its traceback, and the task its error
                raise StopAsyncIteration
            self._listener = asyncio.get_running_loop().create_future()
            await self._listener
        item = self._unheard.popleft()
        self._room.set()
        return item

    def _begin(self) -> asyncio.Task[Result]:
        # What works refers to this; a reference back would keep both until Python searches for cycles.
        work, self._work = self._work, None
        if work is None:
            raise RuntimeError("the work has begun already")
        self._task = asyncio.create_task(work(), name=self._name)
        self._task.add_done_callback(self._wake)
        return self._task

    def _wake(self, task: asyncio.Task[Result] | None = None) -> None:
        if task is not None and self._closed and not task.cancelled():
            task.exception()  # who left does not ask for it; asyncio would log that nobody has
        if self._listener is not None and not self._listener.done():
            self._listener.set_result(None)
