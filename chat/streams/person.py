"""All of a person's runs as one stream that never ends: `GET /api/events`.

An event's id tells what a client has that has received it: `412;410:17,412:3` is every run up to number 412, but of 410
and 412, which are open, only what comes up to these events.
"""

from __future__ import annotations

import re
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from chat.arrivals import UserSnapshot
from chat.delivery import ENDED, MAX_RUNS_AFTER, Delivery
from chat.errors import ChatError, ErrorCode
from chat.protocol import Resumed, ResumedRun, StreamEstablished
from chat.run_event import TERMINAL_TYPES
from chat.sessions import invalid
from chat.streams.exchange import Events, Exchange
from chat.streams.following import Follower
from chat.streams.sse import ServerEvent

MAX_OPEN_RUNS = 1000
_ID = re.compile(r"(\d{1,18})(?:;((?:\d{1,18}:\d{1,9},?)*))?")


@dataclass(slots=True)
class Place:
    """Where a client stands: it has all runs up to `run_number`, but of those in `open` only so many events."""

    run_number: int
    open: dict[int, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises ChatError with INVALID_MESSAGE for what is no id of an event of this stream."""
        match = _ID.fullmatch(text)
        pairs = [pair.split(":") for pair in (match[2] or "").split(",") if pair] if match else []
        if match is None or len(pairs) > MAX_OPEN_RUNS:
            raise ChatError(ErrorCode.INVALID_MESSAGE, "The last event's id is not one of this stream's")
        return cls(int(match[1]), {int(number): int(seq) for number, seq in pairs})

    def advance(self, event: dict[str, Any]) -> None:
        """The client has this event, too. Runs begin in the order of their numbers."""
        number = event["run_number"]
        self.run_number = max(self.run_number, number)
        if event["type"] in TERMINAL_TYPES:
            self.open.pop(number, None)
        else:
            self.open[number] = event["seq"]

    def __str__(self) -> str:
        runs = ",".join(f"{number}:{seq}" for number, seq in self.open.items())
        return f"{self.run_number};{runs}" if runs else str(self.run_number)


async def events_of_person(exchange: Exchange) -> Events:
    """`GET /api/events`: begins with what the client has not, or with the open runs."""
    authentication = await exchange.authenticate()
    last = exchange.header(b"last-event-id") or exchange.query.get("after")
    known = Place.parse(last) if last else None
    if exchange.chat.thread_service is None:
        raise ChatError(ErrorCode.SERVICE_UNAVAILABLE, "The thread service is missing")
    async with Follower(exchange.chat, authentication) as follower:
        arrival = await exchange.chat.arrivals.find(authentication.user_id, authentication.credential)
        if arrival is None:
            raise invalid()
        snapshot = arrival.snapshot
        delivery = follower.follow(baseline=snapshot.last_run_number, threads_version=snapshot.threads_version)
        place, missed = await _resume(follower, delivery, snapshot, known)
        exchange.log.info("stream_opened", after=last)
        yield ServerEvent(_established(snapshot).encode(), id=str(place))
        if missed is not None:
            yield ServerEvent(missed.encode())
        follower.connection.resumed()
        async with aclosing(follower.frames()) as texts:
            async for text in texts:
                yield _event(text, place) if text is not None else None


async def _resume(
    follower: Follower, delivery: Delivery, snapshot: UserSnapshot, known: Place | None
) -> tuple[Place, Resumed | None]:
    log, user_id = follower.chat.event_log, follower.user_id
    if known is None:
        run_ids = [run.run_id for run in snapshot.open_runs]
        named = await log.positions(user_id, run_ids=run_ids) if run_ids else []
        delivery.resume(dict.fromkeys((position.run_id for position in named), 0), named=named)
        return Place(snapshot.last_run_number, {position.run_number: 0 for position in named}), None
    found = await log.positions(user_id, run_numbers=list(known.open), above=known.run_number, limit=MAX_RUNS_AFTER + 1)
    named = [position for position in found if position.run_number in known.open]
    above = [position for position in found if position.run_number > known.run_number]
    cursors = {position.run_id: known.open[position.run_number] for position in named}
    resumed = delivery.resume(cursors, named=named, above=above)
    told = Resumed(
        runs={
            run_id: ResumedRun(
                run_number=run.run_number, status=run.status, from_seq=run.from_seq, last_seq=run.last_seq
            )
            for run_id, run in resumed.runs.items()
        },
        snapshot_required=resumed.snapshot_required,
        gone=resumed.gone,
        reload=True if resumed.reload else None,
    )
    return _place_of(resumed.runs.values(), snapshot), told


def _place_of(runs: Any, snapshot: UserSnapshot) -> Place:
    """What is still to come of the resumed runs counts as not received; all others are told, or lost."""
    going_on = {
        run.run_number: run.from_seq - 1 for run in runs if run.status not in ENDED or run.from_seq <= run.last_seq
    }
    return Place(snapshot.last_run_number, going_on)


def _event(text: str, place: Place) -> ServerEvent:
    frame = pydantic_core.from_json(text)
    if "seq" not in frame:
        return ServerEvent(text)
    place.advance(frame)
    return ServerEvent(text, id=str(place))


def _established(snapshot: UserSnapshot) -> StreamEstablished:
    return StreamEstablished(
        last_run_number=snapshot.last_run_number,
        threads_version=snapshot.threads_version,
        open_runs=snapshot.open_runs,
    )
