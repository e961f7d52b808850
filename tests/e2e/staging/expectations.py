"""What the checks ask, and what they expect of every answer."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.clients import TERMINAL, Answer, Frame
from tests.e2e.staging.people import Person
from tests.processes import HOST

# Any model answers the first with a tool, the second at length, the third without a tool, the last with few words.
PRODUCT = "121932631112635269"
TOOL_QUESTION = "What is 123456789 * 987654321?"
LONG_QUESTION = "Help! Explain in at least three hundred words all that you can do for me."
GREETING = "Hello!"
SHORT_QUESTION = "thanks"
CRITICAL_EVENTS = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]


def text_of(events: Sequence[Frame]) -> str:
    """What was said: the concatenation of the chunks."""
    return "".join(event["data"]["text"] for event in events if event["type"] == "agent_response_chunk")


def types_of(events: Sequence[Frame]) -> list[str]:
    return [event["type"] for event in events]


def assert_answered(events: Sequence[Frame]) -> str:
    """The events are those of one whole run that was answered. Returns the answer."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [events[0]["type"], events[-1]["type"]] == ["message_created", "agent_completed"], events[-1]
    assert "agent_started" in types_of(events)
    assert len({event["run_id"] for event in events}) == 1
    answer: str = events[-1]["data"]["message"]["content"]
    assert answer.strip()
    assert answer == text_of(events)
    return answer


def assert_refused(answer: Answer, status: int, error_code: str) -> None:
    """An error as every error of the API is: coded, explained, and to be found in the log."""
    assert (answer.status, answer.body["error_code"]) == (status, error_code), answer.body
    assert answer.body.keys() == {"error_code", "error_message", "details", "correlation_id"}
    assert answer.body["error_message"].strip()
    assert answer.body["correlation_id"] == answer.headers["X-Correlation-Id"]


def accepted(answer: Answer) -> dict[str, Any]:
    """The acceptance of a message that was sent over REST."""
    assert answer.status == 202, answer.body
    body: dict[str, Any] = answer.body
    assert answer.headers["Location"] == f"/api/runs/{body['run_id']}"
    return body


def execute(person: Person, message: str, agent: str = "triage", **fields: object) -> dict[str, Any]:
    return accepted(person.http("POST", "/api/agents/execute", {"type": agent, "message": message, **fields}))


def events_over_rest(person: Person, run_id: str) -> list[Frame]:
    """The log of a run, read page by page."""
    found: list[Frame] = []
    after: int | None = 0
    while after is not None:
        page = person.get(f"/api/runs/{run_id}/events?after={after}&limit=50")
        found += page["events"]
        after = page["next"]
    return found


def messages_over_rest(person: Person, thread_id: str, *, limit: int = 200) -> list[dict[str, Any]]:
    """A thread, read page by page from its end to its beginning; in reading order."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = person.get(f"/api/threads/{thread_id}/messages?limit={limit}{cursor and f'&before={cursor}'}")
        assert len(page["messages"]) <= limit
        found = page["messages"] + found
        cursor = page["previous"]
    return found


async def ended(person: Person, run_id: str) -> dict[str, Any]:
    """The run as REST shows it, once it is open no more."""
    async with person.stream(f"/api/runs/{run_id}/events") as stream:
        if stream.response.status_code == 200:
            assert (await stream.rest())[-1]["type"] in TERMINAL
    run: dict[str, Any] = person.get(f"/api/runs/{run_id}")
    return run


def unknown_id() -> str:
    return str(uuid.uuid4())


# Secrets ------------------------------------------------------------------------------------------------------

_SECRET_NAMES = {
    *("api_key", "apikey", "secret", "secret_key", "password", "authorization", "headers"),
    *("env", "environ", "dsn", "database_url", "redis_url", "command", "args", "url"),
}
_CREDENTIAL = re.compile(r"\bsk-[\w-]{12,}|\w+://[^/\s:@]*:[^/\s@]+@|-----BEGIN|pbkdf2_sha256\$|\beyJ[\w-]+\.eyJ")


def find_secrets(told: Any, known: Sequence[str], where: str = "") -> list[str]:
    """The places in what a server tells that hold a known secret, look like a credential, or are named like one.

    The parameters of a tool are the names that its author gave them.
    """
    match told:
        case dict():
            named = [f"{where}.{name}" for name in told if name.lower() in _SECRET_NAMES]
            inside = [(f"{where}.{name}", value) for name, value in told.items() if name != "parameters"]
            return named + [place for path, value in inside for place in find_secrets(value, known, path)]
        case list():
            return [place for item in told for place in find_secrets(item, known, where)]
        case str() if _CREDENTIAL.search(told) or any(secret in told for secret in known):
            return [where]
        case _:
            return []


# Times --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def bare_server() -> Iterator[str]:
    """An HTTP server on this machine that does nothing but answer, on a thread of its own. Yields its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="bare server")
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(answer, HOST, 0), loop).result()
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def seconds_of(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
