"""What the pages of the administration cost: as many queries whatever there is, and the rows that a page is full of."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from chat.admin import conversation
from chat.models import Run
from netra.testing import rebuild
from tests.administered_pages import pages_of
from tests.chat.administering import THREADS, browser, page, superuser, supporter
from tests.chat.costs import rows_read
from tests.many_people import write_deployment

# What is rolled back stays in tables and indexes for a while, and misleads the planner: here they begin empty.
pytestmark = pytest.mark.usefixtures("transactional_db")

FEW, MANY = 80, 2400
# Signed in, session and permissions cost two or three of each.
QUERIES = {
    "overview": 9,
    "threads": 5,
    "threads of a week": 5,
    "threads, deleted": 4,
    "threads of a person": 5,
    "threads, search: a person": 9,
    "threads, search: few": 9,
    "threads, search: none": 6,
    "threads, search: an id": 6,
    "a thread": 14,
    "a thread with events": 16,
    "runs": 4,
    "runs of a week": 4,
    "runs, failed": 4,
    "runs, queued": 4,
    "runs, awaiting approval": 4,
    "runs of an agent": 4,
    "runs of an agent, failed": 4,
    "runs by error": 4,
    "runs by another error": 4,
    "runs of a person": 4,
    "runs, search: a person": 5,
    "runs, search: an id": 4,
    "a run": 8,
    "a run of 10,000 events": 8,
    "the same, without pieces": 8,
    "approvals": 5,
    "approvals that wait": 5,
    "feedback": 5,
    "feedback, down": 5,
    "feedback of a person": 6,
    "agents": 2,
    "model requests": 4,
    "model requests, failed": 4,
    "model requests, cancelled": 4,
    "model requests of a person": 5,
    "users": 6,
    "users, search": 6,
    "a user": 15,
    "erasing a user": 11,
    "audit log": 5,
    "audit log, refused": 5,
    "audit log, looks": 5,
    "audit log, of nobody": 4,
    "audit log of a person": 6,
    "audit log about a person": 6,
    "audit log, search": 6,
    "audit log of a week": 5,
}
# These read what they are about: what is searched in, what people did in 30 days, what a person has, a run's events.
WHOLE = (
    *("threads, search: a person", "threads, search: few", "threads, search: none"),
    *("users", "a user", "erasing a user", "feedback of a person", "the same, without pieces", "overview"),
    *("audit log, search", "audit log of a person", "audit log about a person", "a thread"),
)


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


class Administrator:
    """A browser, the pages of so many rows, and what each of them costs."""

    def __init__(self, user: Any, runs: int) -> None:
        self.client: Client = browser(user)
        # Each process asks once: not which of its tests ran before this one is to count.
        ContentType.objects.get_for_model(user)
        # Those of which there are not so many pages here are for the measurement.
        pages = pages_of(write_deployment(runs, events=6))
        self.pages = {name: path for name, path in pages.items() if "deep" not in name}

    def get(self, path: str) -> None:
        answer = self.client.get(f"/admin/{path}")
        assert answer.status_code == 200, (path, answer)

    def queries(self, *names: str) -> dict[str, int]:
        """Without what begins and ends transactions, of which there are fewer within another one."""
        found = {}
        for name in names or self.pages:
            with CaptureQueriesContext(connection) as captured:
                self.get(self.pages[name])
            found[name] = sum(
                not query["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")) for query in captured
            )
        return found


def test_a_page_costs_as_many_queries_with_few_rows() -> None:
    assert Administrator(superuser(), FEW).queries() == QUERIES


def test_with_many_rows_it_costs_as_many_and_reads_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.admin.rows.MOST_COUNTED", 60)
    administrator = Administrator(superuser(), MANY)
    counted: dict[str, int] = {}
    read = {name: rows_read(lambda name=name: counted.update(administrator.queries(name))) for name in QUERIES}  # type: ignore[misc]
    assert counted == QUERIES
    too_many = {name: number for name, number in read.items() if number > 900 and not name.startswith(WHOLE)}
    assert too_many == {}
    assert read["threads, search: none"] > MANY, "this is what is counted"


def test_who_sees_no_content_costs_no_more() -> None:
    administrator = Administrator(supporter(), FEW)
    refused = ("erasing", "audit")
    administrator.pages = {name: path for name, path in administrator.pages.items() if not name.startswith(refused)}
    found = administrator.queries()
    # Those who are not superusers have permissions to be read, and nothing that they look at is told.
    assert {name: number for name, number in found.items() if number > QUERIES[name] + 2} == {}


def test_steps_are_looked_for_among_so_many_events_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "EVENTS_SEARCHED", 100)
    deployment = write_deployment(FEW, events=6)
    client = browser(superuser())
    path = f"{THREADS}{deployment.thread}/change/"
    assert "Further steps" not in page(client, path)
    few = rows_read(lambda: page(client, path))
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO chat_runevent (run_id, seq, type, agent, data, created_at)
               SELECT %s, n, 'agent_response_chunk', 'a', '{"text": "x"}', now() FROM generate_series(41, 20000) n""",
            [deployment.longest_run],
        )
        cursor.execute("ANALYZE")
    Run.objects.filter(id=deployment.longest_run).update(last_seq=20_000)
    assert "Further steps" in page(client, path)
    assert rows_read(lambda: page(client, path)) - few < 400
