"""Short names for the examples of `chat.delivery`: run 11 is `run-11`, its third event the text `11:3`."""

from __future__ import annotations

from collections.abc import Iterable

from chat.delivery import Delivery, Frame, ResumedRun, RunPosition

BIG = 1 << 20


def frame(number: int, seq: int, *, end: int | None = None, size: int = 0) -> Frame:
    return Frame(seq, f"{number}:{seq}".ljust(size), terminal=seq == end)


def log(number: int, first: int, last: int, *, end: int | None = None, size: int = 0) -> list[Frame]:
    """Events `first` to `last` of a run; its terminal event is `end`."""
    return [frame(number, seq, end=end, size=size) for seq in range(first, last + 1)]


def texts(number: int, first: int, last: int) -> list[str]:
    return [f"{number}:{seq}" for seq in range(first, last + 1)]


def position(number: int, last: int, *, first: int = 1, status: str = "running") -> RunPosition:
    return RunPosition(f"run-{number}", number, status, last, first)


def connected(*, baseline: int = 10, window: int = BIG) -> Delivery:
    return Delivery(baseline=baseline, window_bytes=window)


def wake(delivery: Delivery, number: int, first: int, last: int, *, end: int | None = None, size: int = 0) -> list[str]:
    frames = log(number, first, last, end=end, size=size)
    return delivery.wake(f"run-{number}", number, frames, last_seq=last)


def check(delivery: Delivery, *found: RunPosition) -> None:
    delivery.positions(delivery.check(), found)


def is_check_due(delivery: Delivery) -> bool:
    return delivery.check_due


def read_all(delivery: Delivery, last: int, *, end: int | None = None, page: int = 2) -> list[str]:
    """Read every run that is behind, with logs that end at `last`."""
    sent = []
    while (read := delivery.next_read()) is not None:
        number = int(read.run_id.removeprefix("run-"))
        first = read.after_seq + 1
        got = delivery.log_page(read, log(number, first, min(last, first + page - 1), end=end))
        assert not got.snapshot_required
        sent += got.frames
    return sent


def resume(
    delivery: Delivery, cursors: dict[str, int], *named: RunPosition, above: Iterable[RunPosition] = ()
) -> dict[str, ResumedRun]:
    return delivery.resume(cursors, named=named, above=above).runs
