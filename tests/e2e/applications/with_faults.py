"""The application with faults of its own, which no client can cause otherwise.

A message `fail` makes its handler raise, and so does each message of a user whose name is `failing…`. The name decides
about the greeting, too: of `broken…` it raises, of `slow…` it takes longer than the deadline allows.
"""

from __future__ import annotations

import asyncio
from typing import Any

from netra.asgi import application  # isort: skip - sets Django up

from django.contrib.auth import get_user_model

from chat.arrivals import Arrival, Arrivals
from chat.credential import Credential
from chat.protocol import MessageAccepted, UserMessage
from chat.threads import ThreadService

__all__ = ["application"]

SLOW_SECONDS = 4.0

post_message, find = ThreadService.post_message, Arrivals.find


def username_of(user_id: Any) -> str:
    return get_user_model().objects.get(pk=user_id).get_username()


def failing_post_message(self: ThreadService, user_id: Any, command: UserMessage, **options: Any) -> MessageAccepted:
    if command.content == "fail" or username_of(user_id).startswith("failing"):
        raise RuntimeError("an injected fault")
    return post_message(self, user_id, command, **options)


async def failing_find(self: Arrivals, user_id: int, credential: Credential) -> Arrival | None:
    found = await find(self, user_id, credential)
    if found is not None and found.username.startswith("broken"):
        raise RuntimeError("an injected fault")
    if found is not None and found.username.startswith("slow"):
        await asyncio.sleep(SLOW_SECONDS)
    return found


ThreadService.post_message = failing_post_message  # type: ignore[method-assign]
Arrivals.find = failing_find  # type: ignore[method-assign]
