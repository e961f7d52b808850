"""A thread as its person reads it: one branch, a page of it at a time, each answer with what was done for it.

For who may not read it, the same without a word of it: nothing that people or agents wrote leaves the database.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

from django.db import connection
from django.template.defaultfilters import linebreaksbr
from django.utils.safestring import SafeString

from chat import branches
from chat.admin.markdown import as_html
from chat.admin.rows import size
from chat.admin.runs import outcome_badge
from chat.attachments import in_order
from chat.models import Attachment, Message, Role, Run, Thread
from chat.run_state import RunState, fold_event, unbegun

PER_PAGE = 20
STEPS_SHOWN = 60
# Steps are looked for among so many events of a run.
EVENTS_SEARCHED = 3_000
TEXT_CHARACTERS = 20_000
VALUE_CHARACTERS = 2_000

_STEP_TYPES = (
    *("tool_executing", "tool_completed", "subagent_started", "subagent_completed"),
    *("approval_required", "approval_resolved", "context_reduced"),
)
_WRITTEN = ("arguments", "result", "error", "error_message", "message", "text", "reason")
# What counts of each run: events after its last restart, and all that people were asked.
_STEPS: LiteralString = """
    SELECT r.id, e.seq, e.type, e.agent, e.created_at, e.data
    FROM chat_run r CROSS JOIN LATERAL (
        SELECT seq, type, agent, created_at, CASE WHEN %(reads)s THEN data ELSE data - %(written)s::text[] END AS data
        FROM chat_runevent
        WHERE run_id = r.id AND seq BETWEEN r.restart_seq - %(window)s AND r.restart_seq + %(window)s
          AND type = ANY(%(types)s) AND (seq > r.restart_seq OR starts_with(type, 'approval_'))
        ORDER BY seq LIMIT %(limit)s) e
    WHERE r.id = ANY(%(runs)s) ORDER BY r.id, e.seq
