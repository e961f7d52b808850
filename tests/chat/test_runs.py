"""The states of a run: every edge of the diagram once, and that there are no others."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from procrastinate.contrib.django.models import ProcrastinateJob

from chat import runs
from chat.claiming import HeldRun
from chat.event_log import EventLog, RunFenced
from chat.models import CancelledBy, Message, Run, RunEvent, RunStatus
from chat.run_event import now
from chat.runs import IllegalTransition
from chat.threads import ThreadService
from tests.chat.holding import answered, chunk, claimed, completed, event, events, failed, fresh, jobs, post, posted

OPEN = ("queued", "running", "awaiting_approval")
ENDED = ("completed", "failed", "cancelled")


@database_sync_to_async
def cancel(log: EventLog, run_id: str, by: CancelledBy = CancelledBy.USER) -> None:
    with transaction.atomic():
        locked = runs.lock(uuid.UUID(run_id))
        assert locked is not None
        runs.cancel(locked[1], by=by, publisher=log.publisher)


@database_sync_to_async
def recover(log: EventLog, run_id: str, *, seen_claim: int, max_attempts: int = 3) -> RunStatus | None:
    return runs.recover(
        uuid.UUID(run_id), seen_claim=seen_claim, max_attempts=max_attempts, stalled=12, publisher=log.publisher
    )


@database_sync_to_async
def requeue(run_id: str, lost_job_id: int | None) -> bool:
    return runs.requeue(uuid.UUID(run_id), lost_job_id=lost_job_id, stalled=12)


@database_sync_to_async
def in_state(run_id: str, status: str) -> None:
    """Put a run where no function of ours leads it."""
    ended = now() if status in ENDED else None
    Run.objects.filter(id=run_id).update(status=status, finished_at=ended)


async def log_types(run_id: str) -> list[str]:
    found = await events(run_id)
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
    return [type_ for _, type_ in found]


# The edges that there are


async def test_queued_to_running_by_a_claim(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    held = await claimed(service.event_log, accepted.run_id)
    run = await fresh(accepted.run_id)
    assert (run.status, run.claim, run.attempt) == ("running", 1, 1)
    assert run.started_at == held.started_at
    assert run.finished_at is None
    assert (held.claim, held.attempt, held.last_seq, held.run_number) == (1, 1, 1, 1)


async def test_running_to_completed_with_answer_usage_and_the_next_job(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    waiting = await posted(service, ann, thread_id=accepted.thread_id)
    held = await claimed(service.event_log, accepted.run_id)
    await service.event_log.append(held, [chunk("For"), event("tool_executing", tool="x")])
    await service.event_log.finish(held, completed(), pending=[chunk("ty-two")])

    run = await fresh(accepted.run_id)
    assert run.status == "completed"
    assert run.finished_at is not None
    assert run.usage == {"model": "offline", "input_tokens": 1, "output_tokens": 2, "requests": 1, "cost_usd": None}
    assert run.output_message is not None
    assert (run.output_message.content, run.output_message.partial) == ("Forty-two", False)
    assert (run.output_message.parent_id, run.output_message.run_number) == (run.input_message_id, 1)
    assert await log_types(accepted.run_id) == [
        *("message_created", "agent_response_chunk", "tool_executing", "agent_response_chunk", "agent_completed")
    ]
    assert ("todo", waiting.run_id) in await database_sync_to_async(jobs)()


async def test_running_to_failed_keeps_the_partial_answer_and_the_reason(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    held = await claimed(service.event_log, accepted.run_id)
    await service.event_log.finish(held, failed(), pending=[chunk("So far")])
    run = await fresh(accepted.run_id)
    assert (run.status, run.error_code, run.error_message) == ("failed", "MODEL_ERROR", "Broken")
    assert run.output_message is not None
    assert (run.output_message.content, run.output_message.partial) == ("So far", True)


async def test_running_to_failed_without_a_word_has_no_answer(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    held = await claimed(service.event_log, accepted.run_id)
    await service.event_log.finish(held, failed(), pending=[])
    assert (await fresh(accepted.run_id)).output_message is None
    assert await log_types(accepted.run_id) == ["message_created", "agent_error"]


async def test_running_to_completed_without_a_word_has_an_empty_answer(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    held = await claimed(service.event_log, accepted.run_id)
    await service.event_log.finish(held, completed(), pending=[])
    answer = (await fresh(accepted.run_id)).output_message
    assert answer is not None
    assert (answer.content, answer.partial) == ("", False)


@pytest.mark.parametrize("status", OPEN)
@pytest.mark.parametrize("by", list(CancelledBy))
async def test_every_open_state_to_cancelled(service: ThreadService, ann: Any, status: str, by: CancelledBy) -> None:
    accepted = await posted(service, ann)
    await in_state(accepted.run_id, status)
    await cancel(service.event_log, accepted.run_id, by)
    run = await fresh(accepted.run_id)
    assert (run.status, run.cancelled_by, run.claim) == ("cancelled", by.value, 1)
    assert run.finished_at is not None
    assert await log_types(accepted.run_id) == ["message_created", "agent_cancelled"]


async def test_running_to_queued_by_handing_back_is_the_same_attempt(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    accepted = await posted(service, ann)
    held = await claimed(log, accepted.run_id)
    await log.append(held, [chunk("Void")])
    assert await log.hand_back(held, reason="handed_back")
    run = await fresh(accepted.run_id)
    assert (run.status, run.attempt, run.claim, run.last_seq, run.restart_seq) == ("queued", 1, 2, 3, 3)
    assert run.job_id is not None, "its job returns to the queue by itself"

    held = await claimed(log, accepted.run_id)
    assert (held.claim, held.attempt, held.last_seq) == (3, 1, 3)
    await log.finish(held, completed(), pending=[chunk("Valid")])
    answer = (await fresh(accepted.run_id)).output_message
    assert answer is not None
    assert answer.content == "Valid"


async def test_running_to_queued_by_recovery_is_another_attempt_that_voids_the_text(
    service: ThreadService, ann: Any
) -> None:
    log = service.event_log
    accepted = await posted(service, ann)
    lost = await claimed(log, accepted.run_id)
    began = (await fresh(accepted.run_id)).started_at
    await log.append(lost, [chunk("Void, "), chunk("too")])
    assert await recover(log, accepted.run_id, seen_claim=lost.claim) == RunStatus.QUEUED

    run = await fresh(accepted.run_id)
    assert (run.status, run.attempt, run.claim, run.last_seq, run.restart_seq) == ("queued", 2, 2, 4, 4)
    restarted = await database_sync_to_async(lambda: RunEvent.objects.get(run=run, seq=4))()
    assert (restarted.type, restarted.data) == ("agent_restarted", {"attempt": 2, "reason": "worker_lost"})
    assert await database_sync_to_async(jobs)() == [("todo", accepted.run_id)] * 2, (
        "the lost job was never fetched here"
    )
    assert run.started_at == began

    held = await claimed(log, accepted.run_id)
    assert (held.attempt, held.last_seq, held.started_at) == (2, 4, began)
    await log.append(held, [chunk("Val")])
    await log.finish(held, completed(), pending=[chunk("id")])
    answer = (await fresh(accepted.run_id)).output_message
    assert answer is not None
    assert answer.content == "Valid"
    assert (await log_types(accepted.run_id)).count("agent_restarted") == 1


async def test_running_to_failed_when_the_attempts_are_used_up(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    accepted = await posted(service, ann)
    waiting = await posted(service, ann, thread_id=accepted.thread_id)
    for attempt in (1, 2):
        lost = await claimed(log, accepted.run_id)
        assert lost.attempt == attempt
        await log.append(lost, [chunk(f"Attempt {attempt}")])
        expected = RunStatus.QUEUED if attempt == 1 else RunStatus.FAILED
        assert await recover(log, accepted.run_id, seen_claim=lost.claim, max_attempts=2) == expected

    run = await fresh(accepted.run_id)
    assert (run.status, run.error_code, run.attempt) == ("failed", "WORKER_LOST", 2)
    assert run.output_message is not None
    assert (run.output_message.content, run.output_message.partial) == ("Attempt 2", True)
    assert (await log_types(accepted.run_id))[-2:] == ["agent_response_chunk", "agent_error"]
    last = await database_sync_to_async(lambda: RunEvent.objects.filter(run=run).order_by("-seq")[0])()
    assert last.data["error_code"] == "WORKER_LOST"
    assert last.data["retryable"] is True
    assert last.data["message"]["content"] == "Attempt 2"
    assert (await database_sync_to_async(jobs)())[-1] == ("todo", waiting.run_id), "the thread goes on"


async def test_an_answer_cut_short_has_the_last_attempts_text_only(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    accepted = await posted(service, ann)
    lost = await claimed(log, accepted.run_id)
    await log.append(lost, [chunk("Void")])
    await recover(log, accepted.run_id, seen_claim=lost.claim)
    await cancel(log, accepted.run_id)
    assert (await fresh(accepted.run_id)).output_message is None

    accepted = await posted(service, ann)
    await log.hand_back(held := await claimed(log, accepted.run_id), reason="handed_back")
    held = await claimed(log, accepted.run_id)
    await log.append(held, [chunk("Valid")])
    await cancel(log, accepted.run_id)
    answer = (await fresh(accepted.run_id)).output_message
    assert answer is not None
    assert answer.content == "Valid"


# The edges that there are not


@pytest.mark.parametrize("status", ENDED)
async def test_what_has_ended_cannot_be_cancelled(service: ThreadService, ann: Any, status: str) -> None:
    accepted = await posted(service, ann)
    await in_state(accepted.run_id, status)
    expected = f"run {accepted.run_id}: expected queued or running or awaiting_approval, got {status}"
    with pytest.raises(IllegalTransition, match=expected):
        await cancel(service.event_log, accepted.run_id)
    assert (await fresh(accepted.run_id)).status == status
    assert await log_types(accepted.run_id) == ["message_created"]


@pytest.mark.parametrize("status", ["running", "awaiting_approval", *ENDED])
async def test_only_what_is_queued_can_be_claimed(service: ThreadService, ann: Any, status: str) -> None:
    accepted = await posted(service, ann)
    await in_state(accepted.run_id, status)
    assert await service.event_log.claim(accepted.run_id) is None
    run = await fresh(accepted.run_id)
    assert (run.status, run.claim) == (status, 0)


async def test_what_there_is_not_can_be_neither_claimed_nor_recovered(service: ThreadService) -> None:
    nothing = str(uuid.uuid4())
    assert await service.event_log.claim(nothing) is None
    assert await recover(service.event_log, nothing, seen_claim=0) is None
    assert await requeue(nothing, None) is False


@pytest.mark.parametrize("busy", ["running", "awaiting_approval"])
async def test_nothing_is_claimed_while_its_thread_is_busy(service: ThreadService, ann: Any, busy: str) -> None:
    first = await posted(service, ann)
    second = await posted(service, ann, thread_id=first.thread_id)
    elsewhere = await posted(service, ann)
    await in_state(first.run_id, busy)
    assert await service.event_log.claim(second.run_id) is None
    assert await service.event_log.claim(elsewhere.run_id) is not None


@pytest.mark.parametrize("status", ["queued", "awaiting_approval", *ENDED])
async def test_only_what_runs_is_recovered(service: ThreadService, ann: Any, status: str) -> None:
    accepted = await posted(service, ann)
    held = await claimed(service.event_log, accepted.run_id)
    await in_state(accepted.run_id, status)
    assert await recover(service.event_log, accepted.run_id, seen_claim=held.claim) is None
    run = await fresh(accepted.run_id)
    assert (run.status, run.claim, run.attempt, run.last_seq) == (status, 1, 1, 1)


async def test_what_moved_on_since_it_seemed_lost_is_not_recovered(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    accepted = await posted(service, ann)
    seen = await claimed(log, accepted.run_id)
    assert await recover(log, accepted.run_id, seen_claim=seen.claim) == RunStatus.QUEUED
    assert await recover(log, accepted.run_id, seen_claim=seen.claim) is None
    await claimed(log, accepted.run_id)
    assert await recover(log, accepted.run_id, seen_claim=seen.claim) is None
    assert (await fresh(accepted.run_id)).attempt == 2


@pytest.mark.parametrize("status", ["running", "awaiting_approval", *ENDED])
async def test_only_what_is_queued_gets_another_job(service: ThreadService, ann: Any, status: str) -> None:
    accepted = await posted(service, ann)
    job_id = (await fresh(accepted.run_id)).job_id
    await in_state(accepted.run_id, status)
    assert await requeue(accepted.run_id, job_id) is False
    assert len(await database_sync_to_async(jobs)()) == 1


async def test_a_head_whose_job_is_gone_gets_another_once(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    job_id = (await fresh(accepted.run_id)).job_id
    assert await requeue(accepted.run_id, job_id) is False, "the job waits for a worker"
    await database_sync_to_async(lambda: ProcrastinateJob.objects.filter(id=job_id).update(status="failed"))()
    assert await requeue(accepted.run_id, job_id) is True
    assert (await fresh(accepted.run_id)).job_id != job_id
    assert await requeue(accepted.run_id, job_id) is False, "somebody else saw the same loss"


async def test_what_waits_behind_another_gets_no_job(service: ThreadService, ann: Any) -> None:
    first = await posted(service, ann)
    second = await posted(service, ann, thread_id=first.thread_id)
    await requeue(second.run_id, None)
    assert (await fresh(second.run_id)).job_id is None
    assert await database_sync_to_async(jobs)() == [("todo", first.run_id)]


# What its former holder still tries


async def after_cancelling(log: EventLog, held: HeldRun) -> None:
    await cancel(log, str(held.id))


async def after_recovery(log: EventLog, held: HeldRun) -> None:
    await recover(log, str(held.id), seen_claim=held.claim)


async def after_recovery_and_another_claim(log: EventLog, held: HeldRun) -> None:
    await recover(log, str(held.id), seen_claim=held.claim)
    await claimed(log, str(held.id))


async def after_recovery_and_another_answer(log: EventLog, held: HeldRun) -> None:
    await recover(log, str(held.id), seen_claim=held.claim)
    await answered(log, str(held.id), "The other's")


async def after_handing_back(log: EventLog, held: HeldRun) -> None:
    await log.hand_back(held, reason="handed_back")


async def after_finishing(log: EventLog, held: HeldRun) -> None:
    other = HeldRun(**{name: getattr(held, name) for name in HeldRun.__slots__})
    await log.finish(other, completed(), pending=[chunk("Once")])


async def after_its_removal(log: EventLog, held: HeldRun) -> None:
    await database_sync_to_async(lambda: Run.objects.filter(id=held.id).delete())()


@pytest.mark.parametrize(
    "taken",
    [
        after_cancelling,
        after_recovery,
        after_recovery_and_another_claim,
        after_recovery_and_another_answer,
        after_handing_back,
        after_finishing,
        after_its_removal,
    ],
)
async def test_the_late_writes_of_a_former_holder_are_fenced_off(
    service: ThreadService, ann: Any, taken: Callable[[EventLog, HeldRun], Awaitable[None]]
) -> None:
    log = service.event_log
    accepted = await posted(service, ann)
    held = await claimed(log, accepted.run_id)
    await log.append(held, [chunk("Before")])
    await taken(log, held)
    after = await events(accepted.run_id)
    messages = await database_sync_to_async(Message.objects.count)()
    seq = held.last_seq

    with pytest.raises(RunFenced):
        await log.append(held, [chunk("Late")])
    with pytest.raises(RunFenced):
        await log.append(held, [chunk("Late")] * 3)
    with pytest.raises(RunFenced):
        await log.finish(held, failed(), pending=[chunk("Late")] * 4)
    assert await log.hand_back(held, reason="handed_back") is None
    assert held.last_seq == seq
    assert await events(accepted.run_id) == after
    assert await database_sync_to_async(Message.objects.count)() == messages


async def test_the_claim_alone_is_a_fence(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    held = await claimed(log, (await posted(service, ann)).run_id)
    await database_sync_to_async(lambda: Run.objects.filter(id=held.id).update(claim=F("claim") + 1))()
    with pytest.raises(RunFenced):
        await log.append(held, [chunk("Late")])
    with pytest.raises(RunFenced):
        await log.finish(held, completed(), pending=[])
    assert await log.hand_back(held, reason="handed_back") is None
    assert await log_types(str(held.id)) == ["message_created"]


# What the database itself rules out


def refused(work: Callable[[], Any]) -> None:
    def attempt() -> None:
        with transaction.atomic():
            work()
            connection.check_constraints()

    with pytest.raises(IntegrityError):
        attempt()


def test_the_database_holds_the_rules_too(service: ThreadService, ann: Any) -> None:
    accepted = post(service, ann, message_id=uuid.uuid4())
    post(service, ann, thread_id=accepted.thread_id)
    first, second = Run.objects.order_by("run_number")
    message = first.input_message

    def copy(row: Any, **changes: Any) -> Callable[[], Any]:
        def insert() -> None:
            again = type(row).objects.get(pk=row.pk)
            for name, value in ({"id": None} | changes).items():
                setattr(again, name, value)
            again._state.adding = True
            again.save(force_insert=True)

        return insert

    refused(copy(message))  # one message_id per user
    refused(copy(first, id=uuid.uuid4()))  # one run number per user
    refused(lambda: Message.objects.update(role="system"))
    refused(lambda: Run.objects.update(status="lost"))
    for status in OPEN:
        refused(lambda s=status: Run.objects.filter(pk=first.pk).update(status=s, finished_at=now()))  # type: ignore[misc]
    for status in ENDED:
        refused(lambda s=status: Run.objects.filter(pk=first.pk).update(status=s))  # type: ignore[misc]
    refused(lambda: Run.objects.update(status="running"))  # both, in one thread
    Run.objects.filter(pk=first.pk).update(status="running")
    refused(lambda: Run.objects.filter(pk=second.pk).update(status="awaiting_approval"))
    event_row = RunEvent.objects.filter(run=first).get()
    refused(lambda: RunEvent.objects.bulk_create([event_row]))  # one event of a number
    refused(lambda: RunEvent.objects.filter(run=second).update(run_id=uuid.uuid4()))


def test_two_people_have_numbers_of_their_own(service: ThreadService, ann: Any) -> None:
    bob = get_user_model().objects.create_user("bob")
    assert [post(service, user).run_number for user in (ann, bob, ann)] == [1, 1, 2]
