"""Whatever a client sends, it is answered with a code, the socket stays open, and the log shows no traceback."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from netra.postgres import EmbeddedPostgres
from tests.clients import Client, Frame, dial
from tests.e2e.conftest import FORMS, new_data_dir, starting
from tests.live import LiveServer

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
    "type given twice": ('{"type": "ping", "type": "shutdown"}', JSON),
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


@dataclass(frozen=True)
class Foreign:
    """What is another user's, and what nobody has."""

    thread_id: str
    run_id: str
    unknown_id: str


@pytest.fixture
async def foreign(server: LiveServer) -> Foreign:
    async with server.connect(server.add_user("bob")) as bob:
        accepted = await bob.post("This is mine.")
        await bob.events(accepted["run_id"])
    return Foreign(accepted["thread_id"], accepted["run_id"], str(uuid.uuid4()))


def without_ref(frame: Frame) -> Frame:
    return {name: value for name, value in frame.items() if name != "ref"}


async def test_what_is_another_users_is_answered_like_what_nobody_has(client: Client, foreign: Foreign) -> None:
    for command, field, identity, error_code in (
        ({"type": "user_message", "content": "Hello!"}, "thread_id", foreign.thread_id, "THREAD_NOT_FOUND"),
        ({"type": "stop_run"}, "run_id", foreign.run_id, "RUN_NOT_FOUND"),
    ):
        theirs = await client.request(**command, **{field: identity})
        nobodys = await client.request(**command, **{field: foreign.unknown_id})
        assert theirs["error_code"] == error_code
        assert without_ref(theirs) == without_ref(nobodys)
    resumed = await client.request(type="resume", cursors={foreign.run_id: 0, foreign.unknown_id: 0}, after_run=0)
    assert set(resumed["gone"]) == {foreign.run_id, foreign.unknown_id}
    assert resumed["runs"] == {}
    await client.send(type="ack", cursors={foreign.run_id: 1})
    await client.ping()
    assert not [frame for frame in client.frames if frame.get("run_id") == foreign.run_id]


async def test_a_message_of_the_greatest_size_is_accepted(client: Client) -> None:
    await client.socket.send(sized(MAX_BYTES))
    assert (await client.receive("message_accepted", "error_message"))["type"] == "message_accepted"
    await client.ping()


async def test_a_message_in_many_fragments_is_one_message(client: Client) -> None:
    await client.socket.send(iter(message()))
    assert (await client.receive("message_accepted", "error_message"))["type"] == "message_accepted"
    await client.ping()


@pytest.mark.parametrize(
    "fields",
    [
        {"unknown": {"a": [1, None]}, "user_id": 1, "role": "system"},
        {"content": "\U0001f469\u200d\U0001f680 e\u0301 \u202eabc \ufeff \x7f \x1b[31m"},
        {"content": "'; DROP TABLE chat_run; --"},
        {"content": "<script>alert(1)</script>"},
        {"attachments": []},
        {"attachments": None, "agent": None, "thread_id": None},
    ],
)
async def test_what_only_looks_bad_is_accepted(client: Client, fields: dict[str, object]) -> None:
    reply = await client.request(**{"type": "user_message", "content": "Hello!", **fields})
    assert reply["type"] == "message_accepted"
    [question, *_] = await client.events(reply["run_id"])
    assert question["data"]["message"]["content"] == fields.get("content", "Hello!")
    assert question["data"]["message"]["role"] == "user"


async def test_a_message_id_used_for_other_content_is_a_conflict(client: Client) -> None:
    message_id = str(uuid.uuid4())
    first = await client.request(type="user_message", content="one", message_id=message_id)
    again = await client.request(type="user_message", content="one", message_id=message_id.upper())
    other = await client.request(type="user_message", content="two", message_id=message_id)
    assert without_ref(first) == without_ref(again)
    assert other["error_code"] == "MESSAGE_ID_CONFLICT"
    await client.ping()


async def test_an_error_carries_the_ref_of_what_it_answers(client: Client) -> None:
    for frame in ({"type": "shutdown"}, {"type": "user_message"}, {"type": "stop_run", "run_id": SOME_ID}):
        assert (await client.request(**frame))["type"] == "error_message"


# Floods


@pytest.fixture(scope="module")
def idle_data_dir(redis_url: str) -> Iterator[Path]:
    """A database without a worker: what is asked there stays open."""
    for folder in new_data_dir():
        with EmbeddedPostgres(folder):
            yield folder


@pytest.fixture(scope="module", params=FORMS)
def limited(request: pytest.FixtureRequest, idle_data_dir: Path, redis_url: str) -> Iterator[LiveServer]:
    """A server with limits that are soon reached."""
    for start in starting(idle_data_dir, redis_url):
        yield start(
            form=request.param,
            ready=False,
            worker="external",
            user_messages_per_minute=4,
            max_open_runs=2,
            commands_per_minute=600,
        )


