"""What the server keeps for one connection: the runs it follows, how far each was sent, the window. No I/O.

Source: docs/protocol.md, section 5. The caller (the shell) tells what it hears and reads; Delivery answers
what may be sent. All frames of the connection pass through it in the order in which they are sent, the first
being `connection_established`. What cannot be sent at once is not kept but read from the log later, so after
`wake`, `positions`, `resume` and `ack` the shell goes on:

    while (read := delivery.next_read()) is not None:
        page = delivery.log_page(read, <the first events after read.after_seq>)

Runs up to `_begun` have been taken up: one of these without an entry in `_runs` is withheld, or has ended and
was sent. So an ended run leaves nothing behind, and its late wake-ups are dropped. Runs are taken up, and
their first events sent, in the order of their numbers: a client that knows run 415 knows 414.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

ENDED = frozenset({"completed", "failed", "cancelled"})
MAX_RUNS_AFTER = 200
MARKS_PER_WINDOW = 256
REPLY_RESERVE = 0.25


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a run, encoded."""

    seq: int
    text: str
    terminal: bool


@dataclass(frozen=True, slots=True)
class RunPosition:
    """Where a run's log stands. `first_seq` is the lowest number left in it; last_seq + 1 when none is."""

    run_id: str
    run_number: int
    status: str
    last_seq: int
    first_seq: int


@dataclass(frozen=True, slots=True)
class LogRead:
    """A page of the log that is wanted: the run's events after `after_seq`. It `repairs` when a wake-up was missing."""

    run_id: str
    after_seq: int
    repairs: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class LogPage:
    """What follows from a page: frames to send, then `snapshot_required` for these runs, if any."""

    frames: list[str] = field(default_factory=list)
    snapshot_required: list[str] = field(default_factory=list)


class PositionCheck(NamedTuple):
    """What a position check asks for: `run_ids`, and all the user's runs numbered above `above`."""

    run_ids: Sequence[str]
    above: int
    heard: int


@dataclass(frozen=True, slots=True)
class ResumedRun:
    run_number: int
    status: str
    from_seq: int
    last_seq: int


@dataclass(slots=True)
class Resumed:
    """The answer to a `resume`."""

    runs: dict[str, ResumedRun] = field(default_factory=dict)
    snapshot_required: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    reload: bool = False


@dataclass(slots=True)
class _Followed:
    """A run that is followed, or whose frames are still unacknowledged (`ended_at` is set).

    `sent`: the client has or is sent all up to here. `known`: the log has at least this. `high`: the most the
    client can have, so an acknowledgement above it is forged. `missed`: of something that `known` counts, the wake-up
    was missing.
    """

    run_id: str
    sent: int
    known: int
    high: int
    acked: bool = False
    missed: bool = False
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class _Mark:
    """A place in the stream: after `frames` frames and `bytes` bytes, just behind event `seq` of a run.

    `run_id` is empty where an acknowledged cursor does not prove that the client got so far.
    """

    frames: int
    bytes: int
    run_id: str
    seq: int


