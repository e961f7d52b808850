"""What a person may use in a day and at once: counted, refused, told before, and the end of a run that has used it."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework_simplejwt.tokens import AccessToken

from agents.account import ModelRequestRecord
from agents.events import AgentCompleted, Usage
from agents.registry import FunctionAgent
from agents.request import RunRequest
from chat import allowances
from chat.allowances import Limit, standing
from chat.errors import ChatError, ErrorCode
from chat.models import Allowance, ModelRequest, Run, Thread, UserCounters
from chat.protocol import Regenerate
from chat.run_event import now
from chat.thread_removal import purge_deleted
from chat.threads import ThreadService
from netra.testing import Netra, eventually, receive, send
from tests.chat.holding import answered, claimed, failed, post, posted

pytestmark = pytest.mark.usefixtures("transactional_db")
AtOnce = Callable[[list[Callable[[], Any]]], list[Any]]


def allow(user: Any, **numbers: Any) -> None:
    Allowance.objects.update_or_create(user=user, defaults=numbers)


def spend(user: Any, *, tokens: int = 0, cost: str | None = None, at: datetime.datetime | None = None) -> None:
    """A request to a model, as the account has it."""
    ModelRequest.objects.create(
        user=user,
        agent="assistant",
        model="m",
        outcome="completed",
        input_tokens=tokens - tokens // 4,
        output_tokens=tokens // 4,
        cost_usd=None if cost is None else Decimal(cost),
        duration_ms=1,
        started_at=at or now(),
    )


def refusal(work: Callable[[], Any]) -> ChatError:
    with pytest.raises(ChatError) as refused:
        work()
    return refused.value


def outcome(work: Callable[[], Any]) -> str:
    try:
        work()
    except ChatError as error:
        return error.code
    return "accepted"


def day() -> datetime.datetime:
    return allowances.day_of(now())


# Runs of a day


def test_no_race_gets_past_the_runs_of_a_day(service: ThreadService, ann: Any, bob: Any, at_once: AtOnce) -> None:
    service.max_open_runs = 100
    allow(ann, runs_per_day=5)
    outcomes = at_once([lambda: outcome(lambda: post(service, ann))] * 24)
    assert (outcomes.count("accepted"), outcomes.count(ErrorCode.ALLOWANCE_USED)) == (5, 19)
    error = refusal(lambda: post(service, ann))
    assert error.details is not None
    assert error.details.pop("resets_in") == error.retry_after
    assert 0 < (error.retry_after or 0) <= 86_400
    assert error.details == {"limit": "runs_per_day", "used": 5, "allowed": 5}
    assert post(service, bob).run_number == 1, "another person has an allowance of their own"


async def test_what_is_asked_again_counts_as_well(service: ThreadService, ann: Any) -> None:
    await database_sync_to_async(allow)(ann, runs_per_day=3)
    first = await posted(service, ann)
    await answered(service.event_log, first.run_id, "Hello.")
    again = Regenerate(type="regenerate", message_id=uuid.UUID(first.message_id))
    second = await database_sync_to_async(service.regenerate)(ann.pk, again)
    run = await claimed(service.event_log, second.run_id)
    await service.event_log.finish(run, failed(), pending=[])
    third = await database_sync_to_async(service.retry_run)(ann.pk, run.id)
    await database_sync_to_async(service.stop_run)(ann.pk, uuid.UUID(third.run_id))
    for work in (lambda: service.regenerate(ann.pk, again), lambda: service.retry_run(ann.pk, run.id)):
        assert (await database_sync_to_async(refusal)(work)).code == ErrorCode.ALLOWANCE_USED


def test_a_resend_and_what_is_refused_use_nothing(service: ThreadService, ann: Any) -> None:
    allow(ann, runs_per_day=2)
    given = {"message_id": "c1e0a7f4-5b7c-4f43-8a86-1f6f0a9d4e43"}
    first = post(service, ann, **given)
    assert post(service, ann, **given).run_id == first.run_id
    assert outcome(lambda: post(service, ann, agent="nobody")) == ErrorCode.AGENT_NOT_FOUND
    assert outcome(lambda: post(service, ann, thread_id=first.run_id)) == ErrorCode.THREAD_NOT_FOUND
    assert outcome(lambda: post(service, ann)) == "accepted"
    assert outcome(lambda: post(service, ann)) == ErrorCode.ALLOWANCE_USED
    assert post(service, ann, **given).run_id == first.run_id, "what was accepted stays so"


def test_who_deletes_threads_gets_no_runs_back(service: ThreadService, ann: Any) -> None:
    allow(ann, runs_per_day=1)
    accepted = post(service, ann)
    service.delete_thread(ann.pk, uuid.UUID(accepted.thread_id))
    purge_deleted(older_than=datetime.timedelta(0), limit=10)
    assert not Thread.objects.exists()
    assert outcome(lambda: post(service, ann)) == ErrorCode.ALLOWANCE_USED


def test_a_day_ends_at_midnight_utc(service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(ann, runs_per_day=1, tokens_per_day=100)
    evening = datetime.datetime(2026, 3, 2, 23, 59, 58, 500_000, tzinfo=datetime.UTC)
    monkeypatch.setattr(allowances, "now", lambda: evening)
    spend(ann, tokens=40, at=evening)
    post(service, ann)
    error = refusal(lambda: post(service, ann))
    assert error.retry_after == 2, "whole seconds, of which the last one has begun"
    monkeypatch.setattr(allowances, "now", lambda: evening + datetime.timedelta(seconds=2))
    [use] = standing([ann.pk]).values()
    assert (use.runs, use.tokens) == (0, 0)
    assert outcome(lambda: post(service, ann)) == "accepted"
    assert UserCounters.objects.get(user=ann).runs_counted == 1


# Tokens and costs


@pytest.mark.parametrize(
    ("numbers", "spent", "told"),
    [
        ({"tokens_per_day": 100}, {"tokens": 100}, {"limit": "tokens_per_day", "used": 100, "allowed": 100}),
        (
            {"cost_usd_per_day": Decimal("0.25")},
            {"cost": "0.25000001"},
            {"limit": "cost_usd_per_day", "used": 0.25, "allowed": 0.25},
        ),
    ],
)
def test_who_has_used_up_tokens_or_costs_begins_no_run(
    service: ThreadService, ann: Any, numbers: dict[str, Any], spent: dict[str, Any], told: dict[str, Any]
) -> None:
    allow(ann, **numbers)
    spend(ann, tokens=10**9, cost="1000", at=day() - datetime.timedelta(seconds=1))
    assert outcome(lambda: post(service, ann)) == "accepted", "that was yesterday"
    spend(ann, **spent)
    details = refusal(lambda: post(service, ann)).details
    assert details is not None
    assert {name: value for name, value in details.items() if name != "resets_in"} == told
    assert Run.objects.count() == 1


def test_a_person_s_numbers_go_before_the_server_s(service: ThreadService, ann: Any, bob: Any, settings: Any) -> None:
    settings.NETRA = settings.NETRA.model_copy(update={"runs_per_day": 1, "tokens_per_day": 50, "max_open_runs": 3})
    service.max_open_runs = 3
    allow(ann, runs_per_day=0, tokens_per_day=None, open_runs=1)
    assert outcome(lambda: post(service, ann)) == "accepted"
    assert outcome(lambda: post(service, ann)) == ErrorCode.TOO_MANY_RUNS
    Run.objects.update(status="cancelled", finished_at=now())
    assert outcome(lambda: post(service, ann)) == "accepted", "0 is no limit"
    assert [outcome(lambda: post(service, bob)) for _ in range(2)] == ["accepted", ErrorCode.ALLOWANCE_USED]
    Run.objects.update(status="cancelled", finished_at=now())
    spend(ann, tokens=50)
    assert outcome(lambda: post(service, ann)) == ErrorCode.ALLOWANCE_USED, "what has no number is the server's"


@pytest.mark.parametrize(
    "numbers", [{"open_runs": 0}, {"messages_per_minute": 0}, {"connections": 0}, {"cost_usd_per_day": -1}]
)
def test_an_impossible_allowance_is_not_stored(ann: Any, numbers: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Allowance.objects.create(user=ann, **numbers)


# Where people stand


def test_many_people_s_standing_takes_one_query(service: ThreadService, ann: Any, bob: Any) -> None:
    people = [ann, bob, *(get_user_model().objects.create_user(f"person {number}") for number in range(20))]
    post(service, ann)
    spend(bob, tokens=8, cost="0.5")
    allow(bob, cost_usd_per_day=1, connections=3)
    with CaptureQueriesContext(connection) as captured:
        found = standing([person.pk for person in people])
    assert len(captured) == 1
    assert found.keys() == {person.pk for person in people}
    assert (found[ann.pk].runs, found[ann.pk].tokens, len(found[ann.pk].open_in)) == (1, 0, 1)
    assert (found[bob.pk].runs, found[bob.pk].tokens, found[bob.pk].cost_usd) == (0, 8, Decimal("0.5"))
    assert found[bob.pk].limits.connections == 3
    told = {use.limit: use.json() for use in found[bob.pk].uses}
    assert told[Limit.COST_USD_PER_DAY]["allowed"] == 1
    assert "allowed" not in told[Limit.TOKENS_PER_DAY], "nothing limits it"
    assert told[Limit.OPEN_RUNS] == {"limit": "open_runs", "used": 0, "allowed": 10}


def test_asking_takes_no_query_more_for_the_allowance(service: ThreadService, ann: Any) -> None:
    thread_id = post(service, ann).thread_id

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            post(service, ann, thread_id=thread_id)
        return len(captured)

    without = queries()
    allow(ann, runs_per_day=100, tokens_per_day=10**6, cost_usd_per_day=5)
    assert queries() == without
    with CaptureQueriesContext(connection) as captured:
        allowances.check(ann.pk, max_open_runs=10)
    assert len(captured) == 1


def test_what_nobody_limits_is_not_added_up(ann: Any) -> None:
    """However many requests to models somebody has made today, who has no limit does not wait for their sum."""
    with CaptureQueriesContext(connection) as captured:
        allowances.check(ann.pk, max_open_runs=10)

    def plan() -> str:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {captured[0]['sql']}")
            return "\n".join(line for (line,) in cursor.fetchall())

    def touched() -> bool:
        [place] = [line for line in plan().splitlines() if "chat_modelrequest" in line]
        return "never executed" not in place

    assert not touched()
    allow(ann, tokens_per_day=5)
    assert touched()


def test_from_four_fifths_on_people_are_told(service: ThreadService, ann: Any) -> None:
    allow(ann, runs_per_day=5)
    told = [post(service, ann).model_dump(exclude_none=True).get("allowance") for _ in range(5)]
    assert told[:3] == [None] * 3
    numbers = [[(use["limit"], use["used"], use["allowed"]) for use in uses or []] for uses in told[3:]]
    assert numbers == [[("runs_per_day", 4, 5)], [("runs_per_day", 5, 5)]]
    spend(ann, tokens=79)
    allow(ann, runs_per_day=None, tokens_per_day=100)
    assert post(service, ann).allowance is None
    spend(ann, tokens=1)
    assert [use.limit for use in post(service, ann).allowance or []] == ["tokens_per_day"]


# Over the wire


async def test_a_socket_is_told_what_its_person_may_use(netra: Netra) -> None:
    ann, bob = await netra.user("ann"), await netra.user("bob")
    numbers = {"runs_per_day": 1, "open_runs": 4, "messages_per_minute": 7, "connections": 2, "cost_usd_per_day": 1.5}
    await database_sync_to_async(allow)(ann, **numbers)
    socket, other = await netra.connect(ann), await netra.connect(bob)
    limits = socket.established["limits"]
    assert (limits["runs_per_day"], limits["cost_usd_per_day"], limits["max_open_runs"]) == (1, 1.5, 4)
    assert (limits["user_messages_per_minute"], limits["max_connections"]) == (7, 2)
    assert "tokens_per_day" not in limits
    assert other.established["limits"].keys().isdisjoint({"runs_per_day", "tokens_per_day", "cost_usd_per_day"})
    await send(socket, type="user_message", content="Hello", ref="1")
    accepted = await receive(socket, "message_accepted")
    assert [use["limit"] for use in accepted["allowance"]] == ["runs_per_day"]
    await send(socket, type="user_message", content="And again", ref="2")
    error = await receive(socket, "error_message")
    assert (error["error_code"], error["ref"]) == ("ALLOWANCE_USED", "2")
    assert error["retry_after"] == error["details"]["resets_in"]
    await netra.ask(other, "Hello")


def test_rest_answers_429_with_the_time_of_the_next_day(client: Client, ann: Any) -> None:
    allow(ann, runs_per_day=1)
    headers = {"Authorization": f"Bearer {AccessToken.for_user(ann)}"}
    body = json.dumps({"type": "assistant", "message": "Hello"})

    def execute() -> Any:
        return client.post("/api/agents/execute", body, content_type="application/json", headers=headers)

    [use] = execute().json()["allowance"]
    assert (use["limit"], use["used"], use["allowed"]) == ("runs_per_day", 1, 1)
    answer = execute()
    assert (answer.status_code, answer.json()["error_code"]) == (429, "ALLOWANCE_USED")
    assert int(answer["Retry-After"]) == answer.json()["details"]["resets_in"]


# A run under way


async def test_a_run_ends_before_the_request_that_nobody_pays_for(netra: Netra) -> None:
    """What was being asked when the tokens ran out is answered and paid; the next request is not made."""
    ann = await netra.user("ann")
    await database_sync_to_async(allow)(ann, tokens_per_day=100)
    asked: list[str] = []

    async def run(request: RunRequest) -> Any:
        for number in range(5):
            await request.services.admit_model_request()
            asked.append(f"request {number}")
            record = ModelRequestRecord(
                agent="greedy",
                model="m",
                provider="p",
                outcome="completed",
                started_at=now(),
                duration_ms=1,
                input_tokens=60,
            )
            await request.services.record_model_request(record)
        yield AgentCompleted(
            agent="greedy", usage=Usage(model="m", input_tokens=1, output_tokens=1, requests=5), duration_ms=0
        )

    netra.use_agents(FunctionAgent(name="greedy", description="", model_name="m", function=run))
    socket = await netra.connect(ann)
    *_, last = await netra.ask(socket, "Go on for ever")
    assert last["type"] == "agent_error"
    assert (last["data"]["error_code"], last["data"]["retryable"]) == ("ALLOWANCE_USED", True)
    assert "100 tokens" in last["data"]["error_message"]
    assert asked == ["request 0", "request 1"]
    stored = await eventually(database_sync_to_async(Run.objects.filter(user=ann, status="failed").first))
    assert stored.error_code == "ALLOWANCE_USED"


async def test_a_model_s_second_request_is_not_made_when_the_first_has_used_all(netra: Netra) -> None:
    ann = await netra.user("ann")
    await database_sync_to_async(allow)(ann, tokens_per_day=1)
    events = await netra.ask(await netra.connect(ann), "What is 6 * 7?")
    types = [event["type"] for event in events]
    assert types.count("tool_executing") == types.count("tool_completed") == 1, "it was under way"
    assert (types[-1], events[-1]["data"]["error_code"]) == ("agent_error", "ALLOWANCE_USED")
    assert await database_sync_to_async(ModelRequest.objects.filter(user=ann).count)() == 1


# What is asked about it


def test_a_person_can_ask_what_is_left(client: Client, service: ThreadService, ann: Any, bob: Any) -> None:
    allow(ann, runs_per_day=10, cost_usd_per_day=Decimal("2.5"), messages_per_minute=9)
    post(service, ann)
    spend(ann, tokens=1200, cost="0.25")
    spend(bob, tokens=10**9)
    headers = {"Authorization": f"Bearer {AccessToken.for_user(ann)}"}
    body = json.dumps({"type": "assistant", "message": "Hello"})
    client.post("/api/agents/execute", body, content_type="application/json", headers=headers)
    told = client.get("/api/usage/allowance", headers=headers).json()["allowance"]
    assert [(use["limit"], use["used"], use["allowed"]) for use in told] == [
        ("runs_per_day", 2, 10),
        ("tokens_per_day", 1200, None),
        ("cost_usd_per_day", 0.25, 2.5),
        ("open_runs", 2, 10),
        ("messages_per_minute", 1, 9),
        ("connections", 0, 20),
    ]
    resets = [use["resets_in"] for use in told]
    assert resets[0] == resets[1] == resets[2]
    assert 0 < resets[0] <= 86_400
    assert (resets[3], resets[5]) == (None, None)
    assert 0 < resets[4] <= 60


async def test_sockets_that_are_open_are_told_as_well(netra: Netra) -> None:
    ann = await netra.user("ann")
    await netra.connect(ann)
    await netra.connect(ann)
    client = Client(headers={"Authorization": f"Bearer {netra.token(ann)}"})
    answer = await database_sync_to_async(client.get)("/api/usage/allowance")
    assert answer.json()["allowance"][-1] == {"limit": "connections", "used": 2, "allowed": 20, "resets_in": None}
