"""`manage.py backup`: everything that this deployment keeps, into one folder, while it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat import attachments
from netra import backup, database


class Command(BaseCommand):
    help = (
        "Write database and attached files into a new folder, while Netra serves. Secrets are not in it: keep "
        "NETRA_SECRET_KEY yourself. Whoever can read the folder can read what people wrote."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="FOLDER", type=Path, help="where to write it; it must not be there yet")
        parser.add_argument(
            "--without-files", action="store_true", help="leave attached files out: their storage is kept elsewhere"
        )

    def handle(self, *_args: Any, folder: Path, without_files: bool, **_options: Any) -> None:
        storage = None if without_files else attachments.storage()
        try:
            made = backup.back_up(database.connection_parameters(), folder, storage=storage)
        except backup.BackupUnusable as error:
            raise CommandError(str(error)) from None
        manifest = made.manifest
        files = "no files" if manifest.files is None else f"{len(manifest.files)} files"
        self.stdout.write(f"{folder}: {sum(manifest.rows.values())} rows, {files}, of version {manifest.version}.")
        if made.gone:
            self.stdout.write(f"{made.gone} files were removed for good meanwhile, and are not in it.")
