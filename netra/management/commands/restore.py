"""`manage.py restore`: what `manage.py backup` has written, into a database in which nothing is at work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.migrations.loader import MigrationLoader

from chat import attachments
from netra import backup, database


class Command(BaseCommand):
    help = (
        "Put a backup into the database and the storage of this configuration, and migrate it to this version. Stop "
        "web processes and workers first. Set NETRA_SECRET_KEY as it was: tokens and links of mails are signed with it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="FOLDER", type=Path, help="what `manage.py backup` has written")
        parser.add_argument(
            "--replace", action="store_true", help="give up what the database has; without it, it must be empty"
        )

    def handle(self, *_args: Any, folder: Path, replace: bool, **_options: Any) -> None:
        loader = MigrationLoader(None, ignore_no_migrations=True)
        try:
            restored = backup.restore(
                database.connection_parameters(),
                folder,
                storage=attachments.storage(),
                known_migrations=frozenset(f"{app}.{name}" for app, name in loader.disk_migrations),
                replace=replace,
                migrate=lambda: call_command("migrate", verbosity=0, interactive=False),
            )
        except backup.BackupUnusable as error:
            raise CommandError(str(error)) from None
        manifest = restored.manifest
        self.stdout.write(
            f"{sum(manifest.rows.values())} rows and {restored.files} files are as they were at "
            f"{manifest.made_at:%Y-%m-%d %H:%M:%S} UTC, in version {manifest.version}; the schema is this version's."
        )
        if restored.missing:
            self.stdout.write(f"{restored.missing} attached files are neither in the backup nor in the storage.")
