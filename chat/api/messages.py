"""`/api/threads/<id>/messages` and `/api/messages`: what was said in the person's own threads, and saying more."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import branches, posting
from chat.allowances import limits_of
from chat.api import bodies, schemas
from chat.api.documented import BEGINS, OF_ASKING, OF_BEGINNING, documented
from chat.api.paging import MAX_PAGE, cut, decode_cursor, encode_cursor, number, query_of
from chat.api.serving import chat_config, thread_service
from chat.api.shapes import acceptance_json, message_json, run_json
from chat.errors import ChatError, ErrorCode
from chat.models import Message, Thread
from chat.protocol import MessageAccepted, Regenerate, UserMessage, command_of
from chat.threads import ThreadService


class PlaceSerializer(serializers.Serializer[Any]):
    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_PAGE, default=50, help_text="How many messages a page has at most."
    )
    before = serializers.CharField(required=False, help_text="`previous` of a page: the page before it.")
    leaf = serializers.UUIDField(required=False, help_text="The last message of the branch to show.")
    through = serializers.UUIDField(
        required=False, help_text="A message: the newest branch with it is shown. Not together with `leaf`."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "leaf" in attrs and "through" in attrs:
            raise serializers.ValidationError({"through": "is not given together with leaf"})
        return attrs


class ThreadMessages(APIView):
    """`GET ?leaf=&through=&before=&limit=`: {messages, runs, previous}: the end of a branch. `POST` {content, …}."""

    @documented(
        "list_messages",
        "The last messages of a branch, and the runs that belong to them.",
        description="The newest branch, if none is named. `siblings` of a message name the others.",
        answer=schemas.MessagePage,
        errors=[ErrorCode.THREAD_NOT_FOUND, ErrorCode.MESSAGE_NOT_FOUND],
        parameters=[PlaceSerializer],
        tag="messages",
    )
    def get(self, request: Request, thread_id: uuid.UUID) -> Response:
        service = thread_service()
        thread = service.get_thread(request.user.pk, thread_id)
        asked = query_of(PlaceSerializer, request)
        limit = asked["limit"]
        leaf = _leaf(service, thread, asked)
        way = branches.way_to(leaf, limit=limit + 1) if leaf is not None else []
        page, more = cut(way[::-1], limit)
        page.reverse()
        runs = branches.runs_of(page)
        siblings = branches.siblings_of(page)
        run_ids = {run.run_number: run.id for run in runs}
        return Response(
            {
                "messages": [
                    message_json(message, siblings=siblings[message.pk], run_id=run_ids.get(message.run_number))
                    for message in page
                ],
                "runs": [run_json(run) for run in runs],
                "previous": encode_cursor(page[0].pk) if more else None,
            }
        )

    @documented(
        "post_message",
        "Say something in a thread: a run of an agent begins.",
        description=BEGINS,
        body=bodies.MessageBody,
        answer=schemas.Accepted,
        code=202,
        errors=OF_ASKING,
        headers=["Location"],
        tag="messages",
    )
    def post(self, request: Request, thread_id: uuid.UUID) -> Response:
        command = command_of(UserMessage, request.data, thread_id=thread_id)
        return accepted_response(
            posting.post_message(chat_config(), request.user.pk, command, limits=limits_of(request.user))
        )


class MessageDetail(APIView):
    """`GET`: one message."""

    @documented(
        "get_message", "One message.", answer=schemas.Message, errors=[ErrorCode.MESSAGE_NOT_FOUND], tag="messages"
    )
    def get(self, request: Request, message_id: uuid.UUID) -> Response:
        service = thread_service()
        message = service.get_message(request.user.pk, message_id)
        siblings = branches.siblings_of([message])
        run = service.runs_of(request.user.pk).filter(run_number=message.run_number).first()
        return Response(
            message_json(message, siblings=siblings[message.pk], run_id=run.id if run is not None else None)
        )


class MessageRegeneration(APIView):
    """`POST` {agent?} → 202 {thread_id, message_id, run_id, run_number}: another answer to the same question."""

    @documented(
        "regenerate_answer",
        "Another answer to the same question, in a branch beside the old one.",
        body=bodies.RegenerateBody,
        answer=schemas.Accepted,
        code=202,
        errors=[*OF_BEGINNING, ErrorCode.MESSAGE_NOT_FOUND],
        headers=["Location"],
        tag="messages",
    )
    def post(self, request: Request, message_id: uuid.UUID) -> Response:
        command = command_of(Regenerate, request.data, message_id=message_id)
        return accepted_response(
            posting.regenerate(chat_config(), request.user.pk, command, limits=limits_of(request.user))
        )


def accepted_response(accepted: MessageAccepted) -> Response:
    """A run was begun: where it can be followed."""
    location = {"Location": f"/api/runs/{accepted.run_id}"}
    return Response(acceptance_json(accepted), status=status.HTTP_202_ACCEPTED, headers=location)


def _leaf(service: ThreadService, thread: Thread, asked: Mapping[str, Any]) -> Message | None:
    """Where the page ends: before a cursor, at a named message, or with the newest branch, maybe through one."""
    messages = service.messages_of(thread)
    if before := asked.get("before"):
        (pk,) = decode_cursor(before, number)
        shown = messages.filter(pk=pk).select_related("parent").first()
        return shown.parent if shown is not None else None
    if (named := asked.get("leaf") or asked.get("through")) is None:
        return branches.end_of(thread)
    message = messages.filter(message_id=named).first()
    if message is None:
        raise ChatError(ErrorCode.MESSAGE_NOT_FOUND, "There is no such message")
    return branches.end_from(message) if "through" in asked else message
