"""One run as a stream: `GET /api/runs/<id>/events`, and the answer to asking an agent."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pydantic_core
from channels.db import database_sync_to_async
from django.conf import settings

from chat import posting
from chat.api.execute import execute_command
from chat.delivery import ENDED
from chat.errors import ChatError, ErrorCode
from chat.run_event import TERMINAL_TYPES
from chat.streams.exchange import Events, Exchange
from chat.streams.following import ABOVE_ALL_RUNS, Follower
from chat.streams.sse import ServerEvent

MAX_SEQ = 2**31 - 1


async def run_frames(
    follower: Follower, run_id: uuid.UUID, *, after: int
) -> AsyncGenerator[tuple[str, dict[str, Any]] | None, None]:
    """The events of a run after a cursor, each as text and as JSON; None now and then while there are none.

    Ends behind the terminal event, and where the run waits for a person; from where it waited before, it goes on.
    Nothing comes of a run that has ended and was read to its end. Raises ChatError with RUN_NOT_FOUND, INVALID_MESSAGE
    for a cursor that the run has not reached, or EVENTS_PRUNED.
    """
    position = await follower.position(run_id)
    if position.status in ENDED and after == position.last_seq:
        return
    if after > position.last_seq:
        raise ChatError(ErrorCode.INVALID_MESSAGE, f"The run has only {position.last_seq} events so far")
    delivery = follower.follow(baseline=ABOVE_ALL_RUNS)
    if delivery.resume({position.run_id: after}, named=[position]).snapshot_required:
        raise ChatError(ErrorCode.EVENTS_PRUNED, "These events are not kept any more: read the messages instead")
    follower.connection.resumed()
    yield None
    async with aclosing(follower.frames()) as texts:
        async for text in texts:
            if text is None:
                await follower.position(run_id)  # its thread may have been deleted, and nobody has told
                yield None
                continue
            frame = pydantic_core.from_json(text)
            if frame.get("run_id", position.run_id) != position.run_id or "thread" in frame:
                continue
            yield text, frame
            if frame["type"] in TERMINAL_TYPES:
                return
            if frame["type"] == "approval_required":
                now = await follower.position(run_id)
                if now.status == "awaiting_approval" and now.last_seq == frame["seq"]:
                    return


async def run_events(exchange: Exchange, run_id: str) -> Events:
    """`GET /api/runs/<id>/events`."""
    authentication = await exchange.authenticate()
    after = cursor_of(exchange)
    async with Follower(exchange.chat, authentication) as follower:
        exchange.log.info("stream_opened", run_id=run_id, after=after)
        async with aclosing(run_frames(follower, uuid.UUID(run_id), after=after)) as frames:
            async for frame in frames:
                yield server_event(frame)


async def execute(exchange: Exchange, agent: str | None = None) -> Events:
    """`POST /api/agents/execute` and `POST /api/agents/<agent>`."""
    authentication = await exchange.authenticate()
    # A frame of a socket has no more room for a message than this body.
    body = await exchange.json(max_bytes=settings.NETRA.max_message_bytes * 2)
    command = execute_command(body, agent)
    async with Follower(exchange.chat, authentication) as follower:
        accepted = await database_sync_to_async(posting.post_message)(
            exchange.chat, authentication.user_id, command, limits=authentication.limits, log=exchange.log
        )
        async with aclosing(run_frames(follower, uuid.UUID(accepted.run_id), after=0)) as frames:
            async for frame in frames:
                yield server_event(frame)


def server_event(frame: tuple[str, dict[str, Any]] | None) -> ServerEvent | None:
    if frame is None:
        return None
    text, parsed = frame
    return ServerEvent(text, id=str(parsed["seq"]) if "seq" in parsed else None)


def cursor_of(exchange: Exchange) -> int:
    """What the client has: `Last-Event-ID`, or `?after=` of its first request."""
    given = exchange.header(b"last-event-id") or exchange.query.get("after", "0")
    if not (given.isascii() and given.isdigit() and int(given) <= MAX_SEQ):
        raise ChatError(ErrorCode.INVALID_MESSAGE, "The last event's id must be a number of this run's events")
    return int(given)
