"""The evaluation notices when the account, the agents or their answers are wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from channels.db import database_sync_to_async

from agents.account import UsageQuery, UsageRow
from agents.tools.prices import Rates, Tokens
from chat import account
from chat.models import Note
from chat.run_services import RunServicesOfUser
from tests.evals.history import write_history
from tests.evals.questions import QUESTIONS
from tests.evals.runner import Evaluation
from tests.evals.test_evals import evaluation, problems_of

__all__ = ["evaluation"]


def a_cent_more(patch: pytest.MonkeyPatch) -> None:
    right = account.usage

    def wrong(user_id: Any, query: UsageQuery) -> list[UsageRow]:
        rows = right(user_id, query)
        return [dataclasses.replace(row, cost_usd=row.cost_usd + Decimal("0.01")) for row in rows]

    patch.setattr(account, "usage", wrong)


def everyones_requests(patch: pytest.MonkeyPatch) -> None:
    right = account.usage
    patch.setattr(account, "usage", lambda user_id, query: right(user_id, dataclasses.replace(query, everyone=True)))


def a_week_that_begins_on_sunday(patch: pytest.MonkeyPatch) -> None:
    right = account.usage

    def wrong(user_id: Any, query: UsageQuery) -> list[UsageRow]:
        return right(user_id, dataclasses.replace(query, since=query.since - timedelta(days=1)))

    patch.setattr(account, "usage", wrong)


def anyone_is_staff(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("chat.run_services._is_staff", lambda _: True)


def output_for_nothing(patch: pytest.MonkeyPatch) -> None:
    right = Rates.cost

    def wrong(rates: Rates, tokens: Tokens) -> Decimal:
        return right(rates, dataclasses.replace(tokens, output=0))

    patch.setattr(Rates, "cost", wrong)


def an_answer_without_figures(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("agents.offline.answer.usage_text", lambda *_, **__: "You spent something.")


def a_plan_without_figures(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("agents.offline.answer.savings_text", lambda _: "Move everything.")


def optimization_before_data(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("agents.offline.delegation.specialist", lambda _: "optimization")


def notes_that_get_lost(patch: pytest.MonkeyPatch) -> None:
    right = RunServicesOfUser.recall

    async def wrong(self: RunServicesOfUser, query: str, limit: int) -> Any:
        found = await right(self, query, limit)
        await database_sync_to_async(Note.objects.all().delete)()
        return found

    patch.setattr(RunServicesOfUser, "recall", wrong)


def everyones_notes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("chat.notes.notes_of", lambda _: Note.objects.order_by("-created_at", "-id"))


@pytest.mark.parametrize(
    ("name", "break_something"),
    [
        ("data-this-week", a_cent_more),
        ("data-this-week", everyones_requests),
        ("data-this-week", a_week_that_begins_on_sunday),
        ("data-this-week", an_answer_without_figures),
        ("data-by-model", a_cent_more),
        ("data-everyone-refused", anyone_is_staff),
        ("optimization-halve", output_for_nothing),
        ("optimization-halve", a_plan_without_figures),
        ("optimization-one-model", output_for_nothing),
        ("triage-spend-and-halve", everyones_requests),
        ("triage-spend-and-halve", optimization_before_data),
        ("assistant-injected-note", notes_that_get_lost),
        ("assistant-recall-of-others", everyones_notes),
        ("assistant-forget-of-others", everyones_notes),
    ],
)
async def test_what_is_broken_is_noticed(
    name: str, break_something: Callable[[pytest.MonkeyPatch], None], evaluation: Evaluation, monkeypatch: Any
) -> None:
    [question] = [question for question in QUESTIONS if question.id == name]
    history = await database_sync_to_async(write_history)()
    break_something(monkeypatch)
    asked = await evaluation.ask(question, history)
    assert await database_sync_to_async(problems_of)(asked)