async def test_too_many_messages_are_refused_until_a_time_that_is_told(limited: LiveServer) -> None:
    ann, bob = limited.add_users(2)
    async with limited.connect(ann) as client, limited.connect(ann) as other, limited.connect(bob) as neighbour:
        replies = [await client.request(type="user_message", content="Hello!", when_busy="reject") for _ in range(4)]
        assert "RATE_LIMITED" not in [reply.get("error_code") for reply in replies]
        for socket in (client, other):
            reply = await socket.request(type="user_message", content="Hello!")
            assert reply["error_code"] == "RATE_LIMITED"
            assert 0 < reply["retry_after"] <= 60
            await socket.ping()
        assert (await neighbour.request(type="user_message", content="Hello!"))["type"] == "message_accepted"


async def test_too_many_open_runs_are_refused_and_none_is_lost(limited: LiveServer) -> None:
    async with limited.connect(limited.add_user()) as client:
        runs = [(await client.post("help"))["run_id"] for _ in range(2)]
        reply = await client.request(type="user_message", content="help")
        assert (reply["error_code"], reply["details"]) == ("TOO_MANY_RUNS", {"max_open_runs": 2})
        await client.ping()
        assert (await client.request(type="stop_run", run_id=runs[0]))["status"] == "cancelled"
        assert (await client.request(type="user_message", content="help"))["type"] == "message_accepted"


async def test_a_busy_thread_rejects_when_asked_to(limited: LiveServer) -> None:
    async with limited.connect(limited.add_user()) as client:
        accepted = await client.post("help")
        fields = {"thread_id": accepted["thread_id"], "when_busy": "reject"}
        reply = await client.request(type="user_message", content="help", **fields)
        assert (reply["error_code"], reply["details"]) == ("RUN_ACTIVE", {"run_ids": [accepted["run_id"]]})
        await client.ping()


async def test_too_many_frames_are_refused_and_after_a_pause_the_socket_is_served(limited: LiveServer) -> None:
    async with limited.connect(limited.add_user()) as client, limited.connect(limited.add_user()) as neighbour:
        for _ in range(605):
            await client.send(type="ack")
        answer = await client.receive("error_message")
        await neighbour.ping()
        while answer["type"] != "pong":
            assert answer["error_code"] == "RATE_LIMITED"
            assert 0 < answer["retry_after"] <= 0.1
            await asyncio.sleep(answer["retry_after"])
            await client.send(type="ping")
            answer = await client.receive("pong", "error_message")


# Faults of the server


@pytest.fixture(scope="module")
def faulty(shared_data_dir: Path, redis_url: str, daphne: LiveServer) -> Iterator[LiveServer]:
    for start in starting(shared_data_dir, redis_url, expects_traceback=True):
        yield start(form="daphne", application="tests.e2e.applications.with_faults:application")


async def test_a_handler_that_fails_answers_with_an_id_that_is_in_the_log(faulty: LiveServer) -> None:
    async with faulty.connect(faulty.add_user()) as client:
        reply = await client.request(type="user_message", content="fail")
        assert reply["error_code"] == "INTERNAL_ERROR"
        assert "injected" not in json.dumps(reply)
        [line] = [line for line in faulty.log_text().splitlines() if reply["details"]["correlation_id"] in line]
        assert "handler_failed" in line
        await client.ping()
        assert "42" in (await client.ask("What is 6 * 7?"))[-1]["data"]["message"]["content"]


@pytest.mark.parametrize(("name", "missing"), [("broken", "connection"), ("slow", "database")])
async def test_a_greeting_that_fails_or_is_late_is_a_coded_refusal_within_two_seconds(
    faulty: LiveServer, name: str, missing: str
) -> None:
    account = faulty.add_user(name)
    began = time.monotonic()
    async with dial(faulty.url, token=account.token()) as client:
        refusal = await client.receive()
        assert time.monotonic() - began < 2
        assert await client.closed() == 4503
    assert (refusal["error_code"], refusal["details"]) == ("SERVICE_UNAVAILABLE", {"missing": [missing]})
    assert client.frames == [refusal]


async def test_a_slow_greeting_delays_nobody_elses(faulty: LiveServer) -> None:
    slow, ann = faulty.add_user("slow"), faulty.add_user()
    async with dial(faulty.url, token=slow.token()) as waiting:
        began = time.monotonic()
        async with faulty.connect(ann) as client:
            assert time.monotonic() - began < 1
            assert "42" in (await client.ask("What is 6 * 7?"))[-1]["data"]["message"]["content"]
        assert (await waiting.receive())["error_code"] == "SERVICE_UNAVAILABLE"
