"""Recorded traces of whole conversations with a client, for the reducers of other languages.

Each file of tests/traces is `{"name", "frames", "state"}`: the server's frames in the order in which the
client got them, and `ClientState.to_json()` after the last. Frames that begin with `$` are not the server's:

    {"type": "$disconnected"}              the socket closed; the next frame comes over a new one
    {"type": "$reloaded"}                  what was stale has been loaded over REST
    {"type": "$sends", "frame": {…}}       what a correct client sends here (`ref` is its own choice)

`python -m tests.test_delivery_traces` writes the files anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chat.fold import ClientState
from tests.delivery_recorder import Recording, Run, name_id, thread_json

TRACES = Path(__file__).parent / "traces"


def greeting(r: Recording) -> None:
    run = Run(1)
    r.connect(0)
    r.notice("thread_created", "thread-1", title="Hello")
    r.get(run.created("Hello"))
    names = {"thread_id": run.thread_id, "message_id": name_id("question-1"), "run_id": run.run_id}
    r.get({"type": "message_accepted", "ref": "m1", **names, "run_number": 1})
    r.get(
        run.started(),
        run.thinking(1),
        run.chunk("Hel"),
        run.chunk("lo, "),
        run.chunk("Ada 👋"),
        run.completed(),
    )
    r.sends(r.client.ack())


def attachments(r: Recording) -> None:
    run = Run(8)
    files = [
        {
            "id": name_id(name),
            "name": name,
            "media_type": kind,
            "bytes": 4096,
            "href": f"/api/attachments/{name_id(name)}",
        }
        for name, kind in (("Kopie von <b>.log", "text/plain"), ("été.png", "image/png"))
    ]
    r.connect(7)
    r.get(run.created("What is this?", attachments=files), run.started(), run.chunk("Two files."), run.completed())


def tools_in_parallel(r: Recording) -> None:
    run = Run(5, agent="data")
    r.connect(4)
    r.get(run.created("Compare Berlin and Paris"), run.started(), run.thinking(1))
    r.get(run.chunk("Let me look. "))
    r.get(run.tool("call-1", "weather", city="Berlin"), run.tool("call-2", "weather", city="Paris"))
    r.get(run.tool("call-3", "calculate", expression="1/0"))
    r.get(run.tool_done("call-2", "weather", result={"celsius": 11}))
    r.get(run.tool_done("call-3", "calculate", error="division by zero"))
    r.get(run.tool_done("call-1", "weather", result={"celsius": 7, "rain": None}))
    r.get(run.thinking(2), run.chunk("Paris is warmer."), run.completed())


def thinking(r: Recording) -> None:
    run = Run(2)
    r.connect(1)
    r.get(run.created("Why?"), run.started(), run.thinking(1), run.thinking(1, "The question "))
    r.get(run.thinking(1, "is open."), run.tool("call-1", "search", query="why"))
    r.get(run.tool_done("call-1", "search", result=[]), run.thinking(2), run.thinking(2, "Nothing found."))
    r.get(run.chunk("Because."), run.completed())


def delegation(r: Recording) -> None:
    run = Run(3, agent="triage")
    r.connect(2)
    r.get(run.created("How many orders?"), run.started(), run.thinking(1))
    r.get(run.tool("call-1", "delegate", to="data"))
    r.get(run.subagent_started("data", "call-1"))
    r.get(run.thinking(1, agent="data"), run.thinking(1, "Counting", agent="data"))
    r.get(run.tool("call-2", "query", agent="data", table="orders"), run.thinking(1, "still triage"))
    r.get(run.tool_done("call-2", "query", agent="data", result=42), run.thinking(2, agent="data"))
    r.get(run.subagent_completed("data", "call-1", result="42 orders"))
    r.get(run.tool_done("call-1", "delegate", result="42 orders"))
    r.get(run.thinking(2), run.chunk("There are 42 orders."), run.completed())


def delegation_again(r: Recording) -> None:
    """The same specialist twice, one that asks another of the first one's name, and one that fails."""
    run = Run(4, agent="triage")
    r.connect(3)
    r.get(run.created("Compare the weeks"), run.started(), run.thinking(1))
    for call in ("call-1", "call-2"):
        r.get(run.tool(call, "ask_data", question=f"week of {call}"), run.subagent_started("data", call))
        r.get(run.thinking(1, agent="data"), run.thinking(1, "Summing up", agent="data"))
        r.get(run.tool(f"{call}.1", "usage", agent="data"), run.tool_done(f"{call}.1", "usage", agent="data", result=7))
        r.get(run.subagent_completed("data", call, result="7 dollars"), run.tool_done(call, "ask_data", result="7"))
    r.get(run.tool("call-3", "ask_optimization"), run.subagent_started("optimization", "call-3"))
    r.get(run.thinking(1, agent="optimization"), run.tool("call-4", "ask_triage", agent="optimization"))
    r.get(run.subagent_started("triage", "call-4", agent="optimization"), run.thinking(1, "Inner", agent="triage"))
    r.get(run.subagent_completed("triage", "call-4", agent="optimization", error="the model failed"))
    r.get(run.tool_done("call-4", "ask_triage", agent="optimization", error="the model failed"))
    r.get(run.thinking(2, "Without it.", agent="optimization"))
    r.get(run.subagent_completed("optimization", "call-3", result="Nothing to save."))
    r.get(run.tool_done("call-3", "ask_optimization", result="Nothing to save."))
    r.get(run.subagent_completed("data", "call-9", error="lost"), run.thinking(2, "Outer"), run.chunk("The same."))
    r.get(run.completed())


