"""The overview: its figures are those of the database, of now, of today and of the week."""

from __future__ import annotations

import datetime
import re
import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client

from chat.admin.overview import duration
from chat.models import ModelRequest, ProcessKind, Run, ServerProcess
from chat.run_event import now
from netra.testing import rebuild
from tests.chat.administering import RUNS, browser, ended, page, superuser, thread_service
from tests.chat.holding import post

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def root() -> Client:
    return browser(superuser())


def plain(text: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def part(client: Client, title: str) -> str:
    """The text of a section, by its heading."""
    sections = re.findall(r"<section.*?</section>", page(client, "/admin/"), re.DOTALL)
    return next(plain(section) for section in sections if f">{title}</h2>" in section)


def cards(client: Client) -> dict[str, str]:
    found = re.findall(
        r'class="card[^"]*"[^>]*><h2>(.*?)</h2><strong>(.*?)</strong><span>(.*?)</span>', page(client, "/admin/")
    )
    return {title: f"{number} {note}" for title, number, note in found}


def ago(**time: float) -> datetime.datetime:
    return now() - datetime.timedelta(**time)


def asked(user: Any, at: datetime.datetime, cost: str | None = None, **fields: Any) -> None:
    ModelRequest.objects.create(
        user=user,
        agent="assistant",
        model="m",
        outcome=fields.pop("outcome", "completed"),
        input_tokens=1000,
        output_tokens=200,
        cost_usd=cost,
        duration_ms=1,
        started_at=at,
        **fields,
    )


def test_an_empty_server_shows_zeros_and_says_what_there_is_not(root: Client) -> None:
    assert cards(root) == {
        "Running": "0 runs",
        "Queued": "0 runs",
        "Awaiting approval": "0 runs",
        "Workers": "0 seen within 12 s",
        "Connections": "0 to 0 web processes",
        "Last 24 hours": "0 runs, 0 failed",
        "Last 7 days": "0 runs, 0 failed",
    }
    text = plain(page(root, "/admin/"))
    for told in (
        "No run in the last 7 days.",
        "No run has failed.",
        "Nobody has asked a model today.",
        "No process has",
    ):
        assert told in text
    assert "bars by tokens" in text


def test_runs_are_counted_by_state_and_the_oldest_that_waits_is_told(root: Client, ann: Any) -> None:
    ids = [post(thread_service(), ann).run_id for _ in range(4)]
    Run.objects.filter(id=ids[0]).update(status="running")
    Run.objects.filter(id=ids[1]).update(status="awaiting_approval")
    Run.objects.filter(id=ids[2]).update(created_at=ago(minutes=5))
    found = cards(root)
    assert found["Running"] == found["Awaiting approval"] == "1 runs"
    assert found["Queued"] == "2 runs, the oldest for 5 min"


def test_runs_and_failures_are_counted_by_agent_and_time(root: Client, ann: Any) -> None:
    for agent, status, hours in (
        ("assistant", "completed", 1),
        ("assistant", "failed", 23),
        ("assistant", "failed", 25),
        ("data", "completed", 160),
        ("data", "failed", 170),
    ):
        accepted = post(thread_service(), ann)
        ended(accepted.run_id, status, agent=agent, created_at=ago(hours=hours))
    assert part(root, "Runs by agent").endswith("failed assistant 2 1 3 2 data 0 0 1 0")
    assert cards(root)["Last 24 hours"] == "2 runs, 1 failed"
    assert cards(root)["Last 7 days"] == "4 runs, 2 failed"


def test_the_newest_failures_lead_to_their_runs(root: Client, ann: Any) -> None:
    for number in range(10):
        accepted = post(thread_service(), ann)
        ended(accepted.run_id, "failed", error_code="MODEL_ERROR", error_message="zqwhy")
        Run.objects.filter(id=accepted.run_id).update(finished_at=ago(hours=number))
    text = page(root, "/admin/")
    failures = re.search(r'aria-labelledby="failures".*?</section>', text, re.DOTALL)
    assert failures
    numbers = re.findall(rf'<a href="{RUNS}[^"]*">#(\d+)</a>', failures[0])
    assert numbers == [str(number) for number in range(1, 9)]
    assert "zqwhy" not in text


def test_costs_and_tokens_are_summed_by_day_and_person(root: Client, ann: Any) -> None:
    bob = get_user_model().objects.create_user("bob")
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    day = datetime.timedelta(days=1)
    asked(ann, now(), "0.5")
    asked(bob, now(), "1.25", outcome="failed")
    asked(ann, today - day, "2")
    asked(ann, today - 6 * day, "0.005")
    asked(ann, today - 6 * day - datetime.timedelta(seconds=1), "100")
    text = part(root, "Requests to models")
    assert "$1.75 today, 2,400 tokens in 2 requests" in text
    assert "$3.76 in 7 days, 4,800 tokens" in text
    assert f"{today:%a} {today.day} {today:%b} $1.75 2,400 1" in text
    assert "$0.0050 1,200 0" in text
    assert part(root, "Most spent today").endswith("bob 1 1,200 $1.25 ann 1 1,200 $0.50")
    widths = [float(each) for each in re.findall(r'class="bar" x="0" y="1" width="([\d.]+)"', page(root, "/admin/"))]
    assert widths == pytest.approx([0.25, 0, 0, 0, 0, 100, 87.5])


def test_processes_are_those_that_live(root: Client) -> None:
    for kind, connections, runs, seconds in (
        (ProcessKind.WEB, 3, 0, 1),
        (ProcessKind.WORKER, 0, 4, 2),
        (ProcessKind.WEB, 50, 0, 300),
    ):
        ServerProcess.objects.create(
            id=uuid.uuid4(),
            kind=kind,
            version="0.1",
            started_at=ago(hours=3),
            seen_at=ago(seconds=seconds),
            connections=connections,
            runs=runs,
            loop_lag=0.25,
        )
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now()), (now() - interval '1 hour')")
    found = cards(root)
    assert found["Connections"] == "3 to 1 web process"
    assert found["Workers"] == "1 seen within 12 s"
    text = part(root, "Processes")
    assert "web 0.1 3 h 3 0 250 ms" in text
    assert "worker 0.1 3 h 0 4 250 ms" in text
    assert "50" not in text.replace("250", "")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 days"),
    ],
)
def test_a_time_is_told_in_one_unit(seconds: int, told: str) -> None:
    assert duration(datetime.timedelta(seconds=seconds)) == told
