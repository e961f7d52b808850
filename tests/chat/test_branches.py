"""A thread is a tree: edited questions and further answers stand beside the earlier ones, which stay readable."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.test import Client

from chat.errors import ChatError
from chat.models import Message
from chat.protocol import MessageAccepted, Regenerate
from chat.threads import ThreadService
from chat.tokens import AccessToken
from netra.testing import rebuild
from tests.chat.holding import answered, chunk, claimed, completed, failed, fresh, posted

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


class Api:
    """What a person asks over REST."""

    def __init__(self, user: Any) -> None:
        self._client = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}"})

    async def __call__(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        def ask() -> tuple[int, Any]:
            if method == "GET":
                answer = self._client.get(f"/api/{path}", query)
            else:
                answer = self._client.generic(method, f"/api/{path}", _json(body), content_type="application/json")
            return answer.status_code, answer.json()

        return await database_sync_to_async(ask)()

    async def said(self, thread_id: str, **query: Any) -> list[str]:
        status, page = await self("GET", f"threads/{thread_id}/messages", **query)
        assert status == 200, page
        return [message["content"] for message in page["messages"]]


def _json(body: Any) -> bytes:
    return json.dumps({} if body is None else body).encode()


@pytest.fixture
def api(ann: Any) -> Api:
    return Api(ann)


async def exchange(service: ThreadService, user: Any, question: str, answer: str, **fields: Any) -> MessageAccepted:
    accepted = await posted(service, user, question, **fields)
    await answered(service.event_log, accepted.run_id, answer)
    return accepted


async def told(service: ThreadService, run_id: str) -> list[str]:
    """The conversation that the holder of a run is given."""
    taken = await service.event_log.claim(run_id)
    assert taken is not None
    return [message["content"] for message in taken[1]]


async def test_another_answer_stands_beside_the_first_and_both_can_be_read(
    service: ThreadService, ann: Any, api: Api
) -> None:
    first = await exchange(service, ann, "Q1", "A1")
    await exchange(service, ann, "Q2", "A2", thread_id=first.thread_id)
    _, page = await api("GET", f"threads/{first.thread_id}/messages")
    q1, a1, _q2, a2 = page["messages"]

    status, accepted = await api("POST", f"messages/{a1['id']}/regenerate", {"agent": "data"})
    assert (status, accepted["message_id"], accepted["run_number"]) == (202, q1["id"], 3)
    assert await api.said(first.thread_id) == ["Q1"], "the newest branch, which has no answer yet"
    taken = await service.event_log.claim(accepted["run_id"])
    assert taken is not None
    assert [message["content"] for message in taken[1]] == ["Q1"]
    await service.event_log.finish(taken[0], completed(), pending=[chunk("A1 again")])

    _, page = await api("GET", f"threads/{first.thread_id}/messages")
    assert [message["content"] for message in page["messages"]] == ["Q1", "A1 again"]
    again = page["messages"][1]
    assert again["siblings"] == [a1["id"], again["id"]]
    assert page["messages"][0]["siblings"] == [q1["id"]]
    assert [run["run_number"] for run in page["runs"]] == [1, 3]
    assert page["runs"][1]["agent"] == "data"
    assert await api.said(first.thread_id, leaf=a2["id"]) == ["Q1", "A1", "Q2", "A2"]
    # What is said next follows the newest branch.
    third = await posted(service, ann, "Q3", thread_id=first.thread_id)
    assert await told(service, third.run_id) == ["Q1", "A1 again", "Q3"]


async def test_an_edited_question_begins_a_branch_beside_the_old_one(
    service: ThreadService, ann: Any, api: Api
) -> None:
    first = await exchange(service, ann, "Q1", "A1")
    second = await exchange(service, ann, "Q2", "A2", thread_id=first.thread_id)
    body = {"content": "Q2, better", "edits": second.message_id}
    status, edited = await api("POST", f"threads/{first.thread_id}/messages", body)
    assert status == 202
    assert await told(service, edited["run_id"]) == ["Q1", "A1", "Q2, better"]
    _, page = await api("GET", f"threads/{first.thread_id}/messages")
    assert [message["content"] for message in page["messages"]] == ["Q1", "A1", "Q2, better"]
    assert page["messages"][2]["siblings"] == [second.message_id, edited["message_id"]]
    assert await api.said(first.thread_id, leaf=second.message_id) == ["Q1", "A1", "Q2"]

    # The first question can be edited, too; and an older branch be continued.
    status, root = await api(
        "POST", f"threads/{first.thread_id}/messages", {"content": "Q1, better", "edits": first.message_id}
    )
    assert await api.said(first.thread_id) == ["Q1, better"]
    old = (await fresh(second.run_id)).output_message
    assert old is not None
    body = {"content": "Q4", "parent_id": str(old.message_id)}
    status, on = await api("POST", f"threads/{first.thread_id}/messages", body)
    assert (status, await api.said(first.thread_id)) == (202, ["Q1", "A1", "Q2", "A2", "Q4"])
    assert (await api("GET", f"messages/{root['message_id']}"))[1]["siblings"] == [
        first.message_id,
        root["message_id"],
    ]
    assert on["thread_id"] == first.thread_id


async def test_the_newest_branch_through_a_message_goes_on_to_its_end(
    service: ThreadService, ann: Any, api: Api
) -> None:
    first = await exchange(service, ann, "Q1", "A1")
    path = f"threads/{first.thread_id}/messages"
    second = await exchange(service, ann, "Q2", "A2", thread_id=first.thread_id)
    await exchange(service, ann, "Q3", "A3", thread_id=first.thread_id)
    more = {"thread_id": first.thread_id, "edits": first.message_id}
    edited = await exchange(service, ann, "Q1, better", "A1, better", **more)
    assert await api.said(first.thread_id) == ["Q1, better", "A1, better"]
    assert await api.said(first.thread_id, through=first.message_id) == ["Q1", "A1", "Q2", "A2", "Q3", "A3"]
    assert await api.said(first.thread_id, through=edited.message_id) == ["Q1, better", "A1, better"]
    # Written in last, there: another answer to the second question, which has none yet, and nothing else.
    await api("POST", f"messages/{second.message_id}/regenerate")
    assert await api.said(first.thread_id, through=first.message_id) == ["Q1", "A1", "Q2"]
    old = (await fresh(second.run_id)).output_message
    assert old is not None
    assert await api.said(first.thread_id, through=old.message_id) == ["Q1", "A1", "Q2", "A2", "Q3", "A3"]
    elsewhere = await exchange(service, ann, "Other", "A")
    status, answer = await api("GET", path, through=elsewhere.message_id)
    assert (status, answer["error_code"]) == (404, "MESSAGE_NOT_FOUND")
    status, answer = await api("GET", path, through=first.message_id, leaf=first.message_id)
    assert (status, answer["error_code"]) == (400, "INVALID_MESSAGE")


async def test_what_waits_follows_the_answer_before_it_even_when_it_is_cancelled(
    service: ThreadService, ann: Any, api: Api
) -> None:
    first = await posted(service, ann, "Q1")
    second = await posted(service, ann, "Q2", thread_id=first.thread_id)
    third = await posted(service, ann, "Q3", thread_id=first.thread_id)
    await api("POST", f"runs/{second.run_id}/cancel")
    await answered(service.event_log, first.run_id, "A1")
    assert await told(service, third.run_id) == ["Q1", "A1", "Q2", "Q3"]
    assert await api.said(first.thread_id) == ["Q1", "A1", "Q2", "Q3"]


async def test_an_answer_made_later_takes_nothing_from_the_old_branch(
    service: ThreadService, ann: Any, api: Api
) -> None:
    first = await posted(service, ann, "Q1")
    await api("POST", f"runs/{first.run_id}/cancel")
    second = await exchange(service, ann, "Q2", "A2", thread_id=first.thread_id)
    status, again = await api("POST", f"runs/{first.run_id}/retry")
    assert status == 202
    await answered(service.event_log, again["run_id"], "A1 at last")
    assert await api.said(first.thread_id) == ["Q1", "A1 at last"]
    assert await api.said(first.thread_id, leaf=second.message_id) == ["Q1", "Q2"]


async def test_pages_go_back_along_one_branch(service: ThreadService, ann: Any, api: Api) -> None:
    first = await exchange(service, ann, "Q1", "A1")
    for number in range(2, 6):
        await exchange(service, ann, f"Q{number}", f"A{number}", thread_id=first.thread_id)
    await posted(service, ann, "Edited", thread_id=first.thread_id, edits=first.message_id)
    leaf = await database_sync_to_async(lambda: str(Message.objects.get(content="A5").message_id))()
    seen: list[str] = []
    query: dict[str, Any] = {"leaf": leaf, "limit": 3}
    while True:
        _, page = await api("GET", f"threads/{first.thread_id}/messages", **query)
        seen = [message["content"] for message in page["messages"]] + seen
        if page["previous"] is None:
            break
        query = {"before": page["previous"], "limit": 3}
    assert seen == [text for number in range(1, 6) for text in (f"Q{number}", f"A{number}")]


async def test_a_question_is_asked_again_only_when_it_is_not_being_answered(
    service: ThreadService, ann: Any, api: Api
) -> None:
    accepted = await posted(service, ann, "Q1")
    for path in (f"messages/{accepted.message_id}/regenerate", f"runs/{accepted.run_id}/retry"):
        status, body = await api("POST", path)
        assert (status, body["error_code"]) == (409, "RUN_ACTIVE")
        assert body["details"] == {"run_ids": [accepted.run_id]}
    held = await claimed(service.event_log, accepted.run_id)
    await service.event_log.finish(held, failed(), pending=[])
    status, retried = await api("POST", f"runs/{accepted.run_id}/retry")
    assert (status, retried["message_id"]) == (202, accepted.message_id)
    await answered(service.event_log, retried["run_id"], "A1")
    status, body = await api("POST", f"runs/{retried['run_id']}/retry")
    assert (status, body["error_code"]) == (409, "RUN_COMPLETED")
    # Whoever did not hear that it was retried, and retries it again, does nothing twice.
    status, body = await api("POST", f"runs/{accepted.run_id}/retry")
    assert (status, body["error_code"]) == (409, "RUN_COMPLETED")
    assert body["details"] == {"run_ids": [retried["run_id"]]}
    # A resend of the first message is still answered with its first run.
    resent = await posted(service, ann, "Q1", thread_id=accepted.thread_id, message_id=accepted.message_id)
    assert resent.run_id == accepted.run_id


@pytest.mark.parametrize("field", ["edits", "parent_id"])
async def test_branches_begin_at_the_persons_own_messages_of_the_thread(
    service: ThreadService, ann: Any, bob: Any, api: Api, field: str
) -> None:
    own = await exchange(service, ann, "Q1", "A1")
    elsewhere = await exchange(service, ann, "Q2", "A2")
    foreign = await exchange(service, bob, "Q3", "A3")
    for message_id in (elsewhere.message_id, foreign.message_id, str(uuid.uuid4())):
        body = {"content": "Here", field: message_id}
        status, answer = await api("POST", f"threads/{own.thread_id}/messages", body)
        assert (status, answer["error_code"]) == (404, "MESSAGE_NOT_FOUND")
    answer_id = str((await fresh(own.run_id)).output_message.message_id)  # type: ignore[union-attr]
    status, answer = await api("POST", f"threads/{own.thread_id}/messages", {"content": "Here", "edits": answer_id})
    assert (status, answer["error_code"]) == (404, "MESSAGE_NOT_FOUND"), "an answer is nobody's to edit"
    both = {"content": "Here", "edits": own.message_id, "parent_id": answer_id}
    status, answer = await api("POST", f"threads/{own.thread_id}/messages", both)
    assert (status, answer["error_code"]) == (400, "INVALID_MESSAGE")
    assert await api.said(own.thread_id) == ["Q1", "A1"]
    status, answer = await api("GET", f"threads/{own.thread_id}/messages", leaf=elsewhere.message_id)
    assert (status, answer["error_code"]) == (404, "MESSAGE_NOT_FOUND")


async def test_another_persons_message_is_not_answered_again(service: ThreadService, ann: Any, bob: Any) -> None:
    foreign = await exchange(service, bob, "Q", "A")
    command = Regenerate(type="regenerate", message_id=uuid.UUID(foreign.message_id))
    with pytest.raises(ChatError, match="MESSAGE_NOT_FOUND"):
        await database_sync_to_async(service.regenerate)(ann.pk, command)
