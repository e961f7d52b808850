"""How long rows are kept: by which setting, in which batches, and that no kind holds up another."""

from __future__ import annotations

import datetime
import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, LiteralString

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import connection, connections, transaction
from django.db.models import Model

from chat import audit, own_threads, retention, thread_removal
from chat.errors import ChatError, ErrorCode
from chat.models import AuditEntry, Message, ModelRequest, Run, RunEvent, Thread
from chat.run_event import now
from chat.threads import ThreadService
from netra.testing import Netra, rebuild, receive
from tests.chat.holding import post, posted

pytestmark = pytest.mark.usefixtures("transactional_db")

DAY = datetime.timedelta(days=1)
MANY = 100_000
ADD: dict[type[Model], LiteralString] = {
    ModelRequest: """
        INSERT INTO chat_modelrequest (id, user_id, agent, model, provider, outcome, error, input_tokens, output_tokens,
                                       cache_read_tokens, cache_write_tokens, estimated, duration_ms, started_at)
        SELECT gen_random_uuid(), %s, 'a', 'm', '', 'completed', '', 1, 1, 0, 0, false, 1, at FROM given""",
    AuditEntry: """
        INSERT INTO chat_auditentry (at, action, refused, actor, address, target, details)
        SELECT at, 'sign_in', '', %s, '', '', '{}' FROM given""",
    LogEntry: """
        INSERT INTO django_admin_log (action_time, user_id, object_repr, action_flag, change_message)
        SELECT at, %s, '', 1, '' FROM given ORDER BY at""",
    Session: """
        INSERT INTO django_session (session_key, session_data, expire_date)
        SELECT md5(n::text || at::text), '', at FROM given WHERE %s > 0""",
}
# What removes them, by the name of the kind.
KINDS: dict[type[Model], str] = {
    ModelRequest: "model_requests",
    AuditEntry: "audit_entries",
    LogEntry: "administration_entries",
    Session: "expired_sessions",
}
QUERIES: dict[str, LiteralString] = {
    "model_requests": retention.OLD_MODEL_REQUESTS,
    "expired_sessions": retention.EXPIRED_SESSIONS,
    "administration_entries": retention.OLD_ADMINISTRATION,
    "audit_entries": audit.OLD_ENTRIES,
}


@pytest.fixture(autouse=True)
def _as_configured() -> Iterator[None]:
    rebuild()
    yield
    connections.close_all()


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def change(**days: float) -> None:
        monkeypatch.setattr(settings, "NETRA", settings.NETRA.model_copy(update=days))

    return change


def add(kind: type[Model], user: Any, number: int, *, ago: datetime.timedelta) -> None:
    """Rows of this age, each a millisecond older than the one before."""
    given = """WITH given AS (SELECT n, now() - %s::interval - n * interval '1 millisecond' AS at
                              FROM generate_series(1, %s) n) """
    with connection.cursor() as cursor:
        cursor.execute(given + ADD[kind], [str(ago), number, user.pk])


def left(thread_id: Any) -> dict[str, int]:
    return {
        "threads": Thread.objects.filter(id=thread_id).count(),
        "messages": Message.objects.filter(thread_id=thread_id).count(),
        "runs": Run.objects.filter(thread_id=thread_id).count(),
        "events": RunEvent.objects.filter(run__thread_id=thread_id).count(),
    }


# Threads that nobody writes in


def idle(service: ThreadService, user: Any, *, ago: datetime.timedelta, ended: bool = True) -> uuid.UUID:
    service.max_open_runs = 100
    asked = post(service, user)
    if ended:
        Run.objects.filter(id=asked.run_id).update(status="completed", finished_at=now() - ago)
    Thread.objects.filter(id=asked.thread_id).update(updated_at=now() - ago)
    return uuid.UUID(asked.thread_id)


def test_threads_that_nobody_wrote_in_are_deleted_archived_ones_too(
    service: ThreadService, ann: Any, bob: Any, keep: Callable[..., None]
) -> None:
    old, archived, theirs = [idle(service, user, ago=31 * DAY) for user in (ann, ann, bob)]
    Thread.objects.filter(id=archived).update(archived_at=now() - 30 * DAY)
    young, busy = idle(service, ann, ago=29 * DAY), idle(service, ann, ago=31 * DAY, ended=False)
    keep(thread_retention=30.0)
    assert retention.tidy_up()["idle_threads"] == 3
    assert set(Thread.objects.filter(deleted_at=None).values_list("id", flat=True)) == {young, busy}
    assert service.restore_thread(ann.pk, old).deleted_at is None, "for an hour, as what a person deletes"
    assert Message.objects.filter(thread_id__in=[old, archived, theirs]).count() == 3
    assert retention.tidy_up()["idle_threads"] == 1
    Thread.objects.exclude(deleted_at=None).update(deleted_at=now() - DAY)
    retention.tidy_up()
    assert set(Thread.objects.values_list("id", flat=True)) == {young, busy}


