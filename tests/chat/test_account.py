"""The account of model requests: what is written, once, whatever happens, and what is summed up from it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import random
import uuid
from decimal import Decimal
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.test import Client

from agents.account import DIMENSIONS, Dimension, ModelRequestRecord, UsageQuery
from agents.errors import ToolError
from chat.account import Account, usage, usage_and_total
from chat.claiming import HeldRun
from chat.models import ModelRequest, Thread
from chat.run_services import RunServicesOfUser
from chat.thread_removal import purge_deleted
from chat.threads import ThreadService
from chat.tokens import AccessToken
from tests.chat.holding import claimed, posted

pytestmark = pytest.mark.usefixtures("transactional_db")

MONDAY = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
WEEK = datetime.timedelta(days=7)


def record(**fields: Any) -> ModelRequestRecord:
    given: dict[str, Any] = {
        "agent": "assistant",
        "model": "openai:gpt-5-mini",
        "provider": "openai",
        "outcome": "completed",
        "started_at": MONDAY,
        "duration_ms": 700,
        "first_token_ms": 90,
        "input_tokens": 1000,
        "output_tokens": 50,
        "cost_usd": Decimal("0.00035"),
    }
    return ModelRequestRecord(**(given | fields))


async def held(service: ThreadService, user: Any, content: str = "Hello") -> HeldRun:
    return await claimed(service.event_log, (await posted(service, user, content)).run_id)


def services(service: ThreadService, run: HeldRun) -> RunServicesOfUser:
    return RunServicesOfUser(service, Account(service.event_log.pool), run)


@database_sync_to_async
def rows() -> list[ModelRequest]:
    return list(ModelRequest.objects.order_by("started_at"))


async def test_a_request_is_stored_whole_with_its_user_thread_and_run(service: ThreadService, ann: Any) -> None:
    run = await held(service, ann)
    given = record(cache_read_tokens=400, cache_write_tokens=7, estimated=True, error="limited", outcome="failed")
    await services(service, run).record_model_request(given)
    [row] = await rows()
    assert (row.id, row.user_id, row.thread_id, row.run_id) == (given.id, ann.pk, run.thread_id, run.id)
    for name in ("agent", "model", "provider", "outcome", "error", "input_tokens", "output_tokens", "estimated"):
        assert getattr(row, name) == getattr(given, name)
    for name in ("cache_read_tokens", "cache_write_tokens", "cost_usd", "first_token_ms", "duration_ms", "started_at"):
        assert getattr(row, name) == getattr(given, name)


async def test_the_same_request_told_twice_is_one_row(service: ThreadService, ann: Any) -> None:
    run = await held(service, ann)
    told = record()
    await services(service, run).record_model_request(told)
    await services(service, run).record_model_request(told)
    assert len(await rows()) == 1


async def test_names_that_no_column_takes_are_cut_rather_than_lost(service: ThreadService, ann: Any) -> None:
    run = await held(service, ann)
    await services(service, run).record_model_request(record(model="m" * 500, error="e\x00" * 300, agent="a" * 100))
    [row] = await rows()
    assert (len(row.model), len(row.error), len(row.agent)) == (200, 200, 64)


async def test_a_record_of_a_run_that_is_cancelled_is_stored(service: ThreadService, ann: Any) -> None:
    """The write began, and then the run's task is cancelled, more than once."""
    run = await held(service, ann)
    account = Account(service.event_log.pool)
    async with service.event_log.pool.connection() as connection, connection.transaction():
        await connection.execute("LOCK TABLE chat_modelrequest IN ACCESS EXCLUSIVE MODE")
        recording = asyncio.create_task(
            account.record(record(), user_id=ann.pk, thread_id=run.thread_id, run_id=run.id)
        )
        await asyncio.sleep(0)
        for _ in range(2):
            recording.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await recording
    await account.close()
    assert len(await rows()) == 1


