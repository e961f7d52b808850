"""What agents cost, remember and reach."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from chat.models.conversations import Thread
from chat.models.runs import Run


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
            models.Index(fields=["started_at"], condition=~Q(outcome="completed"), name="model_request_without_answer"),
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
