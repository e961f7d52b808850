"""What a word in a search box finds: ids, people, and, for who may read it, what was said."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, LiteralString

from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from psycopg.errors import QueryCanceled

# So many people one word can mean.
MOST_PEOPLE = 50
# What was said is looked for in so many of the threads that were written in last, and no longer than this.
THREADS_SEARCHED = 1000
SEARCH_SECONDS = 3

_SAYS: LiteralString = """
    SELECT t.id FROM chat_thread t WHERE t.id = ANY(%(threads)s) AND (
        strpos(upper(t.title), upper(%(word)s)) > 0
        OR EXISTS (SELECT 1 FROM chat_message m
                   WHERE m.thread_id = t.id AND strpos(upper(m.content), upper(%(word)s)) > 0 OFFSET 0))
"""


class SearchTookTooLong(Exception):
    """What is searched must be fewer."""


def as_uuid(word: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(word.strip())
    except ValueError:
        return None


def people_named(word: str) -> list[int]:
    """The numbers of people whose number it is, or in whose name it is, at most MOST_PEOPLE. Deleted ones have none."""
    users = get_user_model().objects
    found = list(
        users.filter(username__icontains=word)
        .exclude(username__startswith="deleted:")
        .order_by("username")
        .values_list("pk", flat=True)[:MOST_PEOPLE]
    )
    if word.isascii() and word.isdigit() and len(word) < 19:
        found.append(int(word))
    return found


def saying(threads: QuerySet[Any], word: str) -> list[uuid.UUID]:
    """Which of these threads, of those that were written in last, say it. Raises SearchTookTooLong."""
    newest = list(threads.order_by("-updated_at", "-id").values_list("id", flat=True)[:THREADS_SEARCHED])
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{SEARCH_SECONDS}s'")
            cursor.execute(_SAYS, {"threads": newest, "word": word})
            return [row[0] for row in cursor.fetchall()]
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise SearchTookTooLong from None
        raise


def of_people_or_ids(word: str, *, person: str, ids: Sequence[str]) -> Q:
    """Rows of people of that name, or that have that id in one of these fields."""
    if (identifier := as_uuid(word)) is not None:
        wanted = Q(pk__in=[])
        for field in ids:
            wanted |= Q(**{field: identifier})
        return wanted
    return Q(**{f"{person}__in": people_named(word)})
