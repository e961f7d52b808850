"""The checker is checked: a record without fault passes, and each kind of fault in it is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from chat.fold import ClientState
from tests.chaos.checker import check
from tests.chaos.record import ClientRecord, ConnectionRecord, LoggedEvent, LoggedRun, ReceivedEvent, digest

ANN, BOB = 1, 2
Records = tuple[dict[str, LoggedRun], list[ClientRecord]]


def frames(run_id: str, run_number: int) -> list[dict[str, Any]]:
    """A whole run, begun anew after a lost worker."""
    usage = {"model": "m", "input_tokens": 1, "output_tokens": 1, "requests": 1}
    answer = {"id": f"answer-{run_id}", "role": "assistant", "content": "Hello there"}
    question = {"id": f"question-{run_id}", "role": "user", "content": "Hi"}
    of_each: list[tuple[str, dict[str, Any]]] = [
        ("message_created", {"message": question}),
        ("agent_started", {"model": "m", "attempt": 1}),
        ("agent_response_chunk", {"message_id": "void", "text": "Hel"}),
        ("agent_restarted", {"attempt": 2, "reason": "worker_lost"}),
        ("agent_started", {"model": "m", "attempt": 2}),
        ("agent_response_chunk", {"message_id": answer["id"], "text": "Hello "}),
        ("agent_response_chunk", {"message_id": answer["id"], "text": "there"}),
        ("agent_completed", {"message": answer, "usage": usage, "duration_ms": 1}),
    ]
    shared = {"thread_id": f"thread-{run_id}", "run_id": run_id, "run_number": run_number, "agent": "a"}
    return [
        {"type": kind, **shared, "seq": seq, "timestamp": f"t{seq}", "data": data}
        for seq, (kind, data) in enumerate(of_each, start=1)
    ]


def logged(run_id: str, user_id: int, run_number: int) -> LoggedRun:
    return LoggedRun(
        run_id=run_id,
        user_id=user_id,
        run_number=run_number,
        status="completed",
        last_seq=8,
        attempt=2,
        message_id=f"question-{run_id}",
        answer="Hello there",
        events=[LoggedEvent(f["seq"], f["type"], digest(f), f["data"]) for f in frames(run_id, run_number)],
    )


def client(user_id: int, runs: dict[str, int], *, dropped_after: int) -> ClientRecord:
    """It dropped its first connection in the middle of each run, and resumed on a second."""
    state = ClientState()
    first, second = ConnectionRecord(close_code=1006), ConnectionRecord(close_code=1000)
    for run_id, number in runs.items():
        for frame in frames(run_id, number):
            state.fold(frame)
            connection = first if frame["seq"] <= dropped_after else second
            connection.events.append(ReceivedEvent(run_id, frame["seq"], digest(frame)))
        second.resumed_from[run_id] = dropped_after
    return ClientRecord(
        user_id,
        baseline=0,
        connections=[first, second],
        accepted={f"question-{run_id}": run_id for run_id in runs},
        state=state.to_json(),
    )


@pytest.fixture
def records() -> Records:
    log = {"a1": logged("a1", ANN, 1), "a2": logged("a2", ANN, 2), "b1": logged("b1", BOB, 1)}
    clients = [
        client(ANN, {"a1": 1, "a2": 2}, dropped_after=3),
        client(ANN, {"a1": 1, "a2": 2}, dropped_after=6),
        client(BOB, {"b1": 1}, dropped_after=4),
    ]
    return log, clients


def test_what_is_whole_passes(records: Records) -> None:
    verdict = check(*records)
    assert verdict.is_clean, verdict
    assert verdict.completed_share == 1.0


def drop_one(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    del clients[0].connections[1].events[2]


def drop_the_last(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    clients[0].connections[1].events.pop()


def lose_all_of_a_run(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    for connection in clients[0].connections:
        connection.events = [event for event in connection.events if event.run_id != "a2"]


def repeat_one(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    events = clients[0].connections[1].events
    events.insert(3, events[2])


def repeat_what_was_resumed_from(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    clients[0].connections[1].events.insert(0, clients[0].connections[0].events[2])


def swap_two(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    events = clients[0].connections[1].events
    events[1], events[2] = events[2], events[1]


def alter_one(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    clients[0].connections[0].events[1] = ReceivedEvent("a1", 2, "another")


def leak_one(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    clients[2].connections[0].events.append(clients[0].connections[0].events[0])


def close_with_1011(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    clients[1].connections[0].close_code = 1011


def tell_of_a_bug(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    clients[1].connections[0].errors.append("INTERNAL_ERROR")


def leave_a_run_open(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    log["a1"].status = "running"


def show_an_old_state(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    clients[0].state["runs"]["a1"]["status"] = "running"


def never_answer(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    clients[0].unanswered.add("message")


def end_twice(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    log["a1"].events[6] = LoggedEvent(7, "agent_cancelled", log["a1"].events[6].digest, {"by": "user"})


def leave_a_gap_in_the_log(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    del log["b1"].events[5]


def store_another_answer(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    log["a2"].answer = "Hello"


def keep_what_was_void(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    log["a2"].answer = "HelHello there"


def post_twice(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    log["a2"].message_id = log["a1"].message_id


def forget_what_was_accepted(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    clients[2].accepted["question-b2"] = "b2"


def go_on_after_a_stop(log: dict[str, LoggedRun], clients: list[ClientRecord]) -> None:
    clients[0].stopped.add("a1")


FAULTS: list[tuple[Callable[[dict[str, LoggedRun], list[ClientRecord]], None], str]] = [
    (drop_one, "lost"),
    (drop_the_last, "lost"),
    (lose_all_of_a_run, "lost"),
    (repeat_one, "repeated"),
    (repeat_what_was_resumed_from, "reordered"),
    (swap_two, "reordered"),
    (alter_one, "altered"),
    (leak_one, "leaked"),
    (close_with_1011, "closed_1011"),
    (tell_of_a_bug, "unexpected"),
    (leave_a_run_open, "stuck"),
    (show_an_old_state, "stuck"),
    (never_answer, "stuck"),
    (end_twice, "broken_log"),
    (leave_a_gap_in_the_log, "broken_log"),
    (store_another_answer, "wrong_text"),
    (keep_what_was_void, "wrong_text"),
    (post_twice, "posted_twice"),
    (forget_what_was_accepted, "lost"),
    (go_on_after_a_stop, "not_stopped"),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_each_fault_is_found(
    records: Records, fault: Callable[[dict[str, LoggedRun], list[ClientRecord]], None], kind: str
) -> None:
    log, clients = copy.deepcopy(records)
    fault(log, clients)
    verdict = check(log, clients)
    assert verdict.counts[kind] > 0, verdict
    assert not verdict.is_clean


def test_jobs_that_are_left_are_stuck(records: Records) -> None:
    assert not check(*records, jobs_left=1).is_clean


def test_too_many_failed_runs_are_a_fault(records: Records) -> None:
    log, clients = records
    log["b1"].status = "failed"
    clients[2].state["runs"]["b1"]["status"] = "failed"
    verdict = check(log, clients)
    assert not any(verdict.counts.values())
    assert not verdict.is_clean


# Approvals


def asking(*, approved: bool = True, ending: str = "completed") -> tuple[dict[str, LoggedRun], list[ClientRecord]]:
    """A run that asked whether it may write, and the client whose answer was accepted."""
    data: list[tuple[str, dict[str, Any]]] = [
        ("message_created", {}),
        ("approval_required", {"tool_call_id": "c", "tool": "write"}),
        ("approval_resolved", {"tool_call_id": "c", "approved": approved, "by": "user"}),
        ("agent_completed", {})
        if ending == "completed"
        else ("agent_error", {"error_code": "WORKER_LOST", "retryable": False}),
    ]
    events = [LoggedEvent(seq, kind, f"d{seq}", fields) for seq, (kind, fields) in enumerate(data, start=1)]
    run = LoggedRun("r", ANN, 1, ending, 4, 1, "m", None, events)
    connection = ConnectionRecord(events=[ReceivedEvent("r", event.seq, event.digest) for event in events])
    state = {"runs": {"r": {"status": ending, "last_seq": 4}}}
    client = ClientRecord(ANN, baseline=0, connections=[connection], decided={("r", "c"): approved}, state=state)
    return {"r": run}, [client]


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({}, ["m"]),
        ({"approved": False}, []),
        ({"ending": "failed"}, ["m"]),
        ({"ending": "failed"}, []),
    ],
)
def test_what_was_allowed_and_done_once_passes(fields: dict[str, Any], written: list[str]) -> None:
    verdict = check(*asking(**fields), written=written)
    assert verdict.is_clean, verdict


@pytest.mark.parametrize(
    ("fields", "written", "kind"),
    [
        ({}, ["m", "m"], "done_twice"),
        ({}, [], "not_done"),
        ({"approved": False}, ["m"], "not_allowed"),
        ({}, ["m", "read-m"], "not_allowed"),
        ({"approved": False, "ending": "failed"}, [], "unexpected"),
    ],
)
def test_what_was_done_otherwise_is_found(fields: dict[str, Any], written: list[str], kind: str) -> None:
    verdict = check(*asking(**fields), written=written)
    assert verdict.counts[kind] == 1


def test_an_accepted_answer_that_does_not_count_is_found() -> None:
    log, [client] = asking()
    client.decided["r", "c"] = False
    assert check(log, [client], written=["m"]).answer_lost == 1
    client.decided = {("r", "other"): True}
    assert check(log, [client], written=["m"]).answer_lost == 1
