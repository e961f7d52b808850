"""The edges of a run that others than its holder write: cancel, recover, and what a person answers.

        post                claim                    finish
    (new) ──► queued ─────────────► running ───────────────────► completed, failed
               ▲ ▲ │                 │ │ │                                  ▲
               │ │ └──────┐   cancel │ │ │ hand back, recover               │
               │ │        ▼          ▼ │ │                                  │
               │ │       cancelled ◄─┘ │ │                                  │
               │ └────────▲────────────┼─┘                                  │
               │   cancel │            ▼ pause                              │
               └────────── awaiting_approval ───────────────────────────────┘
                  resolve                      expire

`post` is `chat.beginning.begin`; `claim`, `hand_back`, `pause` and `finish` are the holder's: `chat.event_log`. Each
function here runs in the caller's transaction, under the row lock of the thread (lock order everywhere: user counters,
thread, run).
"""

from __future__ import annotations

import datetime
import functools
import uuid
from typing import Any

from django.db import connection, transaction

from chat import jobs, metrics
from chat.branches import adopt_waiting
from chat.event_log import ANSWER_SQL, Ending, approval_expired, attempts_used_up, interrupted
from chat.models import (
    OPEN_STATUSES,
    Approval,
    ApprovedBy,
    CancelledBy,
    Message,
    Role,
    Run,
    RunEvent,
    RunStatus,
    Thread,
)
from chat.publisher import Publisher
from chat.run_event import Event, answer_json, event_frame, now
from chat.wake_ups import wake_up


class IllegalTransition(Exception):
    """A run was not in a state from which the edge begins."""

    def __init__(self, run: Run, expected: tuple[RunStatus, ...]) -> None:
        super().__init__(f"run {run.id}: expected {' or '.join(expected)}, got {run.status}")


def append_event(run: Run, event: Event, publisher: Publisher) -> None:
    """Number an event of a locked run and store it; connections are told after the commit. Saves `run.last_seq`."""
    run.last_seq += 1
    run.save(update_fields=["last_seq"])
    RunEvent.objects.create(
        run=run, seq=run.last_seq, type=event.type, agent=event.agent, data=event.data, created_at=event.created_at
    )
    transaction.on_commit(metrics.EVENTS_WRITTEN.inc)
    frame = event_frame(run.id, run.run_number, run.thread_id, run.last_seq, event)
    publisher.send_on_commit(run.user_id, wake_up(str(run.id), run.run_number, [frame]))


def answer_so_far(run: Run) -> str:
    """The text of the current attempt, as far as it is in the log."""
    with connection.cursor() as cursor:
        cursor.execute(ANSWER_SQL, {"run": run.id})
        row = cursor.fetchone()
    return (row and row[0]) or ""


def cancel(run: Run, *, by: CancelledBy, publisher: Publisher) -> None:
    """`queued, running, awaiting_approval → cancelled`: ends the run at once, whoever holds it.

    The partial answer stays. The holder's later writes are fenced off; its task is aborted. The caller has locked
    thread and run. Raises IllegalTransition for an ended run.
    """
    if run.status not in OPEN_STATUSES:
        raise IllegalTransition(run, OPEN_STATUSES)
    resolve_open(run, by=ApprovedBy.CANCELLED, publisher=publisher)
    run.claim += 1
    run.status = RunStatus.CANCELLED
    run.paused_state = None
    run.cancelled_by = by
    run.finished_at = now()
    data: dict[str, Any] = {"by": by.value}
    if content := answer_so_far(run):
        data["message"] = _store_partial_answer(run, content)
    run.save(update_fields=["claim", "status", "cancelled_by", "finished_at", "output_message", "paused_state"])
    append_event(run, Event("agent_cancelled", run.agent, data, run.finished_at), publisher)
    _count_end(run, run.finished_at)
    jobs.abort_run(run.job_id)


def cancel_all(user_id: Any, *, by: CancelledBy, publisher: Publisher) -> None:
    """Cancel whatever a person has open. The caller has locked the person's counters."""
    named = Run.objects.filter(user_id=user_id, status__in=OPEN_STATUSES).values("thread")
    for thread in Thread.objects.select_for_update(no_key=True).filter(id__in=named).order_by("id"):
        for run in Run.objects.select_for_update(no_key=True).filter(thread=thread, status__in=OPEN_STATUSES):
            cancel(run, by=by, publisher=publisher)


def resolve(run: Run, approval: Approval, *, approved: bool, reason: str, publisher: Publisher) -> None:
    """A person's answer. With the last one that the run waits for: `awaiting_approval → queued`, and a job.

    The caller has locked thread and run. Raises IllegalTransition for a run that does not wait.
    """
    if run.status != RunStatus.AWAITING_APPROVAL:
        raise IllegalTransition(run, (RunStatus.AWAITING_APPROVAL,))
    _resolve(run, approval, by=ApprovedBy.USER, approved=approved, reason=reason, publisher=publisher)
    if not run.approvals.filter(approved=None).exists():
        run.status = RunStatus.QUEUED
        run.job_id = jobs.defer_run(run.id)
        run.save(update_fields=["status", "job_id"])


def resolve_open(run: Run, *, by: ApprovedBy, publisher: Publisher) -> None:
    """Whatever the locked run still waits for is not approved."""
    if run.status == RunStatus.AWAITING_APPROVAL:
        for approval in run.approvals.filter(approved=None).order_by("id"):
            _resolve(run, approval, by=by, approved=False, reason="", publisher=publisher)


