"""Where the parts of one server lie, and the locks that say who is there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NAME = "netra"  # of the database and of its superuser
PORT = 5432  # only a part of the socket's file name: the server does not listen on TCP
POLL_SECONDS = 0.02


class PostgresError(Exception):
    """The embedded PostgreSQL cannot be used. The text is for the person who started Netra."""


@dataclass(frozen=True)
class Cluster:
    """Where the parts of one server lie."""

    folder: Path

    @property
    def users_lock(self) -> Path:
        return self.folder / "users.lock"

    @property
    def guard_lock(self) -> Path:
        return self.folder / "guard.lock"

    @property
    def ready_lock(self) -> Path:
        return self.folder / "ready.lock"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    @property
    def socket_dir(self) -> Path:
        """Short and plain whatever the data folder is called, and never elsewhere: TMPDIR is not asked."""
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path("/tmp", f"netra-{digest}")  # noqa: S108 - made private, and its owner is checked

    def make_folder(self) -> None:
        """Root's can be entered by the server's user. The folders above it stay as they are."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            owner = self.folder.stat().st_uid
            if owner == os.geteuid():
                self.folder.chmod(0o711 if owner == 0 else 0o700)
        except OSError as error:
            raise PostgresError(
                f"The data folder {self.folder.parent} cannot be used by {user_name(os.geteuid())}"
                f" ({error.strerror}): set NETRA_DATA_DIR to a folder of its own."
            ) from error
        if owner != os.geteuid():
            name = user_name(owner)
            raise PostgresError(f"{self.folder} belongs to {name}: run Netra as {name}, or set another NETRA_DATA_DIR.")

    def has_users(self) -> bool:
        """Whether somebody holds the shared lock: then it cannot be had exclusively, yet shared."""
        lock = open_lock(self.users_lock)
        try:
            return not try_lock(lock, fcntl.LOCK_EX) and try_lock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def log_tail(self, lines: int = 5) -> str:
        try:
            tail = self.log_file.read_text(errors="replace").splitlines()[-lines:]
        except OSError:
            return ""
        return "\n  ".join([f" The log {self.log_file} ends with:", *tail]) if tail else ""


def require_private(folder: Path, uid: int) -> None:
    """In /tmp anybody can make a folder of this name first; nobody can replace the one that is ours."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or status.st_mode & 0o077:
        raise PostgresError(f"{folder}, where PostgreSQL's socket goes, is not private to us: remove it.")


def open_lock(path: Path) -> int:
    """Child processes do not inherit it: a lock lives as long as any copy of its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether somebody holds that lock exclusively."""
    lock = open_lock(path)
    try:
        return not try_lock(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def until(condition: Callable[[], bool], deadline: float) -> bool:
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user with the number {uid}"