async def test_what_cannot_be_stored_costs_the_run_a_moment_and_a_shutdown_no_more(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.account.WRITE_SECONDS", 0.05)
    run = await held(service, ann)
    account = Account(service.event_log.pool)
    async with service.event_log.pool.connection() as connection, connection.transaction():
        await connection.execute("LOCK TABLE chat_modelrequest IN ACCESS EXCLUSIVE MODE")
        await account.record(record(), user_id=ann.pk, thread_id=run.thread_id, run_id=run.id)
        await account.close()
    assert await rows() == []


async def test_the_account_outlives_its_thread(service: ThreadService, ann: Any) -> None:
    run = await held(service, ann)
    await services(service, run).record_model_request(record())
    await database_sync_to_async(service.delete_thread)(ann.pk, run.thread_id)
    await database_sync_to_async(purge_deleted)(older_than=datetime.timedelta(0), limit=10)
    assert await database_sync_to_async(Thread.objects.count)() == 0
    [row] = await rows()
    assert (row.thread_id, row.run_id, row.user_id) == (None, None, ann.pk)
    query = UsageQuery(since=MONDAY, until=MONDAY + WEEK, by=("thread",))
    assert [r.group for r in await services(service, run).usage(query)] == [{"thread": "a deleted thread"}]
    await services(service, run).record_model_request(record())
    assert len(await rows()) == 2, "a request that ends when its thread is gone already is in the account, too"


# Sums


def seed(user: Any, *, number: int = 300) -> list[ModelRequest]:
    """Requests over three weeks, from a fixed seed; with failures, requests without a price, and several threads."""
    dice = random.Random(7)
    threads = [
        Thread.objects.create(user=user, title=title, created_at=MONDAY, updated_at=MONDAY) for title in ("A", "A", "B")
    ]
    return ModelRequest.objects.bulk_create(
        ModelRequest(
            user=user,
            thread=dice.choice(threads),
            run=None,
            agent=dice.choice(["assistant", "data"]),
            model=dice.choice(["openai:gpt-5", "openai:gpt-5-mini", "anthropic:claude-haiku-4-5"]),
            outcome=dice.choice(["completed"] * 9 + ["failed"]),
            input_tokens=dice.randrange(10_000),
            output_tokens=dice.randrange(2000),
            cache_read_tokens=dice.randrange(100),
            cost_usd=dice.choice([None, *[Decimal(dice.randrange(10**8)) / 10**8 for _ in range(5)]]),
            duration_ms=dice.randrange(5000),
            started_at=MONDAY - WEEK + datetime.timedelta(seconds=dice.randrange(21 * 86_400)),
        )
        for _ in range(number)
    )


def key(request: ModelRequest, by: tuple[Dimension, ...]) -> tuple[Any, ...]:
    parts: dict[Dimension, Any] = {
        "day": f"{request.started_at:%Y-%m-%d}",
        "agent": request.agent,
        "model": request.model,
        "thread": request.thread_id,
        "user": request.user_id,
    }
    return tuple(parts[dimension] for dimension in by)


@pytest.mark.parametrize(
    "by", [(), ("day",), ("agent",), ("model",), ("thread",), ("agent", "model"), ("day", "thread")]
)
def test_every_sum_is_that_of_its_requests(ann: Any, bob: Any, by: tuple[Dimension, ...]) -> None:
    mine, _ = seed(ann), seed(bob, number=50)
    week = [request for request in mine if MONDAY <= request.started_at < MONDAY + WEEK]
    expected: dict[tuple[Any, ...], list[ModelRequest]] = {}
    for request in week:
        expected.setdefault(key(request, by), []).append(request)
    found = usage(ann.pk, UsageQuery(since=MONDAY, until=MONDAY + WEEK, by=by, limit=1000))

    def sums(requests: list[ModelRequest]) -> tuple[Any, ...]:
        return (
            len(requests),
            sum(r.outcome == "failed" for r in requests),
            sum(r.cost_usd is None for r in requests),
            sum(r.input_tokens for r in requests),
            sum(r.output_tokens for r in requests),
            sum(r.cache_read_tokens for r in requests),
            sum((r.cost_usd or Decimal() for r in requests), Decimal()),
            sum(r.duration_ms for r in requests),
        )

    told = [
        (
            r.requests,
            r.failed,
            r.unpriced,
            r.input_tokens,
            r.output_tokens,
            r.cache_read_tokens,
            r.cost_usd,
            r.duration_ms,
        )
        for r in found
    ]
    assert sorted(told) == sorted(sums(requests) for requests in expected.values())
    assert [r.cost_usd for r in found] == sorted((r.cost_usd for r in found), reverse=True)
    assert all(set(r.group) == set(by) for r in found)


def test_nothing_at_all_sums_up_to_nothing(ann: Any) -> None:
    [total] = usage(ann.pk, UsageQuery(since=MONDAY, until=MONDAY + WEEK))
    assert (total.requests, total.cost_usd, total.input_tokens) == (0, Decimal(0), 0)
    by_model = UsageQuery(since=MONDAY, until=MONDAY + WEEK, by=("model",))
    assert usage(ann.pk, by_model) == []
    assert usage_and_total(ann.pk, by_model) == ([], total)


def test_the_total_is_of_all_groups_also_of_those_that_are_not_listed(ann: Any, bob: Any) -> None:
    seed(ann)
    seed(bob, number=50)
    week = UsageQuery(since=MONDAY, until=MONDAY + WEEK, everyone=True)
    [whole] = usage(ann.pk, week)
    for dimension in DIMENSIONS:
        by = dataclasses.replace(week, by=(dimension,))
        assert usage_and_total(ann.pk, by) == (usage(ann.pk, by), whole)
        shortest = dataclasses.replace(by, limit=1)
        assert usage_and_total(ann.pk, shortest) == (usage(ann.pk, by)[:1], whole)
    assert usage_and_total(ann.pk, week) == ([], whole)


async def test_staff_may_ask_for_all_and_nobody_else(service: ThreadService, ann: Any, bob: Any) -> None:
    chief = await database_sync_to_async(get_user_model().objects.create_user)("chief", is_staff=True)
    await database_sync_to_async(seed)(bob, number=20)
    everyone = UsageQuery(since=MONDAY - WEEK, until=MONDAY + 2 * WEEK, everyone=True)
    by_user = UsageQuery(since=MONDAY - WEEK, until=MONDAY + 2 * WEEK, by=("user",))
    asking = services(service, await held(service, ann))
    for query in (everyone, by_user):
        with pytest.raises(ToolError, match="only staff"):
            await asking.usage(query)
    [total] = await services(service, await held(service, chief)).usage(everyone)
    assert total.requests == 20
    await database_sync_to_async(get_user_model().objects.filter(pk=chief.pk).update)(is_staff=False)
    with pytest.raises(ToolError, match="only staff"):
        await services(service, await held(service, chief, "Again")).usage(everyone)


def test_every_dimension_can_be_asked_for(ann: Any) -> None:
    seed(ann, number=5)
    for dimension in DIMENSIONS:
        found = usage(ann.pk, UsageQuery(since=MONDAY - WEEK, until=MONDAY + 2 * WEEK, by=(dimension,)))
        assert sum(row.requests for row in found) == 5


def test_administrators_see_the_account(admin_client: Client, ann: Any) -> None:
    [request, *_] = seed(ann, number=3)
    page = admin_client.get("/admin/chat/modelrequest/").content.decode()
    assert page.count("gpt-5") + page.count("claude") >= 3
    assert request.model in admin_client.get(f"/admin/chat/modelrequest/{request.pk}/change/").content.decode()
    assert admin_client.get("/admin/chat/modelrequest/add/").status_code == 403
    assert uuid.UUID(str(request.pk))


async def test_of_a_thread_all_is_summed_up_that_its_runs_took_and_nobody_elses(
    service: ThreadService, ann: Any, bob: Any
) -> None:
    run = await held(service, ann)
    account = services(service, run)
    long_ago = MONDAY - datetime.timedelta(days=2000)
    for given in (
        {"started_at": long_ago},
        {"outcome": "failed", "cost_usd": None},
        {"agent": "data", "input_tokens": 7},
    ):
        await account.record_model_request(record(**given))
    await services(service, await held(service, ann, "Another thread")).record_model_request(record())
    answer = await database_sync_to_async(told)(ann, f"thread_id={run.thread_id}&by=agent")
    assert answer["total"] | {"requests": 3, "failed": 1, "unpriced": 1, "runs": 1} == answer["total"]
    assert (answer["total"]["input_tokens"], answer["total"]["cost_usd"]) == (2007, "0.00070000")
    assert {row["group"]["agent"]: row["requests"] for row in answer["rows"]} == {"assistant": 2, "data": 1}
    late = await database_sync_to_async(told)(ann, f"thread_id={run.thread_id}&since=2026-03-01")
    assert late["total"]["requests"] == 2
    assert (await database_sync_to_async(told)(bob, f"thread_id={run.thread_id}"))["error_code"] == "THREAD_NOT_FOUND"
    ann.is_staff = True
    await ann.asave()
    refused = await database_sync_to_async(told)(ann, f"thread_id={run.thread_id}&everyone=true")
    assert refused["error_code"] == "INVALID_MESSAGE"


def told(user: Any, query: str) -> Any:
    client = Client(headers={"authorization": f"Bearer {AccessToken.for_user(user)}"})
    return client.get(f"/api/usage?{query}").json()
