"""`/api/messages/<id>/feedback`: what the person thinks of an answer."""

from __future__ import annotations

import uuid

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.api import bodies, schemas
from chat.api.documented import documented
from chat.api.serving import thread_service
from chat.api.shapes import feedback_json, feedback_of
from chat.errors import ChatError, ErrorCode
from chat.models import Message, MessageFeedback, Role
from chat.protocol import body_of
from chat.run_event import now

NOT_FOUND = [ErrorCode.MESSAGE_NOT_FOUND]


class Feedback(APIView):
    """`PUT` {rating, text?} → {rating, text}; `GET`; `DELETE`. Of answers only: MESSAGE_NOT_FOUND for anything else."""

    @documented(
        "get_feedback",
        "What the person thinks of an answer.",
        answer=schemas.Feedback,
        errors=[*NOT_FOUND, ErrorCode.NOT_FOUND],
        tag="messages",
    )
    def get(self, request: Request, message_id: uuid.UUID) -> Response:
        found = feedback_of(_answer(request, message_id))
        if found is None:
            raise ChatError(ErrorCode.NOT_FOUND, "There is no feedback on this answer")
        return Response(feedback_json(found))

    @documented(
        "give_feedback",
        "Say what one thinks of an answer.",
        body=bodies.FeedbackBody,
        answer=schemas.Feedback,
        errors=NOT_FOUND,
        tag="messages",
    )
    def put(self, request: Request, message_id: uuid.UUID) -> Response:
        given = {**body_of(bodies.FeedbackBody, request.data).model_dump(), "updated_at": now()}
        feedback, _ = MessageFeedback.objects.update_or_create(message=_answer(request, message_id), defaults=given)
        return Response(feedback_json(feedback))

    @documented("take_back_feedback", "Take one's feedback back.", code=204, errors=NOT_FOUND, tag="messages")
    def delete(self, request: Request, message_id: uuid.UUID) -> Response:
        MessageFeedback.objects.filter(message=_answer(request, message_id)).delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


def _answer(request: Request, message_id: uuid.UUID) -> Message:
    message = thread_service().get_message(request.user.pk, message_id)
    if message.role != Role.ASSISTANT:
        raise ChatError(ErrorCode.MESSAGE_NOT_FOUND, "There is no such answer")
    return message
