"""Programs that tests start, pause, stop and kill, and how tests wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

REPOSITORY = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
START_SECONDS = 90.0
PATIENCE_SECONDS = 30.0


class LiveProcess:
    """A program, started, paused, stopped and killed as often as wanted. It works in the folder `source`."""

    running: ClassVar[list[LiveProcess]] = []

    def __init__(self, name: str, log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self.source = REPOSITORY
        self.cores: Collection[int] = ()  # where it runs; anywhere when there is none
        self._launched_at = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    @property
    def is_launched(self) -> bool:
        """Whether it was started and its end was not waited for."""
        return self._process is not None

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Return when it is ready."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Begin to start."""
        assert self._process is None, f"{self.name} runs already"
        with self.log_file.open("ab") as log, on_cores(self.cores):
            self._launched_at = log.tell()
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.source,
                env=self._environment(),
                start_new_session=True,
            )
        self.running.append(self)

    def wait_until_ready(self) -> None:
        try:
            until(self._is_ready_or_ended, START_SECONDS, what=f"{self.name} to be ready")
        except BaseException:
            self.kill()
            sys.stderr.write(self.log_text()[-4000:])
            raise

    def stop(self) -> int:
        """End it with SIGTERM, and return its exit status."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait for its end, and return its exit status."""
        try:
            status = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._process = None
        self.running.remove(self)
        return status

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        """Nothing of the caller's settings."""
        return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}

    def _is_ready_or_ended(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with status {self.process.returncode}")
        return self._is_ready()

    def log_text(self) -> str:
        return self.log_file.read_text(errors="replace")

    def log_since_launch(self) -> str:
        return self.log_file.read_bytes()[self._launched_at :].decode(errors="replace")


class LiveRedis(LiveProcess):
    """A Redis of its own, on a port that it keeps when started again."""

    def __init__(self, log_file: Path = Path(os.devnull)) -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        super().__init__("redis", log_file)

    def _command(self) -> list[str]:
        nothing_on_disk = ["--save", "", "--appendonly", "no", "--repl-diskless-load", "swapdb"]
        return ["redis-server", "--port", str(self.port), "--bind", HOST, *nothing_on_disk]

    def _is_ready(self) -> bool:
        return accepts(self.port)


@contextlib.contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """What this thread starts meanwhile runs on these cores for good; on those of this thread when there is none."""
    if not cores:
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def free_port() -> int:
    """A port that nobody else is given while this process lives, whether or not something listens there just now.

    It is below those that the system gives to connections and to whoever binds port 0, so that none of them takes it
    before the server that it is for has started, or while that is stopped on purpose. Processes of one machine tell
    each other by a lock on one byte of a common file, which ends with its process.
    """
    for port in _PORTS:
        try:
            fcntl.lockf(_ports_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    raise AssertionError("no port is left")


_PORTS = iter(range(20_000, 32_000))


@functools.cache
def _ports_file() -> int:
    """Held open: closing a file ends the locks that the process has on it."""
    return os.open(Path(tempfile.gettempdir(), f"netra-test-ports-{os.getuid()}"), os.O_RDWR | os.O_CREAT, 0o666)


def accepts(port: int) -> bool:
    """Whether something listens there."""
    try:
        with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=1)) as probe:
            probe.connect()
    except OSError:
        return False
    return True


def until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS, *, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.02)


async def eventually(condition: Callable[[], object], *, what: str) -> None:
    """The same while clients go on. The condition is looked at in a thread."""
    await asyncio.to_thread(until, condition, what=what)


def processes_of(folder: Path) -> list[int]:
    """The processes that name the folder in their command line or work in it: those of its PostgreSQL."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                named = os.fsencode(folder) in (entry / "cmdline").read_bytes()
                if named or (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
    return found
