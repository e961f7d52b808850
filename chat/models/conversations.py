"""Threads, and what is said in them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Cast, Coalesce


class Role(models.TextChoices):
    USER = "user"
    ASSISTANT = "assistant"


class TitleOrigin(models.TextChoices):
    """Who gave a thread its title. One from the question is replaced when there is an answer."""

    NONE = ""
    QUESTION = "question"
    EXCHANGE = "exchange"
    USER = "user"


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
        permissions = [("view_content", "Can see what people and agents write")]
        indexes = [
            models.Index(*_BY_ACTIVITY, condition=Q(deleted_at=None, archived_at=None), name="thread_by_activity_kept"),
            models.Index(
                *_BY_ACTIVITY,
                condition=Q(deleted_at=None, archived_at__isnull=False),
                name="thread_by_activity_archived",
            ),
            models.Index(fields=["deleted_at"], condition=~Q(deleted_at=None), name="thread_deleted"),
            models.Index(fields=["updated_at"], condition=Q(deleted_at=None), name="thread_by_last_writing"),
            models.Index(fields=["updated_at", "id"], name="thread_by_time"),
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
        indexes = [models.Index(fields=["updated_at", "message"], name="feedback_by_time")]
        constraints = [
            models.CheckConstraint(condition=Q(rating__in=("up", "down")), name="feedback_rating_known"),
        ]

    def __str__(self) -> str:
        return f"{self.rating}: {self.text[:60]}"
