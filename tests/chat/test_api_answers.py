"""Feedback on answers, and threads as files."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.test import Client

from agents.events import ToolCompleted, event_data
from chat import exports
from chat.models import Thread
from chat.run_event import bounded_event
from chat.threads import ThreadService
from chat.tokens import AccessToken
from netra.testing import rebuild
from tests.chat.holding import answered, chunk, claimed, completed, fresh, posted

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


@database_sync_to_async
def ask(user: Any, method: str, path: str, body: Any = None, **headers: str) -> Any:
    client = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}", **headers})
    data = json.dumps(body).encode() if body is not None else b""
    return client.generic(method, f"/api/{path}", data, content_type="application/json")


async def answer_of(service: ThreadService, user: Any, text: str = "A") -> tuple[str, str, str]:
    """Thread, question and answer."""
    accepted = await posted(service, user, "Q")
    await answered(service.event_log, accepted.run_id, text)
    message = (await fresh(accepted.run_id)).output_message
    assert message is not None
    return accepted.thread_id, accepted.message_id, str(message.message_id)


async def test_what_a_person_thinks_of_an_answer_is_kept_changed_and_taken_back(
    service: ThreadService, ann: Any
) -> None:
    thread_id, _, answer = await answer_of(service, ann)
    path = f"messages/{answer}/feedback"
    assert (await ask(ann, "GET", path)).status_code == 404
    for given in ({"rating": "up", "text": ""}, {"rating": "down", "text": "Wrong: \u202e 42"}):
        put = await ask(ann, "PUT", path, given)
        assert (put.status_code, put.json()) == (200, given)
        assert (await ask(ann, "GET", path)).json() == given
        page = (await ask(ann, "GET", f"threads/{thread_id}/messages")).json()
        assert [message["feedback"] for message in page["messages"]] == [None, given]
    assert (await ask(ann, "DELETE", path)).status_code == 204
    assert (await ask(ann, "DELETE", path)).status_code == 204
    assert (await ask(ann, "GET", path)).json()["error_code"] == "NOT_FOUND"


async def test_only_ones_own_answers_can_be_judged(service: ThreadService, ann: Any, bob: Any) -> None:
    _, question, answer = await answer_of(service, ann)
    for user, message in ((bob, answer), (ann, question), (ann, uuid.uuid4())):
        for method in ("GET", "PUT", "DELETE"):
            refused = await ask(user, method, f"messages/{message}/feedback", {"rating": "up"})
            assert (refused.status_code, refused.json()["error_code"]) == (404, "MESSAGE_NOT_FOUND")


@pytest.mark.parametrize("body", [{}, {"rating": "great"}, {"rating": "up", "text": "x" * 4001}, [], "up", None])
async def test_feedback_that_is_none_is_refused(service: ThreadService, ann: Any, body: Any) -> None:
    _, _, answer = await answer_of(service, ann)
    refused = await ask(ann, "PUT", f"messages/{answer}/feedback", body)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_MESSAGE")


async def test_a_thread_is_a_document_with_what_its_agents_did(service: ThreadService, ann: Any) -> None:
    accepted = await posted(service, ann, "What is in the file?")
    held = await claimed(service.event_log, accepted.run_id)
    gave = ToolCompleted(agent="a", tool_call_id="1", tool="read", duration_ms=1, result="```\nhere\n```")
    await service.event_log.append(held, [bounded_event(gave.type, gave.agent, event_data(gave))])
    await service.event_log.finish(held, completed(), pending=[chunk("It is **here**.")])
    await database_sync_to_async(Thread.objects.filter(id=accepted.thread_id).update)(title='A "file"\r\nX: y/../é')
    file = await ask(ann, "GET", f"threads/{accepted.thread_id}/export.md", Accept="text/html")
    assert file.status_code == 200
    assert file["Content-Type"] == "text/markdown; charset=utf-8"
    assert file["Content-Disposition"] == 'attachment; filename="A-file-X-y.md"'
    text = file.content.decode()
    assert text.startswith('# A "file" X: y/../é\n\n## You, ')
    assert "> `read` gave:\n\n````\n```\nhere\n```\n````\n\nIt is **here**.\n" in text

    kept = (await ask(ann, "GET", f"threads/{accepted.thread_id}/export.json")).json()
    assert [message["content"] for message in kept["messages"]] == ["What is in the file?", "It is **here**."]
    assert kept["messages"][1]["parent_id"] == kept["messages"][0]["id"]
    assert [run["status"] for run in kept["runs"]] == ["completed"]
    assert kept["thread"]["id"] == accepted.thread_id


async def test_a_file_has_all_branches_and_is_nobody_elses(service: ThreadService, ann: Any, bob: Any) -> None:
    thread_id, question, _ = await answer_of(service, ann)
    await posted(service, ann, "Q, better", thread_id=thread_id, edits=question)
    kept = (await ask(ann, "GET", f"threads/{thread_id}/export.json")).json()
    assert [message["content"] for message in kept["messages"]] == ["Q", "A", "Q, better"]
    assert "Q, better" in (await ask(ann, "GET", f"threads/{thread_id}/export.md")).content.decode()
    for ending in ("md", "json"):
        refused = await ask(bob, "GET", f"threads/{thread_id}/export.{ending}")
        assert (refused.status_code, refused.json()["error_code"]) == (404, "THREAD_NOT_FOUND")


async def test_a_file_says_what_it_leaves_out(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MAX_MESSAGES", 2)
    thread_id, *_ = await answer_of(service, ann)
    whole = (await ask(ann, "GET", f"threads/{thread_id}/export.json")).json()
    assert (len(whole["messages"]), whole["truncated"]) == (2, False)
    assert "not in this file" not in (await ask(ann, "GET", f"threads/{thread_id}/export.md")).content.decode()
    await posted(service, ann, "And now?", thread_id=thread_id)
    cut = (await ask(ann, "GET", f"threads/{thread_id}/export.json")).json()
    assert (len(cut["messages"]), cut["truncated"]) == (2, True)
    assert (
        "before the last 2 are not in this file"
        in (await ask(ann, "GET", f"threads/{thread_id}/export.md")).content.decode()
    )


async def test_an_empty_thread_without_a_name_is_a_file_too(service: ThreadService, ann: Any) -> None:
    thread = await database_sync_to_async(service.create_thread)(ann.pk, "")
    file = await ask(ann, "GET", f"threads/{thread.id}/export.md")
    assert (file.content, file["Content-Disposition"]) == (b"# Untitled\n\n", 'attachment; filename="thread.md"')
