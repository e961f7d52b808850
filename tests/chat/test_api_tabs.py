"""The same thing asked at once, or twice: by two tabs, a double click, or a client that heard no answer."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.test import Client

from chat.models import Message, MessageFeedback, Run, Thread
from chat.threads import ThreadService
from chat.tokens import AccessToken
from netra.testing import Netra, rebuild, receive, send
from tests.chat.holding import answered, claimed, failed, fresh, posted

pytestmark = pytest.mark.usefixtures("transactional_db")

AT_ONCE = 5
AtOnce = Callable[[list[Callable[[], Any]]], list[Any]]


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


def ask(user: Any, method: str, path: str, body: Any = None, **headers: str) -> Any:
    client = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}", **headers})
    data = json.dumps(body).encode() if body is not None else b""
    return client.generic(method, f"/api/{path}", data, content_type="application/json")


@pytest.fixture
def tabs(ann: Any, at_once: AtOnce) -> Callable[..., Any]:
    """Ann's tabs ask the same at once. Returns their answers."""

    async def all_ask(method: str, path: str, body: Any = None, **headers: str) -> list[Any]:
        one = lambda: ask(ann, method, path, body, **headers)  # noqa: E731
        return await sync_to_async(at_once)([one] * AT_ONCE)

    return all_ask


def told(answers: list[Any]) -> Counter[tuple[int, str | None]]:
    return Counter(
        (answer.status_code, answer.json().get("error_code") if answer.content else None) for answer in answers
    )


async def answer_of(service: ThreadService, user: Any) -> tuple[str, str]:
    """A run and its answer."""
    accepted = await posted(service, user, "Q")
    await answered(service.event_log, accepted.run_id, "A")
    message = (await fresh(accepted.run_id)).output_message
    assert message is not None
    return accepted.run_id, str(message.message_id)


@database_sync_to_async
def runs() -> int:
    return Run.objects.count()


async def test_of_tabs_that_rename_what_they_saw_one_succeeds(service: ThreadService, ann: Any, tabs: Any) -> None:
    thread = await database_sync_to_async(service.create_thread)(ann.pk, "Seen")
    tag = (await sync_to_async(ask)(ann, "GET", f"threads/{thread.id}"))["ETag"]
    answers = await tabs("PATCH", f"threads/{thread.id}", {"title": "New"}, **{"If-Match": tag})
    assert told(answers) == {(200, None): 1, (412, "PRECONDITION_FAILED"): AT_ONCE - 1}


async def test_a_thread_that_was_renamed_meanwhile_is_not_deleted(service: ThreadService, ann: Any, tabs: Any) -> None:
    thread = await database_sync_to_async(service.create_thread)(ann.pk, "Seen")
    tag = (await sync_to_async(ask)(ann, "GET", f"threads/{thread.id}"))["ETag"]
    renamed = await sync_to_async(ask)(ann, "PATCH", f"threads/{thread.id}", {"title": "Precious"})
    assert told(await tabs("DELETE", f"threads/{thread.id}", **{"If-Match": tag})) == {
        (412, "PRECONDITION_FAILED"): AT_ONCE
    }
    answers = await tabs("DELETE", f"threads/{thread.id}", **{"If-Match": renamed["ETag"]})
    assert told(answers) == {(204, None): 1, (404, "THREAD_NOT_FOUND"): AT_ONCE - 1}


@pytest.mark.parametrize("path", ["agents/execute", "agents/data", "threads/{thread_id}/messages"])
async def test_a_question_with_an_id_is_asked_once(service: ThreadService, ann: Any, tabs: Any, path: str) -> None:
    thread = await database_sync_to_async(service.create_thread)(ann.pk, "")
    message = {"content": "Q"} if "threads" in path else {"message": "Q", "type": "data"}
    answers = await tabs("POST", path.format(thread_id=thread.id), message | {"message_id": str(uuid.uuid4())})
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == len({answer["Location"] for answer in answers}) == 1
    assert await runs() == 1
    assert await database_sync_to_async(Thread.objects.count)() == (1 if "threads" in path else 2)


