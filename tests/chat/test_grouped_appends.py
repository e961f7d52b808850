"""Appends of many runs in one statement: who is written, who is not, and that nobody waits for another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from channels.db import database_sync_to_async

from agents.events import AgentResponseChunk
from chat import grouped_appends
from chat.claiming import HeldRun
from chat.event_log import RunFenced
from chat.grouped_appends import GroupedAppends, SharedWindow
from chat.publisher import Publisher
from chat.run_event import Event
from chat.run_writer import RunWriter
from chat.threads import ThreadService
from netra.testing import eventually
from tests.chat.holding import chunk, claimed, completed, events, fresh, posted
from tests.chat.test_run_writer import WatchedLog

pytestmark = pytest.mark.usefixtures("transactional_db")

RUNS = 6


class Watched(GroupedAppends):
    """Tells which runs each statement was for; `hold` keeps it from beginning until it is set."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self.groups: list[list[Any]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.begun = asyncio.Event()

    async def _committed(self, group: Sequence[Any]) -> frozenset[Any]:
        self.groups.append([append.run.id for append in group])
        self.begun.set()
        await self.hold.wait()
        return await super()._committed(group)


@pytest.fixture
async def runs(service: ThreadService, ann: Any) -> list[HeldRun]:
    return [await claimed(service.event_log, (await posted(service, ann)).run_id) for _ in range(RUNS)]


@pytest.fixture
def grouped(service: ThreadService) -> Watched:
    watched = Watched(service.event_log.pool)
    service.event_log._grouped = watched
    return watched


async def together(service: ThreadService, grouped: Watched, runs: list[HeldRun], said: list[Event]) -> list[Any]:
    """The outcomes of appends that wait while the first run's is under way, so that they are one group."""
    grouped.hold.clear()
    grouped.begun.clear()
    log = service.event_log
    first = asyncio.create_task(log.append(runs[0], said[:1]))
    await grouped.begun.wait()
    others = [asyncio.create_task(log.append(run, [each])) for run, each in zip(runs[1:], said[1:], strict=True)]
    await asyncio.sleep(0)
    grouped.hold.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def words() -> list[Event]:
    return [chunk(f"word {place}") for place in range(RUNS)]


async def written(runs: list[HeldRun]) -> list[int]:
    """How many events there are of each, with the question."""
    return [len(await events(run.id)) for run in runs]


async def test_what_comes_meanwhile_is_one_statement(
    service: ThreadService, runs: list[HeldRun], grouped: Watched
) -> None:
    assert await together(service, grouped, runs, words()) == [None] * RUNS
    assert [len(group) for group in grouped.groups] == [1, RUNS - 1]
    assert await written(runs) == [2] * RUNS
    assert [(run.last_seq, (await fresh(run.id)).last_seq) for run in runs] == [(2, 2)] * RUNS
    for place, run in enumerate(runs):
        [frame] = await service.event_log.read_after(str(run.id), 1, limit=5)
        assert json.loads(frame.text)["data"]["text"] == f"word {place}"


async def test_who_was_taken_is_told_and_the_others_are_written(
    service: ThreadService, runs: list[HeldRun], grouped: Watched, ann: Any
) -> None:
    await database_sync_to_async(service.stop_run)(ann.pk, runs[3].id)
    outcomes = await together(service, grouped, runs, words())
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 3 + [RunFenced] + [type(None)] * 2
    assert [number for place, number in enumerate(await written(runs)) if place != 3] == [2] * (RUNS - 1)


async def test_what_cannot_be_stored_fails_alone(service: ThreadService, runs: list[HeldRun], grouped: Watched) -> None:
    said = words()
    said[2] = chunk("a \x00")
    outcomes = await together(service, grouped, runs, said)
    assert isinstance(outcomes[2], psycopg.DataError)
    assert [outcome for place, outcome in enumerate(outcomes) if place != 2] == [None] * (RUNS - 1)
    assert await written(runs) == [2, 2, 1, 2, 2, 2]


