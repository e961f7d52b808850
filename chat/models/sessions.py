"""Where a person is signed in."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q


class SessionKind(models.TextChoices):
    """Who keeps the refresh token: a browser, as a cookie that no script can read, or a program."""

    COOKIE = "cookie"
    PROGRAM = "program"


class EndedBy(models.TextChoices):
    """What ended a session before its time."""

    SIGN_OUT = "sign_out"
    PERSON = "person"
    REUSE = "reuse"
    ALL = "all"


class Session(models.Model):
    """One sign-in, as long as its refresh tokens are exchanged for new ones. Its tokens name it (`sid`).

    `token_id` is the refresh token that counts, issued at `issued_at` until `expires_at`; `replaced` those that it came
    from within the grace: pairs of an id and when it was exchanged. `epoch` and `password` are what the session was
    begun on (`chat.credential`). `agent` and `network` are of its last use.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sessions", db_index=False
    )
    kind = models.CharField(max_length=7, choices=SessionKind)
    epoch = models.PositiveIntegerField()
    password = models.CharField(max_length=32)
    agent = models.CharField(max_length=200, blank=True)
    network = models.CharField(max_length=45, blank=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    token_id = models.UUIDField()
    issued_at = models.DateTimeField()
    replaced = models.JSONField(default=list)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=8, choices=EndedBy, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ended_at=None, ended_by="") | Q(ended_at__isnull=False, ended_by__in=EndedBy.values),
                name="session_ended_by_something",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "created_at"], name="session_by_user"),
            models.Index(fields=["expires_at"], name="session_by_expiry"),
        ]

    def __str__(self) -> str:
        return f"session of user {self.user_id}"
