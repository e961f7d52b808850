"""How the deployment does at this moment, and did in the last days. Each figure is read by an index."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, LiteralString

from django.conf import settings
from django.db import connection
from django.http import HttpRequest

from chat.admin.rows import deleted_people, linked, moment, said
from chat.admin.runs import outcome_badge
from chat.api.supervisor import live_workers
from chat.models import OPEN_STATUSES, ProcessKind, Run, RunStatus
from chat.processes import live_processes
from chat.run_event import now

DAYS = 7
FAILURES = 8
PEOPLE = 5
AGENTS = 20

_OPEN: LiteralString = """
    SELECT status, count(*), min(created_at) FROM chat_run WHERE status = ANY(%(open)s) GROUP BY status
"""
_BY_AGENT: LiteralString = """
    SELECT agent, count(*) FILTER (WHERE created_at >= %(day)s),
           count(*) FILTER (WHERE created_at >= %(day)s AND status = 'failed'),
           count(*), count(*) FILTER (WHERE status = 'failed')
    FROM chat_run WHERE created_at >= %(week)s GROUP BY agent ORDER BY 4 DESC, agent LIMIT %(limit)s
"""
_BY_DAY: LiteralString = """
    SELECT (started_at AT TIME ZONE 'UTC')::date, count(*), count(*) FILTER (WHERE outcome = 'failed'),
           sum(input_tokens + output_tokens)::bigint, COALESCE(sum(cost_usd), 0)
    FROM chat_modelrequest WHERE started_at >= %(since)s GROUP BY 1
"""
_BY_PERSON: LiteralString = """
    SELECT m.user_id, u.username, m.requests, m.tokens, m.cost FROM (
        SELECT user_id, count(*) AS requests, sum(input_tokens + output_tokens)::bigint AS tokens,
               COALESCE(sum(cost_usd), 0) AS cost
        FROM chat_modelrequest WHERE started_at >= %(today)s GROUP BY user_id
        ORDER BY cost DESC, tokens DESC LIMIT %(limit)s) m JOIN auth_user u ON u.id = m.user_id
    WHERE u.username NOT LIKE 'deleted:%%' ORDER BY m.cost DESC, m.tokens DESC
"""


@dataclass(frozen=True, slots=True)
class Day:
    """What requests to models took on a day. `height` is that of its bar in percent of the highest."""

    day: datetime.date
    requests: int
    failed: int
    tokens: int
    cost_usd: Decimal
    height: float


def into(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's hook: what the overview shows of what the person may view."""
    may = request.user.has_perm
    shown: dict[str, Any] = {"at": moment(now())}
    if may("chat.view_run"):
        shown |= _runs(request) | _processes()
    if may("chat.view_modelrequest"):
        shown |= _spent(request)
    return context | shown


def _rows(statement: LiteralString, **values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _runs(request: HttpRequest) -> dict[str, Any]:
    at = now()
    open_runs = {status: (number, since) for status, number, since in _rows(_OPEN, open=list(OPEN_STATUSES))}
    by_agent = _rows(
        _BY_AGENT, day=at - datetime.timedelta(days=1), week=at - datetime.timedelta(days=DAYS), limit=AGENTS
    )
    queued, oldest = open_runs.get(RunStatus.QUEUED, (0, None))
    return {
        "open_runs": [
            (said(RunStatus(status)), open_runs.get(status, (0, None))[0], status)
            for status in (RunStatus.RUNNING, RunStatus.QUEUED, RunStatus.AWAITING_APPROVAL)
        ],
        "queued": queued,
        "queue_age": duration(at - oldest) if oldest else "",
        "workers": live_workers(),
        "stalled_seconds": settings.NETRA.worker_stalled_seconds,
        "by_agent": by_agent,
        "runs_day": sum(row[1] for row in by_agent),
        "failed_day": sum(row[2] for row in by_agent),
        "runs_week": sum(row[3] for row in by_agent),
        "failed_week": sum(row[4] for row in by_agent),
        "failures": [
            (run, outcome_badge(run), linked(request, "user", run.user_id, run.user.get_username()))
            for run in _newest_failures()
        ],
    }


def _processes() -> dict[str, Any]:
    processes = live_processes()
    return {
        "processes": [
            (
                each.kind,
                each.version,
                duration(now() - each.started_at),
                each.connections,
                each.runs,
                f"{each.loop_lag * 1000:,.0f} ms",
                moment(each.seen_at),
            )
            for each in processes
        ],
        "connections": sum(each.connections for each in processes),
        "web_processes": sum(each.kind == ProcessKind.WEB for each in processes),
    }


def _newest_failures() -> list[Run]:
    failed = Run.objects.filter(status=RunStatus.FAILED).exclude(user__in=deleted_people())
    return list(failed.select_related("user").defer("paused_state").order_by("-finished_at")[:FAILURES])


def _spent(request: HttpRequest) -> dict[str, Any]:
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - datetime.timedelta(days=DAYS - 1)
    found = {row[0]: row[1:] for row in _rows(_BY_DAY, since=first)}
    dates = [(first + datetime.timedelta(days=number)).date() for number in range(DAYS)]
    taken: list[tuple[Any, ...]] = [found.get(date, (0, 0, 0, Decimal(0))) for date in dates]
    # Where no price is known, the tokens are what there is to compare.
    measure = 3 if any(row[3] for row in taken) else 2
    highest = max(float(row[measure]) for row in taken) or 1.0
    days = [
        Day(date, requests, failed, tokens, cost, 100 * float((requests, failed, tokens, cost)[measure]) / highest)
        for date, (requests, failed, tokens, cost) in zip(dates, taken, strict=True)
    ]
    people = _rows(_BY_PERSON, today=today, limit=PEOPLE)
    return {
        "days": days,
        "today": days[-1],
        "chart_of": "cost" if measure == 3 else "tokens",
        "week_cost": sum((day.cost_usd for day in days), Decimal(0)),
        "week_tokens": sum(day.tokens for day in days),
        "spenders": [
            (linked(request, "user", user_id, name), requests, tokens, cost)
            for user_id, name, requests, tokens, cost in people
        ],
    }


def duration(value: datetime.timedelta) -> str:
    """A time that one can compare at a glance."""
    total = max(0, int(value.total_seconds()))
    if total < 120:
        return f"{total} s"
    minutes, hours = total // 60, total // 3600
    return f"{minutes} min" if minutes < 120 else f"{hours} h" if hours < 48 else f"{hours // 24} days"
