"""A model of everything around `chat.delivery`: runs and their log, a lossy channel layer, sockets, clients.

`World` is what is true; `Connection` is the server's shell without I/O; `Stream` judges the frames it sends
by docs/protocol.md, section 5, knowing nothing of Delivery's inside; `Client` is a correct client around
`chat.fold`.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from chat.fold import ENDED, ClientState, fold_log

Json = dict[str, Any]
TERMINAL = ("agent_completed", "agent_error", "agent_cancelled")
FOREIGN = "run-of-somebody-else"


@dataclass
class Run:
    """A run: its state and its events as frames. None is ever removed; `pruned` hides the first ones."""

    run_id: str
    number: int
    thread: str
    status: str = "queued"
    attempt: int = 1
    claim: int = 0
    pruned: int = 0
    events: list[Json] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    answer: str = ""
    tools: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def last_seq(self) -> int:
        return len(self.events)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def message(self) -> Json:
        return {"message": {"id": f"a-{self.claim}", "role": "assistant", "content": self.answer}}


@dataclass(frozen=True)
class WakeUp:
    run_id: str
    number: int
    first: int
    last: int
    with_frames: bool


class World:
    """One user's threads and runs in the database. `publish` hands wake-ups to the channel layer."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.by_text: dict[str, tuple[Run, int]] = {}
        self.deleted: set[str] = set()
        self.threads_version = 0
        self.publish: Callable[[WakeUp], None] = lambda _wake_up: None

    @property
    def last_run_number(self) -> int:
        return len(self.runs)

    def visible(self) -> list[Run]:
        return [run for run in self.runs.values() if run.thread not in self.deleted]

    def open_runs(self) -> list[Run]:
        return [run for run in self.visible() if not run.ended]

    def entry(self, run: Run) -> Json:
        names = {"run_id": run.run_id, "run_number": run.number, "thread_id": run.thread}
        return {**names, "status": run.status, "last_seq": run.last_seq}

    def append(self, run: Run, *events: tuple[str, Json], with_frames: bool = True) -> None:
        """Commit events with their numbers, then publish them."""
        assert not run.ended or events[-1][0] in TERMINAL
        first = run.last_seq + 1
        for kind, data in events:
            event = {
                "type": kind,
                "thread_id": run.thread,
                "run_id": run.run_id,
                "run_number": run.number,
                "seq": run.last_seq + 1,
                "timestamp": "t",
                "agent": "data",
                "data": data,
            }
            text = json.dumps(event)
            run.events.append(event)
            run.texts.append(text)
            self.by_text[text] = run, run.last_seq
        self.publish(WakeUp(run.run_id, run.number, first, run.last_seq, with_frames))

    def post(self, thread: str) -> Run:
        run = Run(f"run-{self.last_run_number + 1}", self.last_run_number + 1, thread)
        self.runs[run.run_id] = run
        question = {"id": f"q-{run.number}", "role": "user", "content": "?"}
        self.append(run, ("message_created", {"message": question}))
        return run

    def actions(self, run: Run) -> list[str]:
        """What may happen to a run in its state (DESIGN.md, "A run's states")."""
        match run.status:
            case "queued":
                siblings = [other for other in self.open_runs() if other.thread == run.thread]
                return ["claim", "stop"] if siblings and siblings[0] is run else ["stop"]
            case "running":
                work = ["chunk", "chunk", "big_chunk", "think", "tool", "tool_done", "late_write"]
                return [*work, "ask", "complete", "fail", "hand_back", "lost", "stop"]
            case "awaiting_approval":
                return ["resolve", "expire", "stop"]
            case _:
                return []

    def act(self, run: Run, action: str, *, with_frames: bool = True) -> None:
        getattr(self, f"_{action}")(run, with_frames)

    def _claim(self, run: Run, with_frames: bool) -> None:
        run.status, run.claim = "running", run.claim + 1
        self.append(run, ("agent_started", {"model": "m", "attempt": run.attempt}), with_frames=with_frames)

    def _chunk(self, run: Run, with_frames: bool) -> None:
        texts = [f"{run.last_seq}", "é"]
        run.answer += "".join(texts)
        chunks = [("agent_response_chunk", {"message_id": f"a-{run.claim}", "text": text}) for text in texts]
        self.append(run, *chunks, with_frames=with_frames)

    def _big_chunk(self, run: Run, with_frames: bool) -> None:
        run.answer += "x" * 900
        chunk = {"message_id": f"a-{run.claim}", "text": "x" * 900}
        self.append(run, ("agent_response_chunk", chunk), with_frames=with_frames)

    def _think(self, run: Run, with_frames: bool) -> None:
        self.append(run, ("agent_thinking", {"step": run.claim, "text": "hm"}), with_frames=with_frames)

    def _tool(self, run: Run, with_frames: bool) -> None:
        run.tools.append(f"call-{run.last_seq}")
        call = {"tool_call_id": run.tools[-1], "tool": "t", "arguments": {}}
        self.append(run, ("tool_executing", call), with_frames=with_frames)

    def _tool_done(self, run: Run, with_frames: bool) -> None:
        if run.tools:
            call = {"tool_call_id": run.tools.pop(0), "tool": "t", "result": 1, "duration_ms": 1}
            self.append(run, ("tool_completed", call), with_frames=with_frames)

    def _late_write(self, run: Run, with_frames: bool) -> None:
        """A worker that lost the run writes: the fence refuses it, so nothing happens."""

    def _ask(self, run: Run, with_frames: bool) -> None:
        run.status, run.asked = "awaiting_approval", [f"ask-{run.last_seq}", f"ask-{run.last_seq}b"]
        asked = [{"tool_call_id": call, "tool": "t", "arguments": {}, "expires_in": 9} for call in run.asked]
        self.append(run, *(("approval_required", call) for call in asked), with_frames=with_frames)

    def _resolve(self, run: Run, with_frames: bool, by: str = "user") -> None:
        call = {"tool_call_id": run.asked.pop(0), "approved": by == "user", "by": by}
        if not run.asked:
            run.status = "queued"
        self.append(run, ("approval_resolved", call), with_frames=with_frames)

    def _expire(self, run: Run, with_frames: bool) -> None:
        while run.asked:
            self._resolve(run, with_frames, by="expired")
        self._fail(run, with_frames)

    def _complete(self, run: Run, with_frames: bool) -> None:
        run.status = "completed"
        end = {**run.message, "usage": {"model": "m"}, "duration_ms": 1}
        self.append(run, ("agent_completed", end), with_frames=with_frames)

    def _fail(self, run: Run, with_frames: bool) -> None:
        run.status = "failed"
        error = {"error_code": "MODEL_ERROR", "error_message": "no", "retryable": True}
        self.append(run, ("agent_error", {**error, **run.message}), with_frames=with_frames)

    def _stop(self, run: Run, with_frames: bool, by: str = "user") -> None:
        run.status, run.claim = "cancelled", run.claim + 1
        self.append(run, ("agent_cancelled", {"by": by, **run.message}), with_frames=with_frames)

    def _hand_back(self, run: Run, with_frames: bool) -> None:
        run.status, run.answer, run.tools = "queued", "", []
        event = {"attempt": run.attempt, "reason": "shutdown"}
        self.append(run, ("agent_restarted", event), with_frames=with_frames)

    def _lost(self, run: Run, with_frames: bool) -> None:
        run.attempt += 1
        self._hand_back(run, with_frames)

    def delete(self, thread: str) -> None:
        for run in [run for run in self.open_runs() if run.thread == thread]:
            self._stop(run, True, by="deleted")
        self.deleted.add(thread)
        self.threads_version += 1


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
        self.acked |= {
            run for run, seq in cursors.items() if run in self.next and 0 < seq <= self.high.get(run, 0)
        }

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

    def begin_check(self) -> None:
        if self.check is None:
            check = self.delivery.check()
            runs = [
                run for run in self.world.visible() if run.number > check.above or run.run_id in check.run_ids
            ]
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
            above = [run for run in self.world.visible() if run.number > command.get("after_run", 1 << 60)][
                :limit
            ]
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
            self.reached["resumed before it was begun"] += (
                number > self.stream.baseline and run_id not in before
            )

    def ack(self, frame: Json) -> None:
        """A release never goes beyond what the client has received."""
        self.stream.ack(frame["cursors"])
        self.delivery.ack(frame["cursors"], frame.get("received"))
        assert self.sent_bytes - self.delivery.outstanding <= self.received_bytes, "released too much"


