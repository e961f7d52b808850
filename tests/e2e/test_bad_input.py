"""Whatever a client sends, it is answered with a code, the socket stays open, and the log shows no traceback."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.conftest import Start
from tests.live import Client, Form, Frame, LiveServer

MAX_BYTES = 65_536
SOME_ID = "5f0c1f0e-3c5e-4a53-9d0c-3d6f3c1a9a11"


def message(**fields: object) -> str:
    """A `user_message` that only these fields make bad."""
    return json.dumps({"type": "user_message", "content": "Hello!", **fields})


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


def sized(size: int) -> str:
    """A `user_message` of exactly this many bytes, none of which is escaped."""
    rest = len(message(content=""))
    return message(content="x" * (size - rest))


JSON = "INVALID_JSON"
INVALID = "INVALID_MESSAGE"
UNKNOWN = "UNKNOWN_TYPE"
LARGE = "MESSAGE_TOO_LARGE"
BINARY = "BINARY_NOT_SUPPORTED"

BAD: dict[str, tuple[str | bytes, str]] = {
    # No JSON
    "empty": ("", JSON),
    "spaces": ("   ", JSON),
    "a word": ("hello", JSON),
    "an open object": ('{"type": "ping"', JSON),
    "an open string": ('{"type": "ping}', JSON),
    "a closing too much": ('{"type": "ping"}}', JSON),
    "two objects": ('{"type": "ping"} {"type": "ping"}', JSON),
    "a trailing comma": ('{"type": "ping",}', JSON),
    "single quotes": ("{'type': 'ping'}", JSON),
    "bare keys": ('{type: "ping"}', JSON),
    "a comment": ('{"type": "ping"} // hello', JSON),
    "Python's None": ('{"type": "ping", "ref": None}', JSON),
    "NaN": ('{"type": "resume", "after_run": NaN}', JSON),
    "Infinity": ('{"type": "resume", "after_run": -Infinity}', JSON),
    "a leading zero": ('{"type": "resume", "after_run": 01}', JSON),
    "hexadecimal": ('{"type": "resume", "after_run": 0x10}', JSON),
    "a byte order mark": ('\ufeff{"type": "ping"}', JSON),
    "NUL": ("\x00", JSON),
    "a raw NUL in a string": ('{"type": "ping", "ref": "a\x00b"}', JSON),
    "a raw line break in a string": ('{"type": "ping", "ref": "a\nb"}', JSON),
    "an unknown escape": ('{"type": "ping", "ref": "\\x41"}', JSON),
    "a cut escape": ('{"type": "ping", "ref": "\\u00"}', JSON),
    "XML": ("<ping/>", JSON),
    "deep arrays": (nested(30_000), JSON),
    "deep objects": (nested(10_000, '{"a":', "}"), JSON),
    "a deep field": (f'{{"type": "ping", "ref": {nested(20_000)}}}', JSON),
    "a number of many digits": ('{"type": "resume", "after_run": ' + "9" * 60_000 + "}", JSON),
    # No text
    "binary": (b'{"type": "ping"}', BINARY),
    "binary noise": (bytes(range(256)), BINARY),
    "empty binary": (b"", BINARY),
    "ten megabytes of binary": (b"\x00" * 10_000_000, BINARY),
    # Too large
    "one byte too many": (sized(MAX_BYTES + 1), LARGE),
    "few characters of many bytes": (message(content="€" * (MAX_BYTES // 6)).encode().decode("unicode_escape"), INVALID),
    "many bytes in few characters": ('{"type": "ping", "ref": "' + "€" * (MAX_BYTES // 3) + '"}', LARGE),
    "spaces around": ('{"type": "ping"}' + " " * MAX_BYTES, LARGE),
    "ten megabytes": (message(content="x" * 10_000_000), LARGE),
    "ten megabytes of brackets": ("[" * 10_000_000, LARGE),
    # No object, no type, no known type
    "null": ("null", INVALID),
    "true": ("true", INVALID),
    "a number": ("42", INVALID),
    "a string": ('"ping"', INVALID),
    "an array": ('[{"type": "ping"}]', INVALID),
    "no field": ("{}", INVALID),
    "no type": ('{"content": "Hello!"}', INVALID),
    "type null": ('{"type": null}', INVALID),
    "type a number": ('{"type": 7}', INVALID),
    "type a list": ('{"type": ["ping"]}', INVALID),
    "type empty": ('{"type": ""}', UNKNOWN),
    "type unknown": ('{"type": "shutdown"}', UNKNOWN),
    "type in capitals": ('{"type": "PING"}', UNKNOWN),
    "type with NUL": ('{"type": "ping\\u0000"}', UNKNOWN),
    "type very long": ('{"type": "' + "x" * 50_000 + '"}', UNKNOWN),
    "type of the channel layer": ('{"type": "run.events"}', UNKNOWN),
    "type of Channels": ('{"type": "websocket.disconnect"}', UNKNOWN),
    "type of the server": ('{"type": "connection_established"}', UNKNOWN),
    "type given twice": ('{"type": "ping", "type": "shutdown"}', UNKNOWN),
    # user_message
    "no content": ('{"type": "user_message"}', INVALID),
    "content null": (message(content=None), INVALID),
    "content a number": (message(content=7), INVALID),
    "content an object": (message(content={"text": "Hello!"}), INVALID),
    "content empty": (message(content=""), INVALID),
    "content white": (message(content=" \t\n\u00a0\u2003 "), INVALID),
    "content with NUL": (message(content="a\x00b"), INVALID),
    "content with a lone surrogate": (message(content="a\ud800b"), JSON),
    "content with surrogates in the wrong order": (message(content="\udc00\ud800"), JSON),
    "thread_id no UUID": (message(thread_id="1"), INVALID),
    "thread_id a number": (message(thread_id=1), INVALID),
    "thread_id a list": (message(thread_id=[SOME_ID]), INVALID),
    "thread_id with SQL": (message(thread_id="' OR 1=1 --"), INVALID),
    "thread_id unknown": (message(thread_id=SOME_ID), "THREAD_NOT_FOUND"),
    "message_id no UUID": (message(message_id="mine"), INVALID),
    "message_id an object": (message(message_id={}), INVALID),
    "agent unknown": (message(agent="nobody"), "AGENT_NOT_FOUND"),
    "agent empty": (message(agent=""), INVALID),
    "agent a number": (message(agent=3), INVALID),
    "agent too long": (message(agent="a" * 65), INVALID),
    "agent with NUL": (message(agent="a\x00"), INVALID),
    "when_busy unknown": (message(when_busy="never"), INVALID),
    "when_busy a number": (message(when_busy=1), INVALID),
    "attachments": (message(attachments=[{"name": "a.txt"}]), INVALID),
    "attachments an object": (message(attachments={"name": "a.txt"}), INVALID),
    "ref a number": (message(ref=7), INVALID),
    "ref an object": (message(ref={}), INVALID),
    "ref too long": (message(ref="r" * 257), INVALID),
    "ref with NUL": (message(ref="\x00"), INVALID),
    # stop_run
    "run_id missing": ('{"type": "stop_run"}', INVALID),
    "run_id null": ('{"type": "stop_run", "run_id": null}', INVALID),
    "run_id no UUID": ('{"type": "stop_run", "run_id": "all"}', INVALID),
    "run_id unknown": (json.dumps({"type": "stop_run", "run_id": SOME_ID}), "RUN_NOT_FOUND"),
    # resume and ack
    "cursors a list": ('{"type": "resume", "cursors": []}', INVALID),
    "cursors null": ('{"type": "resume", "cursors": null}', INVALID),
    "cursor of no UUID": ('{"type": "resume", "cursors": {"x": 1}}', INVALID),
    "cursor negative": (json.dumps({"type": "resume", "cursors": {SOME_ID: -1}}), INVALID),
    "cursor a fraction": (json.dumps({"type": "resume", "cursors": {SOME_ID: 1.5}}), INVALID),
    "cursor a string": (json.dumps({"type": "resume", "cursors": {SOME_ID: "1"}}), INVALID),
    "cursor true": (json.dumps({"type": "resume", "cursors": {SOME_ID: True}}), INVALID),
    "cursor huge": (json.dumps({"type": "resume", "cursors": {SOME_ID: 2**31}}), INVALID),
    "too many cursors": (
        json.dumps({"type": "resume", "cursors": {str(uuid.UUID(int=n)): 1 for n in range(1001)}}),
        INVALID,
    ),
    "after_run negative": ('{"type": "resume", "after_run": -1}', INVALID),
    "after_run a fraction": ('{"type": "resume", "after_run": 0.5}', INVALID),
    "after_run with an exponent": ('{"type": "resume", "after_run": 1e400}', JSON),
    "after_run huge": ('{"type": "resume", "after_run": 9223372036854775808}', INVALID),
    "ack of a list": ('{"type": "ack", "cursors": [1]}', INVALID),
    "ack of a negative number": (json.dumps({"type": "ack", "cursors": {SOME_ID: -5}}), INVALID),
    "ack received no number": ('{"type": "ack", "received": "all"}', INVALID),
    "ack received huge": ('{"type": "ack", "received": 1e30}', INVALID),
}


@pytest.fixture
async def client(server: LiveServer) -> AsyncIterator[Client]:
    async with server.connect(server.add_user()) as client:
        yield client


async def refused(client: Client, text: str | bytes) -> Frame:
    """The answer to something bad, when the socket has also answered a `ping` after it."""
    seen = len(client.frames)
    await client.socket.send(text)
    await client.ping()
    answers = [frame for frame in client.frames[seen:] if frame["type"] == "error_message"]
    while not answers:
        answers = [await client.receive("error_message")]
    [answer] = answers
    assert answer["error_message"]
    assert len(json.dumps(answer)) < 4096
    return answer


@pytest.mark.parametrize("kind", BAD)
async def test_bad_input_is_answered_with_its_code_and_the_socket_stays_open(client: Client, kind: str) -> None:
    text, error_code = BAD[kind]
    assert (await refused(client, text))["error_code"] == error_code


async def test_all_bad_input_on_one_socket_leaves_it_usable(client: Client) -> None:
    for kind, (text, error_code) in BAD.items():
        assert (await refused(client, text))["error_code"] == error_code, kind
        await client.ack()
    answer = (await client.ask("What is 6 * 7?"))[-1]
    assert "42" in answer["data"]["message"]["content"]
