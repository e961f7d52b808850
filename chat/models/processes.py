"""The processes of this Netra, as each last said of itself."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q


class ProcessKind(models.TextChoices):
    WEB = "web"
    WORKER = "worker"


class ServerProcess(models.Model):
    """A web process or a worker. It writes its row every few seconds and removes it at its end (`chat.processes`)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False, help_text="New at each start.")
    kind = models.CharField(max_length=6, choices=ProcessKind)
    version = models.CharField(max_length=32)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True, help_text="By the clock of the database.")
    connections = models.PositiveIntegerField(help_text="Open sockets and streams of events.")
    runs = models.PositiveIntegerField(help_text="Runs that it executes. A web process may have a worker inside.")
    loop_lag = models.FloatField(help_text="Seconds that its event loop was late at most, since it last said so.")

    class Meta:
        verbose_name_plural = "server processes"
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=ProcessKind.values), name="process_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"
