from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from pydantic_ai import Tool
from pydantic_ai.exceptions import AgentRunError, ModelHTTPError, ToolFailed
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, FunctionModel
from pydantic_ai.models.test import TestModel

from agents.definition import AgentLimits
from agents.errors import ToolError
from agents.events import (
    AgentCompleted,
    AgentError,
    AgentEvent,
    AgentResponseChunk,
    AgentStarted,
    AgentThinking,
    ToolCompleted,
    ToolExecuting,
)
from agents.request import Turn
from agents.tools.standard import standard_tools
from agents.translation import message_history
from tests.agents.fakes import Piece, answer, call, collect, make_request, model_agent, scripted, shapes, supervise

A = "tested"


def started() -> AgentStarted:
    return AgentStarted(agent=A, model="test-model", attempt=1)


def step(number: int, text: str = "") -> AgentThinking:
    return AgentThinking(agent=A, step=number, text=text)


def chunk(text: str) -> AgentResponseChunk:
    return AgentResponseChunk(agent=A, message_id="message-1", text=text)


def executing(call_id: str, tool: str, **arguments: Any) -> ToolExecuting:
    return ToolExecuting(agent=A, tool_call_id=call_id, tool=tool, arguments=arguments)


def returned(call_id: str, tool: str, result: Any) -> ToolCompleted:
    return ToolCompleted(agent=A, tool_call_id=call_id, tool=tool, duration_ms=0, result=result)


def failed(call_id: str, tool: str, error: str) -> ToolCompleted:
    return ToolCompleted(agent=A, tool_call_id=call_id, tool=tool, duration_ms=0, error=error)


def without_usage(events: list[AgentEvent]) -> list[AgentEvent]:
    """The events up to the last, which must say that the run completed."""
    assert isinstance(events[-1], AgentCompleted), events[-1]
    return events[:-1]


async def run(*responses: list[Piece], tools: list[Tool[Any]] | None = None, **limits: Any) -> list[AgentEvent]:
    agent = model_agent(scripted(*responses), tools=tools or [], limits=AgentLimits(**limits))
    return await collect(supervise(agent), make_request())


async def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


async def test_a_greeting_has_no_tool_events() -> None:
    events = await run(["Hello", ", ", "you."])
    assert without_usage(events) == [started(), step(1), chunk("Hello"), chunk(", "), chunk("you.")]


async def test_a_question_that_needs_a_tool() -> None:
    events = await run([call("double", '{"number": 21}', "c1")], ["It is ", "42."], tools=[Tool(double)])
    assert without_usage(events) == [
        started(),
        step(1),
        executing("c1", "double", number=21),
        returned("c1", "double", 42),
        step(2),
        chunk("It is "),
        chunk("42."),
    ]


async def test_usage_is_the_sum_of_all_requests() -> None:
    agent = model_agent(TestModel(custom_output_text="four words are here"), tools=[Tool(double)])
    events = await collect(supervise(agent), make_request("a question"))
    completed = events[-1]
    assert isinstance(completed, AgentCompleted)
    assert completed.usage.model == "test-model"
    assert completed.usage.requests == 2
    assert completed.usage.input_tokens > 100
    assert completed.usage.output_tokens > 4
    assert completed.usage.cost_usd is None


async def test_text_around_tool_calls_is_all_part_of_the_answer() -> None:
    events = await run(
        ["Let me ", "see.", call("double", '{"number": 1}', "c1", 1)],
        ["\n\nOne more.", call("double", '{"number": 2}', "c2", 1)],
        ["Done.\n"],
        tools=[Tool(double)],
    )
    assert without_usage(events) == [
        started(),
        step(1),
        chunk("Let me "),
        chunk("see."),
        executing("c1", "double", number=1),
        returned("c1", "double", 2),
        step(2),
        chunk("\n\nOne more."),
        executing("c2", "double", number=2),
        returned("c2", "double", 4),
        step(3),
        chunk("\n\nDone.\n"),
    ]
    assert answer(events) == "Let me see.\n\nOne more.\n\nDone.\n"


@pytest.mark.parametrize(
    ("before", "after", "whole"),
    [
        ("One.", "Two.", "One.\n\nTwo."),
        ("One.\n", "Two.", "One.\n\nTwo."),
        ("One.\n\n", "Two.", "One.\n\nTwo."),
        ("One.", "\nTwo.", "One.\n\nTwo."),
        ("One.\n", "\n\n\nTwo.", "One.\n\nTwo."),
        ("\n\nOne.", "Two.", "One.\n\nTwo."),
        ("\n", "Two.", "Two."),
        ("One.", "\n", "One."),
        ("One.", "  - indented", "One.\n\n  - indented"),
    ],
)
async def test_one_blank_line_separates_texts(before: str, after: str, whole: str) -> None:
    first: list[Piece] = [before, call("double", '{"number": 1}', "c1", 1)]
    second: list[Piece] = [after]
    # Blank text alone is no answer; the model is asked again, so a third response must end the run.
    rest: list[list[Piece]] = [] if after.strip() else [["\n"], ["\n"], ["\n"]]
    events = await run(first, second, *rest, tools=[Tool(double)])
    assert answer(events) == whole


