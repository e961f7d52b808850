"""What a model is asked with is cut by a stated policy, and never to nonsense."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from agents.models import context
from agents.models.context import RECENT_TURNS, estimate_messages, fit


def asks(text: str) -> ModelRequest:
    return ModelRequest(parts=[UserPromptPart(content=text)], instructions="Be brief.")


def says(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(content=text)])


def calls(*ids: str) -> ModelResponse:
    return ModelResponse(parts=[ToolCallPart("read", {"page": i}, tool_call_id=i) for i in ids])


def returns(result: str, *ids: str) -> ModelRequest:
    return ModelRequest(parts=[ToolReturnPart("read", result, tool_call_id=i) for i in ids])


def turns(number: int, length: int = 200) -> list[ModelMessage]:
    return [make(f"{n} " + "x" * length) for n in range(number) for make in (asks, says)]


def texts(messages: list[ModelMessage]) -> list[str]:
    return [content(part)[:6] for message in messages for part in message.parts if hasattr(part, "content")]


def content(part: Any) -> str:
    return str(part.content)


def ids(messages: list[ModelMessage], kind: type[Any]) -> list[str]:
    return [part.tool_call_id for message in messages for part in message.parts if isinstance(part, kind)]


@st.composite
def conversations(draw: st.DrawFn) -> list[ModelMessage]:
    """Turns of text and tools, then a question with some steps behind it."""
    messages: list[ModelMessage] = []
    for turn in range(draw(st.integers(0, 12))):
        messages.append(asks(f"t{turn} " + "q" * draw(st.integers(0, 400))))
        for step in range(draw(st.integers(0, 2))):
            names = [f"{turn}.{step}.{n}" for n in range(draw(st.integers(1, 3)))]
            messages += [calls(*names), returns("r" * draw(st.integers(0, 4000)), *names)]
        messages.append(says("a" * draw(st.integers(0, 600))))
    messages.append(asks("the question"))
    for step in range(draw(st.integers(0, 3))):
        names = [f"now.{step}.{n}" for n in range(draw(st.integers(1, 3)))]
        messages += [calls(*names), returns("r" * draw(st.integers(0, 4000)), *names)]
    return messages


@given(conversations(), st.integers(50, 6000))
def test_whatever_was_said_what_is_sent_makes_sense(messages: list[ModelMessage], limit: int) -> None:
    before = copy.deepcopy(messages)
    fitted, reduction = fit(messages, limit)
    assert messages == before, "what was given is not changed"
    assert "the question" in [content(p) for m in fitted for p in m.parts if isinstance(p, UserPromptPart)]
    assert ids(fitted, ToolCallPart) == ids(fitted, ToolReturnPart), "a call and its return stay together"
    question = max(i for i, m in enumerate(messages) if isinstance(m, ModelRequest) and texts([m]) == ["the qu"])
    latest = ids(messages[question:], ToolCallPart)
    latest_step = latest[-1].rpartition(".")[0] if latest else None
    if latest_step:
        assert [i for i in ids(fitted, ToolCallPart) if i.startswith(latest_step)] == [
            i for i in latest if i.startswith(latest_step)
        ]
    if reduction is None:
        assert fitted == messages
        # Without a reduction it fits, or there is nothing that may go.
        assert estimate_messages(fitted) <= limit or len(messages) - question <= 3
        return
    assert estimate_messages(fitted) <= reduction.estimated_tokens
    assert reduction.kept_messages + reduction.dropped_messages == len(messages)
    if reduction.estimated_tokens > limit:
        kept = [m for m in fitted if not (m.metadata or {}).get(context.LEFT_OUT)]
        assert len(kept) <= 3, "only the question and the latest step are left"


def test_what_fits_is_sent_as_it_is() -> None:
    messages = [*turns(3), asks("now")]
    assert fit(messages, 10_000) == (messages, None)


def test_the_oldest_turns_go_first_and_a_note_says_how_many() -> None:
    messages = [*turns(40), asks("now")]
    fitted, reduction = fit(messages, 1000)
    assert reduction is not None
    assert content(fitted[0].parts[0]).startswith(f"[{reduction.dropped_messages} earlier messages were left out")
    assert fitted[1:] == messages[reduction.dropped_messages :], "the rest is whole, and in its order"
    assert reduction.dropped_messages % 2 == 0, "a turn goes as a whole"


def test_results_of_tools_are_shortened_before_any_turn_goes() -> None:
    old: list[ModelMessage] = [asks("read"), calls("1"), returns("begin" + "r" * 6000 + "end", "1"), says("read it")]
    messages = [*old, *turns(RECENT_TURNS), asks("now")]
    fitted, reduction = fit(messages, 1200)
    assert reduction is not None
    assert (reduction.dropped_messages, reduction.shortened_results) == (0, 1)
    [short] = [content(p) for m in fitted for p in m.parts if isinstance(p, ToolReturnPart)]
    assert short.startswith("begin")
    assert short.endswith("end")
    assert "characters were left out" in short


def test_recent_turns_stay_whole_as_long_as_older_ones_can_give_way() -> None:
    def read(number: str) -> list[ModelMessage]:
        return [asks("read"), calls(number), returns("r" * 3000, number), says("ok")]

    messages = [*turns(30), *read("recent"), asks("now")]
    fitted, reduction = fit(messages, 1500)
    assert reduction is not None
    assert reduction.shortened_results == 0
    assert 50 <= reduction.dropped_messages <= 60
    assert fitted[1:] == messages[reduction.dropped_messages :]


def test_a_question_that_is_too_long_by_itself_stays_whole() -> None:
    messages = [*turns(5), asks("q" * 30_000)]
    fitted, reduction = fit(messages, 1000)
    assert reduction is not None
    assert fitted[-1] == messages[-1]
    assert (len(fitted), reduction.dropped_messages) == (2, 10)


def test_system_prompts_stay() -> None:
    system = ModelRequest(parts=[SystemPromptPart(content="Always be kind."), UserPromptPart(content="hello")])
    fitted, _ = fit([system, says("hi"), *turns(20), asks("now")], 500)
    assert [content(p) for m in fitted for p in m.parts if isinstance(p, SystemPromptPart)] == ["Always be kind."]


def test_cutting_again_counts_what_was_cut_before() -> None:
    once, first = fit([*turns(40), asks("now")], 2000)
    twice, second = fit([*once, says("well"), asks("and now")], 1000)
    assert first is not None
    assert second is not None
    assert second.dropped_messages > first.dropped_messages
    assert sum("earlier messages were left out" in content(p) for m in twice for p in m.parts) == 1


def test_the_work_grows_with_the_length_and_no_faster(monkeypatch: Any) -> None:
    counted = 0
    estimate = context.estimate_text

    def counting(text: str) -> int:
        nonlocal counted
        counted += 1
        return estimate(text)

    monkeypatch.setattr(context, "estimate_text", counting)
    work = []
    for number in (500, 5000):
        counted = 0
        fit([*turns(number, length=20), asks("now")], 2000)
        work.append(counted)
    assert work[1] < 12 * work[0]
