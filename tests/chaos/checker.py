"""The verdict: what every client received against the log, and the log against the messages."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.record import TERMINAL, ClientRecord, ConnectionRecord, LoggedRun

ENDED = frozenset({"completed", "failed", "cancelled"})
# What a client may be told while parts are killed. Anything else is a bug.
EXPECTED_ERRORS = frozenset(
    {"SERVICE_UNAVAILABLE", "RUN_ACTIVE", "TOO_MANY_RUNS", "RATE_LIMITED", "WINDOW_FULL", "APPROVAL_NOT_FOUND"}
)
EXPECTED_CLOSES = frozenset({None, 1000, 1001, 1006, 4408, 4412, 4503})
COMPLETED_SHARE = 0.99


@dataclass(slots=True)
class Verdict:
    """All counts but `completed_share` must be 0. `examples` shows the first few of each kind."""

    lost: int = 0
    repeated: int = 0
    reordered: int = 0
    altered: int = 0
    leaked: int = 0
    closed_1011: int = 0
    unexpected: int = 0
    stuck: int = 0
    broken_log: int = 0
    wrong_text: int = 0
    posted_twice: int = 0
    not_stopped: int = 0
    not_allowed: int = 0
    done_twice: int = 0
    not_done: int = 0
    answer_lost: int = 0
    completed_share: float = 1.0
    examples: list[str] = field(default_factory=list)

    def count(self, kind: str, example: str, number: int = 1) -> None:
        setattr(self, kind, getattr(self, kind) + number)
        if sum(shown.startswith(f"{kind}:") for shown in self.examples) < 5:
            self.examples.append(f"{kind}: {example}")

    @property
    def counts(self) -> dict[str, int]:
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in ("completed_share", "examples")
        }

    @property
    def is_clean(self) -> bool:
        return not any(self.counts.values()) and self.completed_share >= COMPLETED_SHARE


def check(
    log: Mapping[str, LoggedRun],
    clients: Iterable[ClientRecord],
    *,
    jobs_left: int = 0,
    written: Sequence[str] = (),
) -> Verdict:
    """`jobs_left`: jobs that the engine still holds after everything has ended; `written`: what tools have written."""
    verdict = Verdict()
    clients = list(clients)
    for run in log.values():
        _check_run(run, verdict)
    for client in clients:
        _check_client(client, log, verdict)
    _check_messages(log, clients, verdict)
    _check_approvals(log, clients, Counter(written), verdict)
    if jobs_left:
        verdict.count("stuck", f"{jobs_left} jobs have not ended", jobs_left)
    meant_to_end = [run for run in log.values() if run.status != "cancelled" and not run.was_interrupted]
    completed = sum(run.status == "completed" for run in meant_to_end)
    verdict.completed_share = completed / len(meant_to_end) if meant_to_end else 1.0
    return verdict


def _check_run(run: LoggedRun, verdict: Verdict) -> None:
    name = f"run {run.run_number} of user {run.user_id}"
    if run.status not in ENDED:
        verdict.count("stuck", f"{name} is {run.status}")
    seqs = [event.seq for event in run.events]
    if seqs != list(range(1, run.last_seq + 1)):
        verdict.count("broken_log", f"{name}: {seqs} up to {run.last_seq}")
    places = [place for place, event in enumerate(run.events, start=1) if event.type in TERMINAL]
    if places != ([len(run.events)] if run.status in ENDED else []):
        verdict.count("broken_log", f"{name} is {run.status}, with terminal events at {places}")
    _check_text(run, name, verdict)


def _check_text(run: LoggedRun, name: str, verdict: Verdict) -> None:
    text = ""
    told: str | None = None
    for event in run.events:
        if event.type == "agent_restarted":
            text = ""
        elif event.type == "agent_response_chunk":
            text += event.data["text"]
        elif event.type in TERMINAL and "message" in event.data:
            told = event.data["message"]["content"]
    if run.status in ENDED and (told or "", run.answer or "") != (text, text):
        verdict.count("wrong_text", f"{name}: chunks {text!r}, told {told!r}, stored {run.answer!r}")


def _check_client(client: ClientRecord, log: Mapping[str, LoggedRun], verdict: Verdict) -> None:
    received: dict[str, set[int]] = {}
    for connection in client.connections:
        _check_connection(client, connection, log, verdict)
        for event in connection.events:
            received.setdefault(event.run_id, set()).add(event.seq)
    for run in log.values():
        if run.user_id != client.user_id or client.baseline is None:
            continue
        if run.run_number > client.baseline or run.run_id in client.open_at_first:
            missing = set(range(1, run.last_seq + 1)) - received.get(run.run_id, set())
            if missing:
                what = f"user {client.user_id}, run {run.run_number}: {sorted(missing)[:10]} of {run.last_seq}"
                verdict.count("lost", what, len(missing))
            shown = client.state["runs"].get(run.run_id)
            if shown is None or (shown["status"], shown["last_seq"]) != (run.status, run.last_seq):
                place = None if shown is None else (shown["status"], shown["last_seq"])
                verdict.count("stuck", f"user {client.user_id}, run {run.run_number}: the client shows {place}")
    for message_id in client.unanswered:
        verdict.count("stuck", f"user {client.user_id}: message {message_id} was never answered")


def _check_connection(
    client: ClientRecord, connection: ConnectionRecord, log: Mapping[str, LoggedRun], verdict: Verdict
) -> None:
    expected = {run_id: cursor + 1 for run_id, cursor in connection.resumed_from.items()}
    seen: dict[str, set[int]] = {}
    for event in connection.events:
        run = log.get(event.run_id)
        if run is None or run.user_id != client.user_id:
            verdict.count("leaked", f"user {client.user_id} received {event}")
            continue
        name = f"user {client.user_id}, run {run.run_number}, seq {event.seq}"
        if not 0 < event.seq <= len(run.events) or run.events[event.seq - 1].digest != event.digest:
            verdict.count("altered", name)
        before = seen.setdefault(event.run_id, set())
        wanted = expected.get(event.run_id, 1)
        if event.seq in before:
            verdict.count("repeated", name)
        elif event.seq < wanted:
            verdict.count("reordered", f"{name} instead of {wanted}")
        else:
            expected[event.run_id] = event.seq + 1
        before.add(event.seq)
    for run_id, arrived in seen.items():
        first = connection.resumed_from.get(run_id, 0) + 1
        gaps = set(range(first, max(arrived))) - arrived
        if gaps:
            verdict.count("lost", f"user {client.user_id}, run {run_id}: {sorted(gaps)} on one connection", len(gaps))
    if connection.close_code == 1011:
        verdict.count("closed_1011", f"user {client.user_id}")
    elif connection.close_code not in EXPECTED_CLOSES:
        verdict.count("unexpected", f"close {connection.close_code}")
    for error in set(connection.errors) - EXPECTED_ERRORS:
        verdict.count("unexpected", error)


def _check_messages(log: Mapping[str, LoggedRun], clients: Iterable[ClientRecord], verdict: Verdict) -> None:
    runs_of = Counter(run.message_id for run in log.values())
    for client in clients:
        for message_id, run_id in client.accepted.items():
            run = log.get(run_id)
            if run is None or run.message_id != message_id:
                verdict.count("lost", f"message {message_id} was accepted, and its run {run_id} is not there")
            if runs_of[message_id] > 1:
                verdict.count("posted_twice", message_id)
        for run_id in client.stopped:
            if run_id in log and log[run_id].status != "cancelled":
                verdict.count("not_stopped", f"run {run_id} is {log[run_id].status}")


def _check_approvals(
    log: Mapping[str, LoggedRun], clients: Iterable[ClientRecord], written: Counter[str], verdict: Verdict
) -> None:
    """Nothing is done that nobody allowed, what was allowed once is done once, and no accepted answer is lost."""
    for run in log.values():
        name = f"run {run.run_number} of user {run.user_id}"
        asked = {e.data["tool_call_id"]: e.data["tool"] for e in run.events if e.type == "approval_required"}
        allowed = Counter(asked[call] for call, approved in run.decisions().items() if approved)
        times = written[run.message_id]
        if times > allowed["write"]:
            verdict.count("done_twice" if allowed["write"] else "not_allowed", f"{name}: written {times} times")
        if run.status == "completed" and times < allowed["write"]:
            verdict.count("not_done", f"{name}: allowed, and not written")
        if written[f"read-{run.message_id}"] and not allowed["read"]:
            verdict.count("not_allowed", f"{name}: read")
        if run.was_interrupted and not allowed["write"]:
            verdict.count("unexpected", f"{name} was interrupted, and nothing had begun that must not be repeated")
    for client in clients:
        for (run_id, call), approved in client.decided.items():
            if run_id not in log or log[run_id].decisions().get(call) is not approved:
                verdict.count("answer_lost", f"run {run_id}, call {call}: {approved} was accepted")
