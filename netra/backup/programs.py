"""pg_dump and pg_restore: which of those that there are, and how they are run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from psycopg.conninfo import make_conninfo

from netra.backup.manifest import BackupUnusable
from netra.postgres import PostgresError
from netra.postgres.binaries import find_binaries

Name = Literal["pg_dump", "pg_restore"]


@dataclass(frozen=True, slots=True)
class Program:
    path: Path
    major: int

    def run(self, parameters: Mapping[str, Any], *options: str) -> None:
        """On the database that libpq's parameters name. The password goes by the environment, which nobody else sees.

        Raises BackupUnusable with the last line of what it says.
        """
        named = {name: value for name, value in parameters.items() if name != "password"}
        secret = {"PGPASSWORD": str(password)} if (password := parameters.get("password")) else {}
        ended = subprocess.run(  # noqa: S603 - our own command
            [self.path, "--dbname", make_conninfo("", **named), "--no-password", *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=os.environ | {"LC_ALL": "C"} | secret,
        )
        if ended.returncode != 0:
            said = next((line for line in ended.stderr.splitlines() if "error" in line), ended.stderr.strip())
            raise BackupUnusable(f"{self.path.name} failed: {said}.")


def program(name: Name, *, server: int, at_least: int = 0) -> Program:
    """That of the server's own major version, else the oldest newer one. Raises BackupUnusable when there is none."""
    least = max(server, at_least)
    found = [each for each in _programs(name) if each.major >= least]
    if not found:
        there = ", ".join(sorted({str(each.major) for each in _programs(name)})) or "none"
        raise BackupUnusable(
            f"{name} of PostgreSQL {least} or newer is needed, and {there} is there: install PostgreSQL's client "
            f"programs of version {least} (on Debian postgresql-client-{least})."
        )
    return min(found, key=lambda each: each.major)


def _programs(name: Name) -> Iterator[Program]:
    """On the path, where Debian keeps those of each version, and those of the embedded PostgreSQL."""
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    with contextlib.suppress(PostgresError):
        folders.append(find_binaries())
    for folder in folders:
        if (path := shutil.which(name, path=str(folder))) is not None:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
            if version := re.search(r"\(PostgreSQL\) (\d+)", said.stdout):
                yield Program(Path(path), int(version[1]))
