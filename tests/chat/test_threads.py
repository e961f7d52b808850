"""The thread service: what is committed together, what only once, and what at the same time."""

from __future__ import annotations

import datetime
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from procrastinate.exceptions import ConnectorException

from chat.errors import ChatError, ErrorCode
from chat.models import Message, Run, RunEvent, Thread, UserCounters
from chat.own_threads import TITLE_LENGTH, title_from
from chat.process_layer import ProcessLayer
from chat.publisher import user_group
from chat.run_event import now
from chat.thread_removal import purge_deleted
from chat.threads import ThreadService
from tests.chat.conftest import AGENTS
from tests.chat.costs import queries
from tests.chat.holding import answered, chunk, claimed, completed, events, fresh, jobs, post, posted

AtOnce = Callable[[list[Callable[[], Any]]], list[Any]]


def error_code(work: Callable[[], Any]) -> Any:
    """The code with which it is refused; what it returns, when it is not."""
    try:
        return work()
    except ChatError as error:
        return error.code


def counts() -> dict[str, int]:
    tables = (Thread, Message, Run, RunEvent)
    return {table.__name__: table.objects.count() for table in tables} | {"jobs": len(jobs())}


class Told:
    """What the connections of a user are told."""

    def __init__(self, user: Any) -> None:
        layer = get_channel_layer()
        assert isinstance(layer, ProcessLayer)
        self.layer = layer
        self._told: list[dict[str, Any]] = []
        async_to_sync(layer.listen)(user_group(user.pk), self._hear)

    def _hear(self, message: dict[str, Any]) -> None:
        self._told.append(message)

    def all(self) -> list[dict[str, Any]]:
        """Since it was asked last."""
        told, self._told = self._told, []
        return told


@pytest.fixture
def told(ann: Any) -> Iterator[Told]:
    listener = Told(ann)
    yield listener
    async_to_sync(listener.layer.flush)()


# A message