def delegation_in_parallel(r: Recording) -> None:
    """Two of one name at the same time, which name the calls that asked them; and thoughts of which one comes back."""
    run = Run(6, agent="triage")
    r.connect(5)
    r.get(run.created("Compare the weeks"), run.started(), run.thinking(1, "Two at once."))
    calls = ("call-1", "call-2")
    for call in calls:
        r.get(run.tool(call, "ask_data", question=f"week of {call}"), run.subagent_started("data", call))
    for call in calls:
        r.get(run.thinking(1, agent="data", within=call), run.thinking(1, f"I am {call}", agent="data", within=call))
    for call in calls:
        r.get(run.tool(f"{call}.1", "usage", agent="data", week=call, within=call))
    for call in calls:
        r.get(run.tool_done(f"{call}.1", "usage", agent="data", result=7, within=call))
    r.get(run.thinking(2, "Once more.", agent="data", within="call-1"))
    for call in calls:
        r.get(run.subagent_completed("data", call, result=call), run.tool_done(call, "ask_data", result=call))
    r.get(run.thinking(2, "So"), run.chunk("The same"), run.thinking(2, " it is."), run.chunk("."), run.completed())


def context_reduced(r: Recording) -> None:
    run = Run(5, agent="triage")
    r.connect(4)
    counts: dict[str, Any] = {
        "limit_tokens": 8192,
        "estimated_tokens": 61_200,
        "kept_messages": 59,
        "dropped_messages": 541,
    }
    r.get(run.created("And now?"), run.started(), run.thinking(1))
    r.get(run.event("context_reduced", **counts, shortened_results=3))
    r.get(run.tool("call-1", "ask_data"), run.subagent_started("data", "call-1"))
    r.get(run.event("context_reduced", agent="data", **counts, shortened_results=0))
    r.get(run.subagent_completed("data", "call-1", result="42"), run.tool_done("call-1", "ask_data", result="42"))
    r.get(run.chunk("42."), run.completed())


def large_result_and_long_answer(r: Recording) -> None:
    run = Run(4)
    r.connect(3)
    r.get(run.created("Read it all"), run.started(), run.thinking(1), run.tool("call-1", "read", path="book"))
    truncated = {"bytes": 123456, "href": f"/api/runs/{run.run_id}/events/5/result"}
    r.get(
        run.event(
            "tool_completed", tool_call_id="call-1", tool="read", duration_ms=9, result="It wa", truncated=truncated
        )
    )
    r.get(run.thinking(2), run.chunk("It was "), run.chunk("the best of times."))
    usage = {"model": "offline", "input_tokens": 1, "output_tokens": 2, "requests": 2}
    message = {"id": name_id("answer-4"), "role": "assistant", "truncated": {"bytes": 27}}
    r.get(run.event("agent_completed", message=message, usage=usage, duration_ms=12))


def restart(r: Recording) -> None:
    run = Run(9)
    r.connect(8)
    r.get(
        run.created("Count"),
        run.started(),
        run.thinking(1),
        run.tool("call-1", "count"),
        run.chunk("one, tw"),
    )
    r.get(run.restarted("worker_lost", attempt=2))
    r.get(run.started(), run.thinking(1), run.chunk("One, "), run.chunk("two."), run.completed())


