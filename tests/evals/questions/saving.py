"""What `optimization` is asked: to save, to compare, to be faster."""

from __future__ import annotations

from tests.evals.checks import calls, gets_results, plans, prices, says, sums_up, tool_refuses
from tests.evals.questions.words import (
    LAST_MONTH,
    LAST_WEEK,
    REFUSED,
    SEVEN_DAYS,
    STAFF,
    THIRTY_DAYS,
    THIS_MONTH,
    THIS_WEEK,
)
from tests.evals.runner import Question

SAVING = [
    Question(
        id="optimization-halve",
        agent="optimization",
        ask="How do I halve what I spent this week?",
        checks=(
            calls("savings", agent="optimization", period="this_week", target_percent=50),
            calls("compare_models", agent="optimization", period="this_week"),
            sums_up(THIS_WEEK, "agent", "model"),
            plans(THIS_WEEK, 50),
            prices(THIS_WEEK),
            says("NETRA_MODEL_"),
        ),
    ),
    Question(
        id="optimization-percent",
        agent="optimization",
        ask="How can I save 15 % of last month's costs?",
        checks=(calls("savings", period="last_month", target_percent=15), plans(LAST_MONTH, 15)),
    ),
    Question(
        id="optimization-twenty",
        agent="optimization",
        ask="How can I save 20 % of my costs last month?",
        checks=(calls("savings", period="last_month", target_percent=20), plans(LAST_MONTH, 20)),
    ),
    Question(
        id="optimization-a-third",
        agent="optimization",
        ask="Cut my bill by a third, please, for the last 7 days",
        checks=(calls("savings", period="last_7_days", target_percent=33), plans(SEVEN_DAYS, 33)),
    ),
    Question(
        id="optimization-ninety-nine",
        agent="optimization",
        ask="Save 99 % of what I spent last week",
        checks=(plans(LAST_WEEK, 99), says("does not reach")),
    ),
    Question(
        id="optimization-default-period",
        agent="optimization",
        ask="What should I change to spend less?",
        checks=(calls("savings", period="last_30_days", target_percent=50), plans(THIRTY_DAYS, 50)),
    ),
    Question(
        id="optimization-bob",
        agent="optimization",
        user="bob",
        ask="How do I halve my spending this month?",
        checks=(plans(THIS_MONTH, 50), prices(THIS_MONTH)),
    ),
    Question(
        id="optimization-nothing-spent",
        agent="optimization",
        ask="How do I halve what I spent on 2024-01-10?",
        checks=(tool_refuses("savings", "nothing was spent"), says("nothing")),
    ),
    Question(
        id="optimization-everyone-refused",
        agent="optimization",
        ask="How do we halve what everyone spent this week?",
        checks=(tool_refuses("savings", REFUSED), says("staff")),
    ),
    Question(
        id="optimization-everyone-for-staff",
        agent="optimization",
        user=STAFF,
        ask="How do we halve what everyone spent this week?",
        checks=(plans(THIS_WEEK, 50, everyone=True),),
    ),
    Question(
        id="optimization-one-model",
        agent="optimization",
        ask="What would this week have cost on gpt-5-mini?",
        checks=(
            calls("compare_models", period="this_week", models=["gpt-5-mini"]),
            prices(THIS_WEEK, "openai:gpt-5-mini"),
        ),
    ),
    Question(
        id="optimization-two-models",
        agent="optimization",
        ask="Compare last month with openai:gpt-6-luna and anthropic:claude-haiku-5-5 by cost",
        checks=(prices(LAST_MONTH, "openai:gpt-6-luna", "anthropic:claude-haiku-5-5"),),
    ),
    Question(
        id="optimization-unknown-model",
        agent="optimization",
        ask="What would this week have cost on gpt-99-ultra?",
        checks=(tool_refuses("compare_models", "the price list has no such model"), says("gpt-99-ultra")),
    ),
    Question(
        id="optimization-cheaper-model",
        agent="optimization",
        ask="Is there a cheaper model for what I did last week?",
        checks=(calls("compare_models", period="last_week"), prices(LAST_WEEK)),
    ),
    Question(
        id="optimization-faster",
        agent="optimization",
        ask="How can I make it faster, for last month?",
        checks=(
            calls("speedup", period="last_month"),
            gets_results("speedup", lambda result: bool(result["models"]) and bool(result["measures"])),
        ),
    ),
]
