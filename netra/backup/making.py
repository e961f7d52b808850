"""Taking a backup, while people talk."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.core.files.storage import Storage
from psycopg import sql

from netra import VERSION
from netra.backup.manifest import DUMP, FILES, MANIFEST, BackupUnusable, Manifest, sha256_of
from netra.backup.programs import program


@dataclass(frozen=True, slots=True)
class Made:
    """`gone`: files that were removed for good while the backup was taken."""

    manifest: Manifest
    gone: int


def back_up(parameters: dict[str, Any], folder: Path, *, storage: Storage | None) -> Made:
    """Write a backup into a folder that there is not yet. It appears when it is whole.

    `parameters` are libpq's for the database. Without a storage, files are left out. Raises BackupUnusable.
    """
    folder = folder.absolute()
    if folder.exists():
        raise BackupUnusable(f"{folder} is there already: name a folder that is not.")
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)
        made = _write(parameters, unfinished, storage)
        unfinished.rename(folder)
    except OSError as error:
        raise BackupUnusable(f"{error.filename or folder}: {error.strerror}.") from error
    except psycopg.Error as error:
        raise BackupUnusable(f"The database cannot be read: {str(error).strip().splitlines()[0]}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return made


def _write(parameters: dict[str, Any], folder: Path, storage: Storage | None) -> Made:
    with psycopg.connect(**parameters) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        server = connection.info.server_version // 10_000
        pg_dump = program("pg_dump", server=server)
        # What is counted and named here is what is dumped: the same snapshot.
        [snapshot] = _row(connection, "SELECT pg_export_snapshot()")
        migrations = _migrations(connection)
        pg_dump.run(
            parameters,
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            f"--snapshot={snapshot}",
            f"--file={folder / DUMP}",
        )
        rows = dict(counts(connection))
        names = [name for (name,) in connection.execute("SELECT DISTINCT storage_name FROM chat_attachment")]
    files, gone = (None, 0) if storage is None else _copy(names, storage, folder / FILES)
    manifest = Manifest(
        format=1,
        version=VERSION,
        made_at=datetime.datetime.now(datetime.UTC),
        server=server,
        program=pg_dump.major,
        migrations=migrations,
        rows=rows,
        dump_sha256=sha256_of(folder / DUMP),
        files=files,
    )
    _sync(folder / DUMP)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
    _sync(folder / MANIFEST)
    return Made(manifest, gone)


def _migrations(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    try:
        found = connection.execute("SELECT app || '.' || name FROM django_migrations ORDER BY id").fetchall()
    except psycopg.errors.UndefinedTable:
        raise BackupUnusable("There is nothing in the database yet.") from None
    return tuple(name for (name,) in found)


def counts(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, int]]:
    """Each table of Netra's schema, with its rows."""
    tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
    for (table,) in tables.fetchall():
        [number] = _row(connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("public", table)))
        yield table, number


def _copy(names: list[str], storage: Storage, folder: Path) -> tuple[dict[str, int], int]:
    copied, gone = dict[str, int](), 0
    for name in sorted(names):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with storage.open(name) as source, target.open("xb") as copy:
                shutil.copyfileobj(source, copy, 1024 * 1024)
                copied[name] = copy.tell()
        except FileNotFoundError:
            target.unlink(missing_ok=True)
            gone += 1
    return copied, gone


def _row(connection: psycopg.Connection[Any], query: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101 - these queries have one row
    return row


def _sync(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