def _resolve(
    run: Run, approval: Approval, *, by: ApprovedBy, approved: bool, reason: str, publisher: Publisher
) -> None:
    approval.approved, approval.by, approval.reason, approval.resolved_at = approved, by, reason, now()
    approval.save(update_fields=["approved", "by", "reason", "resolved_at"])
    data: dict[str, Any] = {"tool_call_id": approval.tool_call_id, "approved": approved, "by": by.value}
    if reason:
        data["reason"] = reason
    append_event(run, Event("approval_resolved", approval.agent, data, approval.resolved_at), publisher)


@transaction.atomic
def expire(run_id: uuid.UUID, *, publisher: Publisher) -> bool:
    """`awaiting_approval → failed`, when nobody has answered in time. False when it is not so (any more)."""
    locked = lock(run_id)
    if locked is None:
        return False
    thread, run = locked
    overdue = run.approvals.filter(approved=None, expires_at__lte=now()).exists()
    if run.status != RunStatus.AWAITING_APPROVAL or not overdue:
        return False
    resolve_open(run, by=ApprovedBy.EXPIRED, publisher=publisher)
    run.claim += 1
    _fail(run, approval_expired(), publisher)
    defer_next(thread)
    return True


def _store_partial_answer(run: Run, content: str) -> dict[str, Any]:
    run.output_message = Message.objects.create(
        user_id=run.user_id,
        thread_id=run.thread_id,
        parent_id=run.input_message_id,
        role=Role.ASSISTANT,
        content=content,
        run_number=run.run_number,
        partial=True,
        created_at=run.finished_at or now(),
    )
    adopt_waiting(run.output_message)
    return answer_json(run.output_message.message_id, content)


def defer_next(thread: Thread) -> None:
    """Give the head of a locked thread's queue its job, if the thread has no active run and the head has no job yet."""
    head = Run.objects.filter(thread=thread, status__in=OPEN_STATUSES).order_by("run_number").first()
    if head is not None and head.status == RunStatus.QUEUED and head.job_id is None:
        head.job_id = jobs.defer_run(head.id)
        head.save(update_fields=["job_id"])


@transaction.atomic
def requeue(run_id: uuid.UUID, *, lost_job_id: int | None, stalled: float) -> bool:
    """Give a queued run that is its thread's head another job, when the one it had is gone. False if all is well.

    `stalled`: seconds of silence after which a worker is lost.
    """
    locked = lock(run_id)
    if locked is None:
        return False
    thread, run = locked
    if run.status != RunStatus.QUEUED or run.job_id != lost_job_id:
        return False
    if jobs.bury_lost(run.job_id, stalled=stalled) in ("todo", "doing"):
        return False
    run.job_id = None
    run.save(update_fields=["job_id"])
    defer_next(thread)
    return True


def lock(run_id: uuid.UUID) -> tuple[Thread, Run] | None:
    """A run and its thread, locked in their order, or None when there is no such run."""
    thread = Thread.objects.select_for_update(no_key=True, of=("self",)).filter(runs__id=run_id).first()
    if thread is None:
        return None
    return thread, Run.objects.select_for_update(no_key=True).get(id=run_id)


@transaction.atomic
def recover(
    run_id: uuid.UUID, *, seen_claim: int, max_attempts: int, stalled: float, publisher: Publisher
) -> RunStatus | None:
    """`running → queued` (attempt + 1) after its worker was lost, or `→ failed` when its attempts are used up or an
    unrepeatable tool had begun.

    `seen_claim` is the claim under which the caller saw it lost; None is returned when it has moved on since, or when
    its worker is alive. `stalled`: seconds of silence after which a worker is lost.
    """
    locked = lock(run_id)
    if locked is None:
        return None
    thread, run = locked
    if run.claim != seen_claim or run.status != RunStatus.RUNNING:
        return None
    if jobs.bury_lost(run.job_id, stalled=stalled) == "doing":
        return None
    run.claim += 1
    if run.unrepeatable_tools or run.attempt >= max_attempts:
        tools = run.unrepeatable_tools
        _fail(run, interrupted(tools) if tools else attempts_used_up(run.attempt), publisher)
        defer_next(thread)
        return RunStatus.FAILED
    run.attempt += 1
    run.status = RunStatus.QUEUED
    run.restart_seq = run.last_seq + 1
    run.job_id = jobs.defer_run(run.id)
    run.save(update_fields=["claim", "attempt", "status", "restart_seq", "job_id"])
    restarted = {"attempt": run.attempt, "reason": "worker_lost"}
    transaction.on_commit(metrics.RUNS_RESTARTED.labels("worker_lost").inc)
    append_event(run, Event("agent_restarted", run.agent, restarted, now()), publisher)
    return RunStatus.QUEUED


def _fail(run: Run, ending: Ending, publisher: Publisher) -> None:
    run.status = RunStatus.FAILED
    run.paused_state = None
    run.finished_at = now()
    run.error_code, run.error_message = ending.error_code, ending.error_message
    data = dict(ending.data)
    if content := answer_so_far(run):
        data["message"] = _store_partial_answer(run, content)
    run.save(
        update_fields=[
            *("claim", "status", "finished_at", "error_code", "error_message", "output_message"),
            "paused_state",
        ]
    )
    append_event(run, Event("agent_error", run.agent, data, run.finished_at), publisher)
    _count_end(run, run.finished_at)


def _count_end(run: Run, ended_at: datetime.datetime) -> None:
    """When it is committed."""
    transaction.on_commit(
        functools.partial(
            metrics.run_ended,
            run.agent,
            run.status,
            code=run.error_code,
            started_at=run.started_at,
            ended_at=ended_at,
        )
    )
