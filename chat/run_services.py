"""What the tools of one held run may ask for: the data of the run's own user, and nothing else.

What asks the database waits while it is away, as the run does; each tool's own time limit bounds it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model

from agents.account import ModelRequestRecord, UsageQuery, UsageRow
from agents.errors import AllowanceUsed, ToolError
from agents.request import AttachmentUnreadable, FoundMessage, Note
from chat import account, allowances, attachments, models, notes
from chat.claiming import HeldRun
from chat.errors import ChatError
from chat.pool import on_any_thread
from chat.threads import ThreadService

T = TypeVar("T")


class RunServicesOfUser:
    """`agents.request.RunServices` for one run."""

    def __init__(self, thread_service: ThreadService, account: account.Account, run: HeldRun) -> None:
        self._thread_service = thread_service
        self._account = account
        self._run = run

    async def begin_unrepeatable(self, tool: str) -> None:
        await self._thread_service.event_log.begin_unrepeatable(self._run, tool)

    async def read_attachment(self, attachment_id: str, limit: int) -> bytes:
        """On a thread of its own: a storage may be slow."""
        identity, user_id = uuid.UUID(attachment_id), self._run.user_id

        async def reading() -> bytes:
            return await on_any_thread(lambda: attachments.read(user_id, identity, limit))

        try:
            return await self._thread_service.event_log.pool.until_reached(reading)
        except ChatError:
            raise AttachmentUnreadable from None

    async def search_messages(self, query: str, limit: int) -> list[FoundMessage]:
        found = await self._ask(lambda: self._thread_service.search_messages(self._run.user_id, query, limit=limit))
        return [
            FoundMessage(
                thread_id=str(message.thread_id),
                thread_title=message.thread.title,
                role=message.role,
                excerpt=excerpt(message.content, query),
                created_at=message.created_at,
            )
            for message in found
        ]

    async def admit_model_request(self) -> None:
        pool = self._thread_service.event_log.pool
        use = await pool.until_reached(lambda: allowances.spent(pool, self._run.user_id))
        if use is not None:
            raise AllowanceUsed(f"{allowances.in_words(use)}.")

    async def record_model_request(self, record: ModelRequestRecord) -> None:
        run = self._run
        await self._account.record(record, user_id=run.user_id, thread_id=run.thread_id, run_id=run.id)

    async def usage(self, query: UsageQuery) -> list[UsageRow]:
        return await self._ask(lambda: _usage(self._run.user_id, query))

    async def remember(self, content: str) -> Note:
        run = self._run
        return _note(await self._ask(lambda: notes.remember(run.user_id, content, agent=run.agent)))

    async def recall(self, query: str, limit: int) -> list[Note]:
        return [_note(note) for note in await self._ask(lambda: notes.recall(self._run.user_id, query, limit=limit))]

    async def forget(self, note_id: int) -> Note | None:
        note = await self._ask(lambda: notes.forget(self._run.user_id, note_id))
        return None if note is None else _note(note)

    async def _ask(self, query: Callable[[], T]) -> T:
        return await self._thread_service.event_log.pool.until_reached(database_sync_to_async(query))


def _usage(user_id: Any, query: UsageQuery) -> list[UsageRow]:
    if (query.everyone or "user" in query.by) and not _is_staff(user_id):
        raise ToolError("only staff may ask for the usage of others")
    return account.usage(user_id, query)


def _is_staff(user_id: Any) -> bool:
    return get_user_model().objects.filter(pk=user_id, is_staff=True, is_active=True).exists()


def _note(note: models.Note) -> Note:
    return Note(id=note.id, content=note.content, created_at=note.created_at)


def excerpt(content: str, query: str, *, length: int = 160) -> str:
    """The part of a text around the first place where the query stands in it."""
    place = max(content.lower().find(query.lower()), 0)
    start = max(0, min(place - length // 3, len(content) - length))
    cut = " ".join(content[start : start + length].split())
    return f"{'…' if start else ''}{cut}{'…' if start + length < len(content) else ''}"
