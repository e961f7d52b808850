from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic_ai import Agent

from agents.events import AgentCompleted, AgentEvent, AgentResponseChunk, AgentThinking, ToolCompleted, ToolExecuting
from agents.offline import answer as offline_answer
from agents.offline.answer import Outcome, write_answer
from agents.offline.call import Call
from agents.offline.model import OfflineModel, tokens
from agents.offline.plan import KNOWN_TOOLS, LONGEST_QUESTION, MOST_CALLS, make_plan
from agents.request import Turn
from agents.tools.standard import standard_tools
from tests.agents.fakes import FakeServices, answer, collect, found, make_request, model_agent, shapes, supervise

CALC, TIME, SEARCH = "calculate", "current_time", "search_threads"

# question, the calls in order: tool, its argument, and what the tool returns (a number, a local time, a count)
QUESTIONS: list[tuple[str, list[tuple[str, str, str]]]] = [
    (
        "What is 17.5 % of 2480, and what time is it in Tokyo?",
        [(CALC, "17.5 % of 2480", "434"), (TIME, "Tokyo", "21:30")],
    ),
    ("2+2", [(CALC, "2+2", "4")]),
    ("2 + 2 =", [(CALC, "2 + 2", "4")]),
    ("What is 6 * 7?", [(CALC, "6 * 7", "42")]),
    ("what's 12 times 4", [(CALC, "12 times 4", "48")]),
    ("What’s 12 x 4?", [(CALC, "12 x 4", "48")]),  # noqa: RUF001
    ("Whats 144 / 12", [(CALC, "144 / 12", "12")]),
    ("how much is 20% of 50?", [(CALC, "20% of 50", "10")]),
    ("How much is 1,234.50 plus 65.50?", [(CALC, "1,234.50 plus 65.50", "1300")]),
    ("calculate (3+4)*2", [(CALC, "(3+4)*2", "14")]),
    ("Calculate: 10 / 4", [(CALC, "10 / 4", "2.5")]),
    ("Compute 2^10 please", [(CALC, "2^10", "1024")]),
    ("please evaluate 0.1 + 0.2", [(CALC, "0.1 + 0.2", "0.3")]),
    ("Could you work out 15 % of 80 for me?", [(CALC, "15 % of 80", "12")]),
    ("solve 3 squared plus 4 squared", [(CALC, "3 squared plus 4 squared", "25")]),
    ("what is the square root of 144", [(CALC, "the square root of 144", "12")]),
    ("what does 3+4 equal?", [(CALC, "3+4", "7")]),
    ("What is the result of 9 * 9?", [(CALC, "9 * 9", "81")]),
    ("what is 200 + 10%?", [(CALC, "200 + 10%", "220")]),
    ("What is 10 % 3?", [(CALC, "10 % 3", "1")]),
    ("17,5 % of 2480", [(CALC, "17,5 % of 2480", "434")]),
    ("What is 1/3?", [(CALC, "1/3", "0.333333333333333")]),
    ("what is pi", [(CALC, "pi", "3.14159265358979")]),
    ("find 2+2", [(CALC, "2+2", "4")]),
    ("What is 2+2, 3*3 and 4/4?", [(CALC, "2+2", "4"), (CALC, "3*3", "9"), (CALC, "4/4", "1")]),
    ("What is 12 divided by 4? And 5 * 5?", [(CALC, "12 divided by 4", "3"), (CALC, "5 * 5", "25")]),
    ("What is 2+2 and what is 2+2?", [(CALC, "2+2", "4")]),
    ("I want to know what is 8 - 3", [(CALC, "8 - 3", "5")]),
    ("What is max(3, 9, 4)?", [(CALC, "max(3, 9, 4)", "9")]),
    ("what time is it?", [(TIME, "UTC", "12:30")]),
    ("What time is it in Tokyo?", [(TIME, "Tokyo", "21:30")]),
    ("what time is it in Tokyo and New York?", [(TIME, "Tokyo", "21:30"), (TIME, "New York", "07:30")]),
    (
        "What time is it in Tokyo, London, and Sydney right now?",
        [(TIME, "Tokyo", "21:30"), (TIME, "London", "12:30"), (TIME, "Sydney", "23:30")],
    ),
    ("What is the time in Europe/Berlin", [(TIME, "Europe/Berlin", "13:30")]),
    ("time in Paris", [(TIME, "Paris", "13:30")]),
    ("current time in UTC+2", [(TIME, "UTC+2", "14:30")]),
    ("What's the current time in São Paulo?", [(TIME, "São Paulo", "09:30")]),
    ("Can you tell me what time it is in Mumbai please?", [(TIME, "Mumbai", "18:00")]),
    ("what is the date in Auckland?", [(TIME, "Auckland", "01:30")]),
    ("What day is it today?", [(TIME, "UTC", "12:30")]),
    ("what's today's date", [(TIME, "UTC", "12:30")]),
    ("What is the date and time in Lima?", [(TIME, "Lima", "07:30")]),
    ("what time is it in Washington, D.C.?", [(TIME, "Washington, D.C", "07:30")]),
    ("What time is it right now in San Francisco", [(TIME, "San Francisco", "04:30")]),
    ("What is the time difference between Tokyo and London?", [(TIME, "Tokyo", "21:30"), (TIME, "London", "12:30")]),
    ("tell me the time in Tokyo and 2+2", [(TIME, "Tokyo", "21:30"), (CALC, "2+2", "4")]),
    ("What did I write about the budget?", [(SEARCH, "the budget", "1")]),
    ("what have we discussed about Redis?", [(SEARCH, "Redis", "1")]),
    ("What did I say to you about holidays last week?", [(SEARCH, "holidays", "1")]),
    ("did I mention Kubernetes", [(SEARCH, "Kubernetes", "1")]),
    ("Have I ever written anything about taxes?", [(SEARCH, "taxes", "1")]),
    ("search for deadlines", [(SEARCH, "deadlines", "1")]),
    ('Search my messages for "project x"', [(SEARCH, "project x", "1")]),
    ("search redis in my threads", [(SEARCH, "redis", "1")]),
    ("find my notes on gardening", [(SEARCH, "gardening", "1")]),
    ("Find everything about quantum computing in my old threads", [(SEARCH, "quantum computing", "1")]),
    ("find what I wrote about the offsite", [(SEARCH, "offsite", "1")]),
    ("show me my messages about invoices", [(SEARCH, "invoices", "1")]),
    ("Where did I mention the password policy?", [(SEARCH, "the password policy", "1")]),
    ("In which thread did we discuss pricing", [(SEARCH, "pricing", "1")]),
    ("Remind me what I said about Berlin", [(SEARCH, "Berlin", "1")]),
    ("look up vacation", [(SEARCH, "vacation", "1")]),
    ("what did I write about 17.5 % of 2480?", [(SEARCH, "17.5 % of 2480", "1")]),
    (
        "What did I write about Redis, what is 3*7 and what time is it in Lima?",
        [(SEARCH, "Redis", "1"), (CALC, "3*7", "21"), (TIME, "Lima", "07:30")],
    ),
    (
        "Hey there, search for the Q3 report and tell me the time in Mumbai. Thanks!",
        [(SEARCH, "the Q3 report", "1"), (TIME, "Mumbai", "18:00")],
    ),
    ("Hello Netra, what is 5 * 5?\nWhat time is it in Oslo", [(CALC, "5 * 5", "25"), (TIME, "Oslo", "13:30")]),
]


