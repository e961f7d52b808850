"""Asking, over whatever way: limited per user (the person's `limits`), and a line in the log for what was accepted."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings

from chat import health
from chat.allowances import PersonalLimits
from chat.errors import ChatError, ErrorCode
from chat.protocol import MessageAccepted, Regenerate, UserMessage

if TYPE_CHECKING:
    from chat.apps import ChatConfig

logger = structlog.get_logger(__name__)


def post_message(
    chat: ChatConfig,
    user_id: Any,
    command: UserMessage,
    *,
    limits: PersonalLimits,
    new_thread_id: uuid.UUID | None = None,
    log: Any = logger,
) -> MessageAccepted:
    """`ThreadService.post_message`. Also raises ChatError with RATE_LIMITED or MESSAGE_TOO_LARGE; a resend is free."""
    threads = health.require_services(chat)
    check_size(command.content)
    if command.message_id is not None and (earlier := threads.find_acceptance(user_id, command)) is not None:
        return earlier
    return _begin(
        chat, user_id, limits, log, lambda: threads.post_message(user_id, command, new_thread_id=new_thread_id)
    )


def regenerate(
    chat: ChatConfig, user_id: Any, command: Regenerate, *, limits: PersonalLimits, log: Any = logger
) -> MessageAccepted:
    """`ThreadService.regenerate`. Also raises ChatError with RATE_LIMITED."""
    threads = health.require_services(chat)
    return _begin(chat, user_id, limits, log, lambda: threads.regenerate(user_id, command))


def retry_run(
    chat: ChatConfig, user_id: Any, run_id: uuid.UUID, *, limits: PersonalLimits, log: Any = logger
) -> MessageAccepted:
    """`ThreadService.retry_run`. Also raises ChatError with RATE_LIMITED."""
    threads = health.require_services(chat)
    return _begin(chat, user_id, limits, log, lambda: threads.retry_run(user_id, run_id))


def check_size(content: str) -> None:
    """A message is no longer over REST than it could be in a frame. Raises ChatError with MESSAGE_TOO_LARGE."""
    limit = settings.NETRA.max_message_bytes
    if len(content) > limit or len(content.encode()) > limit:
        raise ChatError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"A message may have at most {limit} bytes",
            details={"max_message_bytes": limit},
        )


def _begin(
    chat: ChatConfig, user_id: Any, limits: PersonalLimits, log: Any, begin: Callable[[], MessageAccepted]
) -> MessageAccepted:
    chat.rate_limits.message(user_id, limits.messages_per_minute)
    accepted = begin()
    log.info("message_accepted", thread_id=accepted.thread_id, run_id=accepted.run_id, run_number=accepted.run_number)
    return accepted
