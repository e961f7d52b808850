"""A peer's server: a process on a port and on the core of what is measured."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from bench import cores
from tests.processes import HOST, LiveProcess, accepts, free_port


class PeerProcess(LiveProcess):
    """`command` has `{port}` where the port stands. It works in `source`, with `environment` besides the least."""

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        source: Path | None = None,
    ) -> None:
        super().__init__(name, folder / "server.log")
        self.cores = cores.SERVER
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.source = source or self.source
        self._words = [word.format(port=self.port) for word in command]
        self._variables = dict(environment or {})

    def _command(self) -> Sequence[str]:
        return self._words

    def _environment(self) -> dict[str, str]:
        return super()._environment() | self._variables

    def _is_ready(self) -> bool:
        return accepts(self.port)


class Served(ABC):
    """The part of a subject that all peers have: one process in a folder of its own."""

    process: PeerProcess

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        with ExitStack() as on_failure:
            on_failure.callback(self._stack.close)
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="netra-bench-peer-")))
            self.process = self._process(folder)
            self._stack.enter_context(self.process)
            on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add_users(self, number: int) -> None:  # noqa: B027 - nothing is to be done, wherever that is so
        """Nobody is known, so anybody may come."""

    def pids(self) -> Collection[int]:
        return [self.process.process.pid]

    @abstractmethod
    def _process(self, folder: Path) -> PeerProcess:
        """Not started yet. What it needs besides is entered in `_stack`."""