def greeting(*tools: str) -> str:
    return offline_answer.greeting(tools or (CALC, TIME, SEARCH))


def explanation() -> str:
    return offline_answer.explanation((CALC, TIME, SEARCH))


def refusal(*tools: str) -> str:
    return offline_answer.refusal(tools or (CALC, TIME, SEARCH))


NO_TOOLS: list[tuple[str, str]] = [
    ("hi", greeting()),
    ("Hello!", greeting()),
    ("Good morning, Netra. How are you?", greeting()),
    ("thanks", "You are welcome."),
    ("Thank you so much!", "You are welcome."),
    ("help", explanation()),
    ("What can you do?", explanation()),
    ("hello, who are you?", explanation()),
    ("Which model are you?", explanation()),
    ("How do I connect a language model?", explanation()),
    ("", explanation()),
    ("?!", explanation()),
    ("Who was Napoleon?", refusal()),
    ("Write me a poem about time", refusal()),
    ("What is 15% of my salary?", refusal()),
    ("what time does the shop open?", refusal()),
    ("How many times did it rain in 2023?", refusal()),
    ("What happened on 2024-11-23?", refusal()),
    ("What is 5?", refusal()),
    ("What is the meaning of life?", refusal()),
    ("search", refusal()),
    ("Translate hello to French", refusal()),
    ("x" * (LONGEST_QUESTION + 1), refusal()),
]


