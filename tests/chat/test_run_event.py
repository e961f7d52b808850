"""Whatever an agent yields, no event is larger than the protocol says, and nothing of an answer is lost."""

from __future__ import annotations

import dataclasses
import json
import uuid
from typing import Any

import pytest
from channels.db import database_sync_to_async
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.events import (
    AgentCompleted,
    AgentError,
    AgentEvent,
    AgentResponseChunk,
    AgentStarted,
    AgentThinking,
    ToolCompleted,
    ToolExecuting,
    Usage,
    event_data,
)
from agents.plain import plain_text
from chat.models import CancelledBy, RunEvent
from chat.run_event import (
    CUT,
    MAX_EVENT_BYTES,
    MAX_KEPT_BYTES,
    MAX_TEXT_BYTES,
    MAX_VALUE_BYTES,
    Event,
    beginning,
    bounded_event,
    event_frame,
    text_pieces,
)
from chat.run_state import fold_log
from chat.run_writer import RunWriter
from chat.threads import ThreadService
from netra.testing import Netra
from tests.chat.holding import claimed, completed, fresh, posted

# Text whose JSON takes one byte a character, two, three, four, and six.
KINDS = ("a", '"', "é", "€", "😀", "\x01", "\x00", "\ud800", "\n", "\u2028")
RUN, THREAD = uuid.uuid4(), uuid.uuid4()

