"""What is kept of a person beside the user of Django."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

# More would only cost memory: each message of the last minute is remembered.
MOST_PER_MINUTE = 100_000


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
    runs_counted_on = models.DateField(null=True, blank=True, help_text="The day (UTC) that `runs_counted` is of.")
    runs_counted = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Runs that were begun on that day, those of deleted threads among them."
    )
    deleted_at = models.DateTimeField(
        null=True, blank=True, help_text="The account is deleted: the sweep removes what is left of it."
    )

    class Meta:
        verbose_name_plural = "user counters"
        indexes = [models.Index(fields=["deleted_at"], condition=~Q(deleted_at=None), name="user_deleted")]

    def __str__(self) -> str:
        return f"run {self.last_run_number}, threads version {self.threads_version}"


def _at_least(field: str, least: int) -> models.CheckConstraint:
    """Where the field has a value."""
    return models.CheckConstraint(
        condition=Q(**{field: None}) | Q(**{f"{field}__gte": least}), name=f"allowance_{field}_possible"
    )


class Allowance(models.Model):
    """What one person may use, where that is not what the server's settings allow everybody. `chat.allowances`."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="chat_allowance"
    )
    runs_per_day = models.PositiveIntegerField(
        null=True, blank=True, help_text="Questions a day (UTC). Empty: as the server's settings say; 0: no limit."
    )
    tokens_per_day = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Tokens of models a day, read and written. Empty: as set; 0: no limit."
    )
    cost_usd_per_day = models.DecimalField(
        null=True,
        blank=True,
        max_digits=12,
        decimal_places=4,
        validators=[MinValueValidator(0)],
        help_text="US dollars a day, as far as prices are known. Empty: as set; 0: no limit.",
    )
    open_runs = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Runs at the same time. Empty: as set."
    )
    messages_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_PER_MINUTE)],
        help_text="Messages a minute. Empty: as set.",
    )
    connections = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Open sockets and streams at the same time. Empty: as set.",
    )

    class Meta:
        constraints = [
            _at_least("cost_usd_per_day", 0),
            _at_least("open_runs", 1),
            _at_least("messages_per_minute", 1),
            _at_least("connections", 1),
        ]

    def __str__(self) -> str:
        return f"allowance of user {self.user_id}"


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


class IdentityLink(models.Model):
    """Who somebody is at an identity provider (`chat.identity`). A user may have several."""

    provider = models.CharField(max_length=200, help_text="The issuer of tokens, or what a proxy is called here.")
    subject = models.CharField(max_length=255, help_text="What the provider calls the person for ever: `sub`.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="identity_links")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "subject"], name="identity_is_one_persons"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} at {self.provider}"


class ResetRequest(models.Model):
    """Somebody forgot a password, and the mail is not sent yet: whether there is such a person is asked then."""

    email = models.EmailField()
    created_at = models.DateTimeField()
    tried_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"reset request {self.pk}"