def test_by_default_threads_and_the_account_of_requests_are_kept(service: ThreadService, ann: Any) -> None:
    idle(service, ann, ago=10_000 * DAY)
    add(ModelRequest, ann, 3, ago=10_000 * DAY)
    retention.tidy_up()
    assert Thread.objects.filter(deleted_at=None).count() == 1
    assert ModelRequest.objects.count() == 3


async def test_a_connection_is_told_that_a_thread_is_gone(netra: Netra, keep: Callable[..., None]) -> None:
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    thread_id = (await netra.ask(socket, "What is 6 * 7?"))[-1]["thread_id"]
    keep(thread_retention=30.0)

    @database_sync_to_async
    def sweep() -> int:
        Thread.objects.filter(id=thread_id).update(updated_at=now() - 31 * DAY)
        return retention.tidy_up()["idle_threads"]

    assert await sweep() == 1
    assert (await receive(socket, "thread_deleted"))["thread"]["id"] == thread_id


def test_who_is_just_writing_keeps_the_thread(service: ThreadService, ann: Any, keep: Callable[..., None]) -> None:
    """The sweep has seen it, and finds its person's row locked; then that it was written in."""
    thread_id = idle(service, ann, ago=31 * DAY)
    before = now() - 30 * DAY
    seen: list[int] = []

    def sweep_too() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '5s'")
            seen.append(service.delete_idle(before=before, limit=10))
        finally:
            connections.close_all()

    with transaction.atomic():
        own_threads.lock_counters(ann.pk)
        Thread.objects.filter(id=thread_id).update(updated_at=now())
        other = threading.Thread(target=sweep_too)
        other.start()
        other.join(timeout=10)
        assert not other.is_alive(), "it waits for nobody"
    assert seen == [0]
    assert not service._delete_if_idle(ann.pk, thread_id, before=before), "as when it was seen before"
    assert Thread.objects.get(id=thread_id).deleted_at is None


def test_many_sweeps_at_once_delete_each_thread_once(
    service: ThreadService, ann: Any, bob: Any, at_once: Callable[[list[Callable[[], int]]], list[int]]
) -> None:
    for number in range(20):
        idle(service, (ann, bob)[number % 2], ago=31 * DAY)
    before = now() - 30 * DAY

    def delete_all() -> int:
        total = 0
        while Thread.objects.filter(deleted_at=None).exists():
            total += service.delete_idle(before=before, limit=5)
        return total

    assert sum(at_once([delete_all] * 4)) == 20


# Removing a large thread


