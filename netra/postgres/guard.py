"""The guard: starts the server, is its parent, and stops it when no user is left. A program of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from netra.postgres.account import ON_LINUX, Account
from netra.postgres.binaries import copy_binaries
from netra.postgres.cluster import (
    NAME,
    POLL_SECONDS,
    PORT,
    Cluster,
    PostgresError,
    open_lock,
    require_private,
    try_lock,
    until,
    user_name,
)

WATCH_SECONDS = 0.2

INITDB_OPTIONS = (
    f"--username={NAME}",
    "--auth=trust",  # the socket's folder is private
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
SERVER_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "lc_messages": "C",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}


class Guard:
    def __init__(self, cluster: Cluster, binaries: Path) -> None:
        self.cluster = cluster
        self.binaries = binaries
        self.account = Account.choose(cluster.data)
        self.users = open_lock(cluster.users_lock)
        self.ready = open_lock(cluster.ready_lock)
        self.told_to_stop = False

    def wanted(self) -> bool:
        """False once the last user has gone: from then on the exclusive lock keeps new ones waiting."""
        return not self.told_to_stop and not try_lock(self.users, fcntl.LOCK_EX)

    def main(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        self._require_entry()
        if not self.account.can("-x", self.binaries / "postgres"):
            self.binaries = copy_binaries(self.binaries, self.cluster.folder)
        if self.cluster.log_file.exists():
            self.cluster.log_file.replace(self.cluster.log_file.with_suffix(".log.1"))
        log = os.open(self.cluster.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._initialise()
        while self.wanted():
            self._serve(log)
        with contextlib.suppress(OSError):
            self.cluster.socket_dir.rmdir()

    def _stop(self, *_: object) -> None:
        self.told_to_stop = True

    def _serve(self, log: int) -> None:
        """Run the server until it ends or nobody wants it any more."""
        _end_leftovers(self.cluster)
        _make_private(self.cluster.socket_dir, self.account)
        options = [word for name, value in SERVER_OPTIONS.items() for word in ("-c", f"{name}={value}")]
        place: list[str | Path] = ["-D", self.cluster.data, "-k", self.cluster.socket_dir, "-p", str(PORT)]
        server = self.account.start(self.binaries / "postgres", *place, *options, log=log)
        answered = False
        try:
            while server.poll() is None and self.wanted():
                if answered:
                    time.sleep(WATCH_SECONDS)
                elif self._answers():
                    self._create_database()
                    answered = True
                    fcntl.flock(self.ready, fcntl.LOCK_EX)
                    _answer("ready", log)
                else:
                    time.sleep(POLL_SECONDS)
        finally:
            fcntl.flock(self.ready, fcntl.LOCK_UN)
            broken = server.poll() is not None
            _shut_down(server)
        if broken and not answered:
            # Sessions of a server that was killed may live on for a moment, and keep the next one out.
            if "pre-existing shared memory block" not in self.cluster.log_tail():
                raise PostgresError(f"PostgreSQL did not start.{self.cluster.log_tail()}")
            time.sleep(WATCH_SECONDS)

    def _require_entry(self) -> None:
        folder = self.cluster.folder
        if self.account.uid is None or self.account.can("-x", folder):
            return
        closed = next((path for path in reversed(folder.parents) if not self.account.can("-x", path)), folder)
        name = user_name(self.account.uid)
        raise PostgresError(
            f"PostgreSQL, which runs as the user {name} when Netra is run by root, cannot enter {closed}:"
            f" allow it (chmod o+x), or set NETRA_DATA_DIR to a folder that {name} can reach."
        )

    def _initialise(self) -> None:
        for unfinished in self.cluster.folder.glob("data.*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        if self.cluster.data.exists():
            return
        staging = Path(tempfile.mkdtemp(prefix="data.", dir=self.cluster.folder))
        self.account.own(staging)
        result = self.account.run(self.binaries / "initdb", *INITDB_OPTIONS, "-D", staging)
        if result.returncode != 0:
            shutil.rmtree(staging, ignore_errors=True)
            raise PostgresError(f"initdb failed: {result.stdout.strip()}")
        staging.rename(self.cluster.data)

    def _answers(self) -> bool:
        return self._client("pg_isready", "-q").returncode == 0

    def _create_database(self) -> None:
        unless = f"WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{NAME}')"
        script = f"SELECT 'CREATE DATABASE {NAME}' {unless} \\gexec\n"
        result = self._client("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", text=script)
        if result.returncode != 0:
            raise PostgresError(f"The database {NAME} cannot be created: {result.stdout.strip()}")

    def _client(self, program: str, *options: str, text: str = "") -> subprocess.CompletedProcess[str]:
        address = ("-h", self.cluster.socket_dir, "-p", str(PORT), "-U", NAME, "-d", "postgres")
        return Account().run(self.binaries / program, *options, *address, text=text)


def _answer(text: str, log: int) -> None:
    """Tell the user who started the guard. From then on the guard's own output goes to the log."""
    if not os.path.sameopenfile(1, log):
        with contextlib.suppress(BrokenPipeError):
            os.write(1, text.encode())
        os.dup2(log, 1)
        os.dup2(log, 2)


def _shut_down(server: subprocess.Popen[bytes]) -> None:
    """Fast shutdown: sessions are ended, the data is written. Then ever less politely."""
    for number, seconds in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, None)):
        server.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(seconds)
            return


def _end_leftovers(cluster: Cluster) -> None:
    """End a server whose guard is gone, and remove files that would make PostgreSQL believe in one.

    The guard's lock is held, so nothing here belongs to another guard. A pid file whose process is dead
    stays: with it PostgreSQL finds out whether sessions of that server are still alive.
    """
    pid_file = cluster.data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except FileNotFoundError:
        pid = None
    except ValueError:
        pid_file.unlink()
        pid = None
    if pid is not None:
        for number, seconds in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if not _is_server(pid, cluster.data):
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            until(lambda: not _is_server(pid, cluster.data), time.monotonic() + seconds)
        if _is_server(pid, cluster.data):
            raise PostgresError(f"An earlier PostgreSQL (process {pid}) in {cluster.data} does not end.")
        if _is_alive(pid):
            pid_file.unlink(missing_ok=True)
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (cluster.socket_dir / name).unlink(missing_ok=True)


def _is_server(pid: int, data: Path) -> bool:
    """Whether that process is a PostgreSQL server on this data folder: pids are used again."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        if ON_LINUX:
            return False
        ps = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)  # noqa: S603, S607
        return b"postgres" in ps.stdout and os.fsencode(data) in ps.stdout
    return arguments[0].endswith(b"/postgres") and os.fsencode(data) in arguments


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _make_private(folder: Path, account: Account) -> None:
    uid = os.geteuid() if account.uid is None else account.uid
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if folder.lstat().st_uid == os.geteuid():
        account.own(folder)
    require_private(folder, uid)


def run(folder: str, binaries: str) -> None:
    """Be the guard of the cluster in `folder`, and write to stdout when the server answers, or why it does not."""
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    cluster = Cluster(Path(folder))
    try:
        Guard(cluster, Path(binaries)).main()
    except (PostgresError, OSError) as error:
        text = str(error) if isinstance(error, PostgresError) else f"{error.filename}: {error.strerror}."
        with contextlib.suppress(BrokenPipeError):
            os.write(1, text.encode())
        sys.exit(1)
