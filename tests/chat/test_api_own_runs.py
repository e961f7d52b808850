"""A person's runs over REST: listed, read, stopped, asked again."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from chat.models import RunEvent
from chat.threads import ThreadService
from chat.tokens import AccessToken
from netra.testing import rebuild
from tests.chat.holding import answered, posted

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


def ask(user: Any, method: str, path: str, **query: Any) -> tuple[int, Any]:
    client = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}"})
    answer = client.generic(method, f"/api/runs{path}", query_params=query)
    return answer.status_code, answer.json()


asked = database_sync_to_async(ask)


async def test_runs_are_listed_the_newest_first_by_thread_and_by_state(
    service: ThreadService, ann: Any, bob: Any
) -> None:
    one = [await posted(service, ann) for _ in range(3)]
    more = await posted(service, ann, thread_id=one[0].thread_id)
    foreign = await posted(service, bob)
    await answered(service.event_log, one[0].run_id, "Yes")
    _, body = await asked(ann, "GET", "")
    assert [run["run_number"] for run in body["runs"]] == [4, 3, 2, 1]
    assert body["next"] is None
    _, body = await asked(ann, "GET", "", thread_id=one[0].thread_id)
    assert [run["id"] for run in body["runs"]] == [more.run_id, one[0].run_id]
    _, body = await asked(ann, "GET", "", status="completed")
    assert [run["id"] for run in body["runs"]] == [one[0].run_id]
    _, page = await asked(ann, "GET", "", limit=3)
    _, rest = await asked(ann, "GET", "", limit=3, cursor=page["next"])
    assert [run["run_number"] for run in page["runs"] + rest["runs"]] == [4, 3, 2, 1]
    _, run = await asked(ann, "GET", f"/{one[0].run_id}")
    assert (run["status"], run["usage"]["model"]) == ("completed", "offline")
    for method, path in (
        ("GET", f"/{foreign.run_id}"),
        ("GET", f"/{foreign.run_id}/events"),
        ("GET", f"/{foreign.run_id}/approvals"),
        ("POST", f"/{foreign.run_id}/cancel"),
        ("POST", f"/{foreign.run_id}/retry"),
        ("GET", f"/{uuid.uuid4()}"),
    ):
        status, body = await asked(ann, method, path)
        assert (status, body["error_code"]) == (404, "RUN_NOT_FOUND"), path
    for query in ({"status": "x"}, {"thread_id": "x"}, {"limit": "0"}, {"cursor": "x"}):
        status, body = await asked(ann, "GET", "", **query)
        assert (status, body["error_code"]) == (400, "INVALID_MESSAGE")


async def test_events_come_in_pages_as_they_were_on_the_socket(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    await answered(service.event_log, accepted.run_id, "Yes")
    frames = await service.event_log.read_after(accepted.run_id, 0, limit=100)
    _, body = await asked(ann, "GET", f"/{accepted.run_id}/events")
    assert [event["seq"] for event in body["events"]] == [frame.seq for frame in frames] == [1, 2, 3]
    assert (body["status"], body["last_seq"], body["next"]) == ("completed", 3, None)
    _, first = await asked(ann, "GET", f"/{accepted.run_id}/events", limit=2)
    _, rest = await asked(ann, "GET", f"/{accepted.run_id}/events", after=first["next"])
    assert first["events"] + rest["events"] == body["events"]
    assert (await asked(ann, "GET", f"/{accepted.run_id}/events", after=3))[1]["events"] == []
    await database_sync_to_async(RunEvent.objects.filter(run_id=accepted.run_id, seq__lte=2).delete)()
    status, pruned = await asked(ann, "GET", f"/{accepted.run_id}/events")
    assert (status, pruned["error_code"]) == (410, "EVENTS_PRUNED")


async def test_a_run_is_stopped_once_and_then_tells_how_it_ended(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann)
    for _ in range(2):
        assert await asked(ann, "POST", f"/{accepted.run_id}/cancel") == (
            200,
            {"run_id": accepted.run_id, "status": "cancelled"},
        )
    _, run = await asked(ann, "GET", f"/{accepted.run_id}")
    assert (run["status"], run["cancelled_by"]) == ("cancelled", "user")


async def test_a_list_of_runs_costs_as_many_queries_whatever_its_length(service: ThreadService, ann: Any) -> None:
    def counted() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert ask(ann, "GET", "", limit=200)[0] == 200
        return len(queries)

    first = await posted(service, ann)
    few = await database_sync_to_async(counted)()
    await answered(service.event_log, first.run_id, "Yes")
    for _ in range(8):
        await posted(service, ann)
    assert await database_sync_to_async(counted)() == few == 2
