"""What AG-UI's clients ask for: what is read of it, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chat.ag_ui import Asked, parse_input
from chat.errors import ChatError, ErrorCode
from tests.ag_ui_runs import USER, Json, asked, run_input
from tests.delivery_recorder import name_id

RUN_ID = name_id("run-1")


def refused(body: Any) -> ChatError:
    with pytest.raises(ChatError) as caught:
        parse_input(body, kept_bytes=1000).command(1)
    return caught.value


def test_the_newest_question_is_all_that_is_read_of_the_history() -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "6 * 7?"}]
    image = {"type": "image", "source": {"type": "url", "value": "https://example.org/x.png"}}
    given = asked(
        messages=[
            {"id": "1", "role": "system", "content": "Obey."},
            {"id": "2", "role": "user", "content": [image]},
            {"id": "3", "role": "assistant", "content": "I obey."},
            {"id": "4", "role": "user", "content": parts},
        ]
    )
    command = given.command(1, agent="assistant")
    assert command is not None
    assert (command.content, command.agent, given.thread, given.run) == (
        "What is\n6 * 7?",
        "assistant",
        "a thread",
        "stream-1",
    )
    assert (given.answers, given.unread, given.history.is_outrun) == ((), (), False)


def test_a_name_means_the_same_for_the_same_person_and_nothing_to_another() -> None:
    def names(user: int, **fields: Any) -> tuple[Any, Any]:
        given = asked(**fields)
        command = given.command(user)
        assert command is not None
        return given.thread_id(user), command.message_id

    assert names(1) == names(1)
    assert not set(names(1)) & set(names(2))
    assert not set(names(1)) & set(names(1, threadId="another thread"))
    uuid = "0b5dcaa1-05ef-5242-9ee6-1a8cfeaaefc1"
    assert str(names(1, messages=[{**USER, "id": uuid}])[1]) == uuid


def test_what_a_client_offers_and_nobody_uses_is_named() -> None:
    tool = {"name": "navigate", "description": "Go elsewhere"}
    given = asked(
        tools=[tool], context=[{"description": "page", "value": "x"}], state={"a": 1}, forwardedProps={"b": 2}
    )
    assert given.unread == ("tools", "context", "state", "forwardedProps")
    assert asked(tools=None, context=None, state=None, forwardedProps=None, futureField=1).unread == ()


def test_of_a_long_history_the_newest_messages_are_kept() -> None:
    messages = [{"id": str(number), "role": "user", "content": "x" * 100} for number in range(100)]
    history = parse_input(run_input(messages=messages), kept_bytes=1000).history
    kept = json.loads(history.messages)
    assert 5 <= len(kept) < 10
    assert kept == messages[-len(kept) :]


def test_answers_to_interrupts_are_decisions_about_what_the_server_asked_for() -> None:
    entries = [
        {"interruptId": f"{RUN_ID}:a", "status": "resolved", "payload": {"approved": True}},
        {"interruptId": f"{RUN_ID}:b.2", "status": "resolved", "payload": {"approved": False, "reason": "no"}},
        {"interruptId": f"{RUN_ID}:c:d", "status": "cancelled"},
    ]
    answers = asked(resume=entries).answers
    assert [(a.command.tool_call_id, a.command.approved, a.command.reason, a.abandoned) for a in answers] == [
        ("a", True, "", False),
        ("b.2", False, "no", False),
        ("c:d", False, "", True),
    ]
    assert {str(answer.command.run_id) for answer in answers} == {RUN_ID}


def resolving(payload: Any, name: str = f"{RUN_ID}:a") -> Json:
    return run_input(resume=[{"interruptId": name, "status": "resolved", "payload": payload}])


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ([], "INVALID_MESSAGE", "must be a JSON object"),
        ({}, "INVALID_MESSAGE", "threadId: field required"),
        (run_input(threadId=""), "INVALID_MESSAGE", "threadId: must have 1 to 1000 characters"),
        (run_input(runId="x" * 1001), "INVALID_MESSAGE", "runId: must have 1 to 1000 characters"),
        (run_input(messages=[{"role": "user"}]), "INVALID_MESSAGE", "messages.0.user.id: field required"),
        (run_input(messages=[{"id": "1", "role": "king", "content": "x"}]), "INVALID_MESSAGE", "messages.0: input tag"),
        (run_input(messages=[{**USER, "content": " "}]), "INVALID_MESSAGE", "content: must not be empty"),
        (run_input(messages=[{**USER, "content": "x\x00"}]), "INVALID_MESSAGE", "content: must not contain"),
        (
            run_input(messages=[{**USER, "content": [{"type": "image", "source": {"type": "url", "value": "x"}}]}]),
            "INVALID_MESSAGE",
            "messages: a question is text, and image cannot be taken",
        ),
        (resolving({"approved": "yes"}), "INVALID_MESSAGE", "approved: input should be a valid boolean"),
        (resolving(None), "INVALID_MESSAGE", "resume: a payload is {approved, reason?}"),
        (resolving(True), "INVALID_MESSAGE", "resume: a payload is {approved, reason?}"),
        (
            resolving({"approved": True, "editedArgs": {}}),
            "INVALID_MESSAGE",
            "resume: a payload is {approved, reason?}",
        ),
        (resolving({"approved": True, "reason": "x" * 2001}), "INVALID_MESSAGE", "reason: "),
        (resolving({"approved": True}, "interrupt-1"), "APPROVAL_NOT_FOUND", "There is no such request"),
        (resolving({"approved": True}, RUN_ID), "APPROVAL_NOT_FOUND", "There is no such request"),
        (
            run_input(
                resume=[{"interruptId": f"{name_id(run)}:a", "status": "cancelled"} for run in ("run-1", "run-2")]
            ),
            "INVALID_MESSAGE",
            "resume: the interrupts are not all of one run",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_what_cannot_be_done_is_refused_with_a_code(body: Any, code: str, says: str) -> None:
    error = refused(body)
    assert error.code == ErrorCode(code)
    assert says in error.message


def test_without_a_question_there_is_none() -> None:
    given: Asked = asked(messages=[])
    assert given.question is None
    assert given.command(1) is None
