"""The application with faults of its own, which no client can cause otherwise.

A message `fail` makes its handler raise, and so does each message of a user whose name is `failing…`. The name decides
about the greeting, too: of `broken…` it raises, of `slow…` it takes longer than the deadline allows.
"""

from __future__ import annotations

import time
from typing import Any

from netra.asgi import application  # isort: skip - sets Django up

from django.contrib.auth import get_user_model

from chat.own_threads import UserSnapshot
from chat.protocol import MessageAccepted, UserMessage
from chat.threads import ThreadService

__all__ = ["application"]

SLOW_SECONDS = 4.0

post_message, snapshot = ThreadService.post_message, ThreadService.snapshot


def username_of(user_id: Any) -> str:
    return get_user_model().objects.get(pk=user_id).get_username()


def failing_post_message(self: ThreadService, user_id: Any, command: UserMessage, **options: Any) -> MessageAccepted:
    if command.content == "fail" or username_of(user_id).startswith("failing"):
        raise RuntimeError("an injected fault")
    return post_message(self, user_id, command, **options)


def failing_snapshot(self: ThreadService, user_id: Any) -> UserSnapshot:
    username = username_of(user_id)
    if username.startswith("broken"):
        raise RuntimeError("an injected fault")
    if username.startswith("slow"):
        time.sleep(SLOW_SECONDS)
    return snapshot(self, user_id)


ThreadService.post_message = failing_post_message  # type: ignore[method-assign]
ThreadService.snapshot = failing_snapshot  # type: ignore[assignment, method-assign]