def test_a_message_its_run_event_and_job_are_committed_together(service: ThreadService, ann: Any, told: Told) -> None:
    message_id = uuid.uuid4()
    accepted = post(service, ann, "What is 6 * 7?", message_id=message_id, agent="data")

    message, run = Message.objects.get(), Run.objects.get()
    assert (message.message_id, message.content, message.role) == (message_id, "What is 6 * 7?", "user")
    assert (message.user_id, message.run_number, message.parent) == (ann.pk, 1, None)
    assert (run.status, run.agent, run.run_number, run.claim, run.attempt) == ("queued", "data", 1, 0, 1)
    assert (run.input_message_id, run.thread_id, run.last_seq) == (message.pk, message.thread_id, 1)
    assert accepted.model_dump(exclude={"type", "ref"}) == {
        "thread_id": str(message.thread_id),
        "message_id": str(message_id),
        "run_id": str(run.pk),
        "run_number": 1,
        "allowance": None,
    }
    first = RunEvent.objects.get()
    assert (first.seq, first.type) == (1, "message_created")
    assert first.data == {"message": {"id": str(message_id), "role": "user", "content": "What is 6 * 7?"}}
    assert jobs() == [("todo", str(run.pk))]
    assert Thread.objects.get().title == "What is 6 * 7?"

    wake_up, notice = told.all()
    assert (wake_up["type"], wake_up["run_id"]) == ("run.events", str(run.pk))
    assert json.loads(wake_up["frames"][0].text)["data"] == first.data
    assert json.loads(notice["frame"])["thread"]["open_runs"] == 1
    assert (json.loads(notice["frame"])["type"], notice["threads_version"]) == ("thread_created", 1)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT ON chat_thread",
        "INSERT ON chat_message",
        "INSERT ON chat_run",
        "INSERT ON chat_runevent",
        "INSERT ON procrastinate_jobs",
        "UPDATE ON chat_usercounters",
    ],
)
def test_when_any_part_fails_nothing_is_kept_and_nobody_is_told(
    service: ThreadService, ann: Any, told: Told, statement: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'out of order'; END $$"""
        )
        cursor.execute(f"CREATE TRIGGER fails BEFORE {statement} FOR EACH ROW EXECUTE FUNCTION fail()")
    try:
        with pytest.raises((DatabaseError, ConnectorException)) as failure:
            post(service, ann)
        assert "out of order" in f"{failure.value} {failure.value.__cause__}"
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION fail CASCADE")
    assert set(counts().values()) == {0}
    assert not UserCounters.objects.filter(last_run_number__gt=0).exists()
    assert told.all() == []
    assert post(service, ann).run_number == 1, "and no number is lost"


def test_a_person_who_asks_waits_for_few_statements(service: ThreadService, ann: Any) -> None:
    """The counters, what may be used, and all that is written; BEGIN and COMMIT. In a thread also its row and its
    end.
    """
    thread_id = post(service, ann).thread_id
    assert queries(lambda: post(service, ann, agent=AGENTS[0])) == 5
    assert queries(lambda: post(service, ann, agent=AGENTS[0], thread_id=thread_id, when_busy="enqueue")) == 7


def test_what_the_callers_transaction_undoes_is_not_told(service: ThreadService, ann: Any, told: Told) -> None:
    def undo() -> None:
        with transaction.atomic():
            post(service, ann)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        undo()
    assert told.all() == []
    assert set(counts().values()) == {0}


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"agent": "nobody"}, "AGENT_NOT_FOUND"), ({"thread_id": uuid.uuid4()}, "THREAD_NOT_FOUND")],
)
def test_a_refused_message_leaves_nothing(
    service: ThreadService, ann: Any, told: Told, fields: dict[str, Any], code: str
) -> None:
    assert error_code(lambda: post(service, ann, **fields)) == code
    assert set(counts().values()) == {0}
    assert told.all() == []


def test_an_unknown_agent_is_answered_with_the_known_ones(service: ThreadService, ann: Any) -> None:
    with pytest.raises(ChatError) as refused:
        post(service, ann, agent="nobody")
    assert refused.value.details == {"agents": list(AGENTS)}


def test_somebody_elses_thread_is_like_one_that_there_is_not(service: ThreadService, ann: Any, bob: Any) -> None:
    theirs = post(service, bob)
    for thread_id in (theirs.thread_id, uuid.uuid4()):
        with pytest.raises(ChatError, match="THREAD_NOT_FOUND: There is no such thread"):
            post(service, ann, thread_id=thread_id)
    assert Run.objects.count() == 1


# Sent again


def test_a_message_sent_again_gets_the_first_answer(service: ThreadService, ann: Any, told: Told) -> None:
    message_id = uuid.uuid4()
    first = post(service, ann, message_id=message_id)
    before = counts()
    told.all()
    elsewhere = post(service, ann, "Elsewhere")
    told.all()
    assert post(service, ann, message_id=message_id) == first
    assert post(service, ann, message_id=message_id, thread_id=first.thread_id) == first
    assert post(service, ann, message_id=message_id, thread_id=elsewhere.thread_id) == first
    assert post(service, ann, message_id=message_id, thread_id=uuid.uuid4(), agent="nobody") == first
    assert post(service, ann, message_id=message_id, when_busy="interrupt") == first
    assert told.all() == []
    assert counts() == {name: number + 1 for name, number in before.items()}, "of the message elsewhere"


async def test_it_gets_the_first_answer_after_the_end_too(service: ThreadService, ann: Any) -> None:
    message_id = uuid.uuid4()
    first = await posted(service, ann, message_id=message_id)
    await answered(service.event_log, first.run_id, "Here")
    assert await posted(service, ann, message_id=message_id) == first

    message_id = uuid.uuid4()
    second = await posted(service, ann, message_id=message_id)
    await database_sync_to_async(service.delete_thread)(ann.pk, uuid.UUID(second.thread_id))
    assert await posted(service, ann, message_id=message_id) == second


async def test_other_content_under_the_same_message_id_is_a_conflict(service: ThreadService, ann: Any) -> None:
    message_id = uuid.uuid4()
    first = await posted(service, ann, "This", message_id=message_id)
    for content in ("That", "This ", "this"):
        with pytest.raises(ChatError, match="MESSAGE_ID_CONFLICT"):
            await posted(service, ann, content, message_id=message_id)
    await answered(service.event_log, first.run_id, "Answer")
    run = await fresh(first.run_id)
    assert run.output_message is not None
    with pytest.raises(ChatError, match="MESSAGE_ID_CONFLICT"):
        await posted(service, ann, "Answer", message_id=run.output_message.message_id)


def test_two_people_may_use_the_same_message_id(service: ThreadService, ann: Any, bob: Any) -> None:
    message_id = uuid.uuid4()
    hers, his = post(service, ann, "Hers", message_id=message_id), post(service, bob, "His", message_id=message_id)
    assert hers.run_id != his.run_id
    assert (hers.run_number, his.run_number) == (1, 1)


def test_sent_twice_at_the_same_time_it_is_one_message(service: ThreadService, ann: Any, at_once: AtOnce) -> None:
    for _ in range(5):
        message_id = uuid.uuid4()
        first, *others = at_once([lambda m=message_id: post(service, ann, message_id=m)] * 8)  # type: ignore[misc]
        assert others == [first] * 7
    assert Run.objects.count() == 5


def test_of_two_contents_at_the_same_time_one_is_the_message(service: ThreadService, ann: Any, at_once: AtOnce) -> None:
    message_id = uuid.uuid4()
    answers = at_once(
        [
            lambda c=content: error_code(lambda: post(service, ann, c, message_id=message_id))  # type: ignore[misc]
            for content in ("This", "That") * 4
        ]
    )
    assert answers.count(ErrorCode.MESSAGE_ID_CONFLICT) == 4
    assert Message.objects.count() == 1


# Numbers and limits, from several connections at once


def test_run_numbers_of_a_person_have_no_gap(service: ThreadService, ann: Any, bob: Any, at_once: AtOnce) -> None:
    service.max_open_runs = 1000
    places = [post(service, ann).thread_id for _ in range(3)]
    asks = [(ann, places[place % 3] if place % 4 else None) for place in range(50)]
    asks += [(bob, None)] * 10
    random.shuffle(asks)
    accepted = at_once(
        [lambda u=user, t=thread: (u, post(service, u, thread_id=t)) for user, thread in asks]  # type: ignore[misc]
    )
    numbers = sorted(answer.run_number for user, answer in accepted if user == ann)
    assert numbers == list(range(4, 54))
    assert sorted(answer.run_number for user, answer in accepted if user == bob) == list(range(1, 11))
    assert UserCounters.objects.get(user=ann).last_run_number == 53
    assert UserCounters.objects.get(user=ann).threads_version == 53
    heads = Run.objects.filter(job_id__isnull=False).values_list("thread_id", flat=True)
    assert Counter(heads) == Counter(Thread.objects.values_list("id", flat=True)), "each thread has one job"
    for thread in places:
        head = Run.objects.filter(thread_id=thread).order_by("run_number").first()
        assert head is not None
        assert head.job_id is not None


def test_no_race_gets_past_the_limit_of_open_runs(service: ThreadService, ann: Any, bob: Any, at_once: AtOnce) -> None:
    service.max_open_runs = 7
    answers = at_once([lambda: error_code(lambda: post(service, ann))] * 30)
    assert answers.count(ErrorCode.TOO_MANY_RUNS) == 23
    assert Run.objects.filter(user=ann).count() == 7
    with pytest.raises(ChatError) as refused:
        post(service, ann)
    assert refused.value.details == {"max_open_runs": 7}
    assert refused.value.retry_after
    assert post(service, bob).run_number == 1, "another person has a limit of their own"
    run = Run.objects.filter(user=ann).first()
    assert run is not None
    service.stop_run(ann.pk, run.pk)
    assert post(service, ann).run_number == 8


def test_whatever_happens_at_once_ends_well(service: ThreadService, ann: Any, at_once: AtOnce) -> None:
    """Messages, stops, names and deletions from eight connections: no deadlock, and each rule holds afterwards."""
    service.max_open_runs = 40
    threads = [uuid.UUID(post(service, ann).thread_id) for _ in range(4)]
    kinds: list[Callable[[random.Random], Any]] = [
        lambda chance: post(service, ann, thread_id=chance.choice(threads)),
        lambda chance: post(service, ann, thread_id=chance.choice(threads), when_busy="interrupt"),
        lambda chance: post(service, ann, thread_id=chance.choice(threads), when_busy="reject"),
        lambda chance: service.stop_run(ann.pk, chance.choice(list(Run.objects.all())).pk),
        lambda chance: service.change_thread(ann.pk, chance.choice(threads), title="Renamed"),
        lambda _: service.delete_thread(ann.pk, threads[0]),
    ]

    def act(seed: int) -> Any:
        chance = random.Random(seed)
        kind = chance.choices(kinds, [8, 4, 2, 4, 2, 0.2])[0]
        return error_code(lambda: kind(chance))

    allowed = {ErrorCode.THREAD_NOT_FOUND, ErrorCode.RUN_NOT_FOUND, ErrorCode.RUN_ACTIVE, ErrorCode.TOO_MANY_RUNS}
    answers = at_once([lambda s=seed: act(s) for seed in range(160)])  # type: ignore[misc]
    assert {answer for answer in answers if isinstance(answer, ErrorCode)} <= allowed

    numbers = list(Run.objects.order_by("run_number").values_list("run_number", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
    for run in Run.objects.all():
        seqs = list(RunEvent.objects.filter(run=run).order_by("seq").values_list("seq", flat=True))
        assert seqs == list(range(1, run.last_seq + 1))
    for thread in Thread.objects.all():
        queue = list(Run.objects.filter(thread=thread, status="queued").order_by("run_number"))
        assert not (thread.deleted_at and queue)
        with_job = [run for run in queue if ("todo", str(run.pk)) in jobs()]
        assert with_job == queue[:1], "the head of the queue has a job, and nobody else"


# A busy thread


def test_enqueue_waits_without_a_job(service: ThreadService, ann: Any) -> None:
    first = post(service, ann)
    second = post(service, ann, thread_id=first.thread_id)
    assert list(Run.objects.order_by("run_number").values_list("status", flat=True)) == ["queued", "queued"]
    assert jobs() == [("todo", first.run_id)]
    assert Run.objects.get(id=second.run_id).job_id is None


async def test_interrupt_cancels_what_runs_and_waits_and_goes_first(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    first = await posted(service, ann)
    waiting = await posted(service, ann, thread_id=first.thread_id)
    elsewhere = await posted(service, ann)
    held = await claimed(log, first.run_id)
    await log.append(held, [chunk("So far")])
    now_first = await posted(service, ann, thread_id=first.thread_id, when_busy="interrupt")

    for run_id, last in ((first.run_id, (3, "agent_cancelled")), (waiting.run_id, (2, "agent_cancelled"))):
        run = await fresh(run_id)
        assert (run.status, run.cancelled_by) == ("cancelled", "interrupt")
        assert (await events(run_id))[-1] == last
    cut = (await fresh(first.run_id)).output_message
    assert cut is not None
    assert (cut.content, cut.partial) == ("So far", True)
    assert (await fresh(elsewhere.run_id)).status == "queued"
    assert (await database_sync_to_async(jobs)())[-1] == ("todo", now_first.run_id)
    follows = (await fresh(now_first.run_id)).input_message
    assert await log.claim(now_first.run_id) is not None
    assert follows.parent is not None


def test_interrupt_of_an_idle_thread_just_goes_on(service: ThreadService, ann: Any) -> None:
    accepted = post(service, ann, when_busy="interrupt")
    service.stop_run(ann.pk, uuid.UUID(accepted.run_id))
    post(service, ann, thread_id=accepted.thread_id, when_busy="interrupt")
    assert Run.objects.filter(status="cancelled").count() == 1


def test_a_refused_interruption_interrupts_nothing(service: ThreadService, ann: Any, told: Told) -> None:
    place = post(service, ann).thread_id
    for _ in range(2):
        post(service, ann)
    told.all()
    service.max_open_runs = 2
    assert error_code(lambda: post(service, ann, thread_id=place, when_busy="interrupt")) == "TOO_MANY_RUNS"
    assert set(Run.objects.values_list("status", flat=True)) == {"queued"}
    assert [status for status, _ in jobs()] == ["todo"] * 3
    assert told.all() == []


def test_interrupt_makes_room_for_itself(service: ThreadService, ann: Any) -> None:
    service.max_open_runs = 2
    place = post(service, ann).thread_id
    post(service, ann, thread_id=place)
    assert post(service, ann, thread_id=place, when_busy="interrupt").run_number == 3


def test_reject_names_the_open_runs(service: ThreadService, ann: Any) -> None:
    first = post(service, ann, when_busy="reject")
    second = post(service, ann, thread_id=first.thread_id)
    with pytest.raises(ChatError) as refused:
        post(service, ann, thread_id=first.thread_id, when_busy="reject")
    assert refused.value.code == ErrorCode.RUN_ACTIVE
    assert refused.value.details == {"run_ids": [first.run_id, second.run_id]}
    assert Run.objects.count() == 2
    assert post(service, ann, when_busy="reject").run_number == 3, "another thread is free"


def test_of_several_that_would_be_rejected_one_gets_through(service: ThreadService, ann: Any, at_once: AtOnce) -> None:
    place = service.create_thread(ann.pk, "").id
    answers = at_once([lambda: error_code(lambda: post(service, ann, thread_id=place, when_busy="reject"))] * 8)
    assert answers.count(ErrorCode.RUN_ACTIVE) == 7


async def test_messages_of_a_thread_are_run_one_after_the_other_and_each_follows_the_answer_before(
    service: ThreadService, ann: Any
) -> None:
    log = service.event_log
    first = await posted(service, ann, "One")
    second = await posted(service, ann, "Two", thread_id=first.thread_id)
    third = await posted(service, ann, "Three", thread_id=first.thread_id)

    held = await claimed(log, first.run_id)
    assert await log.claim(second.run_id) is None, "one run of a thread at a time"
    assert await database_sync_to_async(jobs)() == [("todo", first.run_id)]
    await log.finish(held, completed(), pending=[chunk("Answer one")])
    assert await database_sync_to_async(jobs)() == [("todo", first.run_id), ("todo", second.run_id)]

    taken = await log.claim(second.run_id)
    assert taken is not None
    held, conversation = taken
    said = [(turn["role"], turn["content"]) for turn in conversation]
    assert said == [("user", "One"), ("assistant", "Answer one"), ("user", "Two")]
    parent = (await fresh(second.run_id)).input_message.parent
    assert parent is not None
    assert parent.content == "Answer one"
    await log.finish(held, completed(), pending=[chunk("Answer two")])

    taken = await log.claim(third.run_id)
    assert taken is not None
    assert [turn["content"] for turn in taken[1]] == ["One", "Answer one", "Two", "Answer two", "Three"]


async def test_a_question_after_a_run_without_an_answer_follows_the_question(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    first = await posted(service, ann, "One")
    second = await posted(service, ann, "Two", thread_id=first.thread_id)
    await database_sync_to_async(service.stop_run)(ann.pk, uuid.UUID(first.run_id))
    taken = await log.claim(second.run_id)
    assert taken is not None
    assert [turn["content"] for turn in taken[1]] == ["One", "Two"]


# Stopping


def test_a_queued_run_is_stopped_and_the_next_one_gets_its_turn(service: ThreadService, ann: Any, told: Told) -> None:
    first = post(service, ann)
    second = post(service, ann, thread_id=first.thread_id)
    told.all()
    stopped = service.stop_run(ann.pk, uuid.UUID(first.run_id))
    assert (stopped.run_id, stopped.status) == (first.run_id, "cancelled")
    run = Run.objects.get(id=first.run_id)
    assert (run.status, run.cancelled_by, run.claim, run.last_seq) == ("cancelled", "user", 1, 2)
    assert run.finished_at is not None
    assert RunEvent.objects.get(run=run, seq=2).data == {"by": "user"}
    assert jobs() == [("cancelled", first.run_id), ("todo", second.run_id)]
    [wake_up] = told.all()
    assert (wake_up["first_seq"], wake_up["last_seq"], wake_up["terminal"]) == (2, 2, True)


def test_a_waiting_run_is_stopped_without_touching_the_head(service: ThreadService, ann: Any) -> None:
    first = post(service, ann)
    second = post(service, ann, thread_id=first.thread_id)
    service.stop_run(ann.pk, uuid.UUID(second.run_id))
    assert jobs() == [("todo", first.run_id)]


async def test_a_running_run_is_stopped_at_once_and_keeps_what_was_said(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    held = await claimed(service.event_log, accepted.run_id)
    await service.event_log.append(held, [chunk("So "), chunk("far")])
    stopped = await database_sync_to_async(service.stop_run)(ann.pk, uuid.UUID(accepted.run_id))
    assert stopped.status == "cancelled"
    run = await fresh(accepted.run_id)
    assert run.output_message is not None
    assert (run.output_message.content, run.output_message.partial) == ("So far", True)
    assert run.output_message.parent_id == run.input_message_id
    assert (await events(accepted.run_id))[-1] == (4, "agent_cancelled")


async def test_stopping_an_ended_run_tells_its_status(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    await answered(service.event_log, accepted.run_id, "Here")
    for _ in range(2):
        stopped = await database_sync_to_async(service.stop_run)(ann.pk, uuid.UUID(accepted.run_id))
        assert stopped.status == "completed"
    assert (await events(accepted.run_id))[-1] == (3, "agent_completed")


def test_nobody_stops_what_is_not_theirs(service: ThreadService, ann: Any, bob: Any) -> None:
    theirs = post(service, bob)
    hidden = post(service, ann)
    service.delete_thread(ann.pk, uuid.UUID(hidden.thread_id))
    for run_id in (theirs.run_id, hidden.run_id, str(uuid.uuid4())):
        with pytest.raises(ChatError, match="RUN_NOT_FOUND: There is no such run"):
            service.stop_run(ann.pk, uuid.UUID(run_id))
    assert Run.objects.get(id=theirs.run_id).status == "queued"


def test_stopped_by_many_at_once_it_ends_once(service: ThreadService, ann: Any, at_once: AtOnce) -> None:
    accepted = post(service, ann)
    stopped = at_once([lambda: service.stop_run(ann.pk, uuid.UUID(accepted.run_id)).status] * 8)
    assert stopped == ["cancelled"] * 8
    assert RunEvent.objects.filter(type="agent_cancelled").count() == 1


# Titles


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("What is 6 * 7?", "What is 6 * 7?"),
        ("\n\n  First line \nSecond line", "First line"),
        ("a\tb  c\u00a0d", "a b c d"),
        ("x" * TITLE_LENGTH, "x" * TITLE_LENGTH),
        ("x" * (TITLE_LENGTH + 1), "x" * (TITLE_LENGTH - 1) + "…"),
        ("word " * 40, "word word word word word word word word word word word…"),
        ("short, " + "x" * 80, "short, " + "x" * 52 + "…"),
        (
            "A sentence of some length, with a comma at the very end, and more",
            "A sentence of some length, with a comma at the very end…",
        ),
    ],
)
def test_a_title_is_the_first_line_cut_at_a_word(content: str, title: str) -> None:
    assert title_from(content) == title
    assert len(title) <= TITLE_LENGTH


@pytest.mark.parametrize("content", ["-" * 100, "\U0001f600" * 100, " . " * 100, "\u202e" * 100, "a" * 65_000, "\x1c"])
def test_any_content_has_a_title_that_fits(content: str) -> None:
    assert len(title_from(content)) <= TITLE_LENGTH


def test_a_title_is_made_once_and_a_name_given_by_hand_stays(service: ThreadService, ann: Any) -> None:
    accepted = post(service, ann, "First")
    post(service, ann, "Second", thread_id=accepted.thread_id)
    assert Thread.objects.get().title == "First"
    service.change_thread(ann.pk, uuid.UUID(accepted.thread_id), title="Named")
    post(service, ann, "Third", thread_id=accepted.thread_id)
    assert Thread.objects.get().title == "Named"


# The list of threads


def test_each_change_of_the_list_counts_its_version_and_is_told(service: ThreadService, ann: Any, told: Told) -> None:
    thread = service.create_thread(ann.pk, "One")
    post(service, ann, thread_id=thread.id)
    service.change_thread(ann.pk, thread.id, title="Two")
    service.delete_thread(ann.pk, thread.id)
    notices = [json.loads(message["frame"]) for message in told.all() if message["type"] == "thread.notice"]
    assert [(notice["type"], notice["threads_version"]) for notice in notices] == [
        ("thread_created", 1),
        ("thread_updated", 2),
        ("thread_updated", 3),
        ("thread_deleted", 4),
    ]
    assert {notice["thread"]["id"] for notice in notices} == {str(thread.id)}
    assert [notice["thread"]["open_runs"] for notice in notices] == [0, 1, 1, 0]
    assert service.threads_version(ann.pk) == 4


# Search


async def test_search_finds_what_is_the_persons_own_and_visible_newest_first(
    service: ThreadService, ann: Any, bob: Any
) -> None:
    await posted(service, bob, "A needle of bob's")
    deleted = await posted(service, ann, "A deleted needle")
    await database_sync_to_async(service.delete_thread)(ann.pk, uuid.UUID(deleted.thread_id))
    first = await posted(service, ann, "A NEEDLE, 100 % sure_")
    await answered(service.event_log, first.run_id, "Which needle?")
    search = database_sync_to_async(service.search_messages)
    found = await search(ann.pk, "needle", limit=10)
    assert [message.content for message in found] == ["Which needle?", "A NEEDLE, 100 % sure_"]
    assert len(await search(ann.pk, "needle", limit=1)) == 1
    assert [message.role for message in await search(ann.pk, "100 %", limit=5)] == ["user"], "% stands for itself"
    assert await search(ann.pk, "_needle", limit=5) == []


# Deletion and what is left of it


async def test_a_deleted_thread_ends_its_runs_and_its_queue(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    first = await posted(service, ann)
    second = await posted(service, ann, thread_id=first.thread_id)
    held = await claimed(log, first.run_id)
    await log.append(held, [chunk("So far")])
    await database_sync_to_async(service.delete_thread)(ann.pk, uuid.UUID(first.thread_id))
    for accepted in (first, second):
        run = await fresh(accepted.run_id)
        assert (run.status, run.cancelled_by) == ("cancelled", "deleted")
        assert await log.claim(accepted.run_id) is None
    assert await database_sync_to_async(jobs)() == [("cancelled", first.run_id)], "no other job was made"
    with pytest.raises(ChatError, match="THREAD_NOT_FOUND"):
        await posted(service, ann, thread_id=first.thread_id)


async def test_the_sweep_removes_everything_of_a_thread_deleted_long_ago(
    service: ThreadService, ann: Any, bob: Any
) -> None:
    log = service.event_log
    gone = await posted(service, ann, "Gone")
    await answered(log, gone.run_id, "Gone, too")
    await posted(service, ann, "And this", thread_id=gone.thread_id)
    kept = await posted(service, ann, "Kept")
    await answered(log, kept.run_id, "Kept, too")
    fresh_one = await posted(service, bob, "Deleted just now")
    delete = database_sync_to_async(service.delete_thread)
    await delete(ann.pk, uuid.UUID(gone.thread_id))
    await delete(bob.pk, uuid.UUID(fresh_one.thread_id))

    @database_sync_to_async
    def purge() -> int:
        Thread.objects.filter(id=gone.thread_id).update(deleted_at=F("deleted_at") - datetime.timedelta(hours=2))
        return purge_deleted(older_than=datetime.timedelta(hours=1), limit=10)

    assert await purge() == 1
    assert await purge() == 0

    @database_sync_to_async
    def left() -> tuple[set[str], set[str], set[str]]:
        return (
            {str(pk) for pk in Thread.objects.values_list("id", flat=True)},
            set(Message.objects.values_list("content", flat=True)),
            {str(pk) for pk in RunEvent.objects.values_list("run_id", flat=True)},
        )

    threads, contents, runs = await left()
    assert threads == {kept.thread_id, fresh_one.thread_id}
    assert contents == {"Kept", "Kept, too", "Deleted just now"}
    assert runs == {kept.run_id, fresh_one.run_id}


def test_the_sweep_takes_the_longest_deleted_first_and_no_more_than_its_limit(service: ThreadService, ann: Any) -> None:
    made = [uuid.UUID(post(service, ann).thread_id) for _ in range(3)]
    for age, thread_id in enumerate(made, 5):
        service.delete_thread(ann.pk, thread_id)
        Thread.objects.filter(id=thread_id).update(deleted_at=now() - datetime.timedelta(hours=age))
    assert purge_deleted(older_than=datetime.timedelta(hours=1), limit=2) == 2
    assert [thread.id for thread in Thread.objects.all()] == [made[0]]
