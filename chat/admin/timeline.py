"""The events of a run, a page at a time: what happened when, and for who may read it what was in it."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

from django.db import connection
from django.http import QueryDict

from chat.admin.rows import size
from chat.models import Run

PER_PAGE = 100
# Of an event's JSON so much stands in the page; the rest is behind a link of its own.
JSON_CHARACTERS = 8000
EXCERPT_CHARACTERS = 200
# Pieces of text and of reasoning: most of a run's events, and the least told of it.
PIECES = ("agent_response_chunk", "agent_thinking")

# What an event says that nobody wrote. The rest of it does not leave the database for who may not read it.
_FACTS = (
    *("model", "attempt", "step", "tool", "subagent", "duration_ms", "approved", "by", "expires_in"),
    *("error_code", "retryable", "correlation_id", "limit_tokens", "estimated_tokens"),
    *("kept_messages", "dropped_messages", "shortened_results"),
)
_PAGE: LiteralString = """
    SELECT seq, type, agent, created_at, octet_length(data::text),
           (SELECT jsonb_object_agg(key, value) FROM jsonb_each(data) WHERE key = ANY(%(facts)s)),
           data->'usage',
           CASE WHEN %(reads)s THEN left(COALESCE(data->>'text', data#>>'{message,content}', data->>'error_message',
               data->>'error', data->>'result', data->>'arguments', data->>'reason'), %(excerpt)s) END,
           CASE WHEN %(reads)s THEN left(data::text, %(characters)s + 1) END,
           whole_result IS NOT NULL
    FROM chat_runevent WHERE run_id = %(run)s AND seq > %(after)s AND seq < %(before)s
      AND (NOT %(steps)s OR type <> ALL(%(pieces)s))
"""
_FORWARD: LiteralString = _PAGE + " ORDER BY seq LIMIT %(limit)s"
_BACKWARD: LiteralString = _PAGE + " ORDER BY seq DESC LIMIT %(limit)s"
_BEYOND = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """`since` is the time from the run's beginning. `excerpt` and `json` are None for who may not read them; `json` is
    None also when it is too long to stand here (`is_cut`).
    """

    seq: int
    type: str
    agent: str
    at: datetime.datetime
    since: datetime.timedelta
    size: str
    facts: str
    excerpt: str | None
    json: str | None
    is_cut: bool
    is_void: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Some events in order. `earlier` and `later` are the seqs before and after which there are more, or None."""

    events: list[TimelineEvent]
    earlier: int | None
    later: int | None
    steps_only: bool


def timeline(run: Run, asked: Mapping[str, Any], *, reads: bool) -> Timeline:
    """A page of it: `after` or `before` a seq, or from the beginning; with `steps`, without pieces of text."""
    after, before = _number(asked.get("after")), _number(asked.get("before"))
    backward, steps = before is not None, bool(asked.get("steps"))
    values: dict[str, Any] = {
        "run": run.id,
        "after": after or 0,
        "before": before if before is not None else _BEYOND,
        "steps": steps,
        "pieces": list(PIECES),
        "facts": list(_FACTS),
        "reads": reads,
        "excerpt": EXCERPT_CHARACTERS,
        "characters": JSON_CHARACTERS,
        "limit": PER_PAGE + 1,
    }
    with connection.cursor() as cursor:
        cursor.execute(_BACKWARD if backward else _FORWARD, values)
        rows = cursor.fetchall()
    has_more = len(rows) > PER_PAGE
    events = [_event(run, row) for row in rows[:PER_PAGE]]
    if backward:
        events.reverse()
    is_first, is_last = (not has_more, False) if backward else (not after, not has_more)
    return Timeline(
        events=events,
        earlier=events[0].seq if events and not is_first else None,
        later=events[-1].seq if events and not is_last else None,
        steps_only=steps,
    )


def shown(run: Run, asked: QueryDict, *, reads: bool) -> dict[str, Any]:
    """The page of it that an address asks for, as its template takes it, and the addresses of the other ones."""
    page = timeline(run, asked.dict(), reads=reads)

    def address(**changed: Any) -> str:
        query = asked.copy()
        for name in ("after", "before"):
            query.pop(name, None)
        for name, value in changed.items():
            query.pop(name, None)
            if value is not None:
                query[name] = str(value)
        return query.urlencode()

    return {
        "timeline": page,
        "last_seq": page.events[-1].seq if page.events else 0,
        "all_query": address(steps=None),
        "steps_query": address(steps=1),
        "first_query": address(),
        "earlier_query": address(before=page.earlier),
        "later_query": address(after=page.later),
        "last_query": address(before=_BEYOND),
    }


def _number(text: Any) -> int | None:
    is_number = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 10
    return min(int(text), _BEYOND) if is_number else None


def _event(run: Run, row: Any) -> TimelineEvent:
    seq, kind, agent, at, length, facts, usage, excerpt, text, has_whole = row
    told = _loaded(facts) or {}
    told |= {name: value for name, value in (_loaded(usage) or {}).items() if value is not None}
    is_cut = has_whole or (text is not None and len(text) > JSON_CHARACTERS)
    return TimelineEvent(
        seq=seq,
        type=kind,
        agent=agent,
        at=at,
        since=at - run.created_at,
        size=size(length),
        facts=", ".join(f"{name.replace('_', ' ')} {_told(value)}" for name, value in told.items()),
        excerpt=excerpt,
        json=json.dumps(json.loads(text), ensure_ascii=False, indent=2) if text is not None and not is_cut else None,
        is_cut=is_cut,
        is_void=1 < seq < run.restart_seq and not kind.startswith("approval_"),
    )


def _loaded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def whole_event(run_id: uuid.UUID, seq: int) -> str | None:
    """All that is kept of an event, as JSON; None when there is none (any more)."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT jsonb_pretty(jsonb_build_object('seq', seq, 'type', type, 'agent', agent, 'data', data)
                      || CASE WHEN whole_result IS NULL THEN '{}'::jsonb
                              ELSE jsonb_build_object('whole_result', whole_result) END)
               FROM chat_runevent WHERE run_id = %s AND seq = %s""",
            [run_id, seq],
        )
        row = cursor.fetchone()
    return row[0] if row else None
