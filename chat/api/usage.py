"""`/api/usage`: what requests to models have cost, added up."""

from __future__ import annotations

import dataclasses
import datetime
import math
from decimal import Decimal
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agents.account import DIMENSIONS, Dimension, UsageQuery, UsageRow
from chat import allowances
from chat.account import usage_and_total
from chat.allowances import Limit
from chat.api import schemas
from chat.api.documented import USAGE, documented
from chat.api.paging import query_of
from chat.api.serving import chat_config, thread_service
from chat.errors import ErrorCode
from chat.protocol import timestamp
from chat.run_event import now

MAX_ROWS = 1000
DEFAULT_DAYS = 30
EARLIEST = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
LATEST = datetime.datetime(2200, 1, 1, tzinfo=datetime.UTC)


class MomentField(serializers.Field[datetime.datetime, str, str, Any]):
    """A day (its beginning, UTC) or a time with a zone, as RFC 3339 writes them."""

    default_error_messages = {"invalid": "must be a date, or a time with a zone, of the years from 2000 to 2199"}

    def to_internal_value(self, data: str) -> datetime.datetime:
        try:
            moment = parse_datetime(str(data))
            if moment is None or "T" not in str(data).upper().replace(" ", "T"):
                day = parse_date(str(data))
                moment = datetime.datetime.combine(day, datetime.time(), datetime.UTC) if day else None
            if moment is None or moment.tzinfo is None or not EARLIEST <= moment <= LATEST:
                self.fail("invalid")
        except (ValueError, OverflowError):
            self.fail("invalid")
        return moment

    def to_representation(self, value: datetime.datetime) -> str:
        return timestamp(value)


class UsageSerializer(serializers.Serializer[Any]):
    since = MomentField(required=False)
    until = MomentField(required=False)
    by = serializers.CharField(default="", max_length=100)
    everyone = serializers.BooleanField(default=False)
    thread_id = serializers.UUIDField(required=False)

    def validate_by(self, value: str) -> tuple[Dimension, ...]:
        named = [name.strip() for name in value.split(",")] if value else []
        wanted = tuple(dimension for dimension in DIMENSIONS if dimension in named)
        if len(wanted) != len(named):
            raise serializers.ValidationError(f"must be some of {', '.join(DIMENSIONS)}, separated by commas")
        return wanted

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        until = attrs.setdefault("until", now())
        first = EARLIEST if "thread_id" in attrs else until - datetime.timedelta(days=DEFAULT_DAYS)
        since = attrs.setdefault("since", first)
        if since > until:
            raise serializers.ValidationError({"since": "must not be after until"})
        if "user" in attrs["by"] and not attrs["everyone"]:
            raise serializers.ValidationError({"by": "user: only together with everyone"})
        if "thread_id" in attrs and attrs["everyone"]:
            raise serializers.ValidationError({"thread_id": "not together with everyone: a thread is one person's"})
        return attrs


class Usage(APIView):
    """`GET ?since=&until=&by=&everyone=&thread_id=` → {since, until, by, rows, truncated, total}: one's own usage.

    Of a thread, all its branches are counted, since its beginning unless `since` says otherwise. Staff may ask for
    everyone's. Costs are US dollars as decimal text, so that nothing is rounded on the way.
    """

    @documented(
        "get_usage",
        "What requests to models have cost, added up.",
        answer=schemas.Usage,
        errors=[ErrorCode.FORBIDDEN, ErrorCode.THREAD_NOT_FOUND],
        parameters=USAGE,
        tag="usage",
    )
    def get(self, request: Request) -> Response:
        wish = query_of(UsageSerializer, request)
        if wish["everyone"] and not request.user.is_staff:
            raise PermissionDenied("Only staff may see what others have used")
        if "thread_id" in wish:
            thread_service().get_thread(request.user.pk, wish["thread_id"])
        query = UsageQuery(**wish, limit=MAX_ROWS + 1)
        rows, total = usage_and_total(request.user.pk, query)
        return Response(
            {
                "since": timestamp(query.since),
                "until": timestamp(query.until),
                "by": list(query.by),
                "rows": [row_json(row) for row in rows[:MAX_ROWS]],
                "truncated": len(rows) > MAX_ROWS,
                "total": row_json(total),
            }
        )


class Allowances(APIView):
    """`GET` → {allowance: [{limit, used, allowed, resets_in}]}: what the person may use, and has used."""

    @documented(
        "get_allowance",
        "What the person may use in a day, in a minute and at once, and how much of it is used.",
        description="A day is one of UTC. What is under way counts when it has ended.",
        answer=schemas.Allowances,
        tag="usage",
    )
    def get(self, request: Request) -> Response:
        user_id, chat = request.user.pk, chat_config()
        found = allowances.standing([user_id])[user_id]
        messages = chat.rate_limits.messages_counted(user_id)
        uses = [
            *found.uses,
            allowances.Use(
                limit=Limit.MESSAGES_PER_MINUTE,
                used=messages.used,
                allowed=found.limits.messages_per_minute,
                resets_in=math.ceil(messages.more_in) if messages.used else None,
            ),
            allowances.Use(
                limit=Limit.CONNECTIONS,
                used=chat.places.leases.used(user_id),
                allowed=found.limits.connections,
            ),
        ]
        return Response({"allowance": [{"allowed": None, "resets_in": None, **use.json()} for use in uses]})


def row_json(row: UsageRow) -> dict[str, Any]:
    return {
        name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in dataclasses.asdict(row).items()
    }
