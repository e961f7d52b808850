"""A run event between an agent and the wire: its parts bounded, and its frame. No I/O.

Whatever an agent yields, no event's frame is larger than MAX_EVENT_BYTES; only `message_created`, which no agent makes,
carries a person's message as it came (docs/protocol.md, section 3).
"""

from __future__ import annotations

import bisect
import dataclasses
import datetime
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from agents.events import PendingApproval
from agents.plain import plain_text, plain_value
from chat.delivery import Frame
from chat.protocol import event_json, event_text, timestamp

TERMINAL_TYPES = frozenset({"agent_completed", "agent_error", "agent_cancelled"})

MAX_EVENT_BYTES = 128 * 1024
MAX_TEXT_BYTES = 64 * 1024
MAX_VALUE_BYTES = 16 * 1024
MAX_KEPT_BYTES = 1024 * 1024
PREVIEW_BYTES = 4 * 1024
MAX_ERROR_BYTES = 4 * 1024
MAX_NAME = 200
MAX_AGENT_NAME = 64
MAX_ERROR_CODE = 40

# Where the whole is to be seen of what an event has only the beginning of.
_HREFS = {
    "tool_completed": "events/{seq}/result",
    "subagent_completed": "events/{seq}/result",
    "approval_required": "approvals",
}

CUT = "… [cut]"
NO_JSON = "[a value that is no JSON]"


@dataclass(frozen=True, slots=True)
class Event:
    """An event before it has a number. `whole_result` is the JSON of a result of which `data` has the beginning."""

    type: str
    agent: str
    data: dict[str, Any]
    created_at: datetime.datetime
    whole_result: str | None = None


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def numbered_event(run_id: Any, run_number: int, thread_id: Any, seq: int, event: Event) -> dict[str, Any]:
    """An event of a run as it is on the wire."""
    return event_json(
        type=event.type,
        thread_id=str(thread_id),
        run_id=str(run_id),
        run_number=run_number,
        seq=seq,
        created_at=event.created_at,
        agent=event.agent,
        data=_with_href(run_id, seq, event.type, event.data),
    )


def event_frame(run_id: Any, run_number: int, thread_id: Any, seq: int, event: Event) -> Frame:
    """The numbered, encoded form of an event."""
    return stored_event_frame(
        run_id,
        run_number,
        thread_id,
        seq,
        kind=event.type,
        agent=event.agent,
        data=_json(event.data),
        at=timestamp(event.created_at),
    )


def stored_event_frame(
    run_id: Any,
    run_number: int,
    thread_id: Any,
    seq: int,
    *,
    kind: str,
    agent: str,
    data: str,
    at: str,
) -> Frame:
    """The same of one whose `data` is JSON already, and whose time is written, as in the log: most of it need not be
    read to be replayed.
    """
    # PostgreSQL writes 1e-300 in 302 digits: what is much of that is written anew.
    if len(data) > MAX_TEXT_BYTES or (kind in _HREFS and '"truncated"' in data):
        data = _json(_with_href(run_id, seq, kind, pydantic_core.from_json(data)))
    text = event_text(
        type=kind,
        thread_id=thread_id,
        run_id=run_id,
        run_number=run_number,
        seq=seq,
        at=at,
        agent=agent,
        data=data,
    )
    return Frame(seq=seq, text=text, terminal=kind in TERMINAL_TYPES)


