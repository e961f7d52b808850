"""What `data` is asked about the asker's own account."""

from __future__ import annotations

from datetime import date

from tests.evals.checks import calls, names_the_most, says, sums_up, tells, words_it
from tests.evals.history import TODAY
from tests.evals.ledger import Days
from tests.evals.questions.words import (
    DAY,
    EVER,
    LAST_MONTH,
    LAST_WEEK,
    SEVEN_DAYS,
    SUMMARY,
    THIRTY_DAYS,
    THIS_DAY,
    THIS_MONTH,
    THIS_WEEK,
    YESTERDAY,
)
from tests.evals.runner import Question


def _usage(name: str, ask: str, days: Days, period: str, by: tuple[str, ...] = (), **more: str) -> Question:
    """A question for `data` about the asker's own account."""
    arguments = {"by": list(by)} if by else {}
    checks = (
        calls(SUMMARY, agent="data", period=period, **arguments),
        sums_up(days, *by),
        tells(days, "cost", "requests"),
    )
    return Question(id=f"data-{name}", agent="data", ask=ask, checks=checks, user=more.get("user", "ann"))


USAGE = [
    _usage("today", "What did I spend today?", THIS_DAY, "today"),
    _usage("yesterday", "How much did I spend yesterday?", YESTERDAY, "yesterday"),
    _usage("this-week", "What is my usage this week?", THIS_WEEK, "this_week"),
    _usage("last-week", "What did last week cost me?", LAST_WEEK, "last_week"),
    _usage("this-month", "Show me my costs this month", THIS_MONTH, "this_month"),
    _usage("last-month", "How much money did I spend last month?", LAST_MONTH, "last_month"),
    _usage("seven-days", "What did I spend in the last 7 days?", SEVEN_DAYS, "last_7_days"),
    _usage("two-weeks", "Total cost of the past two weeks?", Days(TODAY - 13 * DAY, TODAY), "last_14_days"),
    _usage("thirty-days", "my spending over the last thirty days", THIRTY_DAYS, "last_30_days"),
    _usage("ever", "What have I ever spent?", EVER, "all"),
    _usage("month-by-name", "What did I spend in april?", LAST_MONTH, "april"),
    _usage("one-day", "What did I spend on 2024-05-07?", Days(date(2024, 5, 7), date(2024, 5, 7)), "2024-05-07"),
    _usage(
        "some-days",
        "My costs from 2024-04-29 to 2024-05-03, by day?",
        Days(date(2024, 4, 29), date(2024, 5, 3)),
        "2024-04-29..2024-05-03",
        ("day",),
    ),
    _usage("no-period", "What did I spend?", THIRTY_DAYS, "last_30_days"),
    _usage("on-what", "What did I spend this week, on what?", THIS_WEEK, "this_week", ("agent", "model")),
    _usage("by-agent", "What did each agent cost last month?", LAST_MONTH, "last_month", ("agent",)),
    _usage("by-model", "How much did I spend per model last week?", LAST_WEEK, "last_week", ("model",)),
    _usage("by-day", "Show my daily costs this week", THIS_WEEK, "this_week", ("day",)),
    _usage("bob", "What did I spend this week, by agent?", THIS_WEEK, "this_week", ("agent",), user="bob"),
    _usage("many-rows", "my spending by day and model ever", EVER, "all", ("day", "model")),
    Question(
        id="data-tokens-by-model",
        agent="data",
        ask="How many tokens did I use yesterday, by model?",
        checks=(sums_up(YESTERDAY, "model"), tells(YESTERDAY, "input_tokens", "output_tokens")),
    ),
    Question(
        id="data-dearest-thread",
        agent="data",
        ask="Which thread cost most last month?",
        checks=(
            calls(SUMMARY, period="last_month", by=["thread"]),
            sums_up(LAST_MONTH, "thread"),
            names_the_most(LAST_MONTH, "thread", lambda sums: sums.cost),
        ),
    ),
    Question(
        id="data-dearest-day",
        agent="data",
        ask="Which day was the most expensive last month?",
        checks=(
            sums_up(LAST_MONTH, "day"),
            words_it("Most: **2024-04-"),
            names_the_most(LAST_MONTH, "day", lambda sums: sums.cost),
        ),
    ),
    Question(
        id="data-most-tokens",
        agent="data",
        ask="Which agent used the most tokens in the last 30 days?",
        checks=(
            sums_up(THIRTY_DAYS, "agent"),
            names_the_most(THIRTY_DAYS, "agent", lambda sums: sums.input_tokens + sums.output_tokens),
        ),
    ),
    Question(
        id="data-slowest",
        agent="data",
        ask="Which model was the slowest last month?",
        checks=(
            sums_up(LAST_MONTH, "model"),
            names_the_most(LAST_MONTH, "model", lambda sums: sums.duration_ms / sums.requests),
        ),
    ),
    Question(
        id="data-failed",
        agent="data",
        ask="How many requests failed last week?",
        checks=(calls(SUMMARY, period="last_week"), sums_up(LAST_WEEK), tells(LAST_WEEK, "failed", "requests")),
    ),
    Question(
        id="data-one-model",
        agent="data",
        ask="How much did gpt-5 cost this month?",
        checks=(sums_up(THIS_MONTH, "model"), tells(THIS_MONTH, "cost", "requests", model="openai:gpt-5")),
    ),
    Question(
        id="data-one-agent",
        agent="data",
        ask="What did the triage agent cost last week?",
        checks=(sums_up(LAST_WEEK, "agent"), tells(LAST_WEEK, "cost", "requests", agent="triage")),
    ),
    Question(
        id="data-two-periods",
        agent="data",
        ask="What did I spend this week and last week?",
        checks=(sums_up(THIS_WEEK), sums_up(LAST_WEEK), tells(THIS_WEEK, "cost"), tells(LAST_WEEK, "cost")),
    ),
    Question(
        id="data-period-carries-over",
        agent="data",
        ask="What did I spend last week, and which model cost most?",
        checks=(
            sums_up(LAST_WEEK),
            sums_up(LAST_WEEK, "model"),
            names_the_most(LAST_WEEK, "model", lambda sums: sums.cost),
        ),
    ),
    Question(
        id="data-unpriced",
        agent="data",
        ask="What did I spend yesterday, by model?",
        checks=(sums_up(YESTERDAY, "model"), tells(YESTERDAY, "cost"), says("price")),
    ),
    Question(
        id="data-nothing",
        agent="data",
        ask="What did I spend on 2024-01-10?",
        checks=(sums_up(Days(date(2024, 1, 10), date(2024, 1, 10))), says("no requests")),
    ),
]
