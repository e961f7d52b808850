"""JSON of others is read in one way or refused with a reason, in frames, bodies and streams alike."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from django.test import Client
from rest_framework_simplejwt.tokens import AccessToken

from chat.errors import ChatError, ErrorCode
from chat.protocol import parse_command
from chat.strict_json import MAX_DEPTH, read_json
from netra.testing import Netra


def nested(depth: int, opening: str = "[", closing: str = "]", inside: str = "") -> str:
    return opening * depth + inside + closing * depth


REFUSED = {
    "one level too many": (nested(MAX_DEPTH + 1), "nested too deeply: at most 32"),
    "a value one level too deep": (f'{{"a":{nested(MAX_DEPTH, inside="[1]")}}}', "nested too deeply"),
    "objects": (nested(MAX_DEPTH + 1, '{"a":', "}", "1"), "nested too deeply"),
    "deeper than the reader goes": (nested(100_000), "nested too deeply"),
    "deeper than the reader goes, unclosed": ("[" * 100_000, "nested too deeply"),
    "a name twice": ('{"type": "ping", "type": "ack"}', 'duplicate key "type"'),
    "a name twice, inside": ('{"a": [{"b": 1, "b": 1}]}', 'duplicate key "b"'),
    "a name twice, escaped": ('{"type": 1, "\\u0074ype": 1}', 'duplicate key "type"'),
    "no number": ('{"a": NaN}', "expected value"),
    "infinity": ('{"a": -Infinity}', "not valid JSON"),
    "a float that is too large": ('{"a": [1, 1e999]}', "a number in it is too large"),
    "an integer of 5,000 digits": ('{"a": ' + "9" * 5000 + "}", "number out of range"),
    "half of a character": ('{"a": "\\ud800"}', "not valid JSON"),
    "nothing": ("", "not valid JSON"),
    "more than one value": ("{} {}", "trailing characters"),
    "a long name twice": ('{"' + "n" * 5000 + '": 1, "' + "n" * 5000 + '": 1}', "duplicate key"),
}
READ: dict[str, Any] = {
    "as deep as may be": nested(MAX_DEPTH, inside="1"),
    "a large number": '{"a": ' + "9" * 4000 + "}",
    "brackets in text": json.dumps({"a": nested(5000)}),
    "many, side by side": "[" + ",".join(["[[]]"] * 5000) + "]",
    "small": '{"a": 1e-999, "b": -0.0}',
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_says_why_in_a_few_words(text: str, reason: str) -> None:
    with pytest.raises(ChatError) as refused:
        read_json(text, "The frame")
    assert refused.value.code == ErrorCode.INVALID_JSON
    assert reason in refused.value.message
    assert refused.value.message.startswith("The frame is n")
    assert len(refused.value.message) < 300
    assert refused.value.details == ({"max_depth": 32} if "deeply" in reason else None)


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_what_is_read_is_what_python_reads(text: str) -> None:
    assert read_json(text, "The frame") == json.loads(text)
    assert read_json(text.encode(), "The frame") == json.loads(text)


def test_a_text_that_is_no_unicode_is_refused() -> None:
    for text in ('{"a": "\ud800"}', b'{"a": "\xff"}'):
        with pytest.raises(ChatError, match="INVALID_JSON"):
            read_json(text, "The frame")


def test_a_frame_that_is_refused_costs_no_more_memory_than_it_has() -> None:
    text = nested(30_000)
    tracemalloc.start()
    try:
        with pytest.raises(ChatError, match="deeply"):
            parse_command(text, max_bytes=65_536)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(text)


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_body_is_refused_alike(ann: Any, text: str, reason: str) -> None:
    client = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(ann)}"}, raise_request_exception=False)
    answer = client.post("/api/agents/execute", text or " ", content_type="application/json")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_JSON")
    assert reason in answer.json()["error_message"]


async def test_the_body_of_a_stream_is_refused_alike(netra: Netra) -> None:
    headers = netra.headers(await netra.user("ann"))
    headers += [(b"accept", b"text/event-stream"), (b"content-type", b"application/json"), (b"host", b"testserver")]
    scope = {"type": "http", "method": "POST", "path": "/api/agents/execute", "query_string": b"", "headers": headers}
    for text, reason in (REFUSED["objects"], REFUSED["a name twice"], REFUSED["a float that is too large"]):
        sent: list[dict[str, Any]] = []
        received: list[dict[str, Any]] = [{"type": "http.disconnect"}, {"type": "http.request", "body": text.encode()}]

        async def give(messages: list[dict[str, Any]] = received) -> dict[str, Any]:
            return messages.pop()

        async def take(message: dict[str, Any], told: list[dict[str, Any]] = sent) -> None:
            told.append(message)

        await netra.application(scope, give, take)
        told = json.loads(sent[1]["body"])
        assert (sent[0]["status"], told["error_code"]) == (400, "INVALID_JSON")
        assert reason in told["error_message"]
