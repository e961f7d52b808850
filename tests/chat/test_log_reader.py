"""Pages of the log: bounded in events and in bytes, whatever an event weighs."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any

import pytest

from chat.claiming import HeldRun
from chat.protocol import timestamp
from chat.threads import ThreadService
from tests.chat.holding import chunk, claimed, posted

pytestmark = pytest.mark.usefixtures("transactional_db")

LARGE = 10_000


@pytest.fixture
async def held(service: ThreadService, ann: Any) -> HeldRun:
    """A run of 41 events: the question, then twice ten large and ten small ones."""
    held = await claimed(service.event_log, (await posted(service, ann)).run_id)
    for _ in range(2):
        await service.event_log.append(held, [chunk("x" * LARGE) for _ in range(10)])
        await service.event_log.append(held, [chunk("y") for _ in range(10)])
    return held


async def test_a_page_ends_with_the_event_that_reaches_its_bytes(service: ThreadService, held: HeldRun) -> None:
    page = await service.event_log.read_after(str(held.id), 1, limit=500, max_bytes=3 * LARGE)
    assert [frame.seq for frame in page] == [2, 3, 4]


async def test_a_page_of_small_events_ends_with_its_number(service: ThreadService, held: HeldRun) -> None:
    page = await service.event_log.read_after(str(held.id), 11, limit=7, max_bytes=LARGE)
    assert [frame.seq for frame in page] == list(range(12, 19))


async def test_an_event_larger_than_a_page_is_a_page(service: ThreadService, held: HeldRun) -> None:
    page = await service.event_log.read_after(str(held.id), 1, limit=500, max_bytes=1)
    assert [frame.seq for frame in page] == [2]


async def test_page_by_page_everything_comes_in_order(service: ThreadService, held: HeldRun) -> None:
    seen: list[int] = []
    while page := await service.event_log.read_after(str(held.id), len(seen), limit=9, max_bytes=4 * LARGE):
        seen += [frame.seq for frame in page]
        assert sum(len(frame.text) for frame in page) < 5 * (LARGE + 1000)
    assert seen == list(range(1, 42))


@pytest.mark.parametrize("microsecond", [0, 1, 499, 500, 999, 1000, 999_499, 999_500, 999_999])
async def test_a_time_is_the_one_that_was_told(service: ThreadService, held: HeldRun, microsecond: int) -> None:
    """Both cut what is below a millisecond off: a client sees no event twice with two times."""
    at = datetime.datetime(2026, 12, 31, 23, 59, 59, microsecond, tzinfo=datetime.UTC)
    await service.event_log.append(held, [dataclasses.replace(chunk("late"), created_at=at)])
    (frame,) = await service.event_log.read_after(str(held.id), held.last_seq - 1, limit=1)
    assert json.loads(frame.text)["timestamp"] == timestamp(at)
