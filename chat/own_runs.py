"""The runs of a person: read, stopped, allowed to go on. Ownership is checked here."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from chat import audit, runs
from chat.branches import without_content
from chat.errors import ChatError, ErrorCode
from chat.event_log import EventLog
from chat.models import OPEN_STATUSES, Approval, ApprovedBy, AuditAction, CancelledBy, Run, RunEvent, RunStatus
from chat.protocol import ApprovalAccepted, ResolveApproval, RunStopped
from chat.run_event import now

RESULT_TYPES = ("tool_completed", "subagent_completed")


class OwnRuns:
    """Runs of each user. Holds no state of any user."""

    event_log: EventLog

    def runs_of(self, user_id: Any, *, thread_id: uuid.UUID | None = None) -> QuerySet[Run]:
        """The visible runs of a user, or of one thread of theirs, the newest first."""
        # Of a thread: not by the user, lest PostgreSQL looks for the thread's among all runs of theirs.
        whose = {"user_id": user_id} if thread_id is None else {"thread_id": thread_id, "thread__user_id": user_id}
        visible = Run.objects.filter(thread__deleted_at=None, **whose)
        return without_content(visible).order_by("-run_number")

    def get_run(self, user_id: Any, run_id: uuid.UUID) -> Run:
        """Unknown, deleted and other people's runs are alike RUN_NOT_FOUND."""
        run = self.runs_of(user_id).filter(id=run_id).first()
        if run is None:
            raise run_not_found()
        return run

    def tool_result(self, user_id: Any, run_id: uuid.UUID, seq: int) -> Any:
        """What a tool of the user's run gave, or an agent that it asked; as much of it as is kept.

        Raises ChatError with RUN_NOT_FOUND, also when the run's events were pruned.
        """
        visible = RunEvent.objects.filter(run__user_id=user_id, run__thread__deleted_at=None)
        found = (
            visible.filter(run_id=run_id, seq=seq, type__in=RESULT_TYPES).values_list("data", "whole_result").first()
        )
        if found is None or "result" not in found[0]:
            raise ChatError(ErrorCode.RUN_NOT_FOUND, "There is no such result")
        data, whole_result = found
        return data["result"] if whole_result is None else whole_result

    def stop_run(self, user_id: Any, run_id: uuid.UUID, *, by: CancelledBy = CancelledBy.USER) -> RunStopped:
        """End a run of the user at once; on an ended run, tell its status. Raises ChatError with RUN_NOT_FOUND."""
        with transaction.atomic():
            locked = runs.lock(run_id)
            if locked is None or locked[1].user_id != user_id or locked[0].deleted_at is not None:
                raise run_not_found()
            thread, run = locked
            if run.status in OPEN_STATUSES:
                runs.cancel(run, by=by, publisher=self.event_log.publisher)
                runs.defer_next(thread)
        return RunStopped(run_id=str(run.id), status=run.status)

    def approvals_of(self, user_id: Any, run_id: uuid.UUID) -> list[Approval]:
        """What a run of the user asked for, in its order. Raises ChatError with RUN_NOT_FOUND."""
        return list(self.get_run(user_id, run_id).approvals.order_by("id"))

    def waiting_approvals(self, user_id: Any) -> list[Approval]:
        """All that runs of the user wait for, the oldest first."""
        waiting = Approval.objects.filter(
            run__user_id=user_id,
            run__status=RunStatus.AWAITING_APPROVAL,
            run__thread__deleted_at=None,
            approved=None,
            expires_at__gt=now(),
        )
        return list(waiting.select_related("run").order_by("id"))

    @transaction.atomic
    def resolve_approval(self, user_id: Any, command: ResolveApproval) -> ApprovalAccepted:
        """Answer what a run of the user waits for. The first answer counts.

        Raises ChatError with APPROVAL_NOT_FOUND; when it was resolved already, `details` tell how.
        """
        locked = runs.lock(command.run_id)
        approval = None
        if locked is not None and locked[1].user_id == user_id and locked[0].deleted_at is None:
            approval = Approval.objects.filter(run=locked[1], tool_call_id=command.tool_call_id).first()
        if locked is None or approval is None:
            raise _approval_not_found()
        if approval.approved is not None:
            details = {"approved": approval.approved, "by": approval.by}
            raise ChatError(ErrorCode.APPROVAL_NOT_FOUND, "It was resolved already", details=details)
        if approval.expires_at <= now():
            details = {"approved": False, "by": ApprovedBy.EXPIRED.value}
            raise ChatError(ErrorCode.APPROVAL_NOT_FOUND, "The time to answer is over", details=details)
        publisher = self.event_log.publisher
        runs.resolve(locked[1], approval, approved=command.approved, reason=command.reason.strip(), publisher=publisher)
        audit.record(
            AuditAction.APPROVAL,
            actor=user_id,
            subject=user_id,
            target=f"run {command.run_id}",
            tool=approval.tool,
            approved=command.approved,
        )
        return ApprovalAccepted(run_id=str(command.run_id), tool_call_id=command.tool_call_id)

    @transaction.atomic
    def resolve_approvals(self, user_id: Any, thread_id: uuid.UUID, commands: Sequence[ResolveApproval]) -> int:
        """Answer several of what one run of a thread waits for: all, or none of them.

        Returns the number of the run's last request for approval: from there on it goes on. Raises ChatError as
        `resolve_approval` does, also for a run of another thread.
        """
        for command in commands:
            self.resolve_approval(user_id, command)
        asked = RunEvent.objects.filter(
            run_id=commands[0].run_id, run__thread_id=thread_id, type="approval_required"
        ).order_by("-seq")
        seq = asked.values_list("seq", flat=True).first()
        if seq is None:
            raise _approval_not_found()
        return seq


def run_not_found() -> ChatError:
    return ChatError(ErrorCode.RUN_NOT_FOUND, "There is no such run")


def _approval_not_found() -> ChatError:
    return ChatError(ErrorCode.APPROVAL_NOT_FOUND, "There is no such request for approval")