def hand_back(r: Recording) -> None:
    run = Run(9)
    r.connect(8)
    r.get(run.created("Count"), run.started(), run.thinking(1), run.chunk("One, "))
    r.get(run.restarted("handed_back", attempt=1))
    r.get(run.started(), run.thinking(1), run.chunk("One, two."), run.completed())


def failure_with_partial_answer(r: Recording) -> None:
    run, silent = Run(1), Run(2)
    r.connect(0)
    r.get(run.created("Tell me a story"), run.started(), run.thinking(1), run.chunk("Once upon a "))
    r.get(run.failed("MODEL_ERROR", "The model did not answer."))
    r.get(silent.created("Again", parent_id=name_id("question-1")), silent.started())
    r.get(silent.failed("RUN_TIMEOUT", "The run took too long."))


def cancellation(r: Recording) -> None:
    run, queued = Run(1), Run(2)
    r.connect(0)
    r.get(run.created("Tell me a story"), run.started(), run.thinking(1), run.chunk("Once upon"))
    r.get(queued.created("And another"), run.tool("call-1", "search", query="stories"))
    r.get({"type": "run_stopped", "ref": "s1", "run_id": run.run_id, "status": "cancelled"})
    r.get(run.cancelled("user"), queued.cancelled("interrupt"))


def replay_with_duplicates(r: Recording) -> None:
    ended, run, elsewhere, queued = Run(10), Run(11), Run(12, thread="thread-2"), Run(13)
    r.connect(9)
    r.get(*ended.chat("Hi", "Hello."))
    r.sends(r.client.ack())
    r.get(run.created("Long"), run.started(), run.thinking(1), run.chunk("a"), run.chunk("b"))
    r.disconnect()
    run.chunk("c")
    elsewhere.chat("From the other tab", "Done.")
    queued.created("Later")
    r.connect(13, run, queued)
    r.disconnect()  # before `resumed`: the same `after_run` again
    r.connect(13, run, queued)
    r.resumed(run, elsewhere, queued)
    r.get(*run.log[2:])  # the client resumed twice
    r.get(run.chunk("d"), run.completed(), queued.started(), queued.chunk("Now"))
    r.sends(r.client.ack())


def two_threads_interleaved(r: Recording) -> None:
    one, two = Run(21, thread="thread-1"), Run(22, thread="thread-2", agent="optimization")
    r.connect(20)
    r.get(one.created("First"), two.created("Second"), two.started(), one.started(), one.thinking(1))
    r.get(two.thinking(1), one.chunk("A1 "), two.chunk("B1 "), two.chunk("B2 "), one.chunk("A2"))
    r.get(two.chunk("B3"), two.completed(), one.completed())


def approval(r: Recording) -> None:
    run = Run(1)
    r.connect(0)
    r.get(run.created("Delete both files"), run.started(), run.thinking(1), run.chunk("I need to ask. "))
    r.get(run.asks("call-1", "delete_file", path="a.txt"), run.asks("call-2", "delete_file", path="b.txt"))
    r.disconnect()
    r.connect(1, run)
    r.resumed(run)
    r.get(run.resolved("call-1", approved=True))
    r.get({"type": "approval_accepted", "ref": "a1", "run_id": run.run_id, "tool_call_id": "call-1"})
    r.get(run.resolved("call-2", approved=False, reason="I still need b.txt"))
    r.get(
        run.started(),
        run.tool("call-1", "delete_file", path="a.txt"),
        run.restarted("worker_lost", attempt=2),
    )
    r.get(run.started(), run.tool("call-1", "delete_file", path="a.txt"))
    r.get(run.tool_done("call-1", "delete_file", result="deleted"))
    r.get(run.tool_done("call-2", "delete_file", error="denied by the user"))
    r.get(run.chunk("One is deleted."), run.completed())