texts = st.builds(
    lambda pieces, times: "".join(pieces) * times,
    st.lists(st.sampled_from(KINDS), max_size=5),
    st.sampled_from([1, 7, 100, 5_000, 30_000]),
)
values = st.recursive(
    texts | st.none() | st.booleans() | st.floats() | st.integers() | st.builds(lambda: 10**5000) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
usages = st.builds(Usage, model=texts)
agent_events = st.one_of(
    st.builds(AgentStarted, agent=texts, model=texts, attempt=st.integers(1, 9)),
    st.builds(ToolExecuting, agent=texts, tool_call_id=texts, tool=texts, arguments=st.dictionaries(texts, values)),
    st.builds(
        ToolCompleted,
        agent=texts,
        tool_call_id=texts,
        tool=texts,
        duration_ms=st.integers(0, 10**9),
        result=values,
        error=st.none() | texts,
    ),
    st.builds(AgentCompleted, agent=texts, usage=usages, duration_ms=st.integers(0, 10**9)),
    st.builds(
        AgentError,
        agent=texts,
        error_code=texts,
        error_message=texts,
        retryable=st.booleans(),
        correlation_id=st.none() | texts,
    ),
)


def bounded(event: AgentEvent) -> Event:
    return bounded_event(event.type, event.agent, event_data(event))


def size(event: Event) -> int:
    return len(event_frame(RUN, 2**62, THREAD, 2**31 - 1, event).text.encode())


def json_size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


@settings(max_examples=300, deadline=None)
@given(agent_events)
def test_no_event_of_an_agent_is_larger_than_the_bound(event: AgentEvent) -> None:
    made = bounded(event)
    assert size(made) <= MAX_EVENT_BYTES
    assert len(made.agent) <= 64
    assert len(made.data.get("error_code", "")) <= 40
    if made.whole_result is not None:
        assert len(made.whole_result.encode()) <= MAX_KEPT_BYTES
        json.loads(made.whole_result)


@settings(max_examples=200, deadline=None)
@given(texts, st.integers(10, 200_000))
def test_the_beginning_of_a_text_fits_and_nothing_more_would(text: str, limit: int) -> None:
    text = plain_text(text)
    kept = beginning(text, limit)
    assert text.startswith(kept)
    assert json_size(kept) <= limit
    assert kept == text or json_size(text[: len(kept) + 1]) > limit


@settings(max_examples=100, deadline=None)
@given(texts)
def test_text_in_pieces_is_the_text(text: str) -> None:
    pieces = list(text_pieces(plain_text(text)))
    assert "".join(pieces) == plain_text(text)
    assert all(json_size(piece) <= MAX_TEXT_BYTES for piece in pieces)
    assert all(pieces) or pieces == [""]
    assert len(pieces) <= 2 + 2 * json_size(plain_text(text)) // MAX_TEXT_BYTES


def completion(result: Any) -> Event:
    return bounded(ToolCompleted(agent="a", tool_call_id="c", tool="t", duration_ms=1, result=result))


@pytest.mark.parametrize("result", ["x" * (MAX_VALUE_BYTES - 2), ["x" * (MAX_VALUE_BYTES - 4)]])
def test_a_result_up_to_the_bound_is_whole(result: Any) -> None:
    made = completion(result)
    assert (made.data["result"], made.whole_result) == (result, None)
    assert "truncated" not in made.data


@pytest.mark.parametrize("result", ["x" * (MAX_VALUE_BYTES - 1), {"rows": [{"n": n} for n in range(5000)]}])
def test_a_larger_result_is_told_from_its_beginning_and_kept_whole(result: Any) -> None:
    made = completion(result)
    text = result if isinstance(result, str) else json.dumps(result, separators=(",", ":"))
    assert isinstance(made.data["result"], str)
    assert text.startswith(made.data["result"])
    assert made.whole_result is not None
    assert json.loads(made.whole_result) == result
    assert made.data["truncated"] == {"bytes": json_size(result)}
    frame = json.loads(event_frame(RUN, 1, THREAD, 7, made).text)
    assert frame["data"]["truncated"] == {"bytes": json_size(result), "href": f"/api/runs/{RUN}/events/7/result"}


def test_of_a_result_beyond_all_bounds_the_beginning_is_kept_and_the_marker_says_so() -> None:
    made = completion({"rows": ["é" * 1000] * 3000})
    assert made.whole_result is not None
    kept = json.loads(made.whole_result)
    assert kept.startswith('{"rows":["éé')
    assert len(made.whole_result.encode()) == made.data["truncated"]["kept_bytes"] <= MAX_KEPT_BYTES
    assert made.data["truncated"]["bytes"] > 5_000_000


def test_long_arguments_and_errors_are_cut_visibly() -> None:
    executing = bounded(ToolExecuting(agent="a", tool_call_id="c", tool="t", arguments={"code": "x" * 5_000_000}))
    assert executing.data["arguments"].startswith('{"code":"xxx')
    assert executing.data["arguments"].endswith(CUT)
    failed = bounded(ToolCompleted(agent="a", tool_call_id="c", tool="t", duration_ms=1, error="y" * 5_000_000))
    assert failed.data["error"].endswith(CUT)


def test_what_differs_before_it_is_cut_differs_after() -> None:
    ids = ["x" * 300 + end for end in "ab"]
    cut = {
        bounded(ToolExecuting(agent="a", tool_call_id=one, tool="t", arguments={})).data["tool_call_id"] for one in ids
    }
    assert len(cut) == 2


def test_a_value_that_is_no_json_is_said_to_be_none() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert completion(loop).data["result"] == "[a value that is no JSON]"


# In the log


MILLIONS = 5_000_000
LARGE: list[AgentEvent] = [
    AgentThinking(agent="assistant", step=1, text="t" * MILLIONS),
    AgentResponseChunk(agent="assistant", message_id="m", text="😀\x01é" * (MILLIONS // 10)),
    ToolExecuting(agent="assistant", tool_call_id="i" * MILLIONS, tool="n" * MILLIONS, arguments={"a" * MILLIONS: 1}),
    ToolCompleted(agent="assistant", tool_call_id="i" * MILLIONS, tool="n", duration_ms=1, result="r" * MILLIONS),
    ToolCompleted(agent="assistant", tool_call_id="j", tool="n", duration_ms=1, error="e" * MILLIONS),
    AgentResponseChunk(agent="a" * MILLIONS, message_id="m" * MILLIONS, text="The end."),
]


async def test_events_of_megabytes_become_events_within_the_bound_and_the_answer_is_whole(
    service: ThreadService, ann: Any
) -> None:
    log = service.event_log
    held = await claimed(log, (await posted(service, ann)).run_id)
    writer = RunWriter(log, held, window=60)
    for event in LARGE:
        await writer.write(event)
    usage = {"model": "none", "input_tokens": 1, "output_tokens": 1, "requests": 1}
    await writer.finish(dataclasses.replace(completed(), data={"usage": usage, "duration_ms": 1}))

    frames = await log.read_after(str(held.id), 0, limit=10_000)
    assert max(len(frame.text.encode()) for frame in frames) <= MAX_EVENT_BYTES
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    said = [json.loads(frame.text) for frame in frames]
    answer = "😀\x01é" * (MILLIONS // 10) + "The end."
    assert "".join(event["data"]["text"] for event in said if event["type"] == "agent_response_chunk") == answer
    thought = "".join(event["data"]["text"] for event in said if event["type"] == "agent_thinking")
    assert thought == "t" * MILLIONS
    assert said[-1]["data"]["message"] == {
        "id": str(held.message_id),
        "role": "assistant",
        "truncated": {"bytes": len(json.dumps(answer, ensure_ascii=False).encode())},
    }
    stored = (await fresh(held.id)).output_message
    state = fold_log(said)
    assert stored is not None
    assert state is not None
    assert state["message"] == {"id": str(held.message_id), "role": "assistant", "content": answer}
    assert stored.content == answer
    [executed, failed] = [step for step in state["steps"] if step["kind"] == "tool"]
    assert (executed["status"], failed["status"]) == ("completed", "failed"), "the id is the same after it is cut"


async def test_the_partial_answer_of_a_stopped_run_is_bounded_too(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    held = await claimed(log, (await posted(service, ann)).run_id)
    await log.append(held, [bounded(AgentResponseChunk(agent="assistant", message_id="m", text="y" * 60_000))] * 2)
    await database_sync_to_async(service.stop_run)(ann.pk, held.id, by=CancelledBy.USER)
    frames = await log.read_after(str(held.id), 0, limit=100)
    assert json.loads(frames[-1].text)["data"]["message"]["truncated"]["bytes"] > MAX_TEXT_BYTES
    assert max(len(frame.text) for frame in frames) <= MAX_EVENT_BYTES


async def test_large_results_that_wait_are_bounded(service: ThreadService, ann: Any) -> None:
    """A result counts with all that is kept of it: who yields many waits for the log."""
    log = service.event_log
    held = await claimed(log, (await posted(service, ann)).run_id)
    sizes: list[int] = []
    append = log._append

    async def measured(run: Any, events: Any) -> None:
        sizes.append(sum(len(event.whole_result or "") for event in events))
        await append(run, events)

    log._append = measured  # type: ignore[method-assign]
    writer = RunWriter(log, held, window=60)
    for place in range(20):
        await writer.write(
            ToolCompleted(agent="a", tool_call_id=str(place), tool="t", duration_ms=1, result="r" * 500_000)
        )
    await writer.finish(completed())
    assert len(sizes) > 10
    assert max(sizes) <= 2 * 500_002
    assert await database_sync_to_async(RunEvent.objects.exclude(whole_result=None).count)() == 20


async def test_a_repeated_append_keeps_the_whole_result_once(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    held = await claimed(log, (await posted(service, ann)).run_id)
    large = completion("r" * 100_000)
    await log._append(held, [large])
    held.last_seq -= 1
    await log.append(held, [large])
    rows = await database_sync_to_async(lambda: list(RunEvent.objects.filter(seq__gt=1)))()
    assert [row.whole_result for row in rows] == ["r" * 100_000]
    [frame] = await log.read_after(str(held.id), 1, limit=5)
    assert len(frame.text) < MAX_VALUE_BYTES, "the way to the connections does not read it"


@pytest.mark.parametrize("number", [1e300, -1.5e22, 1e-300, 10**300, 6.022e23, 0.1])
async def test_numbers_are_as_large_in_the_log_as_they_were_measured(
    service: ThreadService, ann: Any, number: float
) -> None:
    log = service.event_log
    held = await claimed(log, (await posted(service, ann)).run_id)
    several = [number] * 2000
    await log.append(held, [completion(several), completion([number])])
    large, small = await log.read_after(str(held.id), 1, limit=5)
    assert len(large.text) <= MAX_EVENT_BYTES
    assert json.loads(small.text, parse_int=float)["data"]["result"] == [float(number)]


async def test_an_agent_that_says_too_much_at_once_is_answered_like_any_other(netra: Netra) -> None:
    from collections.abc import AsyncIterator

    from agents.registry import FunctionAgent
    from agents.request import RunRequest

    async def shout(request: RunRequest) -> AsyncIterator[AgentEvent]:
        yield AgentResponseChunk(agent="loud", message_id=request.message_id, text="x" * 300_000)
        yield ToolCompleted(agent="loud", tool_call_id="c", tool="t", duration_ms=1, result=["y" * 100] * 3000)
        yield AgentError(
            agent="loud", error_code="C" * MILLIONS, error_message="z" * MILLIONS, retryable=False, correlation_id="k"
        )

    netra.use_agents(FunctionAgent("loud", "Shouts", "none", shout))
    socket = await netra.connect(await netra.user("ann"))
    events = await netra.ask(socket, "Hello")
    assert max(len(json.dumps(event)) for event in events) <= MAX_EVENT_BYTES
    state = fold_log(events)
    assert state is not None
    assert state["message"] is not None
    assert state["message"]["content"] == "x" * 300_000
    run = await fresh(events[0]["run_id"])
    assert (run.status, len(run.error_code), run.error_message.endswith(CUT)) == ("failed", 40, True)
