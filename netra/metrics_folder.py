"""Metrics of several processes in one folder: prometheus_client's files, of which those of the dead are put together.

A process holds a lock on a file of its own as long as it lives, so that nobody takes it for dead, or another with its
number for it. What a dead process counted still counts, in one file for all of them; its gauges are gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# The number of no process: its files have what the dead ones counted.
DEAD = "0"
_LOCK = "lock"

_held: list[int] = []


def join(folder: Path) -> None:
    """Count in this folder from now on. Before prometheus_client is imported. Raises OSError."""
    if "prometheus_client" in sys.modules and os.environ.get(VARIABLE) != str(folder):
        raise RuntimeError("prometheus_client was imported before the settings")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ[VARIABLE] = str(folder)
    _hold(folder)
    os.register_at_fork(after_in_child=lambda: _hold(folder))


@contextlib.contextmanager
def settled(folder: Path) -> Iterator[None]:
    """Nobody else puts files together meanwhile, and those of the dead are. Raises OSError."""
    with _locked(folder):
        for number in {_number(path) for path in folder.glob("*.db")} - {DEAD, str(os.getpid())}:
            if _is_dead(folder, number):
                _bury(folder, number)
        yield


def _hold(folder: Path) -> None:
    while _held:  # of the process that this one was forked from: its lock stays with it
        os.close(_held.pop())
    with _locked(folder):
        # What an earlier process of this number has left is not this one's.
        _bury(folder, str(os.getpid()))
        held = os.open(folder / f"{os.getpid()}.{_LOCK}", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        _held.append(held)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _number(path: Path) -> str:
    return path.stem.rpartition("_")[2]


def _is_dead(folder: Path, number: str) -> bool:
    try:
        lock = os.open(folder / f"{number}.{_LOCK}", os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _bury(folder: Path, number: str) -> None:
    for path in folder.glob(f"*_{number}.db"):
        kind = path.stem.partition("_")[0]
        if kind != "gauge":
            _add(folder / f"{kind}_{DEAD}.db", path)
        path.unlink()
    (folder / f"{number}.{_LOCK}").unlink(missing_ok=True)


def _add(total: Path, counted: Path) -> None:
    """Counters and histograms are sums, entry by entry."""
    from prometheus_client.mmap_dict import MmapedDict

    sums: defaultdict[str, float] = defaultdict(float)
    for path in (total, counted):
        # One that was killed before it wrote anything has nothing to add.
        with contextlib.suppress(FileNotFoundError, struct.error):
            for key, value, _, _ in MmapedDict.read_all_values_from_file(path):  # type: ignore[no-untyped-call]
                sums[key] += value
    written = total.with_suffix(".new")
    written.unlink(missing_ok=True)
    entries = MmapedDict(str(written))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        entries.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    entries.close()  # type: ignore[no-untyped-call]
    written.replace(total)
