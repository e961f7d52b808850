"""The server's shell around `chat.delivery` without I/O, and its judge.

`Stream` judges the frames that a `Connection` sends by docs/protocol.md, section 5, knowing nothing of
Delivery's inside.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from chat.fold import ENDED
from tests.delivery_world import TERMINAL, Json, Run, WakeUp, World


class Stream:
    """What one connection sent. `next` are the runs followed, with the seq that is due."""

    def __init__(self, world: World, baseline: int) -> None:
        self.world = world
        self.baseline = baseline
        self.next: dict[str, int] = {}
        self.high: dict[str, int] = {}
        self.acked: set[str] = set()
        self.announced: set[str] = set()
        self.over: set[str] = set()

    def never_sent(self, run: Run) -> bool:
        """5.1: followed from seq 1, and not yet begun."""
        return run.number > self.baseline and run.run_id not in self.next and run.run_id not in self.over

    def sent(self, text: str) -> None:
        """5.2, 5.3: in order, each once, nothing withheld, nothing of others, nothing after the end."""
        run, seq = self.world.by_text[text]
        if self.never_sent(run):
            self.next[run.run_id] = 1
        assert self.next.get(run.run_id) == seq, f"{run.run_id}: sent {seq}, due {self.next.get(run.run_id)}"
        if run.number > self.baseline and run.run_id not in self.announced:
            self._in_order_of_numbers(run)
            self.announced.add(run.run_id)
        self.next[run.run_id] = seq + 1
        self.high[run.run_id] = max(seq, self.high.get(run.run_id, 0))
        if run.events[seq - 1]["type"] in TERMINAL:
            self.stop(run.run_id)

    def _in_order_of_numbers(self, run: Run) -> None:
        for other in self.world.visible():
            if self.baseline < other.number < run.number:
                assert other.run_id in self.announced | self.over, f"{run.run_id} before {other.run_id}"

    def stop(self, run_id: str) -> None:
        self.next.pop(run_id, None)
        self.acked.discard(run_id)
        self.over.add(run_id)

    def forget(self, run_id: str) -> None:
        if run_id in self.next:
            self.stop(run_id)

    def ack(self, cursors: dict[str, int]) -> None:
        self.acked |= {run for run, seq in cursors.items() if run in self.next and 0 < seq <= self.high.get(run, 0)}

    def resumed(self, cursors: dict[str, int], positions: dict[str, Any], reply: Json) -> None:
        """5.2, 5.3, 5.5, judged by the positions that the server read."""
        assert set(reply["gone"]) == set(cursors) - set(positions)
        for run_id in reply["gone"]:
            self.forget(run_id)
        for run_id, place in reply["runs"].items():
            self._placed(self.world.runs[run_id], cursors.get(run_id), place, positions[run_id])
        for run_id in reply["snapshot_required"]:
            place = positions[run_id]
            due = self._due(self.world.runs[run_id], cursors.get(run_id))
            beyond = cursors.get(run_id, 0) > place.last_seq
            assert beyond or any(seq <= place.last_seq and place.first_seq > seq for seq in due)
            self.announced.add(run_id)
            if not (beyond and self.never_sent(self.world.runs[run_id])):
                self.stop(run_id)

    def _due(self, run: Run, cursor: int | None) -> set[int]:
        """The seq from which a resume with this cursor has to go on."""
        following = self.next.get(run.run_id)
        if self.never_sent(run):
            return {1, (cursor or 0) + 1}
        if following is not None and (cursor is None or run.run_id in self.acked):
            return {max(following, (cursor or 0) + 1)}
        return {(cursor or 0) + 1}

    def _placed(self, run: Run, cursor: int | None, place: Json, position: Any) -> None:
        assert place["from_seq"] in self._due(run, cursor)
        assert place["run_number"] == run.number
        assert (
            position.first_seq <= place["from_seq"]
            or place["from_seq"] > position.last_seq
            or run.number > self.baseline
        )
        if place["from_seq"] == 1 and self.never_sent(run):
            return
        if place["from_seq"] > 1:
            self.announced.add(run.run_id)
        self.over.discard(run.run_id)
        self.next[run.run_id] = place["from_seq"]
        self.high[run.run_id] = max(place["from_seq"] - 1, self.high.get(run.run_id, 0))
        if place["from_seq"] > place["last_seq"] and place["status"] in ENDED:
            self.stop(run.run_id)


class Connection:
    """The server's side of a socket, in steps that other things can come between."""

    def __init__(self, world: World, module: ModuleType, window: int, reached: Counter[str]) -> None:
        self.world = world
        self.module = module
        self.window = window
        self.reached = reached
        self.inbox: list[WakeUp | str] = []  # group_add has happened; the channel layer keeps no order
        self.commands: deque[Json] = deque()
        self.established = False
        self.wire: deque[str] = deque()
        self.closed = False
        self.sent_bytes = 0
        self.received_bytes = 0
        self.read: tuple[Any, list[Any]] | None = None
        self.check: tuple[Any, list[Any]] | None = None
        self.resume: tuple[Json, dict[str, Any], list[Any]] | None = None

    def establish(self) -> None:
        baseline = self.world.last_run_number
        self.established = True
        self.delivery = self.module.Delivery(baseline=baseline, window_bytes=self.window)
        self.stream = Stream(self.world, baseline)
        entries = [self.world.entry(run) for run in self.world.open_runs()]
        numbers = {"last_run_number": baseline, "threads_version": self.world.threads_version}
        self.reply({"type": "connection_established", **numbers, "open_runs": entries})

    # Sending

    def reply(self, frame: Json) -> None:
        text = json.dumps(frame)
        room = self.delivery.outstanding < self.window * 1.25
        assert self.delivery.admit_reply(len(text)) == room
        if room:
            self._put(text)
        else:
            self.reached["4408"] += 1
            self.closed = True

    def notice(self, text: str) -> None:
        room = self.delivery.outstanding < self.window
        assert self.delivery.admit_notice(len(text)) == room
        if room:
            self._put(text)
        else:
            self.reached["notice left out"] += 1

    def _put(self, text: str) -> None:
        self.wire.append(text)
        self.sent_bytes += len(text.encode())

    def _send(self, texts: Iterable[str], outstanding: int) -> None:
        """5.6: `outstanding` bytes were in the window before these frames."""
        for text in texts:
            assert outstanding < self.window, "an event was sent into a full window"
            self.stream.sent(text)
            self._put(text)
            outstanding += len(text.encode())
        assert outstanding == self.delivery.outstanding
        self.reached["window full"] += self.delivery.window_full

    # Hearing

    def hear(self, item: WakeUp | str) -> None:
        if isinstance(item, str):
            thread = json.loads(item)["thread"]["id"]
            for run in self.world.runs.values():
                if run.thread == thread:
                    self.delivery.forget(run.run_id)
                    self.stream.forget(run.run_id)
            self.notice(item)
            return
        run = self.world.runs[item.run_id]
        due = self.stream.next.get(item.run_id, 1)
        self.reached["gap"] += due < item.first
        self.reached["late duplicate of an ended run"] += item.run_id in self.stream.over
        self.reached["withheld"] += run.number <= self.stream.baseline and item.run_id not in self.stream.next
        frames = self._frames(run, item.first, item.last) if item.with_frames else []
        outstanding = self.delivery.outstanding
        self._send(self.delivery.wake(item.run_id, item.number, frames, last_seq=item.last), outstanding)
        self.reached["run heard of out of turn"] += self.delivery.check_due

    def _frames(self, run: Run, first: int, last: int) -> list[Any]:
        return [
            self.module.Frame(seq, run.texts[seq - 1], run.events[seq - 1]["type"] in TERMINAL)
            for seq in range(first, last + 1)
        ]

    def begin_read(self, limit: int) -> bool:
        wanted = self.delivery.next_read() if self.read is None and not self.closed else None
        if wanted is None:
            return False
        run = self.world.runs[wanted.run_id]
        first = max(wanted.after_seq, run.pruned) + 1
        self.read = wanted, self._frames(run, first, min(run.last_seq, first + limit - 1))
        return True

    def finish_read(self) -> None:
        if self.read is None or self.closed:
            return
        wanted, frames = self.read
        self.read = None
        self.reached["page overtaken"] += self.stream.next.get(wanted.run_id, 1) != wanted.after_seq + 1
        outstanding = self.delivery.outstanding
        page = self.delivery.log_page(wanted, frames)
        self._send(page.frames, outstanding)
        for run_id in page.snapshot_required:
            run = self.world.runs[run_id]
            assert run.pruned >= self.stream.next.get(run_id, 1), "a snapshot without need"
            self.stream.stop(run_id)
            self.stream.announced.add(run_id)
            self.reached["snapshot_required unasked"] += 1
        if page.snapshot_required:
            self.reply({"type": "snapshot_required", "run_ids": page.snapshot_required})

    def read_all(self, limit: int) -> None:
        """Read until there is nothing to read or no room."""
        self.finish_read()
        pages = 0
        while self.begin_read(limit):
            self.finish_read()
            pages += 1
            assert pages < 1000, "reading makes no progress"

    def begin_check(self) -> None:
        if self.check is None:
            check = self.delivery.check()
            runs = [run for run in self.world.visible() if run.number > check.above or run.run_id in check.run_ids]
            self.check = check, [self.position(run) for run in reversed(runs)]

    def finish_check(self) -> None:
        if self.check is not None:
            check, found = self.check
            self.check = None
            for run_id in set(check.run_ids) - {position.run_id for position in found}:
                self.reached["deleted run found by the check"] += 1
                self.stream.forget(run_id)
            self.delivery.positions(check, found)

    def position(self, run: Run) -> Any:
        first = min(run.pruned, run.last_seq) + 1
        return self.module.RunPosition(run.run_id, run.number, run.status, run.last_seq, first)

    def begin_command(self) -> None:
        """Acknowledgements are processed at once, the rest in turn; a `resume` reads positions first."""
        if self.commands and self.resume is None:
            command = self.commands.popleft()
            if command["type"] == "ping":
                self.reply({"type": "pong", "threads_version": self.world.threads_version})
                return
            named = {run_id: self.position(run) for run_id, run in self._named(command)}
            limit = self.module.MAX_RUNS_AFTER + 1
            above = [run for run in self.world.visible() if run.number > command.get("after_run", 1 << 60)][:limit]
            self.resume = command, named, [self.position(run) for run in above]

    def _named(self, command: Json) -> Iterator[tuple[str, Run]]:
        for run in self.world.visible():
            if run.run_id in command["cursors"]:
                yield run.run_id, run

    def finish_resume(self) -> None:
        if self.resume is None:
            return
        command, named, above = self.resume
        self.resume = None
        cursors = command["cursors"]
        before = dict(self.stream.next)
        answer = self.delivery.resume(cursors, named=named.values(), above=above)
        runs = {
            run_id: {
                "run_number": place.run_number,
                "status": place.status,
                "from_seq": place.from_seq,
                "last_seq": place.last_seq,
            }
            for run_id, place in answer.runs.items()
        }
        reply: Json = {"type": "resumed", "ref": command["ref"], "runs": runs}
        reply |= {"snapshot_required": answer.snapshot_required, "gone": answer.gone}
        missed = [position for position in above if position.run_number <= self.stream.baseline]
        assert answer.reload == (len(missed) > self.module.MAX_RUNS_AFTER)
        known = named if answer.reload else {**{position.run_id: position for position in missed}, **named}
        assert set(runs) | set(answer.snapshot_required) == set(known)
        self.stream.resumed(cursors, known, reply)
        if answer.reload:
            reply["reload"] = True
        self._count_resume(cursors, before, reply)
        self.reply(reply)

    def _count_resume(self, cursors: dict[str, int], before: dict[str, int], reply: Json) -> None:
        self.reached["reload"] += "reload" in reply
        self.reached["gone"] += bool(reply["gone"])
        self.reached["snapshot_required by resume"] += bool(reply["snapshot_required"])
        for run_id, place in reply["runs"].items():
            number, start = place["run_number"], place["from_seq"]
            self.reached["missed run"] += run_id not in cursors
            self.reached["rewound"] += start < before.get(run_id, 0)
            self.reached["moved forward"] += run_id in before and start > before[run_id]
            self.reached["not rewound"] += run_id in before and cursors.get(run_id, start) < start - 1
            self.reached["resumed before it was begun"] += number > self.stream.baseline and run_id not in before

    def ack(self, frame: Json) -> None:
        """A release never goes beyond what the client has received."""
        self.stream.ack(frame["cursors"])
        self.delivery.ack(frame["cursors"], frame.get("received"))
        assert self.sent_bytes - self.delivery.outstanding <= self.received_bytes, "released too much"
