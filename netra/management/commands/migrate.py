"""Django's own `manage.py migrate`, whose statements take the time that they need."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate

from chat.postgres_connection import unhurried


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        with unhurried():
            super().handle(*args, **options)
