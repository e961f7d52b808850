"""The edge `(new) → queued`: a run begins, and with it its question and its thread, where they are new."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from typing import Any, LiteralString

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from chat import jobs, metrics
from chat.models import Message, Role, UserCounters
from chat.publisher import Publisher
from chat.run_event import Event, event_frame
from chat.wake_ups import wake_up

# One statement for all of it: each has its way to the database and back, while a person waits. A question with a key
# is there already; so is a thread that is not new, which comes to the front, and back if it was put away.
_BEGIN: LiteralString = (
    """
    WITH new_thread AS (
        INSERT INTO chat_thread (id, user_id, title, title_origin, created_at, updated_at)
        SELECT %(thread)s, %(user)s, %(title)s, %(title_origin)s, %(at)s, %(at)s WHERE %(is_new_thread)s
    ), thread AS (
        UPDATE chat_thread SET title = %(title)s, title_origin = %(title_origin)s, updated_at = %(at)s,
               archived_at = NULL
        WHERE id = %(thread)s AND NOT %(is_new_thread)s
    ), question AS (
        INSERT INTO chat_message
            (message_id, user_id, thread_id, parent_id, role, content, run_number, partial, created_at)
        SELECT %(message_id)s, %(user)s, %(thread)s, %(parent)s, 'user', %(content)s, %(run_number)s, false, %(at)s
        WHERE %(question)s::bigint IS NULL
        RETURNING id
    ), job AS ("""
    + jobs.DEFER_RUN
    + """ WHERE NOT %(thread_busy)s
    ), run AS (
        INSERT INTO chat_run (id, run_number, user_id, thread_id, input_message_id, agent, status, claim, attempt,
                              last_seq, restart_seq, job_id, error_code, error_message, cancelled_by, created_at)
        SELECT %(run)s, %(run_number)s, %(user)s, %(thread)s, COALESCE(%(question)s, (SELECT id FROM question)),
               %(agent)s, 'queued', 0, 1, 1, 1, (SELECT id FROM job), '', '', '', %(at)s
    ), event AS (
        INSERT INTO chat_runevent (run_id, seq, type, agent, data, created_at)
        VALUES (%(run)s, 1, %(event)s, %(agent)s, %(data)s, %(at)s)
    )
    UPDATE chat_usercounters SET last_run_number = %(run_number)s, threads_version = %(threads_version)s,
           runs_counted_on = %(runs_counted_on)s, runs_counted = %(runs_counted)s
    WHERE user_id = %(user)s
"""
)


def begin(
    question: Message,
    *,
    counters: UserCounters,
    agent: str,
    files: Sequence[dict[str, Any]],
    thread_busy: bool,
    publisher: Publisher,
) -> uuid.UUID:
    """Write the run that is number `counters.last_run_number`: `queued`, with its first event, and with a job unless
    its thread has an open run. The counters are written, too, and the thread; the question unless it is stored.

    In the caller's transaction, under the lock of the counters and of the thread, if there is one. Connections are told
    of the event after the commit. Returns the run's id.
    """
    run_id, thread, number = uuid.uuid4(), question.thread, counters.last_run_number
    at = thread.updated_at
    event = Event("message_created", agent, {"message": _message(question, files)}, at)
    asked: dict[str, Any] = {
        "user": counters.user_id,
        "threads_version": counters.threads_version,
        "runs_counted_on": counters.runs_counted_on,
        "runs_counted": counters.runs_counted,
        "thread": thread.id,
        "is_new_thread": thread._state.adding,
        "title": thread.title,
        "title_origin": thread.title_origin,
        "question": question.pk,
        "message_id": question.message_id,
        "parent": question.parent_id,
        "content": question.content,
        "run": run_id,
        "run_number": number,
        "agent": agent,
        "thread_busy": thread_busy,
        "event": event.type,
        "data": Jsonb(event.data),
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, asked)
    transaction.on_commit(functools.partial(metrics.run_begun, agent))
    transaction.on_commit(metrics.EVENTS_WRITTEN.inc)
    frame = event_frame(run_id, number, thread.id, 1, event)
    publisher.send_on_commit(counters.user_id, wake_up(str(run_id), number, [frame]))
    return run_id


def _message(question: Message, files: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """As the first event has it."""
    parent = question.parent
    return {
        "id": str(question.message_id),
        "role": Role.USER.value,
        "content": question.content,
        **({"parent_id": str(parent.message_id)} if parent else {}),
        **({"attachments": list(files)} if files else {}),
    }
