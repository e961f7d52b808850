"""Whom `triage` asks, and what comes of it."""

from __future__ import annotations

from tests.evals.checks import (
    asks_for,
    calls,
    delegates_to,
    has_note,
    keeps_notes,
    plans,
    prices,
    says,
    sums_up,
    tells,
    tool_refuses,
    uses_only,
    words_it,
)
from tests.evals.questions.words import (
    ASSISTANT,
    EVER,
    LAST_WEEK,
    OFFLINE_REFUSAL,
    REFUSED,
    SUMMARY,
    THIS_DAY,
    THIS_MONTH,
    THIS_WEEK,
    YESTERDAY,
)
from tests.evals.runner import Question

TRIAGE = [
    Question(
        id="triage-spend-and-halve",
        agent="triage",
        ask="What did I spend this week, on what, and how do I halve it?",
        checks=(
            delegates_to("data", "optimization"),
            calls("ask_data", agent="triage"),
            calls(SUMMARY, agent="data", period="this_week"),
            calls("savings", agent="optimization", period="this_week", target_percent=50),
            sums_up(THIS_WEEK, "agent", "model"),
            tells(THIS_WEEK, "cost", "requests", "input_tokens", "output_tokens"),
            plans(THIS_WEEK, 50),
        ),
    ),
    Question(
        id="triage-usage",
        agent="triage",
        ask="How many tokens did I use yesterday by model?",
        checks=(delegates_to("data"), sums_up(YESTERDAY, "model"), tells(YESTERDAY, "input_tokens")),
    ),
    Question(
        id="triage-saving",
        agent="triage",
        ask="How do I reduce my costs by 30 % this month?",
        checks=(delegates_to("optimization"), plans(THIS_MONTH, 30)),
    ),
    Question(
        id="triage-comparison",
        agent="triage",
        ask="What would last week have cost on gpt-6-luna?",
        checks=(delegates_to("optimization"), prices(LAST_WEEK, "openai:gpt-6-luna")),
    ),
    Question(
        id="triage-time",
        agent="triage",
        ask="What time is it in Tokyo?",
        checks=(delegates_to("assistant"), calls("current_time", agent=ASSISTANT), says("21:00")),
    ),
    Question(
        id="triage-sum",
        agent="triage",
        ask="What is 17.5 % of 2480?",
        checks=(delegates_to("assistant"), calls("calculate", agent=ASSISTANT), says("434")),
    ),
    Question(
        id="triage-mixed",
        agent="triage",
        ask="What did I spend today, and what time is it in Oslo?",
        checks=(
            calls("ask_data"),
            calls("ask_assistant"),
            sums_up(THIS_DAY),
            tells(THIS_DAY, "cost"),
            calls("current_time", agent=ASSISTANT),
            says("14:00"),
        ),
    ),
    Question(id="triage-greeting", agent="triage", ask="Hello!", checks=(uses_only(), words_it("Ask the agent data"))),
    Question(id="triage-thanks", agent="triage", ask="Thank you!", checks=(uses_only(), words_it("You are welcome."))),
    Question(
        id="triage-help",
        agent="triage",
        ask="What can you do?",
        checks=(uses_only(), words_it("Ask the agent optimization", "NETRA_MODEL=")),
    ),
    Question(
        id="triage-unanswerable",
        agent="triage",
        ask="Who was Napoleon?",
        checks=(delegates_to("assistant"), words_it(OFFLINE_REFUSAL)),
    ),
    Question(
        id="triage-refusal-is-told",
        agent="triage",
        ask="What did everyone spend this week?",
        checks=(delegates_to("data"), tool_refuses(SUMMARY, REFUSED), says("staff")),
    ),
    Question(
        id="triage-remember",
        agent="triage",
        ask="Remember that the meeting is on Friday",
        checks=(delegates_to("assistant"), calls("remember", agent=ASSISTANT), has_note("the meeting is on Friday")),
    ),
    Question(
        id="triage-page-denied",
        agent="triage",
        ask="Read https://example.org/page?x=1&y=2",
        checks=(
            delegates_to("assistant"),
            asks_for("fetch_page", agent=ASSISTANT, url="https://example.org/page?x=1&y=2"),
            words_it("You did not allow me to read"),
        ),
    ),
    Question(
        id="triage-injected-findings",
        agent="triage",
        ask="What did I spend ever per thread, and how do I halve it?",
        checks=(
            delegates_to("data", "optimization"),
            sums_up(EVER, "thread"),
            plans(EVER, 50),
            keeps_notes("wifi", "tea", "injected", of="ann"),
        ),
    ),
]
