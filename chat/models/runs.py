"""Runs, the log of their events, and what they wait for."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from chat.models.conversations import Message, Thread


class RunStatus(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_STATUSES = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL)


class CancelledBy(models.TextChoices):
    USER = "user"
    INTERRUPT = "interrupt"
    DELETED = "deleted"
    STAFF = "staff"
    DEACTIVATED = "deactivated"


class ApprovedBy(models.TextChoices):
    """What resolved a request for approval."""

    USER = "user"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Run(models.Model):
    """One execution of an agent for one message. Its states and edges are in `chat.runs` and `chat.event_log`.

    `claim` is the fence: it grows at each pick-up and at each write that takes the run from its holder.
    `attempt` counts repeats after a lost worker.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run_number = models.PositiveBigIntegerField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="runs")
    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="runs")
    input_message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="runs", db_index=False)
    output_message = models.OneToOneField(
        Message, on_delete=models.SET_NULL, null=True, blank=True, related_name="produced_by"
    )
    agent = models.CharField(max_length=64)
    status = models.CharField(max_length=17, choices=RunStatus, default=RunStatus.QUEUED)
    claim = models.PositiveIntegerField(default=0)
    attempt = models.PositiveSmallIntegerField(default=1)
    last_seq = models.PositiveIntegerField(default=0)
    restart_seq = models.PositiveIntegerField(default=1, help_text="Events up to this one do not count any more.")
    job_id = models.BigIntegerField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.TextField(blank=True)
    cancelled_by = models.CharField(max_length=11, choices=CancelledBy, blank=True)
    usage = models.JSONField(null=True, blank=True)
    unrepeatable_tools = models.TextField(
        default="", db_default="", blank=True, help_text="Tools that began and must not begin again: no repetition."
    )
    paused_state = models.JSONField(
        null=True, blank=True, editable=False, help_text="What the agent goes on from after an approval."
    )
    paused_seq = models.PositiveIntegerField(
        default=0, db_default=0, help_text="The last event that `paused_state` has taken in."
    )
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    events_pruned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "run_number"], name="run_number_once_per_user"),
            models.CheckConstraint(condition=Q(status__in=RunStatus.values), name="run_status_known"),
            models.CheckConstraint(
                condition=Q(status__in=OPEN_STATUSES, finished_at=None)
                | (~Q(status__in=OPEN_STATUSES) & Q(finished_at__isnull=False)),
                name="run_ended_when_finished",
            ),
            models.UniqueConstraint(
                fields=["thread"],
                condition=Q(status__in=[RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL]),
                name="run_one_active_per_thread",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "run_number"], condition=Q(status__in=OPEN_STATUSES), name="run_open_by_user"),
            models.Index(fields=["thread", "run_number"], name="run_by_thread"),
            models.Index(fields=["input_message", "run_number"], name="run_by_question"),
            models.Index(
                fields=["user", "status", "run_number"],
                condition=Q(status__in=[RunStatus.FAILED, RunStatus.CANCELLED]),
                name="run_without_answer_by_user",
            ),
            models.Index(
                fields=["finished_at"],
                condition=Q(finished_at__isnull=False, events_pruned_at=None),
                name="run_with_events",
            ),
            models.Index(fields=["created_at", "id"], name="run_by_time"),
            models.Index(fields=["agent", "created_at", "id"], name="run_by_agent"),
            models.Index(fields=["finished_at"], condition=Q(status=RunStatus.FAILED), name="run_failed_by_time"),
        ]

    def __str__(self) -> str:
        return f"run {self.run_number} ({self.status})"


class RunEvent(models.Model):
    """One event of a run, in the order of `seq` = 1, 2, 3 … without gap. Written once, never changed.

    `whole_result` is what a tool gave when `data` has only the beginning of it.
    """

    pk = models.CompositePrimaryKey("run_id", "seq")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events", db_index=False)
    seq = models.PositiveIntegerField()
    type = models.CharField(max_length=32)
    agent = models.CharField(max_length=64)
    data = models.JSONField()
    whole_result = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"


class Approval(models.Model):
    """A tool call that waits, or waited, for a person. What is approved is what stands here, never what a client sends.

    `approved` and `by` are set once, together.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="approvals", db_index=False)
    tool_call_id = models.CharField(max_length=200)
    agent = models.CharField(max_length=64)
    tool = models.CharField(max_length=200)
    arguments = models.JSONField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    approved = models.BooleanField(null=True, blank=True)
    by = models.CharField(max_length=9, choices=ApprovedBy, blank=True)
    reason = models.TextField(blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "tool_call_id"], name="approval_once_per_call"),
            models.CheckConstraint(
                condition=Q(approved=None, by="", resolved_at=None)
                | Q(approved__isnull=False, by__in=ApprovedBy.values, resolved_at__isnull=False),
                name="approval_resolved_as_a_whole",
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], condition=Q(approved=None), name="approval_open_by_expiry")]

    def __str__(self) -> str:
        return f"{self.tool} ({self.by or 'open'})"
