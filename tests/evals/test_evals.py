"""Every question of the evaluation, by the offline model, or by the one that `python -m tests.evals` names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.db import connection, connections

from agents.models.choice import Models
from tests.evals import MODEL
from tests.evals.checks import completes
from tests.evals.history import write_history
from tests.evals.questions import QUESTIONS
from tests.evals.runner import Asked, Evaluation, Question


@pytest.fixture
async def evaluation(transactional_db: None, request: pytest.FixtureRequest) -> AsyncIterator[Evaluation]:
    evaluation = Evaluation(Models(default=request.config.stash.get(MODEL, None)))
    yield evaluation
    await evaluation.close()
    await sync_to_async(_clear_jobs)()
    await sync_to_async(connections.close_all)()


def _clear_jobs() -> None:
    """The engine's tables are not Django's to flush."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers, procrastinate_periodic_defers CASCADE")


@pytest.mark.parametrize("question", QUESTIONS, ids=[question.id for question in QUESTIONS])
async def test_question(
    question: Question, evaluation: Evaluation, record_property: Callable[[str, object], None]
) -> None:
    history = await database_sync_to_async(write_history)()
    asked = await evaluation.ask(question, history)
    problems = await database_sync_to_async(problems_of)(asked)
    record_property("problems", "; ".join(problems))
    assert not problems, "\n".join([*problems, f"The answer: {asked.answer}"])


def problems_of(asked: Asked) -> list[str]:
    return [problem for check in (completes, *asked.question.checks) if (problem := check(asked)) is not None]


def test_there_are_enough_questions_and_each_has_a_name_of_its_own() -> None:
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS) >= 60
    assert all(question.checks for question in QUESTIONS)
