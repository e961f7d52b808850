"""What serves a scenario: Netra in one of its forms, the bare application, the tutorial's consumer, Chainlit.

A scenario knows no more of a subject than this, so its code is the same for each of them. A subject is started anew for
each turn of each round (`with subject: ...`), outside of any event loop; `open` is called on the load generator's.

For a peer: say what `bench.tokens.say(question)` yields, each token in a frame of its own where that is its way, and
implement `Subject`. Start its processes within `tests.processes.on_cores(cores.SERVER)`.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from bench.load import Client


class Kind(enum.Enum):
    """What a frame is, as far as it can be told at a glance: it is asked for each frame that arrives, in time."""

    OTHER = enum.auto()
    STARTED = enum.auto()  # the first that the server says of a question's answer before it has any of its text
    TEXT = enum.auto()  # has text of the answer
    ENDED = enum.auto()  # the answer is whole
    REFUSED = enum.auto()  # an error answers the question


# A frame: what it is, its payload, and when it arrived by time.perf_counter_ns.
Hear = Callable[[Kind, bytes, int], None]


@runtime_checkable
class Subject(Protocol):
    @property
    def name(self) -> str:
        """As tables and results.json have it: `netra, embedded, uvicorn`; `chainlit`."""
        ...

    @property
    def frames(self) -> str:
        """What a frame of text is, for the reader: `a token` or `the tokens of 40 ms`."""
        ...

    def __enter__(self) -> Self:
        """Start its processes, and return when they serve."""
        ...

    def __exit__(self, *_: object) -> None:
        """End them, whatever has happened."""
        ...

    def add_users(self, number: int) -> None:
        """Have that many users: `open` names them by 0, 1, 2 … A subject that knows no users does nothing."""
        ...

    async def open(self, user: int, hear: Hear) -> Client:
        """A connection of this user, authenticated and greeted as far as the subject does that; ready to be asked.

        From now on `hear` is called for each text frame. What its protocol wants besides (acknowledgements, answers to
        pings) the subject does by itself.
        """
        ...

    def ask(self, client: Client, question: str) -> None:
        """Send a question (`bench.tokens.question`). One connection has one open question at a time."""
        ...

    def text_of(self, payload: bytes) -> str:
        """The text of the answer in a frame of `Kind.TEXT`. Asked after the load, not during it."""
        ...

    def check(self, payloads: Sequence[bytes], text: str) -> None:
        """By the subject's own numbers and its final message, if it has any: raise AssertionError when a frame is
        missing, there twice or out of order. `payloads` are all frames of one question, `text` is what they say.
        """
        ...

    def pids(self) -> Collection[int]:
        """Its processes on the server's core: server and worker."""
        ...


def cpu_seconds(subject: Subject) -> float:
    """Seconds that its processes have computed."""
    return sum(map(seconds_of, subject.pids()))


def memory_kb(subject: Subject) -> float:
    """Kilobytes that its processes hold."""
    return sum(map(memory_of, subject.pids()))


def seconds_of(pid: int, *, ended_children: bool = False) -> float:
    """Seconds that a process has computed; with those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = fields[11:15] if ended_children else fields[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> float:
    """Kilobytes that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