def _with_href(run_id: Any, seq: int, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """What the event tells, and where the whole is, if it has only the beginning."""
    if kind not in _HREFS or "truncated" not in data:
        return data
    href = f"/api/runs/{run_id}/{_HREFS[kind].format(seq=seq)}"
    return {**data, "truncated": {**data["truncated"], "href": href}}


def bounded_event(type_: str, agent: str, data: Mapping[str, Any]) -> Event:
    """What an agent yielded, as the log takes it: plain JSON, and each part within its bound.

    Text is the caller's to divide, by `text_pieces`.
    """
    bounded: dict[str, Any] = {}
    whole_result = None
    for name, value in data.items():
        match name:
            case "text":
                bounded[name] = plain_text(value)
            case "result":
                result, whole_result = _bounded_result(_plain_or_not(value))
                bounded |= result
            case "arguments":
                plain = _plain_or_not(value)
                bounded[name] = plain if _size(plain) <= MAX_VALUE_BYTES else _cut(_json(plain), PREVIEW_BYTES)
            case "error":
                bounded[name] = _cut(value, MAX_VALUE_BYTES)
            case "error_message":
                bounded[name] = _cut(value, MAX_ERROR_BYTES)
            case "error_code":
                bounded[name] = bounded_name(value, MAX_ERROR_CODE)
            case _:
                bounded[name] = _named(value)
    return Event(type_, bounded_name(agent, MAX_AGENT_NAME), bounded, now(), whole_result)


def approval_required(approval: PendingApproval, expires_in: float) -> Event:
    """The event that asks a person. Arguments that are too large for it are to be seen where `truncated` says."""
    event = bounded_event(
        "approval_required",
        approval.agent,
        {
            "tool_call_id": approval.tool_call_id,
            "tool": approval.tool,
            "arguments": approval.arguments,
            **({"within": approval.within} if approval.within is not None else {}),
        },
    )
    size = _size(_plain_or_not(approval.arguments))
    truncated = {"truncated": {"bytes": size}} if size > MAX_VALUE_BYTES else {}
    return dataclasses.replace(event, data={**event.data, "expires_in": round(expires_in), **truncated})


def answer_json(message_id: Any, content: str) -> dict[str, Any]:
    """The answer in a terminal event. A long one is not repeated there: it is the text of the run's chunks."""
    message = {"id": str(message_id), "role": "assistant", "content": content}
    if (size := _size(content)) > MAX_TEXT_BYTES:
        del message["content"]
        return {**message, "truncated": {"bytes": size}}
    return message


def text_pieces(text: str) -> Iterator[str]:
    """The text in pieces of which none takes more than MAX_TEXT_BYTES of JSON."""
    start = len(piece := beginning(text, MAX_TEXT_BYTES))
    yield piece
    while start < len(text):
        piece = beginning(text[start : start + MAX_TEXT_BYTES], MAX_TEXT_BYTES)
        start += len(piece)
        yield piece


def beginning(text: str, limit: int) -> str:
    """As much of a plain text as takes at most `limit` bytes of JSON."""
    # A character takes at least a byte, and the quotes take two.
    text = text[: limit - 2]
    if _size(text) <= limit:
        return text
    end = bisect.bisect_right(range(len(text) + 1), limit, key=lambda length: _size(text[:length])) - 1
    return text[:end]


def bounded_name(text: str, limit: int = MAX_NAME) -> str:
    """A name within its bound; of two that differ, what is left of them differs, too."""
    text = plain_text(text)
    if len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: limit - len(digest) - 1]}…{digest}"


def _size(value: Any) -> int:
    return len(pydantic_core.to_json(value))


def _json(value: Any) -> str:
    return pydantic_core.to_json(value).decode()


def _bounded_result(result: Any) -> tuple[dict[str, Any], str | None]:
    """What an event says of a result, and the JSON that is kept beside it when that is only the beginning."""
    size = _size(result)
    if size <= MAX_VALUE_BYTES:
        return {"result": result}, None
    text = result if isinstance(result, str) else _json(result)
    kept = _json(result) if size <= MAX_KEPT_BYTES else _json(beginning(text, MAX_KEPT_BYTES))
    truncated = {"bytes": size} if size <= MAX_KEPT_BYTES else {"bytes": size, "kept_bytes": len(kept.encode())}
    return {"result": beginning(text, PREVIEW_BYTES), "truncated": truncated}, kept


def _cut(text: str, limit: int) -> str:
    text = plain_text(text)
    kept = beginning(text, limit)
    return text if kept == text else beginning(text, limit - _size(CUT)) + CUT


def _named(value: Any) -> Any:
    """A field that has no bound of its own: names, numbers, and objects of these."""
    if isinstance(value, str):
        return bounded_name(value)
    if isinstance(value, Mapping):
        return {name: _named(item) for name, item in value.items()}
    return _plain_or_not(value)


def _plain_or_not(value: Any) -> Any:
    try:
        return _as_stored(plain_value(value))
    except ValueError:
        return NO_JSON


def _as_stored(value: Any) -> Any:
    """A JSON value as JSONB gives it back: numbers have no exponent there, so a large one has many digits."""
    match value:
        case float() if abs(value) >= 1e16:
            return int(value)
        case dict():
            return {name: _as_stored(item) for name, item in value.items()}
        case list():
            return [_as_stored(item) for item in value]
        case _:
            return value
