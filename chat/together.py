"""Questions that are asked together: what comes while one is under way waits for the next one, and no longer.

So the more there is to ask, the less each of it costs. Nothing waits for the sake of a larger group, but for those who
`gather`: they come in crowds, and each turn of a busy event loop brings a few of them.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
# Asked in their order of those who want to be in a group, whether there is room for this one, too.
Room = Callable[[Asked], bool]

MOST = 200
# So many turns of the event loop are waited for a crowd at most. An idle loop takes two of them, in microseconds.
MOST_TURNS = 16


def at_most(number: int) -> Callable[[], Room[object]]:
    """Groups of so many."""

    def room() -> Room[object]:
        places = itertools.repeat(True, number)
        return lambda _: next(places, False)

    return room


_for_most = at_most(MOST)


class Together(Generic[Asked, Answer]):
    """`ask` is given a group, never an empty one, and returns an answer for each; what it raises is raised to each.

    `room` makes the measure of one group; whoever is the first in it has room. With `gathers` a group is made when a
    turn of the loop has brought nobody more. Who is cancelled before the group is made is left out of it. Used on the
    event loop only.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]],
        *,
        name: str,
        room: Callable[[], Room[Asked]] = _for_most,
        gathers: bool = False,
    ) -> None:
        self._ask = ask
        self._name = name
        self._room = room
        self._gathers = gathers
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Answer:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((asked, answer))
        if self._asking is None:
            # It asks for others, too, and must not inherit the context of one.
            self._asking = loop.create_task(self._ask_all(), name=self._name, context=contextvars.Context())
        return await answer

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                if self._gathers:
                    await self._gather()
                group, answers = self._take()
                if group:
                    await self._ask_group(group, answers)
        except BaseException:
            for _, answer in self._waiting:
                answer.cancel()
            self._waiting.clear()
            raise
        finally:
            self._asking = None

    async def _gather(self) -> None:
        before = 0
        for _ in range(MOST_TURNS):
            if not before < len(self._waiting) < MOST:
                break
            before = len(self._waiting)
            await asyncio.sleep(0)

    def _take(self) -> tuple[list[Asked], list[asyncio.Future[Answer]]]:
        has_room = self._room()
        group: list[Asked] = []
        answers: list[asyncio.Future[Answer]] = []
        while self._waiting:
            asked, answer = self._waiting[0]
            if not answer.done():
                if not has_room(asked) and group:
                    break
                group.append(asked)
                answers.append(answer)
            self._waiting.popleft()
        return group, answers

    async def _ask_group(self, group: Sequence[Asked], answers: Sequence[asyncio.Future[Answer]]) -> None:
        try:
            found = await self._ask(group)
        except Exception as error:  # noqa: BLE001 - it is raised to whoever has asked
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)
        except BaseException:
            for answer in answers:
                answer.cancel()
            raise
        else:
            for answer, each in zip(answers, found, strict=True):
                if not answer.done():
                    answer.set_result(each)
