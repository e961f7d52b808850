"""What people asked agents to remember."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from agents.errors import ToolError
from chat.models import Note
from chat.run_event import now

MAX_NOTES = 500
LONGEST_NOTE = 2000


def notes_of(user_id: Any) -> QuerySet[Note]:
    return Note.objects.filter(user_id=user_id).order_by("-created_at", "-id")


@transaction.atomic
def remember(user_id: Any, content: str, *, agent: str = "") -> Note:
    """Store a note of an agent; the same text again is the same note. Raises ToolError with what is wrong."""
    content = content.replace("\x00", "").strip()
    if not content:
        raise ToolError("there is nothing to remember")
    if len(content) > LONGEST_NOTE:
        raise ToolError(f"a note may have at most {LONGEST_NOTE} characters")
    notes = notes_of(user_id)
    if (same := notes.filter(content=content).first()) is not None:
        return same
    if notes.count() >= MAX_NOTES:
        raise ToolError(f"there are {MAX_NOTES} notes already; forget one first")
    return Note.objects.create(user_id=user_id, content=content, agent=agent, created_at=now())


def recall(user_id: Any, query: str, *, limit: int) -> list[Note]:
    """The notes with all words of `query`, newest first; all notes when it is empty."""
    words = Q()
    for word in query.split():
        words &= Q(content__icontains=word)
    return list(notes_of(user_id).filter(words)[:limit])


def forget(user_id: Any, note_id: int) -> Note | None:
    """Remove a note; None when the user has none of this number."""
    note = notes_of(user_id).filter(id=note_id).first()
    if note is None:
        return None
    forgotten = Note(id=note.id, content=note.content, created_at=note.created_at)
    note.delete()
    return forgotten
