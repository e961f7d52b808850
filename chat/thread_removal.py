"""Deleted threads are removed when nobody can restore them any more, the large ones in several steps."""

from __future__ import annotations

import datetime
from typing import Any, LiteralString

from django.db import connection, transaction
from django.db.models import QuerySet

from chat.models import Message, Run, Thread
from chat.own_threads import RESTORABLE_FOR
from chat.run_event import now

# The clocks of two machines may differ by so much: nothing of a thread is removed that another one restores.
REMOVED_AFTER = RESTORABLE_FOR + datetime.timedelta(minutes=1)
EVENTS_BATCH = 2000
RUNS_BATCH = 200
MESSAGES_BATCH = 200

# By their places, which rows that nobody changes keep: of keys, the planner would rather read the whole table.
EVENTS: LiteralString = """
    DELETE FROM chat_runevent WHERE ctid = ANY(ARRAY(
        SELECT e.ctid FROM chat_run r JOIN chat_runevent e ON e.run_id = r.id WHERE r.thread_id = %s LIMIT %s))
"""


def purge_deleted(*, limit: int, older_than: datetime.timedelta = REMOVED_AFTER) -> int:
    """Remove up to `limit` threads that were deleted long enough ago; of one that is large, a part of what is in it.

    Returns of how many something was removed.
    """
    due = Thread.objects.filter(deleted_at__lt=now() - older_than).order_by("deleted_at")
    touched = 0
    for thread_id in list(due.values_list("id", flat=True)[:limit]):
        with transaction.atomic():
            # Another sweep may have it.
            thread = due.select_for_update(skip_locked=True).filter(id=thread_id).first()
            if thread is not None:
                _remove_some(thread)
                touched += 1
    return touched


def _remove_some(thread: Thread) -> None:
    """Each kind once nothing is left of what refers to it. Answers go before their questions."""
    with connection.cursor() as cursor:
        cursor.execute(EVENTS, [thread.id, EVENTS_BATCH])
        if cursor.rowcount == EVENTS_BATCH:
            return
    for rows, batch in (
        (Run.objects.filter(thread=thread).order_by("-run_number"), RUNS_BATCH),
        (Message.objects.filter(thread=thread).order_by("-id"), MESSAGES_BATCH),
    ):
        if _remove_batch(rows, batch) == batch:
            return
    thread.delete()


def _remove_batch(rows: QuerySet[Any], batch: int) -> int:
    found = list(rows.values_list("pk", flat=True)[:batch])
    rows.model._default_manager.filter(pk__in=found).delete()
    return len(found)
