"""`/api/agents/execute`: ask an agent, in a new thread or in one that there is."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import posting
from chat.allowances import limits_of
from chat.api import bodies, schemas
from chat.api.documented import BEGINS, BEGUN_STREAM, OF_ASKING, documented
from chat.api.messages import accepted_response
from chat.api.serving import chat_config
from chat.errors import ChatError, ErrorCode
from chat.protocol import UserMessage, body_of, command_of


class Execute(APIView):
    """`POST` {type, message, thread_id?, message_id?, when_busy?} → 202 {thread_id, message_id, run_id, run_number}.

    With `Accept: text/event-stream` the answer is the run's events: `chat.streams`.
    """

    @documented(
        "execute",
        "Ask the agent that the body names, in a new thread or in one that there is.",
        description=BEGINS,
        body=bodies.ExecuteBody,
        answer=schemas.Accepted,
        code=202,
        errors=OF_ASKING,
        streamed=BEGUN_STREAM,
        headers=["Location"],
        tag="agents",
    )
    def post(self, request: Request) -> Response:
        command, limits = execute_command(request.data), limits_of(request.user)
        return accepted_response(posting.post_message(chat_config(), request.user.pk, command, limits=limits))


def execute_command(body: Any, agent: str | None = None) -> UserMessage:
    """The message in a body of `/api/agents/execute`, or of `/api/agents/<agent>`. Raises ChatError."""
    body_of(bodies.Body, body)
    given = {name: value for name, value in body.items() if name not in ("type", "agent", "message", "content")}
    content = body.get("message", body.get("content"))
    named = agent if agent is not None else body.get("type", body.get("agent"))
    if content is None:
        raise ChatError(ErrorCode.INVALID_MESSAGE, "message: field required")
    if named is None:
        raise ChatError(ErrorCode.INVALID_MESSAGE, "type: field required: the name of an agent")
    return command_of(UserMessage, given, content=content, agent=named)
