"""The application with faults of its own, which no client can cause otherwise.

A message `fail` makes its handler raise. The user name decides about the greeting: of `broken…` it raises, of `slow…`
it takes longer than the deadline allows.
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


def failing_post_message(self: ThreadService, user_id: Any, command: UserMessage, **options: Any) -> MessageAccepted:
    if command.content == "fail":
        raise RuntimeError("an injected fault")
    return post_message(self, user_id, command, **options)


def failing_snapshot(self: ThreadService, user_id: Any) -> UserSnapshot:
    username = get_user_model().objects.get(pk=user_id).get_username()
    if username.startswith("broken"):
        raise RuntimeError("an injected fault")
    if username.startswith("slow"):
        time.sleep(SLOW_SECONDS)
    return snapshot(self, user_id)


ThreadService.post_message = failing_post_message  # type: ignore[method-assign]
ThreadService.snapshot = failing_snapshot  # type: ignore[assignment, method-assign]
