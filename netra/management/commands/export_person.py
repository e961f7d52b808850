"""`manage.py export_person`: what is kept about somebody, for whoever asks for it by letter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat import audit
from chat.api.own_data import files_of
from chat.archive import zipped
from chat.models import AuditAction
from chat.run_event import now
from netra.management.people import person_named


class Command(BaseCommand):
    help = "Write everything that is kept about a person into a zip archive, as GET /api/me/export gives it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the person's user name")
        parser.add_argument("--output", metavar="FILE", type=Path, required=True, help="where it goes; not there yet")

    def handle(self, *_args: Any, name: str, output: Path, **_options: Any) -> None:
        person = person_named(name)
        unfinished = output.with_name(f".{output.name}.unfinished")
        if output.exists():
            raise CommandError(f"{output} is there already: name a file that is not.")
        audit.record(AuditAction.EXPORT, subject=person.pk, by="command line")
        try:
            with open(unfinished, "wb", opener=_for_its_owner) as file:
                file.writelines(zipped(files_of(person.pk), at=now()))
            unfinished.rename(output)
        except OSError as error:
            raise CommandError(f"{error.filename or output}: {error.strerror}.") from None
        finally:
            unfinished.unlink(missing_ok=True)
        self.stdout.write(f"{output}: {output.stat().st_size} bytes about {name}.")


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
