"""`/api/events`: for who does not ask for a stream."""

from __future__ import annotations

from rest_framework.exceptions import NotAcceptable
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.api.documented import EVENT_STREAM, LAST_EVENT_ID, documented


class PersonEvents(APIView):
    """`GET` with `Accept: text/event-stream`: all of the person's runs, without end. `chat.streams` answers it."""

    @documented(
        "follow_events",
        "All of the person's runs and thread notices as a stream without end.",
        answer=EVENT_STREAM,
        given="The events, and `stream_established` before them.",
        parameters=[LAST_EVENT_ID],
        streamed="it ends only when the server does, the client leaves, or its token ends.",
        tag="runs",
    )
    def get(self, _request: Request) -> Response:
        raise NotAcceptable("This is a stream: ask for it with Accept: text/event-stream")
