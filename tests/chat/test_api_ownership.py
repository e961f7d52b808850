"""Whose it is: every operation of the API, asked by its person, by somebody else, by staff, and without a token."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.test import Client

from agents.events import ToolCompleted, event_data
from chat import attachments
from chat.api.documents import openapi
from chat.models import Approval, Attachment, Message, MessageFeedback, Note, Run, Session, Thread
from chat.run_event import bounded_event, now
from chat.threads import ThreadService
from chat.tokens import AccessToken
from netra.testing import rebuild
from tests.answers import operations
from tests.chat.holding import claimed, completed, fresh, posted
from tests.chat.test_api_own_sessions import begun
from tests.chat.test_rotation import claims

pytestmark = pytest.mark.usefixtures("transactional_db")

BODIES: Mapping[str, Any] = {
    "change_thread": {"title": "Mine"},
    "post_message": {"content": "Hello"},
    "regenerate_answer": {},
    "give_feedback": {"rating": "down"},
    "resolve_approval": {"approved": True},
}
# What is named elsewhere than in the path: method, path, body.
ELSEWHERE = [
    ("POST", "/api/agents/execute", {"type": "data", "message": "Hello", "thread_id": "{thread_id}"}),
    ("POST", "/api/agents/data", {"message": "Hello", "thread_id": "{thread_id}"}),
    ("POST", "/api/threads/{own}/messages", {"content": "Hello", "parent_id": "{message_id}"}),
    ("POST", "/api/threads/{own}/messages", {"content": "Hello", "edits": "{question_id}"}),
    ("GET", "/api/threads/{own}/messages?leaf={message_id}", None),
    ("GET", "/api/threads/{own}/messages?through={message_id}", None),
    ("POST", "/api/threads/{own}/messages", {"content": "Hello", "attachments": ["{other_attachment_id}"]}),
]
OWNED = ("thread_id", "message_id", "run_id", "note_id", "attachment_id", "session_id")
NO_NOTE = str(10**9)


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


def named(text: str, ids: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], text)


def owned() -> Iterator[tuple[str, str, Any]]:
    """Every operation on something that belongs to a person: method, path and body, with names for the ids."""
    for method, path, operation in operations(openapi()):
        if any(f"{{{name}}}" in path for name in OWNED):
            yield method, path, BODIES.get(operation["operationId"])
    yield from ELSEWHERE


@dataclass(frozen=True, slots=True)
class Asking:
    """Somebody, or nobody, at the API."""

    user: Any

    def __call__(self, method: str, path: str, body: Any, ids: Mapping[str, str]) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {AccessToken.for_user(self.user)}"} if self.user else {}
        data = named(json.dumps(body), ids).encode() if body is not None else b""
        answer = Client(headers=headers).generic(method, named(path, ids), data, content_type="application/json")
        told = answer.json() if "json" in answer.get("Content-Type", "") else answer.getvalue().decode()
        return answer.status_code, told | {"correlation_id": ""} if isinstance(told, dict) else told


@pytest.fixture
async def ids(service: ThreadService, ann: Any) -> dict[str, str]:
    """Ann's: a thread, an answer with feedback, a run with the result of a tool, one that failed and one that waits."""
    accepted = await posted(service, ann, "Q")
    run = await claimed(service.event_log, accepted.run_id)
    done = ToolCompleted(agent="a", tool_call_id="1", tool="t", duration_ms=1, result="secret")
    await service.event_log.append(run, [bounded_event(done.type, done.agent, event_data(done))])
    await service.event_log.finish(run, completed(), pending=[])
    answer = (await fresh(accepted.run_id)).output_message
    assert answer is not None

    @database_sync_to_async
    def judged_and_asked() -> Note:
        MessageFeedback.objects.create(message=answer, rating="up", updated_at=now())
        Approval.objects.create(
            run_id=accepted.run_id,
            tool_call_id="call",
            agent="a",
            tool="t",
            arguments={},
            created_at=now(),
            expires_at=now(),
        )
        return Note.objects.create(user=ann, content="secret", created_at=now())

    note = await judged_and_asked()
    return {
        "thread_id": accepted.thread_id,
        "message_id": str(answer.message_id),
        "question_id": accepted.message_id,
        "run_id": accepted.run_id,
        "seq": "2",
        "tool_call_id": "call",
        "note_id": str(note.pk),
        "attachment_id": await database_sync_to_async(uploaded)(ann),
        "other_attachment_id": await database_sync_to_async(uploaded)(ann),
        "session_id": str(uuid.UUID(claims((await database_sync_to_async(begun)(ann)).access)["sid"])),
        "own": accepted.thread_id,
    }