def test_a_large_thread_is_removed_in_steps_and_not_restored_meanwhile(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, batch in (("EVENTS_BATCH", 50), ("RUNS_BATCH", 4), ("MESSAGES_BATCH", 4)):
        monkeypatch.setattr(thread_removal, name, batch)
    service.max_open_runs = 100
    asked = post(service, ann)
    for _ in range(9):
        post(service, ann, thread_id=asked.thread_id)
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO chat_runevent (run_id, seq, type, agent, data, created_at)
               SELECT id, n, 'agent_response_chunk', 'a', '{}', now() FROM chat_run, generate_series(101, 112) n"""
        )
    thread_id = uuid.UUID(asked.thread_id)
    service.delete_thread(ann.pk, thread_id)
    Thread.objects.update(deleted_at=now() - datetime.timedelta(minutes=62))
    seen = [left(thread_id)]
    while thread_removal.purge_deleted(limit=5):
        seen.append(left(thread_id))
        if seen[-1]["threads"]:
            with pytest.raises(ChatError) as error:
                service.restore_thread(ann.pk, thread_id)
            assert error.value.code == ErrorCode.THREAD_NOT_FOUND
    assert seen[-1] == dict.fromkeys(seen[0], 0)
    steps = [{kind: before[kind] - after[kind] for kind in before} for before, after in itertools.pairwise(seen)]
    assert len(steps) > 5
    for step in steps:
        assert step["events"] <= 50 + 4 * 14
        assert step["runs"] <= 4
        assert step["messages"] <= 4


def test_nobody_restores_what_another_process_may_be_removing(service: ThreadService, ann: Any) -> None:
    thread_id = uuid.UUID(post(service, ann).thread_id)
    service.delete_thread(ann.pk, thread_id)
    Thread.objects.update(deleted_at=now() - datetime.timedelta(minutes=59))
    assert thread_removal.purge_deleted(limit=5) == 0
    service.restore_thread(ann.pk, thread_id)
    service.delete_thread(ann.pk, thread_id)
    Thread.objects.update(deleted_at=now() - datetime.timedelta(minutes=60, seconds=30))
    assert thread_removal.purge_deleted(limit=5) == 0
    with pytest.raises(ChatError):
        service.restore_thread(ann.pk, thread_id)


# Rows by their age


@pytest.mark.parametrize("kind", KINDS, ids=KINDS.values())
def test_old_rows_go_and_young_ones_stay(kind: type[Model], ann: Any, keep: Callable[..., None]) -> None:
    keep(model_request_retention=30.0, audit_retention=30.0)
    expires = kind is Session
    add(kind, ann, 7, ago=DAY if expires else 31 * DAY)
    add(kind, ann, 5, ago=-DAY if expires else 29 * DAY)
    assert retention.tidy_up()[KINDS[kind]] == 7
    assert kind._default_manager.count() == 5
    assert retention.tidy_up()[KINDS[kind]] == 0


@pytest.mark.parametrize("kind", KINDS, ids=KINDS.values())
def test_what_another_sweep_removes_is_skipped(kind: type[Model], ann: Any, keep: Callable[..., None]) -> None:
    keep(model_request_retention=30.0, audit_retention=30.0)
    add(kind, ann, 10, ago=31 * DAY)
    [one] = [each for each in retention.kinds() if each.name == KINDS[kind]]
    removed: list[int] = []

    def remove_too() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '5s'")
            removed.append(one.remove())
        finally:
            connections.close_all()

    with transaction.atomic():
        held = list(kind._default_manager.select_for_update()[:4])
        other = threading.Thread(target=remove_too)
        other.start()
        other.join(timeout=10)
        assert not other.is_alive()
    assert (len(held), removed) == (4, [6])


def test_of_a_hundred_thousand_rows_a_sweep_removes_batches_of_each_kind_and_reads_no_more(
    service: ThreadService, ann: Any, keep: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Much of one kind holds up none of the others, and no batch reads the table."""
    for kind in KINDS:
        add(kind, ann, MANY, ago=31 * DAY)
    for _ in range(2 * retention.IDLE_THREADS_BATCH):
        idle(service, ann, ago=31 * DAY)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    keep(model_request_retention=30.0, audit_retention=30.0, thread_retention=30.0)
    for name, query in QUERIES.items():
        assert rows_read(query) <= 2 * retention.ROWS_BATCH, name
    monkeypatch.setattr(retention, "TIDY_SECONDS", 0.0)
    removed = retention.tidy_up()
    assert {removed[name] for name in KINDS.values()} == {retention.ROWS_BATCH}
    assert removed["idle_threads"] == retention.IDLE_THREADS_BATCH
    for kind in KINDS:
        assert kind._default_manager.count() == MANY - retention.ROWS_BATCH


def rows_read(query: LiteralString) -> int:
    """The most that any step of the statement reads of a table."""
    with transaction.atomic(), connection.cursor() as cursor:
        parameters: dict[str, Any] = {"before": now() - DAY, "limit": retention.ROWS_BATCH}
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + query, parameters)
        [[[explained]]] = cursor.fetchall()
        transaction.set_rollback(True)
    return max(steps_of(explained["Plan"]))


def steps_of(plan: dict[str, Any]) -> Iterator[int]:
    yield int((plan.get("Actual Rows", 0) + plan.get("Rows Removed by Filter", 0)) * plan.get("Actual Loops", 1))
    for inner in plan.get("Plans", []):
        yield from steps_of(inner)


async def test_threads_that_nobody_wrote_in_are_found_by_an_index(service: ThreadService, ann: Any) -> None:
    await posted(service, ann)

    @database_sync_to_async
    def plan() -> str:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            parameters: dict[str, Any] = {"before": now(), "open": ["queued"], "limit": 5}
            cursor.execute("EXPLAIN " + own_threads.IDLE_THREADS, parameters)
            return "\n".join(row[0] for row in cursor.fetchall())

    assert "thread_by_last_writing" in await plan()


# The document


def test_the_document_has_every_table() -> None:
    text = Path(__file__).parents[2].joinpath("docs", "retention.md").read_text().partition("## Table by table")[2]
    named = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert named == set(connection.introspection.table_names())
