"""Frames as types: what is read, refused and written."""

from __future__ import annotations

import datetime
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.errors import ChatError, ErrorCode
from chat.protocol import (
    USER_MESSAGE_TYPES,
    Ack,
    ErrorMessage,
    MessageAccepted,
    Ping,
    Resume,
    StopRun,
    UserMessage,
    error_frame,
    event_json,
    event_text,
    parse_command,
    timestamp,
)

RUN = uuid.uuid4()


def parse(text: str) -> object:
    return parse_command(text, max_bytes=65536)


@pytest.mark.parametrize(
    ("frame", "command"),
    [
        ({"type": "ping", "ref": "1"}, Ping(type="ping", ref="1")),
        ({"type": "stop_run", "run_id": str(RUN)}, StopRun(type="stop_run", run_id=RUN)),
        ({"type": "resume", "cursors": {str(RUN): 3}}, Resume(type="resume", cursors={RUN: 3})),
        ({"type": "ack", "received": 7}, Ack(type="ack", received=7)),
        ({"type": "ping", "unknown": [1]}, Ping(type="ping")),
    ],
)
def test_a_command_is_read_into_its_type(frame: dict[str, object], command: object) -> None:
    assert parse(json.dumps(frame)) == command


@pytest.mark.parametrize("name", USER_MESSAGE_TYPES)
def test_every_earlier_name_of_a_message_is_one(name: str) -> None:
    assert parse(json.dumps({"type": name, "content": "Hi"})) == UserMessage(type="user_message", content="Hi")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", ErrorCode.INVALID_JSON),
        ("{", ErrorCode.INVALID_JSON),
        ("[" * 5000, ErrorCode.INVALID_JSON),
        ('{"type":"ping","ref":NaN}', ErrorCode.INVALID_JSON),
        ('{"type":"ping","ref":"\\ud800"}', ErrorCode.INVALID_JSON),
        ("[]", ErrorCode.INVALID_MESSAGE),
        ("{}", ErrorCode.INVALID_MESSAGE),
        ('{"type":5}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"nothing"}', ErrorCode.UNKNOWN_TYPE),
        ('{"type":"user_message"}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"user_message","content":" \\n"}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"user_message","content":"\\u0000"}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"user_message","content":5}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"user_message","content":"x","attachments":[{}]}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"ack","cursors":{"x":1}}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"ack","received":-1}', ErrorCode.INVALID_MESSAGE),
        ('{"type":"ack","received":1.5}', ErrorCode.INVALID_MESSAGE),
        ("x" * 65537, ErrorCode.MESSAGE_TOO_LARGE),
        ('"' + "é" * 40000 + '"', ErrorCode.MESSAGE_TOO_LARGE),
    ],
)
def test_what_is_no_command_is_refused_with_its_code(text: str, code: ErrorCode) -> None:
    with pytest.raises(ChatError) as refused:
        parse(text)
    assert refused.value.code == code


def test_an_error_names_the_field_and_carries_the_ref() -> None:
    with pytest.raises(ChatError) as refused:
        parse('{"type":"user_message","content":"","ref":"r7"}')
    frame = json.loads(error_frame(refused.value).encode())
    assert frame["error_message"] == "content: must not be empty"
    assert frame["ref"] == "r7"


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_read_or_refused_with_a_code(text: str) -> None:
    try:
        parse(text)
    except ChatError as error:
        assert json.loads(error_frame(error).encode())["error_code"] == error.code


def test_a_frame_begins_with_its_type_and_leaves_out_what_has_no_value() -> None:
    accepted = MessageAccepted(ref="r", thread_id="t", message_id="m", run_id="r", run_number=1)
    assert accepted.encode().startswith('{"type":"message_accepted","ref":"r",')
    assert json.loads(ErrorMessage(error_code=ErrorCode.RUN_NOT_FOUND, error_message="x").encode()) == {
        "type": "error_message",
        "error_code": "RUN_NOT_FOUND",
        "error_message": "x",
    }


def test_an_event_has_the_envelope_of_the_protocol() -> None:
    at = datetime.datetime(2026, 11, 23, 19, 0, 0, 1999, datetime.UTC)
    event = event_json(
        type="agent_started", thread_id="t", run_id="r", run_number=4, seq=2, created_at=at, agent="a", data={"x": "é"}
    )
    assert list(event) == ["type", "thread_id", "run_id", "run_number", "seq", "timestamp", "agent", "data"]
    assert timestamp(at) == "2026-11-23T19:00:00.001Z"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.datetimes(timezones=st.just(datetime.UTC)), st.text(), st.dictionaries(st.text(), _JSON))
def test_an_event_that_is_written_is_the_same(at: datetime.datetime, agent: str, data: dict[str, object]) -> None:
    named = {"type": "agent_started", "thread_id": str(uuid.uuid4()), "run_id": str(uuid.uuid4()), "agent": agent}
    event = event_json(**named, run_number=4, seq=2, created_at=at, data=data)
    text = event_text(**named, run_number=4, seq=2, at=timestamp(at), data=json.dumps(data))
    assert list(json.loads(text).items()) == list(event.items())


@given(st.datetimes(timezones=st.just(datetime.UTC)))
def test_a_time_has_milliseconds_whatever_it_is(at: datetime.datetime) -> None:
    assert timestamp(at) == at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
