"""What the API's lists cost, for people with few rows and with many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from chat.branches import NEAREST_SIBLINGS, NEWEST_RUNS
from chat.models import Message, Role
from chat.tokens import AccessToken
from netra.testing import rebuild
from tests.api_lists import lists_of
from tests.chat.costs import queries, rows_read
from tests.many_rows import Rows, write_rows

# What is rolled back stays in tables and indexes for a while, and misleads the planner: here they begin empty.
pytestmark = pytest.mark.usefixtures("transactional_db")

FEW, MANY = 12, 2000
# The person; what is asked for; what belongs to it.
QUERIES = {
    "threads": 4,
    "threads, deep": 4,
    "threads, archived": 4,
    "threads, search: many": 5,
    "threads, search: many, deep": 5,
    "threads, search: few": 5,
    "threads, search: none": 4,
    "messages": 8,
    "messages, deep": 8,
    # One more where a run of the page has its question or answer elsewhere.
    "messages, of a deep leaf": 9,
    "messages, first page": 9,
    "messages, many siblings": 9,
    "runs": 2,
    "runs, deep": 2,
    "runs, of a thread": 2,
    "runs, of a thread, few": 2,
    "runs, failed": 2,
    "runs, waiting": 2,
    "runs, completed": 2,
    "events": 3,
    "events, deep": 3,
    "approvals": 2,
    "approvals of a run": 3,
    "usage": 2,
    "usage by day": 2,
    "usage by agent": 2,
    "usage by model": 2,
    "usage by thread": 2,
    "usage by user": 2,
    "export, Markdown": 8,
    "export, JSON": 7,
    "agents": 1,
    "tools": 1,
    "mcp-servers": 1,
    "supervisor": 3,
}
# These read all that they are about: sums, whole threads, and all texts when they do not have what is looked for.
WHOLE = ("usage", "export", "threads, search: few", "threads, search: none")


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


class Person:
    """Somebody with so many rows of each kind, and what they ask."""

    def __init__(self, name: str, rows: int, **written: Any) -> None:
        self.user = get_user_model().objects.create_user(name, is_staff=True)
        self.rows: Rows = write_rows(self.user.pk, rows, **written)
        self.lists = lists_of(self.user.pk, self.rows)
        self._client = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(self.user)}"})

    def get(self, path: str) -> Any:
        answer = self._client.get(f"/api/{path}")
        assert answer.status_code == 200, (path, answer.content)
        return answer

    def counted(self, count: Callable[[Callable[[], Any]], int]) -> dict[str, int]:
        return {name: count(lambda path=path: self.get(path)) for name, path in self.lists.items()}  # type: ignore[misc]


def test_a_list_costs_as_many_queries_whatever_there_is() -> None:
    few, many = Person("few", FEW), Person("many", MANY)
    assert few.counted(queries) == QUERIES
    assert many.counted(queries) == QUERIES


def test_a_page_reads_what_it_shows_however_much_there_is() -> None:
    read = Person("many", MANY).counted(rows_read)
    too_many = {name: number for name, number in read.items() if number > 400 and not name.startswith(WHOLE)}
    assert too_many == {}
    assert read["threads, search: none"] > MANY, "this is what is counted"


def test_the_newest_branch_through_a_message_costs_two_queries_more_and_reads_what_follows_it() -> None:
    person = Person("many", MANY)
    thread = person.rows.long_thread
    said = Message.objects.filter(thread=thread)

    def through(message: Message) -> Any:
        return person.get(f"threads/{thread}/messages?limit=10&through={message.message_id}")

    first, last = said.earliest("id"), said.latest("id")
    assert queries(lambda: through(first)) == QUERIES["messages"] + 2
    assert MANY < rows_read(lambda: through(first)) < 2 * MANY + 400
    assert rows_read(lambda: through(last)) < 400


def test_few_threads_are_found_among_many_that_are_put_away() -> None:
    read = Person("many", MANY, few_away=False).counted(rows_read)
    assert max(read["threads"], read["threads, archived"]) < 50


def test_of_many_answers_to_one_question_the_nearest_are_named_and_all_can_be_reached() -> None:
    person = Person("many", 301)
    expected = list(
        Message.objects.filter(thread=person.rows.crowded_thread, role=Role.ASSISTANT)
        .order_by("id")
        .values_list("message_id", flat=True)
    )
    seen = [str(expected[0])]
    while True:
        page = person.get(f"threads/{person.rows.crowded_thread}/messages?leaf={seen[-1]}").json()
        question, answer = page["messages"]
        assert question["siblings"] == [question["id"]]
        place = answer["siblings"].index(seen[-1])
        assert place == min(len(seen) - 1, NEAREST_SIBLINGS)
        assert len(answer["siblings"]) - place <= NEAREST_SIBLINGS
        runs = {run["id"]: run["output_message_id"] for run in page["runs"]}
        assert runs[answer["run_id"]] == answer["id"]
        assert question["run_id"] in runs
        assert str(expected[-1]) in runs.values(), "the newest, which may be open"
        assert len(runs) <= NEWEST_RUNS + 2
        if answer["siblings"][place + 1 :] == []:
            break
        seen += answer["siblings"][place + 1 :]
    assert seen == [str(message_id) for message_id in expected]
    assert person.get(f"messages/{seen[150]}").json()["siblings"] == seen[100:200]
