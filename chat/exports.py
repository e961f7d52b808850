"""A thread as a document: Markdown to read, JSON to keep."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from chat import branches
from chat.attachments import in_order
from chat.models import Approval, Attachment, Message, Role, Run, RunEvent, Thread

MAX_MESSAGES = 20_000
MAX_SHOWN_RESULT = 2000
_FENCES = re.compile(r"`{3,}")
_HEADLINE = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_UNSAFE = re.compile(r"[^\w\- ]+")


def file_name(thread: Thread, ending: str) -> str:
    """A name that every file system takes."""
    title = "-".join(_UNSAFE.sub(" ", thread.title).split())[:60].strip("-")
    return f"{title.encode('ascii', 'ignore').decode().strip('-') or 'thread'}.{ending}"


def markdown(thread: Thread) -> str:
    """The newest branch of a thread, with what agents did on the way."""
    leaf = branches.end_of(thread)
    messages = branches.way_to(leaf, limit=MAX_MESSAGES) if leaf is not None else []
    is_cut = bool(messages) and messages[0].parent_id is not None
    runs = {run.output_message_id: run for run in branches.runs_of(messages) if run.output_message_id}
    tools = _tools_of(runs.values())
    return "".join(_document(thread, messages, runs, tools, is_cut=is_cut))


def _document(
    thread: Thread,
    messages: Sequence[Message],
    runs: dict[int, Run],
    tools: dict[UUID, list[RunEvent]],
    *,
    is_cut: bool,
) -> Iterator[str]:
    yield f"# {_HEADLINE.sub(' ', thread.title).strip() or 'Untitled'}\n\n"
    if is_cut:
        yield f"*The messages before the last {len(messages)} are not in this file.*\n\n"
    for message in messages:
        run = runs.get(message.pk)
        who = "You" if message.role == Role.USER else (run.agent if run is not None else "Agent")
        yield f"## {who}, {message.created_at:%Y-%m-%d %H:%M} UTC{' (cut short)' if message.partial else ''}\n\n"
        for event in tools.get(run.id, []) if run is not None else []:
            yield from _tool(event)
        yield message.content.rstrip() + "\n\n"
        if files := in_order(message):
            yield "".join(map(_file, files)) + "\n"


def _file(file: Attachment) -> str:
    name = _HEADLINE.sub(" ", file.name).replace("`", "")
    return f"- attached: `{name}` ({file.media_type}, {file.bytes} bytes)\n"


def _tool(event: RunEvent) -> Iterator[str]:
    data = event.data
    failed = "error" in data
    given = data["error"] if failed else data.get("result")
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, indent=2)
    shown = text[:MAX_SHOWN_RESULT] + ("\n…" if len(text) > MAX_SHOWN_RESULT else "")
    # A fence is longer than any inside it.
    fence = "`" * max(3, 1 + max((len(found) for found in _FENCES.findall(shown)), default=0))
    name = _HEADLINE.sub(" ", str(data.get("tool", "")))
    yield f"> `{name.replace('`', '')}` {'failed' if failed else 'gave'}:\n\n{fence}\n{shown}\n{fence}\n\n"


def _tools_of(runs: Any) -> dict[UUID, list[RunEvent]]:
    """What tools gave in the last attempt of each run."""
    restarts = {run.id: run.restart_seq for run in runs}
    found: defaultdict[UUID, list[RunEvent]] = defaultdict(list)
    events = RunEvent.objects.filter(run_id__in=list(restarts), type="tool_completed").order_by("run_id", "seq")
    for event in events.iterator():
        if event.seq > restarts[event.run_id]:
            found[event.run_id].append(event)
    return found


def everything(thread: Thread) -> dict[str, Any]:
    """All branches of a thread: messages, runs, what was asked of the person, and what they thought of answers.

    `truncated`: there is more of some of them, later than what is here.
    """
    of_thread = branches.with_attachments(Message.objects.filter(thread=thread))
    said = of_thread.select_related("parent", "feedback").defer("parent__content")
    messages = said.order_by("run_number", "id")
    runs = branches.without_content(Run.objects.filter(thread=thread)).order_by("run_number")
    approvals = Approval.objects.filter(run__thread=thread).order_by("run__run_number", "id")
    found: dict[str, list[Any]] = {
        "messages": list(messages[: MAX_MESSAGES + 1]),
        "runs": list(runs[: MAX_MESSAGES + 1]),
        "approvals": list(approvals[: MAX_MESSAGES + 1]),
    }
    truncated = any(len(rows) > MAX_MESSAGES for rows in found.values())
    return {name: rows[:MAX_MESSAGES] for name, rows in found.items()} | {"truncated": truncated}
