"""What is kept for how long: of each kind of rows, what removes those whose time is over.

Each kind is removed in batches under locks that other sweeps skip, in turn with the others: much of one kind holds up
none of the others. What is kept how long is told, table by table, in docs/retention.md.
"""

from __future__ import annotations

import datetime
import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import LiteralString, cast

import structlog
from django.apps import apps
from django.conf import settings
from django.db import connection, transaction

from chat import attachments, audit, jobs, processes, removal, sessions, thread_removal
from chat.apps import ChatConfig
from chat.run_event import now

logger = structlog.get_logger(__name__)

KEEP_ENDED_JOBS = datetime.timedelta(hours=24)
# How long one sweep goes on tidying up: the runs of a worker that is lost meanwhile wait for the next sweep.
TIDY_SECONDS = 1.0
PURGE_BATCH = 5
IDLE_THREADS_BATCH = 20
ROWS_BATCH = 500
UNSENT_BATCH = 100
PRUNE_RUNS_BATCH = 200
PRUNE_EVENTS_BATCH = 2000

PRUNABLE_RUNS: LiteralString = """
    SELECT id FROM chat_run WHERE finished_at < %(before)s AND events_pruned_at IS NULL
    ORDER BY finished_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
"""
# From the first event on: what is left of a run has no gap. By their places, which rows that nobody changes keep: of
# keys, the planner would rather read the whole table.
_PRUNE: LiteralString = """
    DELETE FROM chat_runevent WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM chat_runevent WHERE run_id = ANY(%(runs)s)
        ORDER BY run_id, seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""
_MARK_PRUNED: LiteralString = """
    UPDATE chat_run r SET events_pruned_at = %(now)s
    WHERE id = ANY(%(runs)s) AND NOT EXISTS (SELECT 1 FROM chat_runevent e WHERE e.run_id = r.id)
"""
# A list, lest the planner joins them with the whole table.
OLD_MODEL_REQUESTS: LiteralString = """
    DELETE FROM chat_modelrequest WHERE id = ANY(ARRAY(
        SELECT id FROM chat_modelrequest WHERE started_at < %(before)s
        ORDER BY started_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""
EXPIRED_SESSIONS: LiteralString = """
    DELETE FROM django_session WHERE session_key = ANY(ARRAY(
        SELECT session_key FROM django_session WHERE expire_date < %(before)s
        ORDER BY expire_date LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""
# It has no index by time, but its rows are numbered as they are written.
OLD_ADMINISTRATION: LiteralString = """
    DELETE FROM django_admin_log WHERE id = ANY(ARRAY(
        SELECT id FROM (
            SELECT id, action_time FROM django_admin_log ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED) l
        WHERE action_time < %(before)s))
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """`remove` removes a batch and returns how much that was; 0: nothing is left, or others have it.

    What is removed since a setting says so is told in the log.
    """

    name: str
    remove: Callable[[], int]
    told: bool = False


def tidy_up() -> Counter[str]:
    """Remove what is not needed any more: of each kind a batch, then what TIDY_SECONDS allow. Returns how much."""
    _remove_strays()
    removed = _in_turn(list(kinds()), until=time.monotonic() + TIDY_SECONDS)
    told = {kind.name: removed[kind.name] for kind in kinds() if kind.told and removed[kind.name]}
    if told:
        logger.info("old_rows_removed", **told)
    return removed


def kinds() -> Iterator[Kind]:
    """Those that the settings have removed, and those of which nothing is ever needed longer."""
    yield Kind("deleted_threads", lambda: thread_removal.purge_deleted(limit=PURGE_BATCH))
    yield Kind("deleted_accounts", removal.remove_deleted)
    yield Kind("lost_processes", lambda: processes.forget_lost(limit=ROWS_BATCH))
    yield Kind("expired_tokens", lambda: sessions.forget_expired(limit=ROWS_BATCH))
    yield Kind("expired_sessions", lambda: _delete(EXPIRED_SESSIONS, before=now()))
    yield Kind(
        "unsent_files",
        lambda: attachments.remove_old_unsent(older_than=attachments.UNSENT_FOR, limit=UNSENT_BATCH),
    )
    yield Kind("ended_jobs", lambda: jobs.remove_ended(older_than=KEEP_ENDED_JOBS, limit=ROWS_BATCH))
    for name, days, remove in _by_setting():
        if days:
            yield Kind(name, functools.partial(remove, before=now() - datetime.timedelta(days=days)), told=True)


def _by_setting() -> Iterator[tuple[str, float, Callable[..., int]]]:
    """Name, days, and what removes a batch of those from before; 0 days: they are kept."""
    keep = settings.NETRA
    yield "idle_threads", keep.thread_retention, _delete_idle_threads
    yield "events", keep.event_retention, prune_events
    yield "model_requests", keep.model_request_retention, functools.partial(_delete, OLD_MODEL_REQUESTS)
    yield "audit_entries", keep.audit_retention, functools.partial(audit.forget_old, limit=ROWS_BATCH)
    yield "administration_entries", keep.audit_retention, functools.partial(_delete, OLD_ADMINISTRATION)


def _in_turn(left: list[Kind], *, until: float) -> Counter[str]:
    removed = Counter[str]()
    first = True
    while left:
        for kind in list(left):
            if not first and time.monotonic() >= until:
                return removed
            number = kind.remove()
            removed[kind.name] += number
            if not number:
                left.remove(kind)
        first = False
    return removed


def _remove_strays() -> None:
    """One folder of the storage each time, so that all of them are looked at in turn."""
    shard = int(time.time() / settings.NETRA.sweep_seconds) % attachments.SHARDS
    if strays := attachments.remove_strays(shard, older_than=attachments.STRAY_AFTER):
        logger.warning("stray_files_removed", files=strays)


def _delete_idle_threads(*, before: datetime.datetime) -> int:
    service = cast("ChatConfig", apps.get_app_config("chat")).thread_service
    return service.delete_idle(before=before, limit=IDLE_THREADS_BATCH) if service is not None else 0


@transaction.atomic
def prune_events(*, before: datetime.datetime) -> int:
    """Remove a batch of the events of runs that had ended by then; messages stay. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(PRUNABLE_RUNS, {"before": before, "limit": PRUNE_RUNS_BATCH})
        found = [row[0] for row in cursor.fetchall()]
        if not found:
            return 0
        cursor.execute(_PRUNE, {"runs": found, "limit": PRUNE_EVENTS_BATCH})
        removed = int(cursor.rowcount)
        cursor.execute(_MARK_PRUNED, {"runs": found, "now": now()})
    return removed


def _delete(query: LiteralString, *, before: datetime.datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query, {"before": before, "limit": ROWS_BATCH})
        return int(cursor.rowcount)
