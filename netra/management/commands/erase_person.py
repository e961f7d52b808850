"""`manage.py erase_person`: an account and all that is in it, for whoever asks for that by letter."""

from __future__ import annotations

import sys
import time
from typing import Any, cast

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from chat import audit, removal
from chat.apps import ChatConfig
from chat.models import Attachment, AuditAction, Message, Note, Thread
from netra.management.people import person_named

PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.2


class Command(BaseCommand):
    help = (
        "Delete a person's account: at once nothing of it can be reached, and the sweep of any worker removes what is "
        "in it. It cannot be undone. Backups keep what they have."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the person's user name")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--now", action="store_true", help="return when the last row and file are gone")

    def handle(self, *_args: Any, name: str, yes: bool, now: bool, **_options: Any) -> None:
        person = person_named(name)
        if not yes:
            self._ask(person, name)
        publisher = cast("ChatConfig", apps.get_app_config("chat")).event_log.publisher
        with transaction.atomic():
            if not removal.delete_account(person.pk, publisher):
                raise CommandError("The account was deleted meanwhile.")
            audit.record(AuditAction.ACCOUNT_DELETED, subject=person.pk, by="command line")
        if now:
            self._remove(person.pk)
            self.stdout.write(f"User {person.pk} is gone, with everything that was theirs.")
        else:
            self.stdout.write(f"User {person.pk} is out of reach; the sweep removes what is left, within minutes.")

    def _ask(self, person: Any, name: str) -> None:
        has = ", ".join(
            f"{kind.objects.filter(user=person).count()} {words}"
            for kind, words in ((Thread, "threads"), (Message, "messages"), (Attachment, "files"), (Note, "notes"))
        )
        if not sys.stdin.isatty():
            raise CommandError(f"{name} has {has}. Nobody is there to ask: say --yes.")
        self.stdout.write(f"{name} (user {person.pk}) has {has}. They cannot be brought back.")
        if input("Write the name once more to delete all of it: ") != name:
            raise CommandError("That is another name: nothing was deleted.")

    def _remove(self, user_id: Any) -> None:
        """Beside the sweeps of workers, one of which may be at it. Raises CommandError when something holds on."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while get_user_model().objects.filter(pk=user_id).exists():
            if removal.remove_deleted(only=user_id):
                deadline = time.monotonic() + PATIENCE_SECONDS
            elif time.monotonic() > deadline:
                raise CommandError(
                    f"User {user_id} is out of reach, but something holds on to it: the log says account_not_removed."
                )
            else:
                time.sleep(PAUSE_SECONDS)
