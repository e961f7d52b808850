"""`/api/agents/<name>/ag-ui`: for who does not ask for a stream."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotAcceptable
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.api.bodies import AgUiBody
from chat.api.documented import EVENT_STREAM, OF_ASKING, documented
from chat.errors import ErrorCode

DESCRIPTION = """For clients of AG-UI 1.0, unmodified (docs/ag-ui.md): `data:` is one of AG-UI's events.

The thread and its history are the server's. The same question by the same id begins nothing twice: it is answered by
the run that there is, from its beginning."""
CHOICES = [
    OpenApiParameter(
        "on_disconnect",
        enum=["continue", "cancel"],
        default="continue",
        description="What becomes of the run when the client leaves before its end.",
    ),
    OpenApiParameter(
        "when_busy",
        enum=["enqueue", "interrupt", "reject"],
        default="enqueue",
        description="When the thread has a run already: wait for it, cancel it, or be refused with `RUN_ACTIVE`.",
    ),
]


class AgUi(APIView):
    """`POST` with `Accept: text/event-stream`: the agent's answer as AG-UI's events. `chat.streams` gives it."""

    @documented(
        "run_agent_for_ag_ui",
        "Ask this agent, or answer what its run waits for, as AG-UI has it.",
        description=DESCRIPTION,
        body=AgUiBody,
        answer=EVENT_STREAM,
        given="AG-UI's events, from `RUN_STARTED` to `RUN_FINISHED` or `RUN_ERROR`.",
        errors=[*OF_ASKING, ErrorCode.APPROVAL_NOT_FOUND, ErrorCode.RUN_NOT_FOUND, ErrorCode.EVENTS_PRUNED],
        parameters=CHOICES,
        streamed="the run, to its end, or to where it waits for a person.",
        tag="agents",
    )
    def post(self, _request: Request, name: str) -> Response:  # noqa: ARG002 - the path's
        raise NotAcceptable("This is a stream: ask for it with Accept: text/event-stream")
