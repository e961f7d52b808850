"""A run for a client of AG-UI: `POST /api/agents/<agent>/ag-ui`. `chat.ag_ui` decides, docs/ag-ui.md tells."""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from ag_ui.core import BaseEvent
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import transaction

from chat import health, posting
from chat.ag_ui import Asked, Followed, Translation, parse_input
from chat.allowances import PersonalLimits
from chat.errors import ChatError, ErrorCode
from chat.run_event import now
from chat.streams.exchange import Events, Exchange
from chat.streams.following import Follower
from chat.streams.runs import run_frames
from chat.streams.sse import ServerEvent
from chat.threads import ThreadService

if TYPE_CHECKING:
    from chat.apps import ChatConfig

# A client sends all of its conversation each time.
MAX_INPUT_BYTES = 4 * 1024 * 1024
ON_DISCONNECT = ("continue", "cancel")
WHEN_BUSY = ("enqueue", "interrupt", "reject")


async def run_agent(exchange: Exchange, agent: str) -> Events:
    authentication = await exchange.authenticate()
    cancels = _choice(exchange, "on_disconnect", ON_DISCONNECT) == "cancel"
    when_busy = _choice(exchange, "when_busy", WHEN_BUSY)
    async with Follower(exchange.chat, authentication) as follower:
        # On a thread: tens of thousands of messages take a while.
        asked = await asyncio.to_thread(
            parse_input, await exchange.json(max_bytes=MAX_INPUT_BYTES), kept_bytes=settings.NETRA.ws_window_bytes
        )
        begin = functools.partial(
            begin_or_go_on,
            exchange.chat,
            authentication.user_id,
            asked,
            limits=authentication.limits,
            log=exchange.log,
        )
        followed = await database_sync_to_async(begin)(agent=agent, when_busy=when_busy)
        translation = Translation(asked, followed)
        async with aclosing(_run(follower, uuid.UUID(followed.run_id), translation)) as events:
            await anext(events)  # the run can be followed: what is wrong from here on is told in the stream
            exchange.last_events = lambda error: _server_events(
                translation.fail(error.code, error.message, error.details)
            )
            if cancels:
                stop = database_sync_to_async(health.require_services(exchange.chat).stop_run)
                exchange.on_disconnect = functools.partial(stop, authentication.user_id, uuid.UUID(followed.run_id))
            for event in _server_events(translation.begin(now())):
                yield event
            async for some in events:
                if translation.ended:
                    exchange.on_disconnect = None  # who leaves now has read it all
                for event in _server_events(some or []):
                    yield event
                if some is None:
                    yield None


async def _run(
    follower: Follower, run_id: uuid.UUID, translation: Translation
) -> AsyncGenerator[list[BaseEvent] | None, None]:
    """What each event of the run becomes, to the end of the stream; None now and then while there are none."""
    async with aclosing(run_frames(follower, run_id, after=0)) as frames:
        async for frame in frames:
            if frame is None:
                yield None
                continue
            _, event = frame
            yield translation.translate(event)
            if translation.ended:
                return
            if event["type"] == "approval_resolved" and translation.waits:
                # Some of what was asked for is answered, and the run waits for the rest.
                position = await follower.position(run_id)
                if position.status == "awaiting_approval" and position.last_seq == event["seq"]:
                    break
    yield translation.end()


def begin_or_go_on(
    chat: ChatConfig, user_id: Any, asked: Asked, *, limits: PersonalLimits, agent: str, when_busy: str, log: Any
) -> Followed:
    """The run that the client is to be shown: a new one, the one of a repeated question, or one that goes on.

    Raises ChatError as `posting.post_message` and `ThreadService.resolve_approvals` do, with INVALID_MESSAGE when
    there is nothing to do, or too much at once, and with MESSAGE_ID_CONFLICT for the question of another thread.
    """
    threads = health.require_services(chat)
    own = _own_thread(threads, user_id, asked.thread)
    thread_id = own or asked.thread_id(user_id)
    # To leave all open questions and ask something else is to end the run that waits.
    moves_on = bool(asked.answers) and all(answer.abandoned for answer in asked.answers)
    command = asked.command(user_id, agent=agent, thread_id=own, when_busy="interrupt" if moves_on else when_busy)
    is_new = command is not None and threads.find_acceptance(user_id, command) is None
    if asked.answers and not (moves_on and is_new):
        with transaction.atomic():
            followed = _go_on(threads, user_id, thread_id, asked)
            if is_new:
                problem = "resume: either answer what was asked for, or ask something new"
                raise ChatError(ErrorCode.INVALID_MESSAGE, problem)
        return followed
    if command is None:
        raise ChatError(ErrorCode.INVALID_MESSAGE, "messages: there is no message of a user")
    accepted = posting.post_message(
        chat, user_id, command, limits=limits, new_thread_id=None if own is not None else thread_id, log=log
    )
    if accepted.thread_id != str(thread_id):
        raise ChatError(ErrorCode.MESSAGE_ID_CONFLICT, "A message of this id is in another thread")
    return Followed(accepted.thread_id, accepted.run_id, accepted.run_number, accepted.message_id)


def _go_on(threads: ThreadService, user_id: Any, thread_id: uuid.UUID, asked: Asked) -> Followed:
    behind = threads.resolve_approvals(user_id, thread_id, [answer.command for answer in asked.answers])
    run = threads.get_run(user_id, asked.answers[0].command.run_id)
    return Followed(str(run.thread_id), str(run.id), run.run_number, str(run.input_message.message_id), behind)


def _own_thread(threads: ThreadService, user_id: Any, name: str) -> uuid.UUID | None:
    """The thread whose id the client gives; None for any other name, ids of other people's threads among them."""
    try:
        thread_id = uuid.UUID(name)
    except ValueError:
        return None
    return thread_id if threads.has_or_had_thread(user_id, thread_id) else None


def _choice(exchange: Exchange, name: str, choices: tuple[str, ...]) -> str:
    """The first one when the request does not choose."""
    given: str = exchange.query.get(name, choices[0])
    if given not in choices:
        raise ChatError(ErrorCode.INVALID_MESSAGE, f"{name}: must be {' or '.join(choices)}")
    return given


def _server_events(events: Iterable[BaseEvent]) -> list[ServerEvent]:
    return [ServerEvent(event.model_dump_json(by_alias=True)) for event in events]
