"""A thread as the tree that it is: where it ends, the way to a message, and where ways part.

An answer follows its question, and a question the answer before it. An edited question stands beside the one that it
replaces, another answer beside the earlier one. A question that was asked while the answer before it was being made
follows the question, until the answer is there: `adopt_waiting`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, LiteralString
from uuid import UUID

from django.db import connection
from django.db.models import Q

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


def way_to(leaf: Message, *, limit: int) -> list[Message]:
    """The last `limit` messages on the way from the thread's first one to `leaf`, in reading order."""
    with connection.cursor() as cursor:
        cursor.execute(_WAY, {"leaf": leaf.pk, "thread": leaf.thread_id, "limit": limit})
        ids = [row[0] for row in cursor.fetchall()]
    found = Message.objects.select_related("parent", "feedback").in_bulk(ids)
    return [found[pk] for pk in ids]


def siblings_of(thread: Thread, messages: Sequence[Message]) -> dict[Any, list[UUID]]:
    """Of each message (by its key) what stands in its place in any branch, itself included, the oldest first."""
    parents = {message.parent_id for message in messages}
    same_place = Q(parent_id__in=parents - {None})
    if None in parents:
        same_place |= Q(parent_id=None)
    rows = (
        Message.objects.filter(same_place, thread=thread)
        .order_by("run_number", "id")
        .values_list("parent_id", "role", "message_id")
    )
    places: defaultdict[tuple[int | None, str], list[UUID]] = defaultdict(list)
    for parent_id, role, message_id in rows:
        places[parent_id, role].append(message_id)
    return {message.pk: places[message.parent_id, message.role] for message in messages}


def runs_of(thread: Thread, messages: Collection[Message]) -> list[Run]:
    """The runs that answered, or answer, one of these questions, or made one of these answers, by their number."""
    questions = [message.pk for message in messages if message.role == Role.USER]
    answers = [message.pk for message in messages if message.role == Role.ASSISTANT]
    found = Run.objects.filter(Q(input_message__in=questions) | Q(output_message__in=answers), thread=thread)
    return list(found.select_related("input_message", "output_message").order_by("run_number"))
