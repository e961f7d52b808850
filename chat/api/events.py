"""`/api/events`: for who does not ask for a stream."""

from __future__ import annotations

from rest_framework.exceptions import NotAcceptable
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class PersonEvents(APIView):
    """`GET` with `Accept: text/event-stream`: all of the person's runs, without end. `chat.streams` answers it."""

    def get(self, _request: Request) -> Response:
        raise NotAcceptable("This is a stream: ask for it with Accept: text/event-stream")