def uploaded(user: Any) -> str:
    return str(attachments.store(user.pk, ContentFile(b"secret"), "notes.txt", attachments.DEFAULT_LIMITS).id)


def everything() -> list[Any]:
    kinds = (Thread, Message, MessageFeedback, Run, Approval, Note, Attachment, Session)
    return [list(kind.objects.order_by("pk").values()) for kind in kinds]


@pytest.mark.parametrize("is_staff", [False, True])
async def test_what_is_somebody_elses_is_like_what_there_is_not(ids: dict[str, str], is_staff: bool) -> None:
    def ask_all() -> None:
        other = Asking(get_user_model().objects.create_user("other", is_staff=is_staff))
        at = now()
        own = str(Thread.objects.create(user=other.user, created_at=at, updated_at=at).id)
        nobodys = ids | {name: str(uuid.uuid4()) for name in (*OWNED, "question_id", "other_attachment_id")}
        nobodys |= {"own": own, "note_id": NO_NOTE}
        before = everything()
        for method, path, body in owned():
            status, told = other(method, path, body, ids | {"own": own})
            assert status == 404, (method, path, told)
            assert told["error_code"].endswith("_NOT_FOUND"), (method, path, told)
            assert (status, told) == other(method, path, body, nobodys), (method, path)
        assert everything() == before
        for kind in ("threads", "runs", "approvals", f"runs?thread_id={ids['thread_id']}"):
            _, told = other("GET", f"/api/{kind}", None, {})
            listed = told[kind.partition("?")[0]]
            assert [row["id"] for row in listed] == ([own] if kind == "threads" else [])

    await sync_to_async(ask_all)()


async def test_its_person_may_do_all_of_it(service: ThreadService, ann: Any, ids: dict[str, str]) -> None:
    """So the answers to others are not those to a wrong request."""
    refusals = {
        "/api/runs/{run_id}/retry": "RUN_COMPLETED",
        "/api/runs/{run_id}/approvals/{tool_call_id}": "APPROVAL_NOT_FOUND",  # its time is over
    }

    def ask_all() -> None:
        last = ("DELETE", "/api/threads/{thread_id}")
        for method, path, body in sorted(owned(), key=lambda asked: asked[:2] == last):
            status, told = Asking(ann)(method, path, body, ids)
            assert status < 400 or told["error_code"] in (refusals.get(path), "RUN_ACTIVE"), (method, path, told)
            for open_run in Run.objects.filter(finished_at=None):
                service.stop_run(ann.pk, open_run.id)

    await sync_to_async(ask_all)()
    assert await database_sync_to_async(Thread.objects.get)(deleted_at__isnull=False)


async def test_without_a_token_there_is_nothing(ids: dict[str, str]) -> None:
    def ask_all() -> None:
        for method, path, operation in operations(openapi()):
            if operation["security"]:
                status, told = Asking(None)(method, path, BODIES.get(operation["operationId"]), ids | {"name": "data"})
                assert (status, told["error_code"]) == (401, "NO_TOKEN"), (method, path)

    before = await database_sync_to_async(everything)()
    await sync_to_async(ask_all)()
    assert await database_sync_to_async(everything)() == before
