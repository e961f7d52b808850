"""Runs as streams of AG-UI's events: whole lists of them, and what holds for any."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.ag_ui.translation import DECISION_SCHEMA, AnyRunEvent
from chat.protocol import RUN_EVENTS
from tests.ag_ui_client import assert_valid
from tests.ag_ui_runs import AT, USER, Json, RandomRun, asked, pauses, recorded_runs, stream
from tests.delivery_recorder import Run, name_id

RUN_ID = name_id("run-1")


def begun(run: Run | None = None) -> Run:
    run = run or Run(1)
    run.created("Please!")
    run.started()
    return run


def told(events: Sequence[Json]) -> list[Json]:
    """What follows the start of the agent, without the times."""
    first = next((at for at, event in enumerate(events) if event.get("name") == "netra.agent_started"), 1) + 1
    return [{name: value for name, value in event.items() if name != "timestamp"} for event in events[first:]]


def custom(name: str, **value: Any) -> Json:
    return {"type": "CUSTOM", "name": f"netra.{name}", "value": value}


def text(name: str, *deltas: str) -> list[Json]:
    return [
        {"type": "TEXT_MESSAGE_START", "messageId": name, "role": "assistant"},
        *({"type": "TEXT_MESSAGE_CONTENT", "messageId": name, "delta": delta} for delta in deltas),
        {"type": "TEXT_MESSAGE_END", "messageId": name},
    ]


def reasoning(name: str, *deltas: str, **owner: str) -> list[Json]:
    return [
        {"type": "REASONING_START", "messageId": name, **owner},
        {"type": "REASONING_MESSAGE_START", "messageId": name, "role": "reasoning", **owner},
        *({"type": "REASONING_MESSAGE_CONTENT", "messageId": name, "delta": delta} for delta in deltas),
        {"type": "REASONING_MESSAGE_END", "messageId": name},
        {"type": "REASONING_END", "messageId": name},
    ]


def call(name: str, tool: str, arguments: str | None, **owner: str) -> list[Json]:
    named = {"toolCallId": name}
    said = [] if arguments is None else [{"type": "TOOL_CALL_ARGS", **named, "delta": arguments}]
    begin = {"type": "TOOL_CALL_START", **named, "toolCallName": tool, **owner}
    return [begin, *said, {"type": "TOOL_CALL_END", **named}]


def result(name: str, content: str, owner: str | None = None, **more: Any) -> Json:
    named = {"messageId": f"{name}:result", "toolCallId": name, "content": content, "role": "tool"}
    owned = {"subagentRunId": owner} if owner else {}
    return {"type": "TOOL_CALL_RESULT", **named, **owned, **({"metadata": {"netra": more}} if more else {})}


def finished(kind: str, **more: Any) -> Json:
    outcome = {"type": kind, **{name: more.pop(name) for name in ("interrupts",) if name in more}}
    return {"type": "RUN_FINISHED", "threadId": "a thread", "runId": "stream-1", "outcome": outcome, **more}


def completed(run: Run) -> Json:
    usage = [{"model": "offline", "inputTokens": 20, "outputTokens": 10, "totalTokens": 30}]
    done = {"messageId": run.message_id, "durationMs": 850, "costUsd": 0.0001}
    return finished("success", result=done, usage=usage)


def interrupt(name: str, tool: str, agent: str, until: str, **owner: str) -> Json:
    return {
        "id": f"{RUN_ID}:{name}",
        "reason": "tool_call",
        "message": f"May {agent} use {tool}?",
        "toolCallId": f"{RUN_ID}:{name}",
        "responseSchema": DECISION_SCHEMA,
        "expiresAt": until,
        "metadata": {"netra": {"runId": RUN_ID, "toolCallId": name}},
        **owner,
    }


# Whole streams


def test_a_stream_begins_with_the_names_of_the_client_and_tells_those_of_the_server() -> None:
    run = Run(1)
    run.chat("Please!", "Hel", "lo")
    events = stream(run.log, asked(tools=[{"name": "navigate", "description": "Go elsewhere"}], state={"open": True}))
    assert events[0] == {
        "type": "RUN_STARTED",
        "timestamp": round(AT.timestamp() * 1000),
        "threadId": "a thread",
        "runId": "stream-1",
        "protocolVersion": "1.0",
    }
    ids = {"threadId": run.thread_id, "runId": RUN_ID, "runNumber": 1, "messageId": name_id("question-1")}
    names = {name: value for name, value in events[1].items() if name != "timestamp"}
    assert names == custom("run", **ids, ignored=["tools", "state"])
    assert events[2]["value"] == {"agent": "assistant", "model": "offline", "attempt": 1}
    assert told(events) == [*text(run.message_id, "Hel", "lo"), completed(run)]


def test_each_piece_of_the_answer_between_tools_is_a_message_of_its_own() -> None:
    run = begun()
    run.thinking(1)
    run.chunk("Let me look. ")
    run.tool("a", "weather", city="Berlin")
    run.tool("b", "weather", city="Paris")
    run.tool_done("b", "weather", error="no such city")
    run.tool_done("a", "weather", result={"n": 7})
    run.thinking(2)
    run.chunk("Seven.")
    run.completed()
    assert told(stream(run.log)) == [
        *text(run.message_id, "Let me look. "),
        *call(f"{RUN_ID}:a", "weather", '{"city":"Berlin"}'),
        *call(f"{RUN_ID}:b", "weather", '{"city":"Paris"}'),
        result(f"{RUN_ID}:b", "no such city", failed=True),
        result(f"{RUN_ID}:a", '{"n":7}'),
        *text(f"{run.message_id}:2", "Seven."),
        completed(run),
    ]


def test_what_a_tool_gave_is_text_and_what_was_cut_is_still_json() -> None:
    run = begun()
    run.event("tool_executing", tool_call_id="a", tool="read", arguments='{"text":"xxx… [cut]')
    cut = {"bytes": 20_000, "href": f"/api/runs/{RUN_ID}/events/4/result"}
    run.tool_done("a", "read", result="the beginning", truncated=cut)
    run.tool_done("b", "forget")
    run.chunk("Done.")
    run.completed()
    assert told(stream(run.log)) == [
        *call(
            f"{RUN_ID}:a",
            "read",
            json.dumps({"netra.truncated": '{"text":"xxx… [cut]'}, separators=(",", ":"), ensure_ascii=False),
        ),
        result(f"{RUN_ID}:a", "the beginning", truncated=cut),
        *call(f"{RUN_ID}:b", "forget", "{}"),
        result(f"{RUN_ID}:b", ""),
        *text(run.message_id, "Done."),
        completed(run),
    ]


def test_reasoning_is_a_message_for_each_request_to_the_model() -> None:
    run = begun()
    run.thinking(1)
    run.thinking(1, "The question ")
    run.thinking(1, "is open.")
    run.thinking(2)
    run.thinking(2, "Or not.")
    run.chunk("Because.")
    run.completed()
    assert told(stream(run.log)) == [
        *reasoning(f"{RUN_ID}:reasoning", "The question ", "is open."),
        *reasoning(f"{RUN_ID}:reasoning:2", "Or not."),
        *text(run.message_id, "Because."),
        completed(run),
    ]


def test_what_an_agent_does_that_was_asked_is_its_own() -> None:
    run = begun(Run(1, agent="triage"))
    run.tool("a", "ask_data", question="?")
    run.subagent_started("data", "a")
    run.thinking(1, "I ask on.", agent="data")
    run.tool("b", "ask_clerk", agent="data", question="?")
    run.subagent_started("clerk", "b", agent="data")
    run.tool("c", "count", agent="clerk")
    run.tool_done("c", "count", agent="clerk", result=7)
    run.subagent_completed("clerk", "b", agent="data", error="it gave up")
    run.tool_done("b", "ask_clerk", agent="data", error="it gave up")
    run.subagent_completed("data", "a", result="Seven.")
    run.tool_done("a", "ask_data", result="Seven.")
    run.chunk("Seven.")
    run.completed()
    data, clerk = f"{RUN_ID}:a", f"{RUN_ID}:b"
    started = {"type": "SUBAGENT_STARTED"}
    assert told(stream(run.log)) == [
        *call(data, "ask_data", '{"question":"?"}'),
        {**started, "subagentRunId": data, "name": "data", "parentToolCallId": data},
        *reasoning(f"{RUN_ID}:reasoning:1", "I ask on.", subagentRunId=data),
        *call(clerk, "ask_clerk", '{"question":"?"}', subagentRunId=data),
        {**started, "subagentRunId": clerk, "name": "clerk", "parentToolCallId": clerk, "parentSubagentRunId": data},
        *call(f"{RUN_ID}:c", "count", "{}", subagentRunId=clerk),
        result(f"{RUN_ID}:c", "7", clerk),
        {"type": "SUBAGENT_ERROR", "subagentRunId": clerk, "message": "it gave up"},
        result(clerk, "it gave up", data, failed=True),
        {"type": "SUBAGENT_FINISHED", "subagentRunId": data, "result": "Seven.", "outcome": {"type": "success"}},
        result(data, "Seven."),
        *text(run.message_id, "Seven."),
        completed(run),
    ]


def test_a_context_that_was_reduced_is_told() -> None:
    run = begun()
    counts: Json = {"limit_tokens": 9, "estimated_tokens": 8, "kept_messages": 1, "dropped_messages": 2}
    run.event("context_reduced", **counts, shortened_results=0)
    run.chunk("Done.")
    run.completed()
    reduced = custom("context_reduced", agent="assistant", **counts, shortened_results=0)
    assert told(stream(run.log)) == [reduced, *text(run.message_id, "Done."), completed(run)]


def test_a_run_that_begins_again_takes_back_what_it_said() -> None:
    run = begun()
    run.thinking(1, "Hm.")
    run.chunk("I thi")
    run.tool("a", "count")
    run.restarted("worker_lost", attempt=2)
    run.started()
    run.thinking(1, "Well.")
    run.tool("a", "count")
    run.tool_done("a", "count", result=7)
    run.chunk("Seven.")
    run.completed()
    earlier = [{"id": "hello", "role": "assistant", "content": "Hello!"}, USER]
    events = told(stream(run.log, asked(messages=earlier)))
    at = next(at for at, event in enumerate(events) if event["type"] == "MESSAGES_SNAPSHOT")
    thought = {"id": f"{RUN_ID}:reasoning", "role": "reasoning", "content": ""}
    assert events[at - 1 :] == [
        custom("agent_restarted", attempt=2, reason="worker_lost"),
        {"type": "MESSAGES_SNAPSHOT", "messages": [*earlier, thought]},
        custom("agent_started", agent="assistant", model="offline", attempt=2),
        *reasoning(f"{RUN_ID}:reasoning", "Well."),
        *call(f"{RUN_ID}.2:a", "count", "{}"),
        result(f"{RUN_ID}.2:a", "7"),
        *text(f"{run.message_id}:2", "Seven."),
        completed(run),
    ]


def waiting_run() -> Run:
    run = begun(Run(1, agent="triage"))
    run.chunk("I ask. ")
    run.tool("a", "ask_clerk", question="?")
    run.subagent_started("clerk", "a")
    run.asks("b", "send", agent="clerk", to="ada")
    run.asks("c", "send", agent="clerk", to="bob")
    return run


def test_a_run_that_waits_ends_its_stream_with_interrupts() -> None:
    run = waiting_run()
    clerk = f"{RUN_ID}:a"
    until = ["2026-11-23T19:11:06.000Z", "2026-11-23T19:11:07.000Z"]
    names = [f"{RUN_ID}:b", f"{RUN_ID}:c"]
    assert told(stream(run.log)) == [
        *text(run.message_id, "I ask. "),
        *call(clerk, "ask_clerk", '{"question":"?"}'),
        {"type": "SUBAGENT_STARTED", "subagentRunId": clerk, "name": "clerk", "parentToolCallId": clerk},
        *call(names[0], "send", '{"to":"ada"}', subagentRunId=clerk),
        *call(names[1], "send", '{"to":"bob"}', subagentRunId=clerk),
        {
            "type": "SUBAGENT_FINISHED",
            "subagentRunId": clerk,
            "outcome": {"type": "suspended", "interruptIds": names},
        },
        finished(
            "interrupt",
            interrupts=[
                interrupt(name, "send", "clerk", at, subagentRunId=clerk) for name, at in zip("bc", until, strict=True)
            ],
        ),
    ]


@pytest.mark.parametrize("shown", [True, False], ids=["the calls are shown", "the calls are not shown"])
def test_the_stream_behind_a_pause_goes_on_with_what_is_open(shown: bool) -> None:
    run = waiting_run()
    behind = len(run.log)
    run.resolved("b", approved=True)
    run.resolved("c", approved=False, reason="not Bob")
    run.started()
    run.tool("a", "ask_clerk", question="?")
    run.subagent_started("clerk", "a")
    run.tool("b", "send", agent="clerk", to="ada")
    run.tool_done("b", "send", agent="clerk", result="sent")
    run.subagent_completed("clerk", "a", result="One is sent.")
    run.tool_done("a", "ask_clerk", result="One is sent.")
    run.chunk("One is sent.")
    run.completed()
    calls = [
        {"id": f"{RUN_ID}:{name}", "type": "function", "function": {"name": "send", "arguments": "{}"}}
        for name in "abc"
    ]
    shows = [{"id": f"{RUN_ID}:a", "role": "assistant", "toolCalls": calls}] if shown else []
    events = stream(run.log, asked(messages=[USER, *shows]), behind=behind)
    clerk = f"{RUN_ID}:a"
    owner = {"subagentRunId": clerk}
    begun_again = [event for event in events if event["type"] != "MESSAGES_SNAPSHOT"][2:]
    assert [{name: value for name, value in event.items() if name != "timestamp"} for event in begun_again] == [
        {"type": "SUBAGENT_STARTED", "subagentRunId": clerk, "name": "clerk", "parentToolCallId": clerk},
        *call(f"{RUN_ID}:c", "send", None if shown else '{"to":"bob"}', **owner),
        result(f"{RUN_ID}:c", "Denied: not Bob", clerk, denied=True),
        custom("agent_started", agent="triage", model="offline", attempt=1),
        *call(clerk, "ask_clerk", None if shown else '{"question":"?"}'),
        *call(f"{RUN_ID}:b", "send", None if shown else '{"to":"ada"}', **owner),
        result(f"{RUN_ID}:b", "sent", clerk),
        {"type": "SUBAGENT_FINISHED", **owner, "result": "One is sent.", "outcome": {"type": "success"}},
        result(clerk, "One is sent."),
        *text(f"{run.message_id}:2", "One is sent."),
        completed(run),
    ]
    assert "MESSAGES_SNAPSHOT" not in {event["type"] for event in events}


def test_a_run_that_fails_or_is_cancelled_closes_what_is_open() -> None:
    failed, cancelled = begun(), begun()
    for run in (failed, cancelled):
        run.tool("a", "ask_data")
        run.subagent_started("data", "a")
        run.thinking(1, "Hm.", agent="data")
    failed.failed("MODEL_ERROR", "The model is away")
    cancelled.cancelled("user")
    ended = {"type": "SUBAGENT_ERROR", "subagentRunId": f"{RUN_ID}:a"}
    closed = [
        {"type": kind, "messageId": f"{RUN_ID}:reasoning:1"} for kind in ("REASONING_MESSAGE_END", "REASONING_END")
    ]
    assert told(stream(failed.log))[-4:] == [
        *closed,
        {**ended, "message": "The model is away"},
        {
            "type": "RUN_ERROR",
            "message": "The model is away",
            "code": "MODEL_ERROR",
            "metadata": {"netra": {"retryable": True}},
        },
    ]
    assert told(stream(cancelled.log))[-4:] == [
        *closed,
        {**ended, "message": "The run was cancelled"},
        finished("cancelled", metadata={"netra": {"by": "user"}}),
    ]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "error_message", "error_code": "TOKEN_EXPIRED", "error_message": "The token …"}, "TOKEN_EXPIRED"),
        ({"type": "server_draining", "reconnect_after_ms": 100}, "SERVICE_UNAVAILABLE"),
        ({"type": "snapshot_required", "run_ids": [RUN_ID]}, "EVENTS_PRUNED"),
        (None, "SERVICE_UNAVAILABLE"),
    ],
    ids=lambda value: str(value["type"]) if isinstance(value, dict) else str(value),
)
@pytest.mark.parametrize("behind", [0, 3])
def test_a_stream_that_is_cut_says_so(frame: Json | None, code: str, behind: int) -> None:
    run = begun()
    if not behind:
        run.chunk("Hel")
    events = stream([*run.log, *([frame] if frame else [])], behind=behind)
    assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", code)
    assert [event["type"] for event in events].count("TEXT_MESSAGE_END") == (0 if behind else 1)
    assert_valid(events)


def test_a_question_that_is_asked_again_takes_back_what_the_client_shows_of_its_run() -> None:
    run = Run(1)
    run.chat("Please!", "Hello")
    half = {"id": run.message_id, "role": "assistant", "content": "Hel"}
    thought = {"id": f"{RUN_ID}:reasoning", "role": "reasoning", "content": "Hm."}
    snapshot = stream(run.log, asked(messages=[USER, thought, half]))[2]
    assert snapshot["type"] == "MESSAGES_SNAPSHOT"
    assert snapshot["messages"] == [USER, {**thought, "content": ""}]


# Any stream


def test_every_type_of_event_becomes_something_or_nothing_on_purpose() -> None:
    assert set(get_args(AnyRunEvent)) == set(RUN_EVENTS)
    recorded = {frame["type"] for frames in recorded_runs().values() for frame in frames}
    assert recorded == {get_args(kind.model_fields["type"].annotation)[0] for kind in RUN_EVENTS}


def streams_of(frames: list[Json], rng: random.Random) -> Iterator[list[Json]]:
    """The stream of the run, those that a pause divides it into, and one that is cut."""
    history = [USER, {"id": "thought", "role": "reasoning", "content": "Hm."}, {**USER, "id": "question-2"}, USER]
    by = asked(messages=history[rng.randrange(len(history)) :])
    yield stream(frames, by)
    yield stream(frames[: rng.randrange(len(frames))], by)
    for pause in pauses(frames):
        yield stream(frames[:pause], by)
        yield stream(frames, by, behind=pause)


def assert_well_nested(events: Sequence[Json]) -> None:
    """Nothing is used before it is opened or after it is closed, nothing is opened twice, and nothing stays open."""
    assert (events[0]["type"], events[1]["name"]) == ("RUN_STARTED", "netra.run")
    ends = [event["type"] for event in events if event["type"] in ("RUN_FINISHED", "RUN_ERROR")]
    assert ends == [events[-1]["type"]]
    opened, answered = set[tuple[str, str]](), Counter[str]()
    for event in events:
        kind, _, edge = event["type"].rpartition("_")
        if kind in ("TEXT_MESSAGE", "REASONING_MESSAGE", "REASONING", "TOOL_CALL", "SUBAGENT"):
            name = event.get("toolCallId") or event.get("messageId") or event["subagentRunId"]
            if edge in ("START", "STARTED"):
                assert (kind, name) not in opened
                opened.add((kind, name))
            elif edge == "RESULT":
                answered[name] += 1
                assert ("TOOL_CALL", name) not in opened
            else:
                assert (kind, name) in opened
                opened -= {(kind, name)} if edge in ("END", "FINISHED", "ERROR") else set()
        if kind != "SUBAGENT" and "subagentRunId" in event:
            assert ("SUBAGENT", event["subagentRunId"]) in opened
        assert event.get("delta") != ""
        assert isinstance(event["timestamp"], int)
    assert not opened
    assert set(answered.values()) <= {1}


@pytest.mark.parametrize("name", recorded_runs())
def test_the_streams_of_a_recorded_run_are_valid_and_well_nested(name: str) -> None:
    for seed in range(3):
        for events in streams_of(recorded_runs()[name], random.Random(seed)):
            assert_valid(events)
            assert_well_nested(events)


@settings(max_examples=150, deadline=None)
@given(rng=st.randoms(use_true_random=False), steps=st.integers(1, 40))
def test_the_streams_of_any_run_are_valid_and_well_nested(rng: random.Random, steps: int) -> None:
    for events in streams_of(RandomRun(rng, steps=steps).frames, rng):
        assert_valid(events)
        assert_well_nested(events)
