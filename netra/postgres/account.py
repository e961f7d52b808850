"""As whom the server runs, and the programs that run as them."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import pwd
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from netra.postgres.cluster import PostgresError

PR_SET_PDEATHSIG = 1
ON_LINUX = sys.platform.startswith("linux")
# Nothing of the caller's environment reaches PostgreSQL: PGPORT or PGDATA would change what it does.
SERVER_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Account:
    """As whom the server runs. `None` leaves the user as it is."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def choose(cls, data: Path) -> Self:
        """PostgreSQL refuses to run as root: then the owner of its data, or `postgres`, or `nobody`."""
        if os.geteuid() != 0:
            return cls()
        if data.exists():
            owner = data.stat()
            return cls(owner.st_uid, owner.st_gid)
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(entry.pw_uid, entry.pw_gid)
        raise PostgresError("PostgreSQL does not run as root, and there is no user postgres or nobody.")

    def run(self, *command: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end. A guard that is killed takes it along."""
        return subprocess.run(  # noqa: S603 - our own commands
            command,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
            **self._options(signal.SIGKILL),
        )

    def start(self, *command: str | Path, log: int) -> subprocess.Popen[bytes]:
        """Start the server. It shuts down when the guard is killed."""
        return subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **self._options(signal.SIGINT),
        )

    def _options(self, at_guards_end: signal.Signals) -> dict[str, Any]:
        return {
            "env": SERVER_ENVIRONMENT,
            "cwd": "/",
            "user": self.uid,
            "group": self.gid,
            "extra_groups": None if self.uid is None else [],
            # Safe although it runs between fork and exec: the guard has one thread.
            "preexec_fn": functools.partial(_die_with, os.getpid(), at_guards_end),
        }

    def own(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can(self, test: str, path: Path) -> bool:
        """Asks the kernel as that user, so that access lists count. `test` is an option of test(1)."""
        return self.uid is None or self.run("/bin/sh", "-c", f'test {test} "$1"', "sh", path).returncode == 0


_libc = ctypes.CDLL(None) if ON_LINUX else None


def _die_with(guard: int, number: int) -> None:
    """In the child, after the change of user, which would undo it: be sent `number` when the guard ends."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != guard:
            os._exit(1)
