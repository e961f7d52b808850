"""docs/protocol.md, section 5, under any interleaving: hypothesis drives a world, connections and clients.

The invariants of a stream are in `delivery_sockets`; the last one is checked when an example ends: once
connected long enough, client state = fold of the log. NETRA_MODEL_EXAMPLES sets the number of examples.
"""

from __future__ import annotations

import json
import os
import sys
import types
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import chat.delivery
from tests.delivery_client import Client
from tests.delivery_sockets import Connection
from tests.delivery_world import FOREIGN, WakeUp, World

EXAMPLES = int(os.environ.get("NETRA_MODEL_EXAMPLES", "300"))
WINDOWS = (700, 1500, 4000, 1 << 20)
PICK = st.integers(0, 30)
CLIENT = st.integers(0, 1)
CONNECTION = st.integers(0, 2)
LAYER_STEPS = ("in order", "in order", "in order", "out of order", "twice", "lose", "all")
SERVER_STEPS = ("read", "read", "page", "read all", "check", "checked", "command", "resumed", "answer", "answer")
CLIENT_STEPS = (
    *("receive", "receive", "receive all", "receive all", "ack", "old ack", "forged ack"),
    *("ping", "resume again", "open a run", "open a run", "reload"),
)


def steps_of(names: Sequence[str]) -> st.SearchStrategy[list[tuple[str, int]]]:
    """Lists of names, each with a number; both come from one draw, which is several times faster than two."""
    one = st.integers(0, 16 * len(names) - 1).map(lambda drawn: (names[drawn % len(names)], drawn // len(names)))
    return st.lists(one, min_size=3, max_size=12)


# What the examples must have been through, lest they prove nothing.
INTERESTING = frozenset(
    {
        "4408",
        "approval",
        "deleted run found by the check",
        "duplicate",
        "forged ack",
        "gap",
        "gone",
        "late duplicate of an ended run",
        "left in mid-frames",
        "missed run",
        "moved forward",
        "not rewound",
        "notice left out",
        "page overtaken",
        "reload",
        "restart",
        "resumed before it was begun",
        "rewound",
        "run heard of out of turn",
        "settled on the same socket",
        "snapshot_required by resume",
        "snapshot_required unasked",
        "window full",
        "withheld",
    }
)


def load_delivery(source: str) -> types.ModuleType:
    """A copy of chat/delivery.py from its source, with a `reload` limit that small examples reach."""
    module = types.ModuleType("delivery_under_test")
    sys.modules[module.__name__] = module
    exec(compile(source, "delivery_under_test.py", "exec"), module.__dict__)  # noqa: S102 - our own source
    module.MAX_RUNS_AFTER = 3  # type: ignore[attr-defined]
    return module


SOURCE = Path(chat.delivery.__file__).read_text(encoding="utf-8")


class DeliveryMachine(RuleBasedStateMachine):
    module: ClassVar[types.ModuleType] = load_delivery(SOURCE)
    reached: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.publish = self.publish
        self.generation = 0
        self.clients: list[Client] = []

    @initialize(old_clients=st.integers(0, 1), window=st.sampled_from(WINDOWS))
    def begin(self, old_clients: int, window: int) -> None:
        counts = [True, not old_clients]
        self.clients = [Client(self.world, counts_frames=count, reached=self.reached) for count in counts]
        for client in self.clients:
            self.connect(client, window)

    # The world

    def publish(self, item: WakeUp | str) -> None:
        for connection in self.connections():
            connection.inbox.append(item)

    def thread(self, slot: int) -> str:
        return f"thread-{slot % 3}-{self.generation if slot % 3 == 0 else 0}"

    @rule(pick=PICK, choices=st.lists(PICK, min_size=2, max_size=8), with_frames=st.integers(0, 4))
    def work(self, pick: int, choices: list[int], with_frames: int) -> None:
        """A run is posted, or goes on."""
        runs = self.world.open_runs()
        if len(runs) < 6 and (not runs or pick % 4 == 0):
            runs = [self.world.post(self.thread(pick))]
        run = runs[pick % len(runs)]
        for choice in choices:
            if actions := self.world.actions(run):
                self.world.act(run, actions[choice % len(actions)], with_frames=with_frames > 0)

    @rule(told=st.booleans())
    def delete_thread(self, told: bool) -> None:
        thread = self.thread(0)
        if any(run.thread == thread for run in self.world.runs.values()):
            self.world.delete(thread)
            self.generation += 1
            if told:
                names = {"thread": {"id": thread}, "threads_version": self.world.threads_version}
                self.publish(json.dumps({"type": "thread_deleted", **names}))

    @rule(pick=PICK, part=st.integers(1, 8))
    def prune(self, pick: int, part: int) -> None:
        """Ended runs lose their events in batches; those of deleted threads all."""
        ended = [run for run in self.world.runs.values() if run.ended]
        if ended:
            run = ended[pick % len(ended)]
            whole = part > 4 or run.thread in self.world.deleted
            run.pruned = run.last_seq if whole else min(run.last_seq, run.pruned + part)

    # Sockets

    def connections(self) -> list[Connection]:
        found = [socket for client in self.clients for socket in (client.connection, client.next_connection)]
        return [socket for socket in found if socket is not None and not socket.closed]

    def connect(self, client: Client, window: int) -> None:
        connection = Connection(self.world, self.module, window, self.reached)
        if client.connection is None:
            client.connection = connection
        elif client.next_connection is None:
            client.next_connection = connection

    @rule(pick=CLIENT, window=st.sampled_from(WINDOWS), at_once=st.booleans())
    def dial(self, pick: int, window: int, at_once: bool) -> None:
        """Join the group; then, or later, read where the user stands."""
        self.connect(self.clients[pick], window)
        for connection in self.connections():
            if at_once and not connection.established:
                connection.establish()

    @rule(pick=CLIENT, how=st.integers(0, 11))
    def leave(self, pick: int, how: int) -> None:
        """Leave a socket in mid-frames, for the next one if there is one."""
        client = self.clients[pick]
        if client.connection is not None and how < (6 if client.next_connection else 2):
            self.reached["left in mid-frames"] += bool(client.connection.wire)
            client.connection = None
            client.switch()

    @rule(pick=CLIENT, window=st.sampled_from(WINDOWS), work=PICK)
    def change_sockets(self, pick: int, window: int, work: int) -> None:
        """The old socket is ahead of the new one when the client goes over."""
        client = self.clients[pick]
        self.dial(pick, window, at_once=True)
        old, new = client.connection, client.next_connection
        if old is not None and new is not None and not old.closed:
            self.work(work, [0, 4, 1], with_frames=1)
            for connection, steps in ((old, ("all", "read all")), (new, ("in order", "in order"))):
                for step in steps:
                    self.serve_one(connection, step, 0)
            for connection in (old, new):
                while connection.wire:
                    client.receive(connection)
                client.switch()

    # What connections hear and do

    def established(self, pick: int) -> list[Connection]:
        """The picked connection, as long as it is open."""
        found = [connection for connection in self.connections() if connection.established]
        return [found[pick % len(found)]] if found else []

    @rule(pick=CONNECTION, steps=steps_of(LAYER_STEPS + SERVER_STEPS))
    def serve(self, pick: int, steps: list[tuple[str, int]]) -> None:
        for step, number in steps:
            for connection in self.established(pick):
                self.serve_one(connection, step, number)

    def serve_one(self, connection: Connection, step: str, number: int) -> None:
        if step in SERVER_STEPS:
            self.serve_step(connection, step, number)
        elif connection.inbox:
            self.hear_step(connection, step, number % len(connection.inbox))

    def hear_step(self, connection: Connection, step: str, number: int) -> None:
        inbox = connection.inbox
        match step:
            case "in order":
                connection.hear(inbox.pop(0))
            case "out of order":
                connection.hear(inbox.pop(number))
            case "twice":
                connection.hear(inbox[number])
            case "lose":
                del inbox[number]
            case "all":
                while inbox and not connection.closed:
                    connection.hear(inbox.pop(0))

    def serve_step(self, connection: Connection, step: str, number: int) -> None:
        match step:
            case "read":
                connection.begin_read(1 + number % 4)
            case "page":
                connection.finish_read()
            case "read all":
                connection.read_all(1 + number % 4)
            case "check":
                connection.begin_check()
            case "checked":
                connection.finish_check()
            case "command":
                connection.begin_command()
            case "resumed":
                connection.finish_resume()
            case "answer":
                connection.finish_resume()
                connection.begin_command()
                connection.finish_resume()

    # What clients do

    @rule(pick=CLIENT, steps=steps_of(CLIENT_STEPS))
    def use(self, pick: int, steps: list[tuple[str, int]]) -> None:
        client = self.clients[pick]
        for step, number in steps:
            connection = client.connection
            if connection is not None and connection.established:
                self.use_step(client, connection, step, number)

    def use_step(self, client: Client, connection: Connection, step: str, number: int) -> None:
        match step:
            case "receive":
                for _ in range(min(1 + number % 8, len(connection.wire))):
                    client.receive(connection)
            case "receive all":
                while connection.wire:
                    client.receive(connection)
            case "ack":
                client.ack()
            case "old ack":
                client.ack_again(number)
            case "forged ack" if not connection.closed:
                cursors = dict.fromkeys([*self.world.runs, FOREIGN], 1 << 20)
                connection.ack({"cursors": cursors, "received": 1 << 20})
                self.reached["forged ack"] += 1
            case "ping":
                connection.commands.append({"type": "ping"})
            case "resume again":
                client.resume_again()
            case "open a run":
                runs = [FOREIGN, *self.world.runs][-4:]
                client.open(runs[number % len(runs)], beyond=number % 10 == 0)
            case "reload":
                client.reload()

    # The end

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:
            self.settle()

    def settle(self) -> None:
        """Nothing new happens, all wake-ups are lost, and everybody stays connected for long enough."""
        for connection in self.connections():
            connection.inbox.clear()
        sockets = [client.connection for client in self.clients]
        before: Any = None
        for _ in range(300):
            for client in self.clients:
                self.settle_client(client, reconnect=before == self.progress())
            now = self.progress()
            if now == before and all(client.connection is not None for client in self.clients):
                break
            before = now
        else:
            raise AssertionError("delivery does not come to rest")
        for client, socket in zip(self.clients, sockets, strict=True):
            self.reached["settled on the same socket"] += socket is not None and client.connection is socket
            client.check_settled()
            assert client.connection is not None
            check_memory(client.connection, everything_acked=client.counts_frames)

    def progress(self) -> list[Any]:
        """What moves as long as something is under way."""
        return [
            (client.connection.received_bytes, client.connection.delivery.outstanding, client.state.to_json())
            if client.connection is not None and client.connection.established
            else None
            for client in self.clients
        ]

    def settle_client(self, client: Client, *, reconnect: bool) -> None:
        client.switch()
        connection = client.connection
        stuck = connection is not None and connection.established and connection.delivery.window_full
        if connection is None or connection.closed or (reconnect and stuck and not client.counts_frames):
            client.connection = connection = None
            self.connect(client, 1 << 20)
            connection = client.connection
        assert connection is not None
        if not connection.established:
            connection.establish()
        if client.state.stale_all or client.state.stale_threads:
            client.reload()
        self.receive_all(client, connection)
        while (connection.commands or connection.resume) and not connection.closed:
            connection.finish_resume()
            connection.begin_command()
            self.receive_all(client, connection)
        for _ in range(2):  # the first may be older than the end
            connection.finish_check()
            connection.begin_check()
        connection.finish_check()
        connection.read_all(3)
        self.receive_all(client, connection)

    def receive_all(self, client: Client, connection: Connection) -> None:
        while connection.wire:
            client.receive(connection)
        client.ack()


def check_memory(connection: Connection, *, everything_acked: bool) -> None:
    """5.6: at rest there is an entry for each open run that is followed, and nothing else."""
    delivery = connection.delivery
    assert not delivery._behind
    assert not delivery._unannounced
    assert not delivery.check_due
    if everything_acked:
        assert delivery.outstanding == 0
        assert not delivery._ended
        assert set(delivery._runs) == set(connection.stream.next)
        assert all(not connection.world.runs[run_id].ended for run_id in delivery._runs)


def run_machine(machine: type[DeliveryMachine], **settings: Any) -> None:
    run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(
            stateful_step_count=100,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            print_blob=False,
            **settings,
        ),
    )


@pytest.mark.timeout(120 + EXAMPLES)
def test_delivery_and_fold_agree_with_the_log_under_any_interleaving() -> None:
    run_machine(DeliveryMachine, max_examples=EXAMPLES)


@pytest.mark.timeout(600)
def test_the_examples_reach_what_they_are_for() -> None:
    class Counted(DeliveryMachine):
        reached: ClassVar[Counter[str]] = Counter()

    # What the examples of a seed are like changes with every module, since constants are taken from all of them.
    for number in range(5):
        run_machine(hypothesis.seed(number)(Counted), max_examples=300, phases=[Phase.generate])
        if set(+Counted.reached) >= INTERESTING:
            break
    assert set(+Counted.reached) >= INTERESTING, Counted.reached
