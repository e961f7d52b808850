"""`/api/threads`: the person's own threads."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any

from django.db.models import Q
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.api import bodies, schemas
from chat.api.documented import IF_MATCH, documented
from chat.api.paging import PageSerializer, cut, decode_cursor, encode_cursor, moment, query_of
from chat.api.serving import thread_service
from chat.errors import ErrorCode
from chat.models import Thread
from chat.own_threads import thread_etag, thread_json
from chat.protocol import body_of

NOT_FOUND = [ErrorCode.THREAD_NOT_FOUND]


class ThreadSearchSerializer(serializers.Serializer[Any]):
    archived = serializers.BooleanField(default=False, help_text="Those that were put away, instead of the others.")
    search = serializers.CharField(
        default="", allow_blank=True, max_length=200, help_text="Only those whose title or messages contain it."
    )


class Threads(APIView):
    """`GET ?search=&archived=`: {threads_version, threads, matches, next}, newest activity first. `POST` {title?}."""

    @documented(
        "list_threads",
        "The person's threads, those last written in first.",
        answer=schemas.ThreadPage,
        parameters=[ThreadSearchSerializer, PageSerializer],
        tag="threads",
    )
    def get(self, request: Request) -> Response:
        service, user_id = thread_service(), request.user.pk
        asked, page_asked = query_of(ThreadSearchSerializer, request), query_of(PageSerializer, request)
        limit = page_asked["limit"]
        version = service.threads_version(user_id)
        threads = service.find_threads(user_id, **asked)
        if cursor := page_asked.get("cursor"):
            updated_at, thread_id = decode_cursor(cursor, moment, uuid.UUID)
            # The first condition says where in the index to begin.
            threads = threads.filter(Q(updated_at__lte=updated_at), Q(updated_at__lt=updated_at) | Q(id__lt=thread_id))
        page, more = cut(threads[: limit + 1], limit)
        open_runs = service.open_runs_by_thread(user_id)
        search = asked["search"]
        return Response(
            {
                "threads_version": version,
                "threads": [thread_json(thread, open_runs=open_runs[thread.id]) for thread in page],
                "matches": [asdict(match) for match in service.matches(page, search)] if search and page else [],
                "next": encode_cursor(page[-1].updated_at.isoformat(), page[-1].id) if more else None,
            }
        )

    @documented(
        "create_thread",
        "A new thread.",
        body=bodies.ThreadBody,
        answer=schemas.Thread,
        code=201,
        headers=["ETag"],
        tag="threads",
    )
    def post(self, request: Request) -> Response:
        body = body_of(bodies.ThreadBody, request.data)
        thread = thread_service().create_thread(request.user.pk, body.title)
        return thread_response(thread, open_runs=0, status=status.HTTP_201_CREATED)


class ThreadDetail(APIView):
    """`GET`, `PATCH` {title?, archived?} and `DELETE` of one thread. `If-Match` guards a change of another tab's."""

    @documented("get_thread", "One thread.", answer=schemas.Thread, errors=NOT_FOUND, headers=["ETag"], tag="threads")
    def get(self, request: Request, thread_id: uuid.UUID) -> Response:
        service = thread_service()
        thread = service.get_thread(request.user.pk, thread_id)
        return thread_response(thread, open_runs=service.open_runs(thread))

    @documented(
        "change_thread",
        "Name a thread, or archive it.",
        description="With `If-Match` only when it is as it was seen: two tabs do not undo each other's changes.",
        body=bodies.ThreadChangeBody,
        answer=schemas.Thread,
        errors=[*NOT_FOUND, ErrorCode.PRECONDITION_FAILED],
        parameters=[IF_MATCH],
        headers=["ETag"],
        tag="threads",
    )
    def patch(self, request: Request, thread_id: uuid.UUID) -> Response:
        change = body_of(bodies.ThreadChangeBody, request.data).model_dump(exclude_unset=True)
        service = thread_service()
        thread = service.change_thread(request.user.pk, thread_id, **change, if_match=request.headers.get("If-Match"))
        return thread_response(thread, open_runs=service.open_runs(thread))

    @documented(
        "delete_thread",
        "Delete a thread. Its open runs are cancelled.",
        description="With `If-Match` only when it is as it was seen.",
        code=204,
        errors=[*NOT_FOUND, ErrorCode.PRECONDITION_FAILED],
        parameters=[IF_MATCH],
        tag="threads",
    )
    def delete(self, request: Request, thread_id: uuid.UUID) -> Response:
        thread_service().delete_thread(request.user.pk, thread_id, if_match=request.headers.get("If-Match"))
        return Response(status=status.HTTP_204_NO_CONTENT)


class ThreadRestoration(APIView):
    """`POST`: bring back a thread that was deleted and is not removed yet."""

    @documented(
        "restore_thread",
        "Undo a deletion.",
        description="For an hour. Runs that the deletion has cancelled stay cancelled. "
        "A thread that is not deleted stays as it is.",
        answer=schemas.Thread,
        errors=NOT_FOUND,
        headers=["ETag"],
        tag="threads",
    )
    def post(self, request: Request, thread_id: uuid.UUID) -> Response:
        service = thread_service()
        thread = service.restore_thread(request.user.pk, thread_id)
        return thread_response(thread, open_runs=service.open_runs(thread))


def thread_response(thread: Thread, *, open_runs: int, status: int = status.HTTP_200_OK) -> Response:
    return Response(thread_json(thread, open_runs=open_runs), status=status, headers={"ETag": thread_etag(thread)})