"""
_SIZES: LiteralString = "SELECT id, octet_length(content) FROM chat_message WHERE id = ANY(%s)"


@dataclass(slots=True)
class Step:
    """`children`: what the agent did that was asked by this tool call."""

    kind: str
    name: str
    agent: str
    status: str
    duration_ms: int | None
    approval: dict[str, Any] | None = None
    arguments: str = ""
    outcome: str = ""
    children: list[Step] = field(default_factory=list)


@dataclass(slots=True)
class Spoken:
    """A message. `text` is None for who may not read it. `outcomes` are of
    the runs that it began and that have no answer."""

    message: Message
    text: str | None
    bytes: str
    is_cut: bool
    files: list[tuple[str, str, str]]
    place: int
    siblings: Sequence[uuid.UUID]
    run: Run | None = None
    outcomes: list[tuple[Run, str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    has_more_steps: bool = False

    @property
    def is_question(self) -> bool:
        return self.message.role == Role.USER

    @property
    def said(self) -> SafeString:
        """An answer as its Markdown says; a question as it was written."""
        text = self.text or ""
        return linebreaksbr(text, autoescape=True) if self.is_question else as_html(text)

    @property
    def before(self) -> uuid.UUID | None:
        return self.siblings[self.place - 2] if self.place > 1 else None

    @property
    def after(self) -> uuid.UUID | None:
        return self.siblings[self.place] if self.place < len(self.siblings) else None


@dataclass(frozen=True, slots=True)
class Conversation:
    """`earlier` is the message before the first of these, None when they begin the thread."""

    spoken: list[Spoken]
    earlier: uuid.UUID | None
    is_end: bool


def conversation(thread: Thread, asked: Mapping[str, str], *, reads: bool) -> Conversation:
    """The end of the newest branch; with `branch`, of the newest one through that message; with `upto`, up to it."""
    newest = branches.end_of(thread)
    leaf = _named(thread, asked.get("upto"))
    if leaf is None and (within := _named(thread, asked.get("branch"))) is not None:
        leaf = branches.end_from(within)
    leaf = leaf or newest
    if leaf is None or newest is None:
        return Conversation([], None, is_end=True)
    messages = branches.way_to(leaf, limit=PER_PAGE)
    spoken = _spoken(messages, reads=reads)
    first = messages[0].parent
    return Conversation(spoken, first.message_id if first is not None else None, is_end=not asked.get("upto"))


def _named(thread: Thread, message_id: str | None) -> Message | None:
    try:
        named = uuid.UUID(message_id or "")
    except ValueError:
        return None
    return Message.objects.filter(thread=thread, user_id=thread.user_id, message_id=named).first()


def _spoken(messages: Sequence[Message], *, reads: bool) -> list[Spoken]:
    siblings = branches.siblings_of(messages)
    runs = branches.runs_of(messages)
    answered = {run.output_message_id: run for run in runs if run.output_message_id}
    unanswered: defaultdict[int, list[Run]] = defaultdict(list)
    for run in runs:
        if run.output_message_id is None:
            unanswered[run.input_message_id].append(run)
    of_message = {message.pk: _runs_at(message, answered, unanswered) for message in messages}
    steps = steps_of([run.id for each in of_message.values() for run in each], reads=reads)
    sizes = _sizes_of(messages)
    found = []
    for message in messages:
        beside, own = siblings[message.pk], answered.get(message.pk)
        done = [steps[run.id] for run in of_message[message.pk] if run.id in steps]
        found.append(
            Spoken(
                message=message,
                text=message.content[:TEXT_CHARACTERS] if reads else None,
                bytes=size(sizes.get(message.pk)),
                is_cut=reads and len(message.content) > TEXT_CHARACTERS,
                files=[_file(file, reads=reads) for file in in_order(message)],
                place=beside.index(message.message_id) + 1 if message.message_id in beside else 1,
                siblings=beside,
                run=own,
                outcomes=[(run, outcome_badge(run)) for run in unanswered[message.pk]],
                steps=[step for each, _ in done for step in each],
                has_more_steps=any(more for _, more in done) or any(map(_is_long, of_message[message.pk])),
            )
        )
    return found


def _runs_at(message: Message, answered: dict[int, Run], unanswered: dict[int, list[Run]]) -> list[Run]:
    """Whose steps stand with the message: of an answer those of its run, of a question those of what has none yet."""
    own = answered.get(message.pk)
    return [own] if own is not None else unanswered.get(message.pk, [])


def _is_long(run: Run) -> bool:
    return run.last_seq - run.restart_seq > EVENTS_SEARCHED


def _sizes_of(messages: Sequence[Message]) -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(_SIZES, [[message.pk for message in messages]])
        return dict(cursor.fetchall())


def _file(file: Attachment, *, reads: bool) -> tuple[str, str, str]:
    return (file.name if reads else "a file", file.media_type, size(file.bytes))


# What agents did


def steps_of(run_ids: Sequence[uuid.UUID], *, reads: bool) -> dict[uuid.UUID, tuple[list[Step], bool]]:
    """Of each run the first STEPS_SHOWN events that are steps, as the chat folds them, and whether there are more."""
    with connection.cursor() as cursor:
        cursor.execute(
            _STEPS,
            {
                "runs": list(run_ids),
                "types": list(_STEP_TYPES),
                "written": list(_WRITTEN),
                "reads": reads,
                "limit": STEPS_SHOWN + 1,
                "window": EVENTS_SEARCHED,
            },
        )
        rows = cursor.fetchall()
    events: defaultdict[uuid.UUID, list[dict[str, Any]]] = defaultdict(list)
    for run_id, seq, kind, agent, at, data in rows:
        loaded = json.loads(data) if isinstance(data, str) else data
        events[run_id].append({"seq": seq, "type": kind, "agent": agent, "timestamp": at, "data": loaded})
    return {run_id: (_folded(each[:STEPS_SHOWN]), len(each) > STEPS_SHOWN) for run_id, each in events.items()}


def _folded(events: Iterable[Mapping[str, Any]]) -> list[Step]:
    run: RunState = unbegun(run_number=0, thread_id=None, status="running")
    for event in events:
        fold_event(run, event)
    approvals = dict(run["approvals"])
    top: list[Step] = []
    by_call: dict[str, Step] = {}
    for folded in run["steps"]:
        call = folded.get("tool_call_id")
        step = _step(folded, approvals.pop(call, None) if call else None)
        if call:
            by_call[call] = step
        within = by_call.get(folded.get("within") or folded.get("parent_tool_call_id") or "")
        (within.children if within is not None and within is not step else top).append(step)
    # What a person was asked for and did not allow, or has not answered yet, was never executed.
    top += [_asked(approval) for approval in approvals.values()]
    return top


def _step(folded: Mapping[str, Any], approval: dict[str, Any] | None) -> Step:
    match folded["kind"]:
        case "subagent":
            name = folded["subagent"]
        case "context":
            name = f"kept {folded['kept_messages']} messages, left out {folded['dropped_messages']}"
        case _:
            name = folded["tool"]
    return Step(
        kind=folded["kind"],
        name=name,
        agent=folded["agent"],
        status=folded.get("status", ""),
        duration_ms=folded.get("duration_ms"),
        approval=approval,
        arguments=_shown(folded.get("arguments")),
        outcome=_shown(folded.get("error", folded.get("result"))),
    )


def _asked(approval: dict[str, Any]) -> Step:
    answered = {None: "waiting", True: "approved", False: "denied"}[approval["approved"]]
    return Step(
        kind="approval",
        name=approval["tool"],
        agent=approval["agent"],
        status=answered,
        duration_ms=None,
        approval=approval,
        arguments=_shown(approval.get("arguments")),
    )


def _shown(value: Any) -> str:
    if value is None or value == {}:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]}… ({len(text)} characters)"
