"""`/api/runs`: what the events of the person's own runs leave out, and what they wait for."""

from __future__ import annotations

import uuid
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.api.threads import thread_service
from chat.models import Approval
from chat.protocol import ResolveApproval, timestamp


class ToolResult(APIView):
    """`GET` → {result}: what a tool gave, when its event has only the beginning of it."""

    def get(self, request: Request, run_id: uuid.UUID, seq: int) -> Response:
        return Response({"result": thread_service().tool_result(request.user.pk, run_id, seq)})


class RunApprovals(APIView):
    """`GET` → {approvals}: what the run asked a person for, resolved or not, with the whole arguments."""

    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        approvals = thread_service().approvals_of(request.user.pk, run_id)
        return Response({"approvals": [approval_json(approval) for approval in approvals]})


class DecisionSerializer(serializers.Serializer[Any]):
    approved = serializers.BooleanField()
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(self.initial_data.get("approved"), bool):
            # A yes must be one: no word that only looks like it.
            raise serializers.ValidationError({"approved": "must be true or false"})
        return attrs


class RunApproval(APIView):
    """`POST` {approved, reason?} → {run_id, tool_call_id, approved}: the answer. The first one counts."""

    def post(self, request: Request, run_id: uuid.UUID, tool_call_id: str) -> Response:
        body = DecisionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        command = ResolveApproval(
            type="resolve_approval", run_id=run_id, tool_call_id=tool_call_id[:200], **body.validated_data
        )
        accepted = thread_service().resolve_approval(request.user.pk, command)
        return Response(
            {"run_id": accepted.run_id, "tool_call_id": accepted.tool_call_id, "approved": command.approved}
        )


def approval_json(approval: Approval) -> dict[str, Any]:
    return {
        "tool_call_id": approval.tool_call_id,
        "agent": approval.agent,
        "tool": approval.tool,
        "arguments": approval.arguments,
        "created_at": timestamp(approval.created_at),
        "expires_at": timestamp(approval.expires_at),
        "approved": approval.approved,
        "by": approval.by or None,
        "reason": approval.reason or None,
        "resolved_at": timestamp(approval.resolved_at) if approval.resolved_at else None,
    }