class Client:
    """A correct client, over all its connections."""

    def __init__(self, world: World, *, counts_frames: bool, reached: Counter[str]) -> None:
        self.world = world
        self.reached = reached
        self.state = ClientState()
        self.counts_frames = counts_frames
        self.connection: Connection | None = None
        self.next_connection: Connection | None = None
        self.acks: list[Json] = []
        self.concerns: set[str] = set()
        self.excused: set[str] = set()
        self.since: int | None = None

    def receive(self, connection: Connection) -> None:
        text = connection.wire.popleft()
        frame = json.loads(text)
        connection.received_bytes += len(text.encode())
        before = self.state.runs.get(frame.get("run_id", ""))
        self.reached["duplicate"] += before is not None and before["last_seq"] >= frame["seq"]
        self.state.fold(frame)
        match frame["type"]:
            case "connection_established":
                if self.since is None:
                    self.since = frame["last_run_number"]
                    self.concerns = {run["run_id"] for run in frame["open_runs"]}
                self.acks = []
                self._ask(self.state.resume("first"))
            case "snapshot_required":
                self._excuse(frame["run_ids"])
            case "resumed":
                self._excuse(frame["snapshot_required"])
                if "reload" in frame:
                    missed = [
                        run for run in self.world.runs.values() if run.number <= connection.stream.baseline
                    ]
                    self._excuse([run.run_id for run in missed if run.run_id not in self.state.runs])
            case "agent_restarted":
                self.reached["restart"] += 1
            case "approval_resolved":
                self.reached["approval"] += 1

    def _excuse(self, run_ids: list[str]) -> None:
        """What the client learns over REST, it need not have from events."""
        self.excused |= set(run_ids)
        assert not run_ids or self.state.stale_all or self.state.stale_threads

    def _ask(self, frame: Json | None) -> None:
        if frame is not None and self.connection is not None:
            self.connection.commands.append(frame)

    def switch(self) -> None:
        """Leave a socket, with whatever is on its wire, for the next one."""
        if self.next_connection is not None:
            self.connection, self.next_connection = self.next_connection, None

    @property
    def is_connected(self) -> bool:
        """The client has got `connection_established`."""
        connection = self.connection
        return connection is not None and connection.received_bytes > 0 and not connection.closed

    def resume_again(self) -> None:
        if self.is_connected:
            self._ask(self.state.resume("again"))

    def open(self, run_id: str, *, beyond: bool) -> None:
        """Asks for a run from its beginning, whatever the client has of it; or beyond its end."""
        if self.is_connected:
            cursor = 1 << 20 if beyond else 0
            self._ask({"type": "resume", "ref": "open", "cursors": {run_id: cursor}})

    def reload(self) -> None:
        """Over REST, which also tells of open runs; they are then resumed."""
        self.state.reloaded()
        for run in self.world.open_runs():
            if run.run_id in self.excused:
                self.state.add_open_run(self.world.entry(run))
        self.resume_again()

    def ack(self) -> None:
        frame = self.state.ack() if self.is_connected else None
        if frame is not None and self.connection is not None:
            if not self.counts_frames:
                del frame["received"]
            self.acks.append(frame)
            self.connection.ack(frame)

    def check_settled(self) -> None:
        """The invariant: client state = fold of the log, for each run since this client came."""
        for run in self.world.visible():
            due = run.run_id in self.concerns or (self.since is not None and run.number > self.since)
            state = self.state.runs.get(run.run_id)
            if state is not None:
                assert state == fold_log(run.events), run.run_id
                assert not run.ended or state["message"] == run.message["message"]
                assert state["text"] == run.answer
            else:
                assert not due or run.run_id in self.excused, f"{run.run_id} is missing"
