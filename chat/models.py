"""Threads, messages, runs and the log of their events."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Cast, Coalesce


class RunStatus(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_STATUSES = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL)


class Role(models.TextChoices):
    USER = "user"
    ASSISTANT = "assistant"


class CancelledBy(models.TextChoices):
    USER = "user"
    INTERRUPT = "interrupt"
    DELETED = "deleted"


class TitleOrigin(models.TextChoices):
    """Who gave a thread its title. One from the question is replaced when there is an answer."""

    NONE = ""
    QUESTION = "question"
    EXCHANGE = "exchange"
    USER = "user"


class ApprovedBy(models.TextChoices):
    """What resolved a request for approval."""

    USER = "user"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class UserCounters(models.Model):
    """The numbers that count per user. Its row lock is the lock under which a user's messages are accepted."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="chat_counters"
    )
    last_run_number = models.PositiveBigIntegerField(default=0)
    threads_version = models.PositiveBigIntegerField(default=0)
    sessions_epoch = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Tokens of an earlier one are refused: counts how often all sessions ended."
    )
    deleted_at = models.DateTimeField(
        null=True, blank=True, help_text="The account is deleted: the sweep removes what is left of it."
    )

    class Meta:
        verbose_name_plural = "user counters"
        indexes = [models.Index(fields=["deleted_at"], condition=~Q(deleted_at=None), name="user_deleted")]

    def __str__(self) -> str:
        return f"run {self.last_run_number}, threads version {self.threads_version}"


class Preferences(models.Model):
    """What a person has chosen for all devices. `default_agent` may be one that the server has no more."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="chat_preferences"
    )
    default_agent = models.CharField(max_length=64, blank=True, help_text="Who is asked when nobody is named.")

    class Meta:
        verbose_name_plural = "preferences"

    def __str__(self) -> str:
        return f"default agent: {self.default_agent or 'none'}"


class ClaimedName(models.Model):
    """The user names that are the same name as a user's (`chat.names`): who has it first keeps it."""

    name = models.CharField(max_length=600, primary_key=True)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="claimed_name")

    def __str__(self) -> str:
        return self.name


class ResetRequest(models.Model):
    """Somebody forgot a password, and the mail is not sent yet: whether there is such a person is asked then."""

    email = models.EmailField()
    created_at = models.DateTimeField()
    tried_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"reset request {self.pk}"


_BY_ACTIVITY = (F("user"), F("updated_at").desc(), F("id").desc())