async def ask(question: str, **settings: Any) -> list[AgentEvent]:
    agent = model_agent(OfflineModel(), tools=list(standard_tools()), name="tested", model_name="offline")
    return await collect(supervise(agent), make_request(question, **settings))


def outcome(event: ToolCompleted) -> str:
    """The part of a tool's result that a row of the table names."""
    match event.tool:
        case "calculate":
            return str(event.result["result"])
        case "current_time":
            return str(event.result["time"])[11:16]
        case _:
            return str(event.result["count"])


@pytest.mark.parametrize(("question", "calls"), QUESTIONS)
async def test_questions_that_need_tools(question: str, calls: list[tuple[str, str, str]]) -> None:
    events = await ask(question, services=FakeServices([found()]))
    executed = {event.tool_call_id: event for event in events if isinstance(event, ToolExecuting)}
    returned = {event.tool_call_id: event for event in events if isinstance(event, ToolCompleted)}
    assert [
        (event.tool, next(iter(event.arguments.values())), outcome(returned[call_id]))
        for call_id, event in executed.items()
    ] == calls
    assert [event.step for event in events if isinstance(event, AgentThinking)] == [1, 2]
    assert isinstance(events[-1], AgentCompleted)
    # The answer says what the tools returned.
    for tool, argument, result in calls:
        assert (argument if tool == SEARCH else result) in answer(events)


@pytest.mark.parametrize(("question", "text"), NO_TOOLS)
async def test_questions_that_need_no_tool(question: str, text: str) -> None:
    events = await ask(question or " ")
    assert shapes(events) == ["agent_started", "agent_thinking", "agent_response_chunk", "agent_completed"]
    assert answer(events) == text


async def test_an_answer_to_several_things_is_a_list() -> None:
    events = await ask("Hi! What is 17.5 % of 2480, and what time is it in Tokyo?")
    assert answer(events) == (
        "Hello!\n\n- `17.5 % of 2480` = **434**\n- It is **21:30** in Tokyo (Wednesday, 4 March 2026, UTC+09:00)."
    )


async def test_the_events_of_the_example_question() -> None:
    events = await ask("What is 17.5 % of 2480, and what time is it in Tokyo?")
    assert shapes(events) == [
        "agent_started",
        "agent_thinking",
        "tool_executing",
        "tool_executing",
        "tool_completed",
        "tool_completed",
        "agent_thinking",
        "agent_response_chunk",
        "agent_completed",
    ]


async def test_single_answers_are_sentences() -> None:
    assert answer(await ask("What is 1/3?")) == "`1/3` ≈ **0.333333333333333**"
    assert answer(await ask("hello, what time is it in new york")) == (
        "Hello! It is **07:30** in New York (Wednesday, 4 March 2026, UTC-05:00)."
    )


async def test_found_messages_are_listed() -> None:
    services = FakeServices([found("The budget\nis 500."), found("No, 600.", "Money", "t-2")])
    events = await ask("what did I write about the budget?", services=services)
    assert services.queries == [("the budget", 8)]
    assert answer(events) == (
        "I found 2 messages about “the budget”:\n\n"
        "- **Planning** (user, 2026-01-02): The budget is 500.\n"
        "- **Money** (user, 2026-01-02): No, 600."
    )


async def test_a_search_without_hits_says_so() -> None:
    assert answer(await ask("find unicorns")) == "I found no message about “unicorns” in your threads."


async def test_tool_errors_are_told() -> None:
    services = FakeServices()
    services.error = ConnectionError("database")
    events = await ask("What is 1/0, what time is it in Tokio and what did I write about X?", services=services)
    lines = answer(events).split("\n")
    assert lines[:2] == [
        "- I could not calculate `1/0`: division by zero.",
        "- I could not tell the time in “Tokio”: 'Tokio' is not a known time zone or city; near matches: Asia/Tokyo.",
    ]
    assert re.fullmatch(
        r"- I could not search for “X”: the tool failed unexpectedly \(reference [0-9a-f]{16}\)\.", lines[2]
    )


async def test_what_is_not_understood_is_named() -> None:
    events = await ask("What is 2+2 and who was Napoleon?")
    assert answer(events) == (
        "`2+2` = **4**\n\nI left out “who was Napoleon”: that needs a language model, and none is connected here."
    )


