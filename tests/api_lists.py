"""Every list of the API, as a person with many rows asks for it."""

from __future__ import annotations

from chat.api.paging import encode_cursor
from chat.models import Message, Run, Thread
from tests.many_rows import FEW, MANY, NONE, Rows

PAGE = 10


def lists_of(user_id: int, rows: Rows) -> dict[str, str]:
    """Name → path below `/api/`. A page has ten rows; deep means in the middle of all."""
    threads = Thread.objects.filter(user_id=user_id, deleted_at=None, archived_at=None).order_by("-updated_at", "-id")
    deep_thread = threads[threads.count() // 2]
    deep = encode_cursor(deep_thread.updated_at.isoformat(), deep_thread.id)
    way = Message.objects.filter(thread=rows.long_thread).order_by("id")
    middle, first = way[way.count() // 2], way[0]
    runs = Run.objects.filter(user_id=user_id).order_by("run_number")
    deep_run = encode_cursor(runs[runs.count() // 2].run_number)
    messages = f"threads/{rows.long_thread}/messages?limit={PAGE}"
    page = f"limit={PAGE}"
    return {
        "threads": f"threads?{page}",
        "threads, deep": f"threads?{page}&cursor={deep}",
        "threads, archived": f"threads?{page}&archived=true",
        "threads, search: many": f"threads?{page}&search={MANY}",
        "threads, search: many, deep": f"threads?{page}&search={MANY}&cursor={deep}",
        "threads, search: few": f"threads?{page}&search={FEW}",
        "threads, search: none": f"threads?{page}&search={NONE}",
        "messages": messages,
        "messages, deep": f"{messages}&before={encode_cursor(middle.pk)}",
        "messages, of a deep leaf": f"{messages}&leaf={middle.message_id}",
        "messages, first page": f"{messages}&leaf={first.message_id}",
        "messages, many siblings": f"threads/{rows.crowded_thread}/messages?{page}",
        "runs": f"runs?{page}",
        "runs, deep": f"runs?{page}&cursor={deep_run}",
        "runs, of a thread": f"runs?{page}&thread_id={rows.long_thread}",
        "runs, of a thread, few": f"runs?{page}&thread_id={deep_thread.id}",
        "runs, failed": f"runs?{page}&status=failed",
        "runs, waiting": f"runs?{page}&status=awaiting_approval",
        "runs, completed": f"runs?{page}&status=completed",
        "events": f"runs/{rows.waiting_run}/events?{page}",
        "events, deep": f"runs/{rows.waiting_run}/events?{page}&after={rows.events // 2}",
        "approvals": "approvals",
        "approvals of a run": f"runs/{rows.waiting_run}/approvals",
        "usage": "usage",
        **{f"usage by {by}": f"usage?by={by}" for by in ("day", "agent", "model", "thread")},
        "usage by user": "usage?by=user&everyone=true",
        "export, Markdown": f"threads/{rows.long_thread}/export.md",
        "export, JSON": f"threads/{rows.long_thread}/export.json",
        "agents": "agents",
        "tools": "tools",
        "mcp-servers": "mcp-servers",
        "supervisor": "supervisor",
    }