async def test_thinking_is_told_step_by_step() -> None:
    events = await run(
        [
            {0: DeltaThinkingPart(content="First ")},
            {0: DeltaThinkingPart(content="double.")},
            call("double", '{"number": 1}', "c1", 1),
        ],
        [{0: DeltaThinkingPart(content="Then say.")}, {0: DeltaThinkingPart(signature="sig")}, "2"],
        tools=[Tool(double)],
    )
    assert without_usage(events) == [
        started(),
        step(1),
        step(1, "First "),
        step(1, "double."),
        executing("c1", "double", number=1),
        returned("c1", "double", 2),
        step(2),
        step(2, "Then say."),
        chunk("2"),
    ]


async def test_tools_run_in_parallel() -> None:
    both = asyncio.Barrier(2)

    async def meet(who: str) -> str:
        await both.wait()
        return who

    events = await run(
        [call("meet", '{"who": "a"}', "c1", 0), call("meet", '{"who": "b"}', "c2", 1)], ["met"], tools=[Tool(meet)]
    )
    assert events[2:4] == [executing("c1", "meet", who="a"), executing("c2", "meet", who="b")]
    assert sorted(events[4:6], key=repr) == [returned("c1", "meet", "a"), returned("c2", "meet", "b")]
    assert events[6:-1] == [step(2), chunk("met")]


async def test_a_tool_that_finishes_first_is_told_first() -> None:
    told = asyncio.Event()

    async def slow() -> str:
        await told.wait()
        return "late"

    async def quick() -> str:
        return "early"

    calls: list[Piece] = [call("slow", "{}", "c1", 0), call("quick", "{}", "c2", 1)]
    supervisor = supervise(model_agent(scripted(calls, ["ok"]), tools=[Tool(slow), Tool(quick)]))
    completed: list[str] = []
    async with aclosing(supervisor.execute(make_request())) as events:
        async for event in events:
            if isinstance(event, ToolCompleted):
                completed.append(event.result)
                told.set()
    assert completed == ["early", "late"]


async def fails_with_text() -> str:
    raise ToolError("there is no such file")


async def fails_terminally() -> str:
    raise ToolFailed("it is gone")


async def explodes() -> str:
    raise RuntimeError("postgres://ada:secret@db/x refused")


ERRORS: list[tuple[str, Callable[..., Any], str, str]] = [
    ("a tool's own error", fails_with_text, "{}", "there is no such file"),
    ("the library's error", fails_terminally, "{}", "it is gone"),
    ("an argument of the wrong type", double, '{"number": "x"}', "number: Input should be a valid integer, "),
    ("a missing argument", double, "{}", "number: Field required"),
    ("JSON that is none", double, '{"number": ', "Invalid JSON: EOF while parsing"),
    ("JSON that is no object", double, "[1]", "Input should be an object"),
]


