"""`/api/runs`: what the events of the person's own runs leave out."""

from __future__ import annotations

import uuid

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.api.threads import thread_service


class ToolResult(APIView):
    """`GET` → {result}: what a tool gave, when its event has only the beginning of it."""

    def get(self, request: Request, run_id: uuid.UUID, seq: int) -> Response:
        return Response({"result": thread_service().tool_result(request.user.pk, run_id, seq)})
