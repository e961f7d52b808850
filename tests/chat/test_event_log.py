"""The log of run events: numbers, fence, repetition, reading, and what the position check asks."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from typing import Any

import psycopg
import pytest
from channels.db import database_sync_to_async
from django.db import connection
from psycopg.errors import UniqueViolation
from pydantic_core import PydanticSerializationError

from chat import claiming, runs
from chat.claiming import HeldRun
from chat.credential import Credential
from chat.event_log import EventLog, RunFenced
from chat.log_reader import Known, known_text
from chat.models import Message, Run, RunEvent
from chat.run_event import Event, event_frame, now
from chat.threads import ThreadService
from tests.chat.holding import answered, chunk, claimed, completed, event, events, failed, fresh, posted

pytestmark = pytest.mark.usefixtures("transactional_db")


async def holding(service: ThreadService, user: Any) -> HeldRun:
    return await claimed(service.event_log, (await posted(service, user)).run_id)


def text_of(frames: list[Any]) -> list[tuple[int, str]]:
    return [(frame.seq, json.loads(frame.text)["data"].get("text")) for frame in frames]


# Appending


async def test_events_are_numbered_on_from_the_last(service: ThreadService, ann: Any) -> None:
    held = await holding(service, ann)
    await service.event_log.append(held, [chunk("a")])
    await service.event_log.append(held, [chunk("b"), chunk("c"), event("tool_executing", tool="x")])
    assert held.last_seq == 5
    assert (await fresh(held.id)).last_seq == 5
    assert await events(held.id) == [
        (1, "message_created"),
        (2, "agent_response_chunk"),
        (3, "agent_response_chunk"),
        (4, "agent_response_chunk"),
        (5, "tool_executing"),
    ]
    assert text_of(await service.event_log.read_after(str(held.id), 1, limit=10)) == [
        *((2, "a"), (3, "b"), (4, "c"), (5, None))
    ]


async def test_a_frame_read_later_is_the_one_that_was_published(service: ThreadService, ann: Any) -> None:
    held = await holding(service, ann)
    said = [
        chunk("\u2028 é \U0001f600 </script> \x07"),
        event("tool_completed", tool="x", result={"deep": [1, 2.5, None, True, {"ü": "ß"}], "": ""}, duration_ms=3),
    ]
    live = held.frames(held.last_seq + 1, said)
    await service.event_log.append(held, said)
    later = await service.event_log.read_after(str(held.id), 1, limit=10)
    assert [json.loads(frame.text) for frame in later] == [json.loads(frame.text) for frame in live]
    frame = json.loads(live[1].text)
    assert frame["timestamp"].endswith("Z")
    assert {name: frame[name] for name in ("type", "run_id", "run_number", "seq", "agent")} == {
        "type": "tool_completed",
        "run_id": str(held.id),
        "run_number": 1,
        "seq": 3,
        "agent": "assistant",
    }
    assert frame["thread_id"] == str(held.thread_id)


async def test_an_append_whose_answer_was_lost_is_repeated_without_writing_twice(
    service: ThreadService, ann: Any
) -> None:
    log = service.event_log
    held = await holding(service, ann)
    said = [chunk("a"), chunk("b")]
    await log._append(held, said)
    held.last_seq -= len(said)  # the holder never learnt that it was committed
    await log.append(held, said)
    assert held.last_seq == 3
    assert text_of(await log.read_after(str(held.id), 1, limit=10)) == [(2, "a"), (3, "b")]
    await log.append(held, [chunk("c")])
    assert text_of(await log.read_after(str(held.id), 3, limit=10)) == [(4, "c")]


@pytest.mark.parametrize("ending", [completed(), failed()])
async def test_an_ending_whose_answer_was_lost_is_repeated_without_writing_twice(
    service: ThreadService, ann: Any, ending: Any
) -> None:
    log = service.event_log
    waiting = await posted(service, ann, thread_id=(held := await holding(service, ann)).thread_id)
    await log._finish(held, ending, [chunk("a")])
    job = (await fresh(waiting.run_id)).job_id
    await log.finish(held, ending, pending=[chunk("a")])
    assert [seq for seq, _ in await events(held.id)] == [1, 2, 3]
    assert await database_sync_to_async(Message.objects.filter(role="assistant").count)() == 1
    assert (await fresh(waiting.run_id)).job_id == job


async def test_an_answer_lost_before_the_run_was_taken_is_no_success(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    held = await holding(service, ann)
    await log._append(held, [chunk("a")])
    held.last_seq -= 1
    await database_sync_to_async(service.stop_run)(ann.pk, held.id)
    with pytest.raises(RunFenced):
        await log.append(held, [chunk("a")])


async def test_nothing_is_appended_to_what_nobody_has_claimed(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    run = await fresh(accepted.run_id)
    pretender = HeldRun(
        id=run.id,
        run_number=1,
        user_id=ann.pk,
        thread_id=run.thread_id,
        agent="assistant",
        claim=0,
        attempt=1,
        last_seq=1,
        started_at=now(),
        message_id=uuid.uuid4(),
    )
    with pytest.raises(RunFenced):
        await service.event_log.append(pretender, [chunk("x")])


async def test_of_many_who_claim_at_once_one_holds(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    taken = await asyncio.gather(*(service.event_log.claim(accepted.run_id) for _ in range(8)))
    assert sum(1 for result in taken if result is not None) == 1
    assert (await fresh(accepted.run_id)).claim == 1


async def test_who_is_interrupted_before_a_claim_is_known_has_claimed_nothing(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = await posted(service, ann)

    def interrupted(**_: Any) -> HeldRun:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(claiming, "HeldRun", interrupted)
        with pytest.raises(asyncio.CancelledError):
            await service.event_log.claim(accepted.run_id)
    run = await fresh(accepted.run_id)
    assert (run.status, run.claim) == ("queued", 0)
    assert await service.event_log.claim(accepted.run_id) is not None


async def test_of_two_runs_of_a_thread_claimed_at_once_one_runs(service: ThreadService, ann: Any) -> None:
    for _ in range(5):
        first = await posted(service, ann)
        second = await posted(service, ann, thread_id=first.thread_id)
        claims = [service.event_log.claim(run_id) for run_id in (first.run_id, second.run_id) * 2]
        taken = await asyncio.gather(*claims, return_exceptions=True)
        assert sum(1 for result in taken if isinstance(result, tuple)) == 1
        # Only the head of a queue has a job, so this is a second line: the constraint may be what says no.
        assert {type(result) for result in taken} <= {tuple, type(None), UniqueViolation}
        await database_sync_to_async(service.delete_thread)(ann.pk, uuid.UUID(first.thread_id))


async def test_two_holders_at_once_leave_one_writer_and_no_gap(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    lost = await holding(service, ann)

    under_way = asyncio.Event()

    async def write(holder: HeldRun, text: str) -> int:
        written = 0
        try:
            while written < 30:
                await log.append(holder, [chunk(f"{text}{written}")])
                written += 1
                if written == 3:
                    under_way.set()
        except RunFenced:
            pass
        return written

    async def take_over() -> HeldRun:
        recover = database_sync_to_async(runs.recover)
        await recover(lost.id, seen_claim=lost.claim, max_attempts=3, stalled=12, publisher=log.publisher)
        return await claimed(log, str(lost.id))

    writing = asyncio.create_task(write(lost, "lost "))
    await under_way.wait()
    held = await take_over()
    before, after = await asyncio.gather(writing, write(held, "held "))

    found = await log.read_after(str(lost.id), 0, limit=500)
    assert [frame.seq for frame in found] == list(range(1, before + after + 3))
    kinds = [json.loads(frame.text)["type"] for frame in found]
    restart = kinds.index("agent_restarted")
    texts = [text or "" for _, text in text_of(found)]
    assert all(text.startswith("lost") for text in texts[1:restart])
    assert all(text.startswith("held") for text in texts[restart + 1 :])
    assert (restart, after) == (before + 1, 30)


@pytest.mark.parametrize(
    ("value", "error"),
    [("\x00", psycopg.DataError), ("\ud800", PydanticSerializationError), ({"\x00": 1}, psycopg.DataError)],
)
async def test_what_postgresql_cannot_store_is_refused_whole(
    service: ThreadService, ann: Any, value: Any, error: type[Exception]
) -> None:
    """Who writes cleans what it writes (`agents.plain`): here it is an error, not a loss."""
    held = await holding(service, ann)
    with pytest.raises(error):
        await service.event_log.append(held, [chunk("fine"), event("tool_completed", result=value)])
    assert held.last_seq == 1
    await service.event_log.append(held, [chunk("goes on")])
    assert text_of(await service.event_log.read_after(str(held.id), 1, limit=10)) == [(2, "goes on")]


async def test_many_events_of_many_runs_at_once(service: ThreadService, ann: Any) -> None:
    service.max_open_runs = 30
    log = service.event_log
    held = [await holding(service, ann) for _ in range(20)]

    async def write(run: HeldRun) -> None:
        for place in range(10):
            await log.append(run, [chunk(f"{run.run_number}.{place}"), event("agent_thinking", step=place)])
        await log.finish(run, completed(), pending=[])

    await asyncio.gather(*(write(run) for run in held))
    for run in held:
        frames = await log.read_after(str(run.id), 0, limit=100)
        assert [frame.seq for frame in frames] == list(range(1, 23))
        answer = (await fresh(run.id)).output_message
        assert answer is not None
        assert answer.content == "".join(f"{run.run_number}.{place}" for place in range(10))


# Claiming gives the conversation


async def test_the_conversation_is_the_chain_of_parents(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    first = await posted(service, ann, "One")
    await answered(log, first.run_id, "Answer one")
    cut = await posted(service, ann, "Two", thread_id=first.thread_id)
    await log.append(await claimed(log, cut.run_id), [chunk("Answer tw")])
    await database_sync_to_async(service.stop_run)(ann.pk, uuid.UUID(cut.run_id))
    await posted(service, ann, "Elsewhere")
    third = await posted(service, ann, "Three", thread_id=first.thread_id)
    taken = await log.claim(third.run_id)
    assert taken is not None
    assert [(turn["role"], turn["content"]) for turn in taken[1]] == [
        ("user", "One"),
        ("assistant", "Answer one"),
        ("user", "Two"),
        ("assistant", "Answer tw"),
        ("user", "Three"),
    ]


@pytest.mark.parametrize(("bound", "value"), [("MAX_HISTORY_MESSAGES", 40), ("MAX_HISTORY_BYTES", 400)])
async def test_a_long_conversation_is_cut_at_its_beginning(
    service: ThreadService, ann: Any, bound: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, bound, value)
    accepted = await posted(service, ann, "0")
    run = await fresh(accepted.run_id)

    @database_sync_to_async
    def continue_it() -> None:
        parent = run.input_message
        for place in range(100, 161):
            parent = Message.objects.create(
                user=ann,
                thread_id=run.thread_id,
                parent=parent,
                role="user",
                content=f"message {place:02}",
                run_number=1,
                created_at=now(),
            )
        Run.objects.filter(id=run.id).update(input_message=parent)

    await continue_it()
    taken = await service.event_log.claim(accepted.run_id)
    assert taken is not None
    # Of 11 bytes each, 400 are reached by the 37th after the question.
    first = 160 - (40 if bound == "MAX_HISTORY_MESSAGES" else 37)
    assert [turn["content"] for turn in taken[1]] == [f"message {place}" for place in range(first, 161)]


# Reading


async def test_reading_goes_page_by_page(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    held = await holding(service, ann)
    await log.append(held, [chunk(str(place)) for place in range(2, 12)])
    run_id = str(held.id)
    seen: list[int] = []
    while page := await log.read_after(run_id, seen[-1] if seen else 0, limit=4):
        assert len(page) <= 4
        seen += [frame.seq for frame in page]
    assert seen == list(range(1, 12))
    assert await log.read_after(run_id, 11, limit=4) == []
    assert await log.read_after(run_id, 2**31 - 1, limit=4) == []
    assert await log.read_after(str(uuid.uuid4()), 0, limit=4) == []


async def test_the_last_frame_of_a_run_says_so(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    accepted = await posted(service, ann)
    await answered(log, accepted.run_id, "x")
    frames = await log.read_after(accepted.run_id, 0, limit=10)
    assert [frame.terminal for frame in frames] == [False, False, True]
    last = json.loads(frames[-1].text)
    answer = (await fresh(accepted.run_id)).output_message
    assert answer is not None
    assert last["data"]["message"] == {"id": str(answer.message_id), "role": "assistant", "content": "x"}


def test_a_frame_is_one_line_of_json() -> None:
    written = Event("agent_response_chunk", "assistant", {"text": "a\nb"}, now())
    frame = event_frame(uuid.uuid4(), 1, uuid.uuid4(), 7, written)
    assert "\n" not in frame.text
    assert json.loads(frame.text)["seq"] == frame.seq == 7


# Positions


async def test_positions_are_of_the_persons_own_visible_runs(service: ThreadService, ann: Any, bob: Any) -> None:
    log = service.event_log
    done, theirs, deleted = await posted(service, ann), await posted(service, bob), await posted(service, ann)
    await answered(log, done.run_id, "x")
    await database_sync_to_async(service.delete_thread)(ann.pk, uuid.UUID(deleted.thread_id))
    asked = [done.run_id, theirs.run_id, deleted.run_id, str(uuid.uuid4())]
    [place] = await log.positions(ann.pk, run_ids=asked)
    assert (place.run_id, place.run_number, place.status, place.first_seq, place.last_seq) == (
        done.run_id,
        1,
        "completed",
        1,
        3,
    )
    assert await log.positions(ann.pk, run_ids=[]) == []


async def test_the_position_of_a_pruned_run_tells_where_its_events_begin(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    accepted = await posted(service, ann)
    await answered(log, accepted.run_id, "x")

    async def pruned(up_to: int) -> tuple[int, int]:
        delete = RunEvent.objects.filter(run_id=accepted.run_id, seq__lte=up_to).delete
        await database_sync_to_async(delete)()
        [place] = await log.positions(ann.pk, run_ids=[accepted.run_id])
        return place.first_seq, place.last_seq

    assert await pruned(1) == (2, 3)
    assert await pruned(3) == (4, 3), "nothing is left"


async def test_runs_above_a_number_come_in_their_order_and_bounded(service: ThreadService, ann: Any, bob: Any) -> None:
    made = [await posted(service, ann) for _ in range(4)]
    await posted(service, bob)
    positions = service.event_log.positions
    found = await positions(ann.pk, above=1, limit=2)
    assert [place.run_id for place in found] == [made[1].run_id, made[2].run_id]
    assert len(await positions(ann.pk, above=0, limit=10)) == 4
    assert await positions(ann.pk, above=4, limit=10) == []
    assert await positions(ann.pk, above=2**62, limit=10) == []


async def test_who_asks_for_positions_at_the_same_time_has_each_their_own(
    service: ThreadService, ann: Any, bob: Any
) -> None:
    of_ann, of_bob = [await posted(service, ann) for _ in range(3)], [await posted(service, bob) for _ in range(2)]
    positions = service.event_log.positions
    asked = [
        positions(ann.pk, run_ids=[of_ann[2].run_id, of_bob[0].run_id], above=0, limit=1),
        positions(bob.pk, run_numbers=[2, 3]),
        positions(bob.pk),
        positions(ann.pk, run_ids=[of_ann[1].run_id], run_numbers=[2], above=1, limit=5),
    ]
    numbers = [[place.run_number for place in found] for found in await asyncio.gather(*asked)]
    assert numbers == [[1, 3], [2], [], [2, 3]]


def known(user: Any, *run_ids: str, above: int = 0, threads_version: int = 0, **of_credential: Any) -> Known:
    password = hashlib.md5(user.password.encode()).hexdigest().upper()  # noqa: S324 - as tokens have it
    credential = Credential(**{"epoch": 0, "password": password, **of_credential})
    return Known(user.pk, above, run_ids, threads_version, credential)


async def test_all_connections_of_a_process_have_their_news_in_one_query(
    service: ThreadService, ann: Any, bob: Any
) -> None:
    first, second = await posted(service, ann), await posted(service, ann)
    third = await posted(service, bob)
    asked = [known(ann, first.run_id, third.run_id, str(uuid.uuid4()), above=1), known(bob, third.run_id, above=1)]
    news = await service.event_log.news(known_text(asked))
    assert {place: (of.counts, of.threads_version) for place, of in news.items()} == {0: (True, 2), 1: (True, 1)}
    assert {place.run_id for place in news[0].runs} == {first.run_id, second.run_id}
    assert {place.run_id for place in news[1].runs} == {third.run_id}


async def test_who_knows_all_has_no_news(service: ThreadService, ann: Any) -> None:
    await posted(service, ann)
    at_rest = known(ann, above=1, threads_version=1)
    assert await service.event_log.news(known_text([at_rest])) == {}
    assert (await service.event_log.news(known_text([at_rest._replace(threads_version=0)])))[0].threads_version == 1


@pytest.mark.parametrize(
    "of_credential", [{"epoch": 1}, {"password": "another"}, {"password": '"]\x01'}, {"session": uuid.uuid4()}]
)
async def test_that_a_credential_does_not_count_is_news(
    service: ThreadService, ann: Any, of_credential: dict[str, Any]
) -> None:
    [news] = (await service.event_log.news(known_text([known(ann, **of_credential)]))).values()
    assert (news.counts, news.runs) == (False, [])


async def test_a_run_is_named_once_that_is_asked_for_twice(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    [news] = (await service.event_log.news(known_text([known(ann, accepted.run_id)]))).values()
    assert len(news.runs) == 1


async def test_nobody_is_told_where_other_peoples_runs_stand(service: ThreadService, ann: Any, bob: Any) -> None:
    theirs = await posted(service, bob)
    assert await service.event_log.news(known_text([known(ann, theirs.run_id)])) == {}


# Plans


def test_reading_after_a_cursor_uses_the_index(event_log: EventLog) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT * FROM chat_runevent WHERE run_id = %s AND seq > 5 ORDER BY seq LIMIT 5", [uuid.uuid4()]
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "chat_runevent_pkey" in plan
