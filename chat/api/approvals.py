"""`/api/approvals`: all that waits for the person."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.api import schemas
from chat.api.documented import documented
from chat.api.runs import approval_json
from chat.api.serving import thread_service


class Approvals(APIView):
    """`GET` → {approvals}: what open runs ask the person for, the oldest first."""

    @documented(
        "list_approvals",
        "What open runs ask the person for, the oldest first.",
        answer=schemas.WaitingApprovals,
        tag="approvals",
    )
    def get(self, request: Request) -> Response:
        waiting = thread_service().waiting_approvals(request.user.pk)
        return Response(
            {
                "approvals": [
                    approval_json(approval) | {"run_id": str(approval.run_id), "thread_id": str(approval.run.thread_id)}
                    for approval in waiting
                ]
            }
        )