class Thread(models.Model):
    """A conversation. Deleting hides it at once (`deleted_at`); the sweep removes it later."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="threads")
    title = models.CharField(max_length=200, blank=True)
    title_origin = models.CharField(
        max_length=8, choices=TitleOrigin, default=TitleOrigin.NONE, db_default="", blank=True
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField(help_text="When its person last wrote in it.")
    archived_at = models.DateTimeField(null=True, blank=True, help_text="Put away; writing in it brings it back.")
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(*_BY_ACTIVITY, condition=Q(deleted_at=None, archived_at=None), name="thread_by_activity_kept"),
            models.Index(
                *_BY_ACTIVITY,
                condition=Q(deleted_at=None, archived_at__isnull=False),
                name="thread_by_activity_archived",
            ),
            models.Index(fields=["deleted_at"], condition=~Q(deleted_at=None), name="thread_deleted"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)


class Message(models.Model):
    """What a person or an agent said. `message_id` is its name on the wire, unique per user, made by either side.

    `parent` is the message it follows: a thread is a tree, and an edited question begins a branch. A thread is
    read in the order of (`run_number`, `id`): a question that waited in the queue comes after the answer before it.
    """

    message_id = models.UUIDField(default=uuid.uuid4)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children")
    role = models.CharField(max_length=9, choices=Role)
    content = models.TextField()
    run_number = models.PositiveBigIntegerField(help_text="Of the run that it began, or that made it.")
    partial = models.BooleanField(default=False, help_text="The answer was cut short: cancelled or failed.")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "message_id"], name="message_id_once_per_user"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="message_role_known"),
        ]
        indexes = [
            models.Index(fields=["thread", "run_number", "id"], name="message_by_thread"),
            models.Index(
                Coalesce(Cast("parent", models.TextField()), Cast("thread", models.TextField())),
                *(F("role"), F("run_number"), F("id")),
                name="message_by_place",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:60]}"


class Attachment(models.Model):
    """A file of a person: of a message, or waiting to be sent with one. It lies in the storage as `storage_name`.

    `position` is its place in the message. A branch that keeps the files of the question that it edits has rows of its
    own, which share the file; `sent_as` is the id under which the file was named then. What shares a file is of one
    thread. `name` is what the person called it, and means nothing to any storage.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="attachments")
    message = models.ForeignKey(
        Message, on_delete=models.CASCADE, null=True, blank=True, related_name="attachments", db_index=False
    )
    position = models.PositiveSmallIntegerField(default=0)
    sent_as = models.UUIDField(null=True, blank=True)
    name = models.CharField(max_length=200)
    media_type = models.CharField(max_length=64)
    bytes = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the content.")
    storage_name = models.CharField(max_length=200, db_index=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["message", "position"], name="attachment_has_its_place"),
        ]
        indexes = [models.Index(fields=["created_at"], condition=Q(message=None), name="attachment_unsent")]

    def __str__(self) -> str:
        return self.name


class MessageFeedback(models.Model):
    """What a person thinks of an answer that they were given."""

    class Rating(models.TextChoices):
        UP = "up"
        DOWN = "down"

    message = models.OneToOneField(Message, on_delete=models.CASCADE, primary_key=True, related_name="feedback")
    rating = models.CharField(max_length=4, choices=Rating)
    text = models.TextField(blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "message feedback"
        constraints = [
            models.CheckConstraint(condition=Q(rating__in=("up", "down")), name="feedback_rating_known"),
        ]

    def __str__(self) -> str:
        return f"{self.rating}: {self.text[:60]}"


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
    cancelled_by = models.CharField(max_length=9, choices=CancelledBy, blank=True)
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


class ModelRequest(models.Model):
    """One request to a model, however it ended: the account of what people's runs cost. It outlives its thread.

    `cost_usd` is null when no price is known; `input_tokens` include the cached ones.
    """

    class Outcome(models.TextChoices):
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="model_requests", db_index=False
    )
    thread = models.ForeignKey(Thread, on_delete=models.SET_NULL, null=True, blank=True, related_name="model_requests")
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="model_requests")
    agent = models.CharField(max_length=64)
    model = models.CharField(max_length=200)
    provider = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=9, choices=Outcome)
    error = models.CharField(max_length=200, blank=True)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cache_read_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_tokens = models.PositiveBigIntegerField(default=0)
    estimated = models.BooleanField(default=False, help_text="The provider did not tell the tokens.")
    cost_usd = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True)
    first_token_ms = models.PositiveIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField()
    started_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["user", "started_at"], name="model_request_by_user"),
            models.Index(fields=["started_at"], name="model_request_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.model} ({self.outcome})"


class Note(models.Model):
    """What a person asked agents to remember. `agent`: whom the person asked; empty when that is not known."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes", db_index=False)
    content = models.TextField()
    agent = models.CharField(max_length=64, blank=True, default="", db_default="")
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["user", "-created_at"], name="note_by_user")]

    def __str__(self) -> str:
        return self.content[:60]


class McpServer(models.Model):
    """What a worker last saw of a configured MCP server."""

    name = models.CharField(max_length=64, primary_key=True)
    state = models.CharField(max_length=12)
    tools = models.JSONField(default=list)
    error = models.TextField(blank=True)
    changed_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name = "MCP server"

    def __str__(self) -> str:
        return f"{self.name} ({self.state})"
