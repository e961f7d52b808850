"""A correct client around `chat.fold`, over all its connections to `delivery_sockets`."""

from __future__ import annotations

import json
from collections import Counter

from chat.fold import ClientState
from chat.run_state import fold_log
from tests.delivery_sockets import Connection
from tests.delivery_world import Json, World


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
                    missed = [run for run in self.world.runs.values() if run.number <= connection.stream.baseline]
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

    def ack_again(self, choice: int) -> None:
        """Repeat an earlier acknowledgement of this socket, unless it claims what the client has lost since."""
        if self.connection is not None and self.is_connected and self.acks:
            frame = self.acks[choice % len(self.acks)]
            has = {run_id: run["last_seq"] for run_id, run in self.state.runs.items()}
            if all(seq <= has.get(run_id, 0) for run_id, seq in frame["cursors"].items()):
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