def approval_of_a_subagent(r: Recording) -> None:
    """What the agents did before the pause stays, and goes on after it."""
    run = Run(1, agent="triage")
    r.connect(0)
    r.get(run.created("What does that page say?"), run.started(), run.thinking(1), run.chunk("Let me see. "))
    r.get(run.tool("call-1", "ask_assistant", question="Read it"), run.subagent_started("assistant", "call-1"))
    r.get(run.thinking(1, "A page.", agent="assistant"))
    r.get(run.asks("call-2", "fetch_page", agent="assistant", url="https://example.org/"))
    r.get(run.resolved("call-2", approved=True))
    r.get(run.started(), run.tool("call-1", "ask_assistant", question="Read it"))
    r.get(run.subagent_started("assistant", "call-1"))
    r.get(run.tool("call-2", "fetch_page", agent="assistant", url="https://example.org/"))
    r.get(run.tool_done("call-2", "fetch_page", agent="assistant", result="Example Domain"))
    r.get(run.thinking(2, agent="assistant"), run.subagent_completed("assistant", "call-1", result="An example."))
    r.get(run.tool_done("call-1", "ask_assistant", result="An example."), run.thinking(2))
    r.get(run.chunk("It is an example."), run.completed())


def approval_expired(r: Recording) -> None:
    run = Run(1)
    r.connect(0)
    r.get(run.created("Delete it"), run.started(), run.thinking(1), run.asks("call-1", "delete_file"))
    r.get(run.resolved("call-1", approved=False, by="expired"))
    r.get(run.failed("APPROVAL_EXPIRED", "Nobody answered in time."))


def approval_of_large_arguments(r: Recording) -> None:
    run = Run(1)
    r.connect(0)
    r.get(run.created("Write it"), run.started(), run.thinking(1))
    truncated = {"bytes": 20_015, "href": f"/api/runs/{run.run_id}/approvals"}
    asked: dict[str, Any] = {
        "tool_call_id": "call-1",
        "tool": "write",
        "arguments": '{"text":"aaaa… [cut]',
        "truncated": truncated,
    }
    r.get(run.event("approval_required", **asked, expires_in=600))


def approval_cancelled(r: Recording) -> None:
    run, waits = Run(1), Run(2)
    r.connect(0)
    r.get(run.created("Delete it"), run.started(), run.asks("call-1", "delete_file"), waits.created("And this?"))
    r.get(run.resolved("call-1", approved=False, by="cancelled"), run.cancelled("user"))
    r.get(waits.started(), waits.asks("call-1", "delete_file"), waits.cancelled("interrupt"))


def snapshot_required(r: Recording) -> None:
    pruned, running, unknown, other = Run(30), Run(31), Run(32, thread="thread-3"), Run(33, thread="thread-4")
    r.connect(29)
    r.get(
        pruned.created("Old"),
        pruned.started(),
        running.created("New"),
        running.started(),
        other.created("Other"),
    )
    r.disconnect()
    r.connect(33, running)
    r.resumed(running, other, snapshot=(pruned, unknown))
    r.reloaded()
    r.get(running.chunk("here"))
    r.get({"type": "snapshot_required", "run_ids": [other.run_id]})
    r.get(running.completed())
    r.get(other.started())  # asked for before it was lost


def resume_crosses_snapshot(r: Recording) -> None:
    run = Run(50)
    run.created("Hello"), run.started(), run.chunk("so ")
    r.connect(50, run)
    r.get(run.chunk("far"))  # asked for by a `resume` before the run was lost: the client has nothing of it
    r.resumed(run)


def reload(r: Recording) -> None:
    known, running = Run(40), Run(300, thread="thread-9")
    r.connect(39)
    r.get(*known.chat("Hi", "Hello."))
    r.disconnect()
    running.created("Much later")
    r.connect(300, running)
    r.resumed(running, reload=True)
    r.get(running.started())


def thread_deleted(r: Recording) -> None:
    doomed, late, kept = Run(1, thread="thread-1"), Run(2, thread="thread-1"), Run(3, thread="thread-2")
    r.connect(0)
    r.notice("thread_created", "thread-1")
    r.get(doomed.created("Hello"), doomed.started(), doomed.chunk("Hi"), late.created("More"))
    r.notice("thread_created", "thread-2")
    r.get(kept.created("Stay"), kept.started())
    r.notice("thread_deleted", "thread-1")
    r.get(doomed.cancelled("deleted"), kept.chunk("Here."))
    r.sends(r.client.ack())
    r.disconnect()
    r.connect(3, kept)
    r.resumed(kept)
    r.get(kept.completed())