async def test_help_names_the_ways_to_a_language_model() -> None:
    text = answer(await ask("help"))
    for part in ("NETRA_MODEL=openai:", "OPENAI_API_KEY", "NETRA_MODEL=anthropic:", "OPENAI_BASE_URL"):
        assert part in text


async def test_help_follows_what_else_was_asked() -> None:
    assert answer(await ask("What is 2+2? And what can you do?")) == f"`2+2` = **4**\n\n{explanation()}"


def test_a_result_that_was_cut_is_shown_as_it_is() -> None:
    plan = make_plan("What is 2+2?")
    assert write_answer(plan, [Outcome(result="4… [cut]")], KNOWN_TOOLS) == "4… [cut]"


async def test_it_never_shows_reasoning() -> None:
    events = await ask("What is 2+2?")
    assert [event.text for event in events if isinstance(event, AgentThinking)] == ["", ""]


async def test_the_last_question_counts_and_the_same_question_gets_the_same_answer() -> None:
    history = [Turn(role="user", content="What is 2+2?"), Turn(role="assistant", content="4")]
    assert answer(await ask("thanks", history=history)) == "You are welcome."
    assert await ask("What is 3*3?", history=history) == await ask("What is 3*3?", history=history)


async def test_it_streams_word_by_word() -> None:
    events = await ask("hello")
    chunks = [event.text for event in events if isinstance(event, AgentResponseChunk)]
    assert chunks == tokens(greeting())
    assert len(chunks) > 40


async def test_usage_counts_what_is_read_and_streamed() -> None:
    completed = (await ask("What is 2+2?"))[-1]
    assert isinstance(completed, AgentCompleted)
    usage = completed.usage
    assert (usage.model, usage.requests, usage.cost_usd) == ("offline", 2, None)
    assert usage.output_tokens == 1 + len(tokens("`2+2` = **4**"))


@pytest.mark.parametrize("rate", [0.0, 50.0])
async def test_it_sleeps_only_to_keep_its_pace(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    class Clock:
        def time(self) -> float:
            return sum(slept)

    async def sleep(delay: float) -> None:
        slept.append(delay)

    monkeypatch.setattr("agents.offline.model.get_running_loop", Clock)
    monkeypatch.setattr("agents.offline.model.sleep", sleep)
    agent = model_agent(OfflineModel(tokens_per_second=rate))
    events = await collect(supervise(agent), make_request("hello"))
    assert answer(events) == greeting("none")
    gaps = len(tokens(greeting("none"))) - 1
    assert slept == pytest.approx([1 / rate] * gaps if rate else [])


async def test_it_does_not_sleep_when_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 0.0

        def time(self) -> float:
            Clock.now += 1.0
            return Clock.now

    async def sleep(delay: float) -> None:
        raise AssertionError(delay)

    monkeypatch.setattr("agents.offline.model.get_running_loop", Clock)
    monkeypatch.setattr("agents.offline.model.sleep", sleep)
    agent = model_agent(OfflineModel(tokens_per_second=50.0))
    assert answer(await collect(supervise(agent), make_request("hello"))) == greeting("none")


async def test_without_streaming_it_answers_the_same() -> None:
    agent = Agent(OfflineModel())
    assert (await agent.run("hello")).output == greeting("none")
    assert (await agent.run(["hello"])).output == greeting("none")


async def test_tools_it_does_not_have_are_not_called() -> None:
    agent = model_agent(OfflineModel(), tools=[standard_tools()[1]])
    events = await collect(supervise(agent), make_request("What is 2+2?"))
    assert answer(events) == refusal(TIME)


def test_no_question_makes_more_calls_than_the_limit() -> None:
    plan = make_plan(", ".join(f"{number}+1" for number in range(20)))
    assert len(plan.calls) == MOST_CALLS
    assert plan.calls[0] == Call.of("calculate", expression="0+1")
    assert len(plan.unanswered) == 20 - MOST_CALLS


@pytest.mark.parametrize(
    "hostile", ["find " * 400, "what time is it in " + "a," * 900, "and " * 500, "(" * 2000, "1+" * 1000]
)
def test_hostile_questions_are_read_in_no_time(hostile: str) -> None:
    plan = make_plan(hostile)
    assert len(plan.calls) <= MOST_CALLS
