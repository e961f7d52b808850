"""`/api/threads`: the person's own threads and what was said in them."""

from __future__ import annotations

import base64
import datetime
import json
import uuid
from collections.abc import Sequence
from typing import Any, cast

from django.apps import apps
from django.db.models import Q
from pydantic import StrictStr, TypeAdapter
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import health
from chat.apps import ChatConfig
from chat.errors import ChatError, ErrorCode
from chat.models import Message, Role, Run, Thread
from chat.protocol import timestamp
from chat.threads import ThreadService, thread_json

MAX_PAGE = 200
PARTS = TypeAdapter(list[StrictStr])


class TitleSerializer(serializers.Serializer[Thread]):
    title = serializers.CharField(max_length=200, allow_blank=True)


class PageSerializer(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=50)


def thread_service() -> ThreadService:
    return health.require_services(cast("ChatConfig", apps.get_app_config("chat")))


def open_runs(thread: Thread) -> int:
    """What `ThreadService.threads_of` has counted."""
    return int(getattr(thread, "open_runs"))  # noqa: B009 - an annotation of the query


def encode_cursor(*place: Any) -> str:
    """An opaque name for a place in an order."""
    return base64.urlsafe_b64encode(json.dumps([str(part) for part in place]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: Any) -> list[Any]:
    """Raises ChatError with INVALID_MESSAGE for what `encode_cursor` has not made."""
    try:
        encoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = PARTS.validate_json(encoded)
        return [kind(part) for kind, part in zip(kinds, parts, strict=True)]
    except (ValueError, OverflowError):
        raise ChatError(ErrorCode.INVALID_MESSAGE, "The cursor is not one of this server's") from None


def moment(text: str) -> datetime.datetime:
    """A time in a cursor. Raises ValueError."""
    parsed = datetime.datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError("a time without a zone")
    return parsed


def page_limit(request: Request) -> int:
    page = PageSerializer(data=request.query_params)
    page.is_valid(raise_exception=True)
    return int(page.validated_data["limit"])


class Threads(APIView):
    """`GET`: {threads_version, threads, next}, those last written in first. `POST` {title?}: a new thread."""

    def get(self, request: Request) -> Response:
        service, user_id = thread_service(), request.user.pk
        version = service.threads_version(user_id)
        limit = page_limit(request)
        threads = service.threads_of(user_id)
        if cursor := request.query_params.get("cursor"):
            updated_at, thread_id = decode_cursor(cursor, moment, uuid.UUID)
            threads = threads.filter(Q(updated_at__lt=updated_at) | Q(updated_at=updated_at, id__lt=thread_id))
        page = list(threads[: limit + 1])
        more = len(page) > limit
        page = page[:limit]
        return Response(
            {
                "threads_version": version,
                "threads": [thread_json(thread, open_runs=open_runs(thread)) for thread in page],
                "next": encode_cursor(page[-1].updated_at.isoformat(), page[-1].id) if more else None,
            }
        )

    def post(self, request: Request) -> Response:
        body = TitleSerializer(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        thread = thread_service().create_thread(request.user.pk, body.validated_data.get("title", ""))
        return Response(thread_json(thread, open_runs=0), status=status.HTTP_201_CREATED)


class ThreadDetail(APIView):
    """`GET`, `PATCH` {title} and `DELETE` of one thread."""

    def get(self, request: Request, thread_id: uuid.UUID) -> Response:
        thread = thread_service().get_thread(request.user.pk, thread_id)
        return Response(thread_json(thread, open_runs=open_runs(thread)))

    def patch(self, request: Request, thread_id: uuid.UUID) -> Response:
        body = TitleSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        thread = thread_service().rename_thread(request.user.pk, thread_id, body.validated_data["title"])
        return Response(thread_json(thread, open_runs=open_runs(thread)))

    def delete(self, request: Request, thread_id: uuid.UUID) -> Response:
        thread_service().delete_thread(request.user.pk, thread_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ThreadMessages(APIView):
    """`GET ?before=&limit=`: the newest messages before a place, oldest first, with their runs and `previous`."""

    def get(self, request: Request, thread_id: uuid.UUID) -> Response:
        service = thread_service()
        thread = service.get_thread(request.user.pk, thread_id)
        limit = page_limit(request)
        messages = service.messages_of(thread).select_related("parent", "produced_by")
        if before := request.query_params.get("before"):
            run_number, message_id = decode_cursor(before, int, int)
            messages = messages.filter(Q(run_number__lt=run_number) | Q(run_number=run_number, id__lt=message_id))
        page = list(messages.reverse()[: limit + 1])
        more = len(page) > limit
        page = page[:limit][::-1]
        numbers = {message.run_number for message in page}
        runs = list(
            Run.objects.filter(thread=thread, run_number__in=numbers)
            .select_related("input_message", "output_message")
            .order_by("run_number")
        )
        return Response(
            {
                "messages": [message_json(message, runs) for message in page],
                "runs": [run_json(run) for run in runs],
                "previous": encode_cursor(page[0].run_number, page[0].id) if more else None,
            }
        )


def message_json(message: Message, runs: Sequence[Run]) -> dict[str, Any]:
    run_id = next((str(run.id) for run in runs if run.run_number == message.run_number), None)
    return {
        "id": str(message.message_id),
        "role": Role(message.role).value,
        "content": message.content,
        "parent_id": str(message.parent.message_id) if message.parent else None,
        "partial": message.partial,
        "run_id": run_id,
        "created_at": timestamp(message.created_at),
    }


def run_json(run: Run) -> dict[str, Any]:
    """A run as REST shows it: its place, state and outcome."""
    duration = run.finished_at - run.started_at if run.finished_at and run.started_at else None
    return {
        "id": str(run.id),
        "run_number": run.run_number,
        "thread_id": str(run.thread_id),
        "status": run.status,
        "agent": run.agent,
        "attempt": run.attempt,
        "last_seq": run.last_seq,
        "input_message_id": str(run.input_message.message_id),
        "output_message_id": str(run.output_message.message_id) if run.output_message else None,
        "error_code": run.error_code or None,
        "error_message": run.error_message or None,
        "cancelled_by": run.cancelled_by or None,
        "usage": run.usage,
        "duration_ms": round(duration.total_seconds() * 1000) if duration else None,
        "created_at": timestamp(run.created_at),
        "started_at": timestamp(run.started_at) if run.started_at else None,
        "finished_at": timestamp(run.finished_at) if run.finished_at else None,
    }