def thread_restored(r: Recording) -> None:
    """Deleted and restored; then the notices of another deletion and restoration come the wrong way round."""
    cancelled, after, last = Run(1, thread="thread-1"), Run(2, thread="thread-1"), Run(3, thread="thread-1")
    r.connect(0)
    r.notice("thread_created", "thread-1")
    r.get(cancelled.created("Hello"), cancelled.started())
    r.notice("thread_deleted", "thread-1")
    r.get(cancelled.cancelled("deleted"))
    r.notice("thread_created", "thread-1")
    r.get(after.created("Once more"), after.started(), after.chunk("Here I am."), after.completed())
    r.notice("thread_created", "thread-1", skipped=1)
    r.threads_version -= 2
    r.notice("thread_deleted", "thread-1")
    r.threads_version += 1
    r.get(last.created("Still here"))


def thread_list_stale(r: Recording) -> None:
    r.connect(0)
    r.notice("thread_created", "thread-1", title="One")
    r.get({"type": "pong", "ref": "p1", "server_time": "2026-11-23T19:00:00.000Z", "threads_version": 8})
    r.notice("thread_updated", "thread-1", skipped=1, title="Two")
    r.reloaded()
    r.get({"type": "pong", "ref": "p2", "server_time": "2026-11-23T19:00:25.000Z", "threads_version": 10})
    r.get({"type": "thread_updated", "thread": thread_json("thread-1"), "threads_version": 9})
    r.disconnect()
    r.threads_version = 12
    r.connect(0)
    r.resumed()


def opened_in_mid_answer(r: Recording) -> None:
    run, queued = Run(70), Run(71)
    run.created("Long"), run.started(), run.thinking(1), run.chunk("so "), run.chunk("far")
    queued.created("Later")
    r.connect(71, run, queued)
    r.disconnect()
    gone = Run(72, thread="thread-5")
    gone.created("Elsewhere")
    r.connect(72, run, queued, gone)
    r.resumed(run, queued, gone=(gone,))
    r.get(run.chunk(", so good"))


RECORDINGS: list[Callable[[Recording], None]] = [
    greeting,
    attachments,
    tools_in_parallel,
    thinking,
    delegation,
    delegation_again,
    delegation_in_parallel,
    context_reduced,
    restart,
    hand_back,
    large_result_and_long_answer,
    failure_with_partial_answer,
    cancellation,
    replay_with_duplicates,
    two_threads_interleaved,
    approval,
    approval_of_a_subagent,
    approval_expired,
    approval_of_large_arguments,
    approval_cancelled,
    snapshot_required,
    resume_crosses_snapshot,
    reload,
    thread_deleted,
    thread_restored,
    thread_list_stale,
    opened_in_mid_answer,
]


def encoded(record: Callable[[Recording], None]) -> str:
    """The file of one recording: a line for each frame."""
    recording = Recording()
    record(recording)
    frames = ",\n  ".join(json.dumps(frame, ensure_ascii=False) for frame in recording.frames)
    state = json.dumps(recording.client.to_json(), ensure_ascii=False, indent=1).replace("\n", "\n ")
    return f'{{\n "name": "{record.__name__}",\n "frames": [\n  {frames}\n ],\n "state": {state}\n}}\n'


@pytest.mark.parametrize("record", RECORDINGS, ids=lambda record: record.__name__)
def test_a_committed_trace_is_what_the_fold_makes_today(record: Callable[[Recording], None]) -> None:
    assert (TRACES / f"{record.__name__}.json").read_text(encoding="utf-8") == encoded(record)


def test_there_is_no_other_trace() -> None:
    assert {path.stem for path in TRACES.iterdir()} == {record.__name__ for record in RECORDINGS}


@pytest.mark.parametrize("path", sorted(TRACES.iterdir()), ids=lambda path: path.stem)
def test_a_trace_replays_from_its_file_alone(path: Path) -> None:
    trace = json.loads(path.read_text(encoding="utf-8"))
    client = ClientState()
    for frame in trace["frames"]:
        match frame["type"]:
            case "$disconnected":
                pass
            case "$reloaded":
                client.reloaded()
            case "$sends" if frame["frame"]["type"] == "resume":
                assert client.resume(frame["frame"]["ref"]) == frame["frame"]
            case "$sends":
                assert client.ack() == frame["frame"]
            case _:
                client.fold(frame)
    assert client.to_json() == trace["state"]


if __name__ == "__main__":
    for recording in RECORDINGS:
        (TRACES / f"{recording.__name__}.json").write_text(encoded(recording), encoding="utf-8")
