"""A thread as the tree that it is: where it ends, the way to a message, and where ways part.

An answer follows its question, and a question the answer before it. An edited question stands beside the one that it
replaces, another answer beside the earlier one. A question that was asked while the answer before it was being made
follows the question, until the answer is there: `adopt_waiting`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from itertools import pairwise
from typing import Any, LiteralString
from uuid import UUID

from django.db import connection
from django.db.models import Prefetch, QuerySet
from django.db.models.expressions import RawSQL

from chat.models import Message, Role, Run, Thread

# Questions asked since the run began wait for its answer. What was asked before it followed something else for good.
ADOPT_WAITING: LiteralString = """
    UPDATE chat_message SET parent_id = %(answer)s
    WHERE parent_id = %(question)s AND role = 'user' AND run_number > %(run_number)s
"""
_WAY: LiteralString = """
    WITH RECURSIVE way AS (
        SELECT m.id, m.parent_id, 1 AS length FROM chat_message m WHERE m.id = %(leaf)s AND m.thread_id = %(thread)s
        UNION ALL
        SELECT m.id, m.parent_id, length + 1 FROM way w JOIN chat_message m ON m.id = w.parent_id
        WHERE length < %(limit)s
    ) SELECT id FROM way ORDER BY length DESC
"""
# The way on from a message: everything that follows it, however far, and the last run that was begun there. OFFSET
# keeps PostgreSQL from reading whole tables instead of looking for each message's own rows.
_LAST_RUN_FROM: LiteralString = """
    WITH RECURSIVE below AS (
        SELECT %(message)s::bigint AS id
        UNION ALL
        SELECT m.id FROM below b, LATERAL (SELECT id FROM chat_message WHERE parent_id = b.id OFFSET 0) m
    )
    SELECT COALESCE(r.output_message_id, r.input_message_id) FROM below b, LATERAL (
        SELECT output_message_id, input_message_id, run_number FROM chat_run WHERE input_message_id = b.id OFFSET 0
    ) r ORDER BY r.run_number DESC LIMIT 1
"""
# A place is what is followed, or the thread whose beginning it is, and who speaks. By the thread no row is looked for,
# lest PostgreSQL takes the index of a thread's messages for as good as that of places, `message_by_place`.
_SIBLINGS: LiteralString = """
    SELECT m.id, s.message_id FROM chat_message m, LATERAL (
        (SELECT b.run_number, b.id, b.message_id FROM chat_message b
         WHERE COALESCE(b.parent_id::text, b.thread_id::text) = COALESCE(m.parent_id::text, m.thread_id::text)
           AND b.role = m.role AND (b.run_number, b.id) < (m.run_number, m.id)
         ORDER BY b.run_number DESC, b.id DESC LIMIT %(limit)s)
        UNION ALL
        (SELECT b.run_number, b.id, b.message_id FROM chat_message b
         WHERE COALESCE(b.parent_id::text, b.thread_id::text) = COALESCE(m.parent_id::text, m.thread_id::text)
           AND b.role = m.role AND (b.run_number, b.id) >= (m.run_number, m.id)
         ORDER BY b.run_number, b.id LIMIT %(limit)s)
    ) s WHERE m.id = ANY(%(messages)s) ORDER BY m.id, s.run_number, s.id
"""
# Of each question the run that it began and the newest ones, an open one among them; of each answer its own.
_RUNS: LiteralString = """
    SELECT r.id FROM unnest(%s::bigint[]) question, LATERAL (
        (SELECT id FROM chat_run WHERE input_message_id = question ORDER BY run_number LIMIT 1)
        UNION (SELECT id FROM chat_run WHERE input_message_id = question ORDER BY run_number DESC LIMIT %s)
    ) r UNION SELECT id FROM chat_run WHERE output_message_id = ANY(%s::bigint[])