@pytest.mark.parametrize(("tool", "arguments", "error"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
async def test_a_tool_error_goes_to_the_model_and_the_run_goes_on(
    tool: Callable[..., Any], arguments: str, error: str
) -> None:
    events = await run([call(tool.__name__, arguments, "c1")], ["I could not."], tools=[Tool(tool)])
    assert shapes(events) == [
        "agent_started",
        "agent_thinking",
        "tool_executing",
        "tool_completed",
        "agent_thinking",
        "agent_response_chunk",
        "agent_completed",
    ]
    completed = events[3]
    assert isinstance(completed, ToolCompleted)
    assert completed.result is None
    assert completed.error is not None
    assert completed.error.startswith(error)


async def test_an_unknown_tool_is_a_tool_error() -> None:
    events = await run([call("levitate", '{"height": 3}', "c1")], ["I cannot."], tools=[Tool(double)])
    assert without_usage(events) == [
        started(),
        step(1),
        executing("c1", "levitate", height=3),
        failed("c1", "levitate", "Unknown tool name: 'levitate'. Available tools: 'double'"),
        step(2),
        chunk("I cannot."),
    ]


async def test_an_unexpected_exception_in_a_tool_is_an_error_without_its_text() -> None:
    events = await run([call("explodes", "{}", "c1")], ["Sorry."], tools=[Tool(explodes)])
    completed = events[3]
    assert isinstance(completed, ToolCompleted)
    assert completed.error is not None
    assert completed.error.startswith("the tool failed unexpectedly (reference ")
    assert "secret" not in repr(events)


async def test_many_wrong_calls_end_at_the_limit_of_requests() -> None:
    responses: list[list[Piece]] = [[call("double", "{}", f"c{number}")] for number in range(10)]
    events = await run(*responses, tools=[Tool(double)], model_requests=4)
    assert [event.type for event in events].count("tool_completed") == 4
    assert events[-1] == AgentError(
        agent=A,
        error_code="MODEL_ERROR",
        error_message="The agent reached no answer within its limit of model requests.",
        retryable=False,
    )


async def test_the_model_sees_the_error_and_can_correct_the_call() -> None:
    seen: list[Any] = []

    async def stream(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[Piece]:
        last = messages[-1].parts[-1]
        seen.append((type(last).__name__, getattr(last, "outcome", None)))
        if len(seen) == 1:
            yield call("double", '{"number": "one"}', "c1")
        elif len(seen) == 2:
            yield call("double", '{"number": 1}', "c2")
        else:
            yield "2"

    events = await collect(
        supervise(model_agent(FunctionModel(stream_function=stream), tools=[Tool(double)])), make_request()
    )
    assert seen == [("UserPromptPart", None), ("ToolReturnPart", "retried"), ("ToolReturnPart", "success")]
    assert returned("c2", "double", 2) in events


async def test_call_ids_that_repeat_become_unique() -> None:
    again = call("double", '{"number": 1}', "call_0")
    events = await run([again], [again], ["ok"], tools=[Tool(double)])
    assert [event for event in events if isinstance(event, ToolExecuting | ToolCompleted)] == [
        executing("call_0", "double", number=1),
        returned("call_0", "double", 2),
        executing("call_0.2", "double", number=1),
        returned("call_0.2", "double", 2),
    ]


async def test_a_model_that_says_nothing_is_asked_again() -> None:
    events = await run([""], ["There."])
    assert without_usage(events) == [started(), step(1), step(2), chunk("There.")]


async def test_a_model_that_never_says_anything_is_a_model_error() -> None:
    events = await run([""], [""], [""], [""])
    assert events[-1] == AgentError(
        agent=A,
        error_code="MODEL_ERROR",
        error_message="The model test-model answered with something that cannot be used.",
        retryable=True,
    )


async def test_text_that_storage_refuses_is_replaced() -> None:
    events = await run(["a\x00b", "\ud83d", "é😀"])
    assert answer(events) == "a\ufffdb\ufffdé😀"


async def test_arguments_are_always_a_json_object() -> None:
    async def anything(value: Any) -> Any:
        return value

    nan = call("anything", '{"value": [NaN, "\\u0000"]}', "c1", 0)
    broken = call("anything", "not json", "c2", 1)
    events = await run([nan, broken], ["ok"], tools=[Tool(anything)])
    assert events[2:4] == [
        executing("c1", "anything", value=["nan", "\ufffd"]),
        executing("c2", "anything", INVALID_JSON="not json"),
    ]
    assert returned("c1", "anything", ["nan", "\ufffd"]) in events


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (None, ""),
        (b"\x01\xff", "Af8="),
        ({1}, [1]),
        ({"at": 1.5, 2: True}, {"at": 1.5, "2": True}),
        (float("inf"), "inf"),
    ],
)
async def test_results_are_json(value: Any, result: Any) -> None:
    async def give() -> Any:
        return value

    events = await run([call("give", "{}", "c1")], ["ok"], tools=[Tool(give)])
    assert events[3] == returned("c1", "give", result)


async def test_a_result_that_contains_itself_is_an_error() -> None:
    async def give() -> Any:
        loop: list[Any] = []
        loop.append(loop)
        return loop

    events = await run([call("give", "{}", "c1")], ["ok"], tools=[Tool(give)])
    assert isinstance(events[3], ToolCompleted)
    assert str(events[3].error).startswith("the tool failed unexpectedly")


async def test_a_tool_that_hangs_is_an_error() -> None:
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    events = await run([call("hang", "{}", "c1")], ["Too slow."], tools=[Tool(hang)], tool_seconds=0.01)
    assert events[3] == failed("c1", "hang", "the tool did not finish within 0.01 seconds")


async def test_a_tools_own_time_out_is_not_taken_for_ours() -> None:
    async def impatient() -> str:
        raise TimeoutError

    events = await run([call("impatient", "{}", "c1")], ["ok"], tools=[Tool(impatient)])
    assert isinstance(events[3], ToolCompleted)
    assert str(events[3].error).startswith("the tool failed unexpectedly")


async def test_a_failing_request_after_text_keeps_the_text() -> None:
    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
        yield "Half an"
        raise ModelHTTPError(503, "m", "down for sk-live-12345678")

    events = await collect(supervise(model_agent(FunctionModel(stream_function=stream))), make_request())
    assert events == [
        started(),
        step(1),
        chunk("Half an"),
        AgentError(
            agent=A,
            error_code="MODEL_ERROR",
            error_message="The model provider is unavailable (HTTP 503); try again in a moment.",
            retryable=True,
        ),
    ]


async def test_the_librarys_own_failure_is_an_internal_error() -> None:
    async def stream(_messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
        yield "Half an"
        raise AgentRunError("not the model's fault")

    events = await collect(supervise(model_agent(FunctionModel(stream_function=stream))), make_request())
    assert isinstance(events[-1], AgentError)
    assert events[-1].error_code == "INTERNAL_ERROR"


class Gate:
    """A model that says one word and then hangs; it knows when it is closed."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.closed = asyncio.Event()

    async def stream(self, _messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
        try:
            yield "One"
            self.waiting.set()
            await asyncio.Event().wait()
        finally:
            self.closed.set()


async def test_cancelling_while_the_model_hangs_closes_it() -> None:
    gate = Gate()
    supervisor = supervise(model_agent(FunctionModel(stream_function=gate.stream)))
    task = asyncio.create_task(collect(supervisor, make_request()))
    await gate.waiting.wait()
    before = asyncio.all_tasks()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.closed.is_set()
    assert asyncio.all_tasks() < before


async def test_closing_the_stream_closes_the_model() -> None:
    gate = Gate()
    supervisor = supervise(model_agent(FunctionModel(stream_function=gate.stream)))
    async with aclosing(supervisor.execute(make_request())) as events:
        assert [await anext(events) for _ in range(3)] == [started(), step(1), chunk("One")]
    assert gate.closed.is_set()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_hanging_model_times_out_and_is_closed() -> None:
    gate = Gate()
    supervisor = supervise(model_agent(FunctionModel(stream_function=gate.stream)), run_timeout=0.05)
    events = await collect(supervisor, make_request())
    assert shapes(events) == ["agent_started", "agent_thinking", "agent_response_chunk", "agent_error"]
    assert gate.closed.is_set()


async def test_cancelling_while_a_tool_hangs_cancels_the_tool() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    agent = model_agent(scripted([call("hang", "{}", "c1")]), tools=[Tool(hang)])
    task = asyncio.create_task(collect(supervise(agent), make_request()))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_history_and_prompt_reach_the_model_in_order() -> None:
    seen: list[tuple[str, str]] = []

    async def stream(messages: list[ModelMessage], _info: AgentInfo) -> AsyncIterator[str]:
        seen.extend(
            (message.kind, part.content)
            for message in messages
            for part in message.parts
            if isinstance(part, UserPromptPart | TextPart) and isinstance(part.content, str)
        )
        yield "ok"

    history = [
        Turn(role="user", content="first"),
        Turn(role="assistant", content="answer"),
        Turn(role="user", content="second"),
        Turn(role="assistant", content=" \n"),
    ]
    agent = model_agent(FunctionModel(stream_function=stream))
    await collect(supervise(agent), make_request("third", history=history))
    assert [text for _, text in seen] == ["first", "answer", "second", "third"]
    assert seen[1] == ("response", "answer")


def test_history_leaves_out_empty_answers() -> None:
    turns = [Turn(role="user", content="q"), Turn(role="assistant", content=""), Turn(role="assistant", content="a")]
    first, second = message_history(turns)
    assert isinstance(first, ModelRequest)
    assert isinstance(second, ModelResponse)


async def test_the_standard_tools_have_descriptions_for_every_parameter() -> None:
    definitions = [tool.tool_def for tool in standard_tools()]
    assert [definition.name for definition in definitions] == ["calculate", "current_time", "search_threads"]
    for definition in definitions:
        assert definition.description
        for parameter in definition.parameters_json_schema["properties"].values():
            assert parameter["description"]


async def test_a_model_that_calls_every_tool_completes() -> None:
    agent = model_agent(TestModel(), tools=list(standard_tools()))
    events = await collect(supervise(agent), make_request())
    assert shapes(events)[-1] == "agent_completed"
    assert len([event for event in events if isinstance(event, ToolCompleted)]) == 3
