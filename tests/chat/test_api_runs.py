"""What a tool gave, whole, over REST: for its owner, as long as it is kept."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.test import Client

from agents.events import ToolCompleted, event_data
from chat.models import Run, RunEvent
from chat.retention import prune_events
from chat.run_event import MAX_KEPT_BYTES, bounded_event, now
from chat.threads import ThreadService
from chat.tokens import AccessToken
from netra.testing import rebuild
from tests.chat.holding import claimed, completed, posted

pytestmark = pytest.mark.usefixtures("transactional_db")

LARGE = {"rows": ["é" * 100] * 500}


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


def ask(user: Any, href: str) -> tuple[int, Any]:
    response = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}"}).get(href)
    return response.status_code, response.json()


async def asked(user: Any, href: str) -> tuple[int, Any]:
    return await database_sync_to_async(ask)(user, href)


async def given(service: ThreadService, user: Any, *results: Any, **fields: Any) -> list[dict[str, Any]]:
    """The `tool_completed` events of an ended run with these results."""
    log = service.event_log
    held = await claimed(log, (await posted(service, user)).run_id)
    for place, result in enumerate(results):
        done = ToolCompleted(
            agent="a", tool_call_id=str(place), tool="t", duration_ms=1, **({"result": result} | fields)
        )
        await log.append(held, [bounded_event(done.type, done.agent, event_data(done))])
    await log.finish(held, completed(), pending=[])
    frames = await log.read_after(str(held.id), 1, limit=len(results))
    return [json.loads(frame.text) for frame in frames]


def gone(answer: tuple[int, Any]) -> None:
    status, body = answer
    assert (status, body["error_code"], body["details"]) == (404, "RUN_NOT_FOUND", {})


async def test_the_marker_leads_to_the_whole_result(service: ThreadService, ann: Any) -> None:
    [event] = await given(service, ann, LARGE)
    marker = event["data"]["truncated"]
    assert marker["bytes"] == len(json.dumps(LARGE, ensure_ascii=False, separators=(",", ":")).encode())
    assert await asked(ann, marker["href"]) == (200, {"result": LARGE})


async def test_of_what_is_too_large_to_keep_there_is_the_beginning(service: ThreadService, ann: Any) -> None:
    [event] = await given(service, ann, "x" * 5_000_000)
    marker = event["data"]["truncated"]
    assert (marker["bytes"], marker["kept_bytes"]) == (5_000_002, MAX_KEPT_BYTES)
    status, body = await asked(ann, marker["href"])
    assert (status, body) == (200, {"result": "x" * (MAX_KEPT_BYTES - 2)})


async def test_a_small_result_is_there_too(service: ThreadService, ann: Any) -> None:
    events = await given(service, ann, 42, False, "", [])
    given_back = [await asked(ann, f"/api/runs/{event['run_id']}/events/{event['seq']}/result") for event in events]
    expected: list[Any] = [42, False, "", []]
    assert given_back == [(200, {"result": result}) for result in expected]


async def test_nobody_else_gets_it(service: ThreadService, ann: Any, bob: Any) -> None:
    [event] = await given(service, ann, LARGE)
    gone(await asked(bob, event["data"]["truncated"]["href"]))
    anonymous = await database_sync_to_async(Client().get)(event["data"]["truncated"]["href"])
    assert (anonymous.status_code, anonymous.json()["error_code"]) == (401, "NO_TOKEN")


@pytest.mark.parametrize("seq", [0, 1, 3, 4, 2**31 - 1, 2**31, 10**30])
async def test_there_is_none_where_no_tool_ended(service: ThreadService, ann: Any, seq: int) -> None:
    [event] = await given(service, ann, LARGE)
    gone(await asked(ann, f"/api/runs/{event['run_id']}/events/{seq}/result"))
    gone(await asked(ann, f"/api/runs/{uuid.uuid4()}/events/2/result"))


async def test_a_tool_that_failed_has_no_result(service: ThreadService, ann: Any) -> None:
    [event] = await given(service, ann, None, error="broken")
    gone(await asked(ann, f"/api/runs/{event['run_id']}/events/{event['seq']}/result"))


@pytest.mark.parametrize("address", ["/api/runs/x/events/2/result", f"/api/runs/{uuid.UUID(int=7)}/events/-1/result"])
async def test_an_address_of_another_form_is_nobodys(ann: Any, address: str) -> None:
    status, body = await asked(ann, address)
    assert (status, body["error_code"]) == (404, "NOT_FOUND")


async def test_with_its_thread_or_its_events_it_is_gone(service: ThreadService, ann: Any) -> None:
    [hidden] = await given(service, ann, LARGE)
    await database_sync_to_async(service.delete_thread)(ann.pk, uuid.UUID(hidden["thread_id"]))
    gone(await asked(ann, hidden["data"]["truncated"]["href"]))

    [pruned] = await given(service, ann, LARGE)
    longer_ago = now() - datetime.timedelta(days=2)
    await database_sync_to_async(lambda: Run.objects.filter(id=pruned["run_id"]).update(finished_at=longer_ago))()
    await database_sync_to_async(lambda: prune_events(before=now() - datetime.timedelta(days=1)))()
    gone(await asked(ann, pruned["data"]["truncated"]["href"]))
    assert await database_sync_to_async(RunEvent.objects.filter(run_id=pruned["run_id"]).exists)() is False
