"""What is kept of a person beside the user of Django."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


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