"""
# How many are shown of what may be thousands: answers to one question, edits of one.
NEAREST_SIBLINGS = 50
NEWEST_RUNS = 20


def adopt_waiting(answer: Message) -> None:
    """The questions that waited for this answer follow it. The thread's row is locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            ADOPT_WAITING, {"answer": answer.pk, "question": answer.parent_id, "run_number": answer.run_number}
        )


def end_of(thread: Thread) -> Message | None:
    """The last message of the newest branch: the answer of the thread's last run, or its question until then."""
    runs = Run.objects.filter(thread=thread).select_related("input_message", "output_message").order_by("run_number")
    if (last := runs.last()) is not None:
        return last.output_message or last.input_message
    return Message.objects.filter(thread=thread).order_by("run_number", "id").last()


def end_from(message: Message) -> Message:
    """The last message of the newest branch that this one is part of: as `end_of`, of what follows it."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST_RUN_FROM, {"message": message.pk})
        row = cursor.fetchone()
    return message if row is None else Message.objects.get(pk=row[0])


def way_to(leaf: Message, *, limit: int) -> list[Message]:
    """The last `limit` messages on the way from the thread's first one to `leaf`, in reading order, with parents."""
    with connection.cursor() as cursor:
        cursor.execute(_WAY, {"leaf": leaf.pk, "thread": leaf.thread_id, "limit": limit + 1})
        ids = [row[0] for row in cursor.fetchall()]
    found = with_attachments(Message.objects.select_related("feedback")).in_bulk(ids)
    way = [found[pk] for pk in ids]
    for parent, message in pairwise(way):
        message.parent = parent
    return way[-limit:]


def with_attachments(messages: QuerySet[Message]) -> QuerySet[Message]:
    """With the files of each, all read at once."""
    return messages.prefetch_related(Prefetch("attachments", to_attr="files"))


def siblings_of(messages: Collection[Message]) -> dict[Any, list[UUID]]:
    """Of each message (by its key) what stands in its place in any branch, itself included, the oldest first.

    Of many those nearest to it: at most NEAREST_SIBLINGS before it, and as many from it on.
    """
    siblings: defaultdict[Any, list[UUID]] = defaultdict(list)
    with connection.cursor() as cursor:
        keys = [message.pk for message in messages]
        cursor.execute(_SIBLINGS, {"messages": keys, "limit": NEAREST_SIBLINGS})
        for pk, sibling in cursor.fetchall():
            siblings[pk].append(sibling)
    return siblings


def runs_of(messages: Collection[Message]) -> list[Run]:
    """The runs that made one of these answers, and those that answered, or answer, one of these questions, by number.

    Of a question that was answered many times: its first run and the NEWEST_RUNS last ones.
    """
    questions = [message.pk for message in messages if message.role == Role.USER]
    answers = [message.pk for message in messages if message.role == Role.ASSISTANT]
    these = RawSQL(_RUNS, [questions, NEWEST_RUNS, answers])  # noqa: S611 - a constant with bound parameters
    runs = list(Run.objects.filter(id__in=these).defer("paused_state").order_by("run_number"))
    return _with_messages(runs, [*messages, *(message.parent for message in messages if message.parent)])


def _with_messages(runs: Collection[Run], known: Collection[Message]) -> list[Run]:
    """Runs with their question and answer. Most are known: they are not read again with each run."""
    found: dict[int | None, Message] = {message.pk: message for message in known}
    named = {pk for run in runs for pk in (run.input_message_id, run.output_message_id) if pk is not None}
    found |= Message.objects.defer("content").in_bulk(named - found.keys())
    # A question that has been deleted since took its run with it.
    there = [run for run in runs if run.input_message_id in found]
    for run in there:
        run.input_message, run.output_message = found[run.input_message_id], found.get(run.output_message_id)
    return there


def without_content(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Runs with the names of their question and answer, of which nothing else is read."""
    joined = runs.select_related("input_message", "output_message")
    return joined.defer("input_message__content", "output_message__content", "paused_state")
