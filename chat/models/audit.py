"""Who did what that others may ask about later."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class AuditAction(models.TextChoices):
    SIGN_IN = "sign_in"
    SIGN_OUT = "sign_out"
    REGISTER = "register"
    PASSWORD = "password"  # noqa: S105 - a new one was chosen
    SESSIONS_ENDED = "sessions_ended"
    TOKEN_REUSED = "token_reused"  # noqa: S105 - a refresh token that was exchanged long ago: its session ended
    ACCOUNT_DELETED = "account_deleted"
    CONNECT = "connect"
    APPROVAL = "approval"
    EXPORT = "export"
    LOOK = "look"
    ADMINISTRATION = "administration"


class AuditEntry(models.Model):
    """One deed, or one that was refused (`refused` is the code then). Written once, never changed.

    `actor` and `subject` are the numbers of users, who did it and whom it is about; no foreign keys, since an entry
    outlives them. Nothing here is content, a name or a secret, so that it may stay when its people have gone.
    """

    at = models.DateTimeField()
    action = models.CharField(max_length=20, choices=AuditAction)
    refused = models.CharField(max_length=40, blank=True)
    actor = models.BigIntegerField(null=True, blank=True)
    subject = models.BigIntegerField(null=True, blank=True)
    address = models.CharField(max_length=45, blank=True)
    target = models.CharField(max_length=100, blank=True, help_text="What it was done to, as `run 5f…`.")
    details = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name_plural = "audit entries"
        constraints = [
            models.CheckConstraint(condition=Q(action__in=AuditAction.values), name="audit_action_known"),
        ]
        indexes = [
            models.Index(fields=["at", "id"], name="audit_by_time"),
            models.Index(fields=["actor", "at"], condition=Q(actor__isnull=False), name="audit_by_actor"),
            models.Index(fields=["subject", "at"], condition=Q(subject__isnull=False), name="audit_by_subject"),
            models.Index(fields=["action", "at", "id"], name="audit_by_action"),
            models.Index(fields=["at", "id"], condition=~Q(refused=""), name="audit_refused"),
        ]

    def __str__(self) -> str:
        return f"{self.action}{f' refused: {self.refused}' if self.refused else ''}"