class _Window:
    """Bytes sent and not acknowledged. Marks are coarse: a release may fall short, but is never too much."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.frames = 0
        self.bytes = 0
        self.released = 0
        self._marks: deque[_Mark] = deque()

    @property
    def outstanding(self) -> int:
        return self.bytes - self.released

    def count(self, size: int, run_id: str = "", seq: int = 0) -> None:
        self.frames += 1
        self.bytes += size
        last = self._marks[-1] if self._marks else None
        apart = self.bytes - (last.bytes if last else self.released)
        if apart * MARKS_PER_WINDOW >= self.size or (run_id and last and not last.run_id):
            self._marks.append(_Mark(self.frames, self.bytes, run_id, seq))

    def release(self, cursors: Mapping[str, int], received: int) -> None:
        """`cursors` and `received` are what the client has, none above what it was sent."""
        if received == self.frames:
            self._marks.clear()
            self.released = self.bytes
        proven = 0
        for place, mark in enumerate(self._marks, start=1):
            if mark.frames <= received or (mark.run_id and mark.seq <= cursors.get(mark.run_id, 0)):
                proven = place
        for _ in range(proven):
            self.released = self._marks.popleft().bytes

    def disprove(self, cursors: Mapping[str, int]) -> None:
        """The client may have these events from elsewhere: acknowledging them proves nothing here."""
        self._marks = deque(
            _Mark(mark.frames, mark.bytes, "", 0) if mark.seq <= cursors.get(mark.run_id, 0) else mark
            for mark in self._marks
        )


class Delivery:
    """The state of one connection. `baseline` is the `last_run_number` that it announces."""

    def __init__(self, *, baseline: int, window_bytes: int) -> None:
        self.baseline = baseline
        self._begun = baseline
        self._heard = baseline
        self._window = _Window(window_bytes)
        self._runs: dict[str, _Followed] = {}
        # Taken up, and nothing sent yet; in the order of run numbers. A subset of _behind.
        self._unannounced: dict[str, None] = {}
        # What the log must be read for, the longest waiting first.
        self._behind: dict[str, None] = {}
        self._ended: deque[_Followed] = deque()

    # The window

    @property
    def outstanding(self) -> int:
        """Bytes sent and not acknowledged."""
        return self._window.outstanding

    @property
    def window_full(self) -> bool:
        """Events and notices stop. The frame that fills the window may be of any size."""
        return self._window.outstanding >= self._window.size

    def admit_reply(self, size: int) -> bool:
        """Count a frame that must be sent, with a full window, too. False: close with 4408 instead."""
        if self._window.outstanding >= self._window.size * (1 + REPLY_RESERVE):
            return False
        self._window.count(size)
        return True

    def admit_notice(self, size: int) -> bool:
        """Count a frame that can be left out. False: it is not sent."""
        if self.window_full:
            return False
        self._window.count(size)
        return True

    def ack(self, cursors: Mapping[str, int], received: int | None = None) -> None:
        """The client's acknowledgement. What is above anything sent to it is ignored."""
        valid = {}
        for run_id, seq in cursors.items():
            run = self._runs.get(run_id)
            if run is not None and 0 < seq <= run.high:
                run.acked = True
                valid[run_id] = seq
        self._window.release(valid, received if received and received <= self._window.frames else 0)
        self._forget_acknowledged()

    # What the server hears

    def wake(self, run_id: str, run_number: int, frames: Sequence[Frame], *, last_seq: int) -> list[str]:
        """A wake-up: the log goes up to `last_seq`. Returns what of `frames`, if it has any, is sent now."""
        self._heard = max(self._heard, run_number)
        if begins := run_number == self._begun + 1:
            self._take_up(run_id, run_number)
        if (run := self._following(run_id)) is None:
            return []
        # Of a run that begins, the first event itself must be announced.
        run.missed |= bool(frames) and frames[0].seq > (1 if begins else run.known + 1)
        run.known = max(run.known, last_seq)
        return self._send(run, frames)

    @property
    def check_due(self) -> bool:
        """A run was heard of before the one it comes after: a position check should be made at once."""
        return self._heard > self._begun

    def check(self) -> PositionCheck:
        """What the next position check must ask for."""
        following: Sequence[str] = ()
        if self._runs:
            following = [run_id for run_id, run in self._runs.items() if run.ended_at is None]
        return PositionCheck(following, above=self._begun, heard=self._heard)

    def positions(self, check: PositionCheck, found: Iterable[RunPosition]) -> None:
        """The result of a position check, read in one snapshot. Runs of `check` that are missing are deleted.

        Of the runs above `check.above` none may be missing below the highest one found.
        """
        found = sorted(found, key=lambda position: position.run_number)
        for run_id in set(check.run_ids) - {position.run_id for position in found}:
            self.forget(run_id)
        for position in found:
            if taken_up := position.run_number > self._begun:
                self._take_up(position.run_id, position.run_number)
            if (run := self._following(position.run_id)) is not None:
                run.missed |= taken_up or position.last_seq > run.known
                run.known = max(run.known, position.last_seq)
                self._note_behind(run)
        if self._heard == check.heard:
            self._heard = self._begun

    def next_read(self) -> LogRead | None:
        """The next page of the log to read; None when there is nothing to read, or no room to send it."""
        if not self._behind or self.window_full:
            return None
        run = self._runs[next(iter(self._unannounced or self._behind))]
        return LogRead(run.run_id, run.sent, run.missed)

    def log_page(self, read: LogRead, frames: Sequence[Frame]) -> LogPage:
        """The log's first events after `read.after_seq`: at least one if there are any."""
        if (run := self._following(read.run_id)) is None:
            return LogPage()
        run.missed = False
        if frames:
            run.known = max(run.known, frames[-1].seq)
        # While the page was read, a wake-up or a resume may have moved `sent`: then it proves nothing.
        if run.sent == read.after_seq < run.known and (not frames or frames[0].seq != run.sent + 1):
            self._end(run)
            return LogPage(snapshot_required=[run.run_id])
        texts = self._send(run, frames)
        if run.run_id in self._behind:
            del self._behind[run.run_id]
            self._behind[run.run_id] = None
        return LogPage(texts)

    def forget(self, run_id: str) -> None:
        """The run's thread is deleted: nothing more of it is sent."""
        if (run := self._following(run_id)) is not None:
            self._end(run)

    # resume

    def resume(
        self, cursors: Mapping[str, int], *, named: Iterable[RunPosition], above: Iterable[RunPosition] = ()
    ) -> Resumed:
        """Follow the runs that the client names and those it missed. The answer goes out before their events.

        `named`: where the runs in `cursors` stand that exist and are this user's. `above`: where the user's
        first MAX_RUNS_AFTER + 1 runs above `after_run` stand.
        """
        missed = [position for position in above if position.run_number <= self.baseline]
        answer = Resumed(reload=len(missed) > MAX_RUNS_AFTER)
        self._window.disprove(cursors)
        found = {position.run_id: position for position in named}
        for run_id, cursor in cursors.items():
            if run_id in found:
                self._resume(found[run_id], cursor, answer)
            else:
                self.forget(run_id)
                answer.gone.append(run_id)
        for position in missed:
            if position.run_id not in cursors and not answer.reload:
                self._resume(position, None, answer)
        return answer

    def _resume(self, position: RunPosition, cursor: int | None, answer: Resumed) -> None:
        run = self._following(position.run_id)
        last = max(position.last_seq, run.known if run else 0)
        start = cursor or 0
        if position.run_number > self._begun:
            # It is taken up in its turn, from its first event.
            self._heard = max(self._heard, position.run_number)
            lost, start = start > last, 0
        else:
            if run is not None and (run.acked or cursor is None):
                start = max(start, run.sent)
            lost = start > last or (start < last and position.first_seq > start + 1)
            self._follow(position, start, last, lost=lost)
        if lost:
            answer.snapshot_required.append(position.run_id)
        else:
            place = ResumedRun(position.run_number, position.status, from_seq=start + 1, last_seq=last)
            answer.runs[position.run_id] = place

    def _follow(self, position: RunPosition, start: int, last: int, *, lost: bool) -> None:
        complete = lost or (position.status in ENDED and start == last)
        run = self._following(position.run_id)
        if run is None:
            if complete:
                return
            ended = self._runs.get(position.run_id)
            run = _Followed(position.run_id, sent=start, known=last, high=ended.high if ended else 0)
            self._runs[run.run_id] = run
        if complete:
            self._end(run)
            return
        run.sent, run.known, run.high = start, last, max(run.high, start)
        if start:
            self._unannounced.pop(run.run_id, None)
        self._note_behind(run)

    # Inside

    def _following(self, run_id: str) -> _Followed | None:
        run = self._runs.get(run_id)
        return run if run is not None and run.ended_at is None else None

    def _take_up(self, run_id: str, run_number: int) -> None:
        self._begun = run_number
        self._runs[run_id] = _Followed(run_id, sent=0, known=1, high=0)
        self._unannounced[run_id] = None

    def _send(self, run: _Followed, frames: Sequence[Frame]) -> list[str]:
        texts = []
        for frame in frames:
            if frame.seq <= run.sent:
                continue
            if frame.seq != run.sent + 1 or self.window_full or (self._unannounced and not self._is_its_turn(run)):
                break
            texts.append(frame.text)
            size = len(frame.text) if frame.text.isascii() else len(frame.text.encode())
            if frame.seq > run.high:
                self._window.count(size, run.run_id, frame.seq)
                run.high = frame.seq
            else:
                self._window.count(size)
            run.sent = frame.seq
            if self._unannounced:
                self._unannounced.pop(run.run_id, None)
            if frame.terminal:
                self._end(run)
                return texts
        self._note_behind(run)
        return texts

    def _is_its_turn(self, run: _Followed) -> bool:
        return run.run_id not in self._unannounced or run.run_id == next(iter(self._unannounced))

    def _note_behind(self, run: _Followed) -> None:
        if run.sent < run.known:
            self._behind.setdefault(run.run_id)
        elif self._behind:
            self._behind.pop(run.run_id, None)

    def _end(self, run: _Followed) -> None:
        """Nothing more of the run is sent, unless a resume names it. Its entry stays until acknowledged."""
        run.ended_at = self._window.bytes
        self._behind.pop(run.run_id, None)
        self._unannounced.pop(run.run_id, None)
        self._ended.append(run)
        self._forget_acknowledged()

    def _forget_acknowledged(self) -> None:
        while self._ended and (self._ended[0].ended_at or 0) <= self._window.released:
            run = self._ended.popleft()
            if self._runs.get(run.run_id) is run:
                del self._runs[run.run_id]
