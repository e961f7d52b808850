"""What a backup says of itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

MANIFEST, DUMP, FILES = "manifest.json", "database.dump", "files"


class BackupUnusable(Exception):
    """A backup cannot be made or used. The text is for the person who asked for it."""


class Manifest(BaseModel):
    """`migrations`: `application.name` of each that was applied. `rows`: of each table. `files`: name to bytes.

    `files` is null when the storage is kept by other means.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1]
    version: str
    made_at: datetime
    server: int
    """PostgreSQL's major version."""
    program: int
    """That of the pg_dump which wrote the dump."""
    migrations: tuple[str, ...]
    rows: dict[str, int]
    dump_sha256: str
    files: dict[str, int] | None


def read_manifest(folder: Path) -> Manifest:
    """Raises BackupUnusable when this is no whole backup, or not of a format that is known here."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BackupUnusable(f"{folder} has no {MANIFEST}: it is no backup, or one that was not finished.") from None
    except OSError as error:
        raise BackupUnusable(f"{folder / MANIFEST}: {error.strerror}.") from None
    except ValidationError:
        raise BackupUnusable(f"{folder / MANIFEST} is not of a format that this version knows.") from None


def check_dump(folder: Path, manifest: Manifest) -> None:
    """Raises BackupUnusable when the dump is not the one that was written."""
    try:
        digest = sha256_of(folder / DUMP)
    except OSError as error:
        raise BackupUnusable(f"{folder / DUMP}: {error.strerror}.") from None
    if digest != manifest.dump_sha256:
        raise BackupUnusable(f"{folder / DUMP} is not as it was written: its checksum is another.")


def sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def newer_than_here(manifest: Manifest, known: Iterable[str]) -> list[str]:
    """The migrations of the backup that this version does not know."""
    return sorted(set(manifest.migrations).difference(known))
