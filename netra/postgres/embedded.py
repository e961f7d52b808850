"""A user of the server: joins those who are there, or starts the guard."""

from __future__ import annotations

import fcntl
import io
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from netra.postgres.binaries import find_binaries
from netra.postgres.cluster import (
    NAME,
    PORT,
    Cluster,
    PostgresError,
    is_held,
    open_lock,
    require_private,
    try_lock,
    until,
)

# Isolated from the caller's environment, Python knows no folder of modules but its own. The last argument is the
# descriptor of `guard.lock`, open as long as that process lives.
GUARD = "import sys; sys.path.append(sys.argv[1]); from netra.postgres.guard import run; run(*sys.argv[2:4])"
SOURCE = Path(__file__).parents[2]


class EmbeddedPostgres:
    """One process's use of the PostgreSQL server in a data folder.

    `dsn` and `connection_params` follow from the folder's path alone. The server runs from `acquire` until
    `release` or the end of the process.
    """

    def __init__(self, data_dir: Path) -> None:
        self._cluster = Cluster(data_dir.resolve() / "postgres")
        self._users: int | None = None

    @property
    def connection_params(self) -> dict[str, str | int]:
        """Keyword arguments for libpq: host (the socket's folder), port, user and dbname."""
        return {"host": str(self._cluster.socket_dir), "port": PORT, "user": NAME, "dbname": NAME}

    @property
    def dsn(self) -> str:
        return f"postgresql://{NAME}@/{NAME}?host={quote(str(self._cluster.socket_dir), safe='')}&port={PORT}"

    @property
    def log_file(self) -> Path:
        return self._cluster.log_file

    def acquire(self, timeout: float = 60.0) -> None:
        """Return when the server answers; it is started if it does not run. Twice is once."""
        if self._users is not None:
            return
        try:
            self._cluster.make_folder()
            users = open_lock(self._cluster.users_lock)
            try:
                _join(self._cluster, users, timeout)
            except BaseException:
                os.close(users)
                raise
        except OSError as error:
            raise PostgresError(f"{error.filename or self._cluster.folder}: {error.strerror}.") from error
        self._users = users

    def release(self, timeout: float = 30.0) -> None:
        """Let go of the server. Its last user returns when the server has stopped."""
        if self._users is None:
            return
        os.close(self._users)
        self._users = None
        cluster = self._cluster
        until(lambda: not is_held(cluster.guard_lock) or cluster.has_users(), time.monotonic() + timeout)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def _join(cluster: Cluster, users: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    if not until(lambda: try_lock(users, fcntl.LOCK_SH), deadline):
        raise PostgresError(f"PostgreSQL in {cluster.folder} was still stopping after {timeout:g} seconds.")
    if not until(lambda: is_held(cluster.ready_lock) or _start_guard(cluster, deadline), deadline):
        raise PostgresError(f"PostgreSQL was not ready after {timeout:g} seconds.{cluster.log_tail()}")
    require_private(cluster.socket_dir, cluster.data.stat().st_uid)


def _start_guard(cluster: Cluster, deadline: float) -> bool:
    """Start a guard unless there is one, and wait for its word. True when it says that the server answers."""
    guard = open_lock(cluster.guard_lock)
    try:
        if not try_lock(guard, fcntl.LOCK_EX):
            return False
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb", buffering=0) as answer:
            python = (sys.executable, "-I", "-S", "-X", "utf8")
            try:
                # This ends at once: the guard forks, so that it is nobody's child and nobody waits for it.
                subprocess.run(  # noqa: S603 - our own file
                    [*python, "-c", GUARD, SOURCE, cluster.folder, find_binaries(), str(guard)],
                    stdin=subprocess.DEVNULL,
                    stdout=writer,
                    stderr=writer,
                    pass_fds=[guard],
                    cwd="/",
                    start_new_session=True,
                    check=False,
                )
            finally:
                os.close(writer)
            text = _read_to_end(answer, deadline)
    finally:
        os.close(guard)
    if text not in (None, "ready"):
        raise PostgresError(text or f"The process that starts PostgreSQL was killed.{cluster.log_tail()}")
    return text == "ready"


def _read_to_end(pipe: io.FileIO, deadline: float) -> str | None:
    text = b""
    while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not (chunk := pipe.read(4096)):
            return text.decode(errors="replace").strip()
        text += chunk
    return None