async def test_a_locked_run_keeps_no_other_waiting(
    service: ThreadService, runs: list[HeldRun], grouped: Watched
) -> None:
    async with service.event_log.pool.connection() as connection:
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM chat_run WHERE id = %s FOR UPDATE", (runs[4].id,))
            waiting = asyncio.create_task(together(service, grouped, runs, words()))

            async def others_are_written() -> bool:
                return await written(runs) == [2, 2, 2, 2, 1, 2]

            await eventually(others_are_written)
            assert not waiting.done()
        assert await waiting == [None] * RUNS
    assert await written(runs) == [2] * RUNS


async def test_who_goes_away_takes_nobody_along(service: ThreadService, runs: list[HeldRun], grouped: Watched) -> None:
    log = service.event_log
    grouped.hold.clear()
    first = asyncio.create_task(log.append(runs[0], [chunk("a")]))
    await grouped.begun.wait()
    others = [asyncio.create_task(log.append(run, [chunk("a")])) for run in runs[1:]]
    await asyncio.sleep(0)
    first.cancel()
    others[0].cancel()
    grouped.hold.set()
    outcomes = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2 + [type(None)] * (RUNS - 2)
    # Of the first the statement was under way already.
    assert await written(runs) == [2, 1, 2, 2, 2, 2]


async def test_a_lost_database_is_asked_again_by_each(
    service: ThreadService, runs: list[HeldRun], grouped: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = 0

    async def committed(group: Sequence[Any]) -> frozenset[Any]:
        nonlocal lost
        found = await Watched._committed(grouped, group)
        if len(group) > 1 and not lost:
            lost += 1
            raise psycopg.OperationalError("the answer was lost")
        return found

    monkeypatch.setattr(grouped, "_committed", committed)
    assert await together(service, grouped, runs, words()) == [None] * RUNS
    assert lost == 1
    assert await written(runs) == [2] * RUNS
    assert [run.last_seq for run in runs] == [2] * RUNS


async def test_a_group_is_bounded(
    service: ThreadService, runs: list[HeldRun], grouped: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped_appends, "MOST_RUNS", 2)
    assert await together(service, grouped, runs, words()) == [None] * RUNS
    assert [len(group) for group in grouped.groups] == [1, 2, 2, 1]
    monkeypatch.setattr(grouped_appends, "MOST_RUNS", 200)
    monkeypatch.setattr(grouped_appends, "MOST_EVENTS", 3)
    grouped.groups.clear()
    assert await together(service, grouped, runs, words()) == [None] * RUNS
    assert [len(group) for group in grouped.groups] == [1, 3, 2]


async def test_writers_gather_until_the_same_moment(service: ThreadService, runs: list[HeldRun]) -> None:
    log = WatchedLog(service.event_log.pool)
    log._grouped = grouped = Watched(log.pool)
    writers = [RunWriter(log, run, window=0.05) for run in runs]
    for writer in writers:
        for _ in range(3):
            await writer.write(AgentResponseChunk(agent="assistant", message_id="m", text="a"))
        await asyncio.sleep(0.001)
    for writer in writers:
        await writer.finish(completed())
    assert sum(map(len, grouped.groups)) <= RUNS
    assert len(grouped.groups) <= 2


def timer_of(window: SharedWindow) -> asyncio.TimerHandle | None:
    return window._timer


async def test_a_window_is_over_for_all_at_once_and_leaves_no_timer() -> None:
    window = SharedWindow()
    waiting = [asyncio.create_task(window.wait(asyncio.Event(), 3600)) for _ in range(3)]
    await asyncio.sleep(0)
    assert (timer := timer_of(window)) is not None
    late = asyncio.create_task(window.wait(asyncio.Event(), 3600))
    await asyncio.sleep(0)
    assert timer_of(window) is timer
    window._end()
    await asyncio.gather(*waiting, late)
    assert timer_of(window) is None
    leaving = asyncio.create_task(window.wait(asyncio.Event(), 3600))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert timer_of(window) is None


async def test_a_publisher_has_nothing_of_what_was_not_written(
    service: ThreadService, runs: list[HeldRun], grouped: Watched, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    async def send(_self: Publisher, _user: Any, message: dict[str, Any]) -> None:
        told.append(message["run_id"])

    await database_sync_to_async(service.stop_run)(ann.pk, runs[1].id)
    monkeypatch.setattr(Publisher, "send", send)
    await together(service, grouped, runs, words())
    assert sorted(told) == sorted(str(run.id) for place, run in enumerate(runs) if place != 1)
