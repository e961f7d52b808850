"""Putting a backup into a database in which nothing is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.core.files import File
from django.core.files.storage import Storage

from netra.backup.making import counts
from netra.backup.manifest import (
    DUMP,
    FILES,
    BackupUnusable,
    Manifest,
    check_dump,
    newer_than_here,
    read_manifest,
)
from netra.backup.programs import program

# Where what was there before waits until the backup is there.
ASIDE = "before_restore"


@dataclass(frozen=True, slots=True)
class Restored:
    """`files`: how many came into the storage. `missing`: how many are neither there nor in the backup."""

    manifest: Manifest
    files: int
    missing: int


def restore(
    parameters: dict[str, Any],
    folder: Path,
    *,
    storage: Storage,
    known_migrations: frozenset[str],
    replace: bool,
    migrate: Callable[[], object],
) -> Restored:
    """Make the database, and the storage, what the backup has, and migrate it to this version.

    With `replace`, what the database has is given up for it, once the backup is there as a whole. `parameters` are
    libpq's. Raises BackupUnusable, and then the database is as it was, unless the migration failed.
    """
    folder = folder.absolute()
    manifest = read_manifest(folder)
    if newer := newer_than_here(manifest, known_migrations):
        raise BackupUnusable(
            f"The backup is of version {manifest.version}, which has migrations that this one does not know "
            f"({newer[0]}): restore it with that version or a newer one."
        )
    check_dump(folder, manifest)
    try:
        with psycopg.connect(**parameters, autocommit=True) as connection:
            server = connection.info.server_version // 10_000
            if server < manifest.server:
                raise BackupUnusable(
                    f"The backup is of PostgreSQL {manifest.server}, and this is {server}: an older one cannot read it."
                )
            pg_restore = program("pg_restore", server=server, at_least=manifest.program)
            _require_alone(connection)
            with _emptied(connection, replace=replace):
                pg_restore.run(
                    parameters,
                    "--single-transaction",
                    "--exit-on-error",
                    "--no-owner",
                    "--no-privileges",
                    str(folder / DUMP),
                )
                if (rows := dict(counts(connection))) != manifest.rows:
                    raise BackupUnusable(f"{_differing(rows, manifest.rows)} has other rows than when it was dumped.")
            connection.execute("ANALYZE")
            names = [name for (name,) in connection.execute("SELECT DISTINCT storage_name FROM chat_attachment")]
    except psycopg.Error as error:
        raise BackupUnusable(f"The database cannot be used: {str(error).strip().splitlines()[0]}.") from error
    brought, missing = _bring(names, folder / FILES, storage)
    migrate()
    return Restored(manifest, brought, missing)


def _require_alone(connection: psycopg.Connection[Any]) -> None:
    """Whoever writes meanwhile would write into what is given up."""
    others = connection.execute(
        """SELECT count(*), string_agg(DISTINCT COALESCE(NULLIF(application_name, ''), 'without a name'), ', ')
           FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
             AND backend_type = 'client backend'"""
    ).fetchone()
    assert others is not None  # noqa: S101 - it is counted
    number, names = others
    if number:
        raise BackupUnusable(
            f"{number} sessions are connected to the database ({names}): stop web processes and workers first."
        )


@contextmanager
def _emptied(connection: psycopg.Connection[Any], *, replace: bool) -> Iterator[None]:
    """The schema `public` without a table; what it had comes back when the block fails.

    A process that is killed in between leaves it aside: whoever restores next finds it there.
    """
    if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [ASIDE]).fetchone():
        _put_back(connection)
    tables = [name for name, _ in counts(connection)]
    if tables and not replace:
        raise BackupUnusable(
            f"The database has {len(tables)} tables already: restore into an empty one, or give up what it has with "
            "--replace."
        )
    if extension := connection.execute(
        "SELECT extname FROM pg_extension WHERE extnamespace = 'public'::regnamespace ORDER BY extname"
    ).fetchone():
        raise BackupUnusable(
            f"The extension {extension[0]} is in the schema public, which is made anew: move it to a schema of its own."
        )
    _put_aside(connection)
    try:
        yield
    except BaseException:
        _put_back(connection)
        raise
    connection.execute(f"DROP SCHEMA {ASIDE} CASCADE")


def _put_aside(connection: psycopg.Connection[Any]) -> None:
    """The new schema is as PostgreSQL makes it in a new database."""
    with connection.transaction():
        connection.execute(f"ALTER SCHEMA public RENAME TO {ASIDE}")
        connection.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
        connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")


def _put_back(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction():
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute(f"ALTER SCHEMA {ASIDE} RENAME TO public")


def _differing(rows: dict[str, int], expected: dict[str, int]) -> str:
    return next(table for table in sorted(rows.keys() | expected.keys()) if rows.get(table) != expected.get(table))


def _bring(names: list[str], files: Path, storage: Storage) -> tuple[int, int]:
    """What the storage has already stays: a name stands for one content."""
    brought = missing = 0
    for name in sorted(names):
        if storage.exists(name):
            continue
        try:
            with (files / name).open("rb") as content:
                storage.save(name, File(content))
            brought += 1
        except FileNotFoundError:
            missing += 1
    return brought, missing
