"""Who was not let in, by a request, a stream or a socket, as the audit log has it.

What a client meets that does nothing wrong is only in the log of the process: no token yet, or one that has expired.
"""

from __future__ import annotations

import contextlib

from django.db import DatabaseError, InterfaceError

from chat import audit
from chat.errors import ChatError, ErrorCode
from chat.models import AuditAction
from chat.pool import on_any_thread

TOLD = frozenset(
    {
        ErrorCode.INVALID_TOKEN,
        ErrorCode.USER_INACTIVE,
        ErrorCode.ORIGIN_NOT_ALLOWED,
        ErrorCode.TOO_MANY_CONNECTIONS,
    }
)


def record(error: ChatError, *, where: str, address: str) -> None:
    """Of a flood a part is told (`chat.audit`), and nothing while the database is away."""
    if error.code in TOLD:
        with contextlib.suppress(DatabaseError, InterfaceError):
            audit.record_refusal(AuditAction.CONNECT, error.code, subject=error.user_id, address=address, where=where)


async def record_beside(error: ChatError, *, where: str, address: str) -> None:
    """The same, beside the event loop."""
    if error.code in TOLD:
        await on_any_thread(lambda: record(error, where=where, address=address))