async def test_a_double_click_on_regenerate_makes_one_answer(service: ThreadService, ann: Any, tabs: Any) -> None:
    run_id, answer = await answer_of(service, ann)
    answers = await tabs("POST", f"messages/{answer}/regenerate", {})
    assert told(answers) == {(202, None): 1, (409, "RUN_ACTIVE"): AT_ONCE - 1}
    [begun] = [each.json()["run_id"] for each in answers if each.status_code == 202]
    assert all(each.json()["details"]["run_ids"] == [begun] for each in answers if each.status_code == 409)
    assert await runs() == 2
    assert told([await sync_to_async(ask)(ann, "POST", f"runs/{run_id}/retry")]) == {(409, "RUN_COMPLETED"): 1}


async def test_a_double_click_on_retry_makes_one_run_however_late_the_second_comes(
    service: ThreadService, ann: Any, tabs: Any
) -> None:
    accepted = await posted(service, ann, "Q")
    await service.event_log.finish(await claimed(service.event_log, accepted.run_id), failed(), pending=[])
    answers = await tabs("POST", f"runs/{accepted.run_id}/retry")
    assert told(answers) == {(202, None): 1, (409, "RUN_ACTIVE"): AT_ONCE - 1}
    [begun] = [each.json()["run_id"] for each in answers if each.status_code == 202]
    await answered(service.event_log, begun, "A")
    late = await tabs("POST", f"runs/{accepted.run_id}/retry")
    assert told(late) == {(409, "RUN_COMPLETED"): AT_ONCE}
    assert late[0].json()["details"] == {"run_ids": [begun]}
    assert await runs() == 2


async def test_feedback_from_several_tabs_is_one(service: ThreadService, ann: Any, tabs: Any) -> None:
    _, answer = await answer_of(service, ann)
    answers = await tabs("PUT", f"messages/{answer}/feedback", {"rating": "up", "text": "Good"})
    assert told(answers) == {(200, None): AT_ONCE}
    assert await database_sync_to_async(MessageFeedback.objects.count)() == 1
    assert told(await tabs("DELETE", f"messages/{answer}/feedback")) == {(204, None): AT_ONCE}


async def test_what_the_socket_was_sent_is_not_asked_again_over_rest(netra: Netra) -> None:
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    message_id = str(uuid.uuid4())
    await send(socket, type="user_message", content="What is 6 * 7?", message_id=message_id)
    accepted = await receive(socket, "message_accepted")
    ended = await receive(socket, "agent_completed")
    expected = {name: accepted[name] for name in ("thread_id", "message_id", "run_id", "run_number")}
    same = {"message_id": message_id, "type": "data", "message": "What is 6 * 7?"}
    again = await sync_to_async(ask)(ann, "POST", "agents/execute", same)
    assert (again.status_code, again.json()) == (202, expected | {"allowance": []})
    other = await sync_to_async(ask)(ann, "POST", "agents/execute", same | {"message": "What is 6 * 8?"})
    assert told([other]) == {(409, "MESSAGE_ID_CONFLICT"): 1}
    # And the other way round; an answer's id is taken, too.
    posted = await sync_to_async(ask)(
        ann, "POST", "agents/assistant", {"message": "Hi", "message_id": str(uuid.uuid4())}
    )
    await send(socket, type="user_message", content="Hi", message_id=posted.json()["message_id"])
    assert (await receive(socket, "message_accepted"))["run_id"] == posted.json()["run_id"]
    taken = {"message": "42", "message_id": ended["data"]["message"]["id"]}
    assert told([await sync_to_async(ask)(ann, "POST", "agents/data", taken)]) == {(409, "MESSAGE_ID_CONFLICT"): 1}
    assert await database_sync_to_async(Message.objects.filter(role="user").count)() == 2
