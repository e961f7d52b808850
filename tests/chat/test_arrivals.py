"""What a connection has to know of its user, for all that open at once."""

from __future__ import annotations

import asyncio
import datetime
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from channels.db import database_sync_to_async

from chat import rotation, sessions
from chat.arrivals import Arrival, Arrivals
from chat.auth import Bearer
from chat.credential import Credential
from chat.errors import ConnectionRefused
from chat.models import Allowance, EndedBy, Session, SessionKind, UserCounters
from chat.publisher import Publisher
from chat.run_event import now
from chat.threads import ThreadService
from chat.tokens import AccessToken
from tests.chat.holding import answered, claimed, posted

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def arrivals(service: ThreadService) -> Arrivals:
    return Arrivals(service.event_log.pool)


def on_password(user: Any) -> Credential:
    return Credential(0, sessions.password_of(user))


async def found(arrivals: Arrivals, user: Any, credential: Credential | None = None) -> Arrival:
    arrival = await arrivals.find(user.pk, credential or on_password(user))
    assert arrival is not None
    return arrival


async def test_of_somebody_new_there_is_nothing_yet(arrivals: Arrivals, ann: Any) -> None:
    arrival = await found(arrivals, ann)
    assert (arrival.user_id, arrival.username, arrival.is_active) == (ann.pk, "ann", True)
    assert (arrival.epoch, arrival.has_session, arrival.has_worker) == (0, True, False)
    snapshot = arrival.snapshot
    assert (snapshot.last_run_number, snapshot.threads_version, snapshot.open_runs) == (0, 0, [])
    assert await arrivals.find(2**40, on_password(ann)) is None


async def test_open_runs_come_in_their_order(service: ThreadService, arrivals: Arrivals, ann: Any, bob: Any) -> None:
    await posted(service, bob)
    ended, running, queued, deleted = [await posted(service, ann) for _ in range(4)]
    await answered(service.event_log, ended.run_id, "x")
    await claimed(service.event_log, running.run_id)
    await database_sync_to_async(service.delete_thread)(ann.pk, uuid.UUID(deleted.thread_id))
    snapshot = (await found(arrivals, ann)).snapshot
    assert [(run.run_id, run.thread_id, run.run_number, run.status, run.last_seq) for run in snapshot.open_runs] == [
        (running.run_id, running.thread_id, 2, "running", 1),
        (queued.run_id, queued.thread_id, 3, "queued", 1),
    ]
    assert snapshot.last_run_number == 4


async def test_those_who_come_together_are_read_in_one_statement(
    arrivals: Arrivals, ann: Any, bob: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    read = arrivals._together._ask

    async def watched(asked: Sequence[Any]) -> Sequence[Arrival | None]:
        groups.append(len(asked))
        return await read(asked)

    monkeypatch.setattr(arrivals._together, "_ask", watched)
    several = [(ann.pk, on_password(ann)), (2**40, on_password(ann)), (bob.pk, on_password(bob))] * 10
    read_of = await asyncio.gather(*(arrivals.find(*each) for each in several))
    assert [arrival and arrival.username for arrival in read_of] == ["ann", None, "bob"] * 10
    assert groups == [30]


async def test_what_a_person_may_use_stands_above_what_everybody_may(
    arrivals: Arrivals, ann: Any, bob: Any, settings: Any
) -> None:
    settings.NETRA = settings.NETRA.model_copy(update={"runs_per_day": 20, "max_connections": 4})
    await Allowance.objects.acreate(user=ann, connections=9, runs_per_day=0, cost_usd_per_day=Decimal("1.5"))
    anns, bobs = (await found(arrivals, ann)).limits, (await found(arrivals, bob)).limits
    assert (anns.connections, anns.runs_per_day, anns.cost_usd_per_day) == (9, None, Decimal("1.5"))
    assert (bobs.connections, bobs.runs_per_day) == (4, 20)


def bearer_of(credential: Credential, user: Any) -> Bearer:
    return Bearer(user.pk, now() + datetime.timedelta(minutes=5), credential)


async def refused(arrivals: Arrivals, bearer: Bearer) -> str | None:
    arrival = await arrivals.find(bearer.user_id, bearer.credential)
    try:
        authentication = bearer.authentication(arrival)
    except ConnectionRefused as error:
        return str(error.code)
    assert arrival is not None
    assert (authentication.user_id, authentication.username) == (arrival.user_id, arrival.username)
    return None


async def test_a_session_counts_until_it_ends_and_for_its_own_person(arrivals: Arrivals, ann: Any, bob: Any) -> None:
    begun = await database_sync_to_async(rotation.begin)(
        ann, SessionKind.PROGRAM, rotation.Origin("a program", "192.0.2.9")
    )
    credential = Credential.of_claims(AccessToken(begun.access).payload)  # type: ignore[arg-type]
    assert credential is not None
    assert await refused(arrivals, bearer_of(credential, ann)) is None
    stolen = Credential(0, sessions.password_of(bob), credential.session)
    assert await refused(arrivals, bearer_of(stolen, bob)) == "INVALID_TOKEN"
    assert (await Session.objects.aget()).ended_at is None
    assert credential.session is not None
    await database_sync_to_async(sessions.end_one)(credential.session, EndedBy.PERSON, Publisher())
    assert await refused(arrivals, bearer_of(credential, ann)) == "INVALID_TOKEN"


async def test_another_password_a_later_epoch_and_inactive_people_are_refused(arrivals: Arrivals, ann: Any) -> None:
    bearer = bearer_of(on_password(ann), ann)
    assert await refused(arrivals, bearer) is None
    assert await refused(arrivals, bearer_of(Credential(0, "another"), ann)) == "INVALID_TOKEN"
    await UserCounters.objects.acreate(user=ann, sessions_epoch=1)
    assert await refused(arrivals, bearer) == "INVALID_TOKEN"
    assert await refused(arrivals, bearer_of(Credential(1, sessions.password_of(ann)), ann)) is None
    ann.is_active = False
    await ann.asave()
    assert await refused(arrivals, bearer) == "USER_INACTIVE"
    await ann.adelete()
    assert await refused(arrivals, bearer) == "INVALID_TOKEN"
