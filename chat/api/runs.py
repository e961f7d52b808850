"""`/api/runs`: the person's own runs: read, stopped, asked again, and answered when they wait for a person."""

from __future__ import annotations

import uuid
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import posting
from chat.allowances import limits_of
from chat.api import bodies, schemas
from chat.api.documented import LAST_EVENT_ID, OF_BEGINNING, documented
from chat.api.messages import accepted_response
from chat.api.paging import MAX_PAGE, PageSerializer, cut, decode_cursor, encode_cursor, number, query_of
from chat.api.serving import chat_config, thread_service
from chat.api.shapes import run_json
from chat.errors import ChatError, ErrorCode
from chat.models import Approval, RunEvent, RunStatus
from chat.protocol import ResolveApproval, command_of, timestamp
from chat.run_event import Event, numbered_event

MAX_EVENTS = 1000
NOT_FOUND = [ErrorCode.RUN_NOT_FOUND]


class RunFilterSerializer(serializers.Serializer[Any]):
    thread_id = serializers.UUIDField(required=False, help_text="Only runs of this thread.")
    status = serializers.ChoiceField(choices=RunStatus.choices, required=False, help_text="Only runs of this state.")


class Runs(APIView):
    """`GET ?thread_id=&status=`: {runs, next}, the newest first."""

    @documented(
        "list_runs",
        "The person's runs, the newest first.",
        answer=schemas.RunPage,
        parameters=[RunFilterSerializer, PageSerializer],
        tag="runs",
    )
    def get(self, request: Request) -> Response:
        asked, page_asked = query_of(RunFilterSerializer, request), query_of(PageSerializer, request)
        limit = page_asked["limit"]
        thread_id = asked.pop("thread_id", None)
        runs = thread_service().runs_of(request.user.pk, thread_id=thread_id).filter(**asked)
        if cursor := page_asked.get("cursor"):
            (below,) = decode_cursor(cursor, number)
            runs = runs.filter(run_number__lt=below)
        page, more = cut(runs[: limit + 1], limit)
        return Response(
            {
                "runs": [run_json(run) for run in page],
                "next": encode_cursor(page[-1].run_number) if more else None,
            }
        )


class RunDetail(APIView):
    """`GET`: one run."""

    @documented("get_run", "One run.", answer=schemas.Run, errors=NOT_FOUND, tag="runs")
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        return Response(run_json(thread_service().get_run(request.user.pk, run_id)))


class RunCancellation(APIView):
    """`POST` → {run_id, status}: end the run at once. Of an ended one, how it ended."""

    @documented(
        "cancel_run",
        "End a run at once. Of an ended one: how it ended.",
        answer=schemas.Stopped,
        errors=NOT_FOUND,
        tag="runs",
    )
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        stopped = thread_service().stop_run(request.user.pk, run_id)
        return Response({"run_id": stopped.run_id, "status": stopped.status})


class RunRetry(APIView):
    """`POST` → 202 {thread_id, message_id, run_id, run_number}: ask again what failed or was cancelled."""

    @documented(
        "retry_run",
        "Ask again what failed or was cancelled.",
        answer=schemas.Accepted,
        code=202,
        errors=[*NOT_FOUND, ErrorCode.RUN_COMPLETED, *OF_BEGINNING],
        headers=["Location"],
        tag="runs",
    )
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        return accepted_response(
            posting.retry_run(chat_config(), request.user.pk, run_id, limits=limits_of(request.user))
        )


class EventsPageSerializer(serializers.Serializer[Any]):
    after = serializers.IntegerField(
        min_value=0, max_value=2**31 - 1, default=0, help_text="The `seq` of the last event that the client has."
    )
    limit = serializers.IntegerField(
        min_value=1,
        max_value=MAX_EVENTS,
        default=MAX_PAGE,
        help_text="How many events a page has at most. Not read for a stream.",
    )


class RunEvents(APIView):
    """`GET ?after=&limit=`: {run_id, status, last_seq, events, next}; with `Accept: text/event-stream` as a stream."""

    @documented(
        "list_run_events",
        "The events of a run after a cursor.",
        answer=schemas.EventPage,
        errors=[*NOT_FOUND, ErrorCode.EVENTS_PRUNED],
        parameters=[EventsPageSerializer, LAST_EVENT_ID],
        streamed="it ends with the run, or where the run waits for a person. Of what has ended and was read it is 204.",
        empty={204: "Of a stream: the run has ended, and was read to its end."},
        tag="runs",
    )
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        asked = query_of(EventsPageSerializer, request)
        after, limit = asked["after"], asked["limit"]
        run = thread_service().get_run(request.user.pk, run_id)
        stored = RunEvent.objects.filter(run=run, seq__gt=after, seq__lte=run.last_seq).order_by("seq")
        page, more = cut(stored[: limit + 1], limit)
        if after < run.last_seq and (not page or page[0].seq != after + 1):
            raise ChatError(ErrorCode.EVENTS_PRUNED, "These events are not kept any more: read the messages instead")
        return Response(
            {
                "run_id": str(run.id),
                "status": run.status,
                "last_seq": run.last_seq,
                "events": [
                    numbered_event(
                        run.id,
                        run.run_number,
                        run.thread_id,
                        event.seq,
                        Event(event.type, event.agent, event.data, event.created_at),
                    )
                    for event in page
                ],
                "next": page[-1].seq if more else None,
            }
        )


class ToolResult(APIView):
    """`GET` → {result}: what a tool gave, when its event has only the beginning of it."""

    @documented(
        "get_tool_result",
        "What a tool gave, when its event has only the beginning of it.",
        answer=schemas.Result,
        errors=NOT_FOUND,
        tag="runs",
    )
    def get(self, request: Request, run_id: uuid.UUID, seq: int) -> Response:
        return Response({"result": thread_service().tool_result(request.user.pk, run_id, seq)})


class RunApprovals(APIView):
    """`GET` → {approvals}: what the run asked a person for, resolved or not, with the whole arguments."""

    @documented(
        "list_run_approvals",
        "What a run asked a person for, answered or not.",
        answer=schemas.Approvals,
        errors=NOT_FOUND,
        tag="approvals",
    )
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        approvals = thread_service().approvals_of(request.user.pk, run_id)
        return Response({"approvals": [approval_json(approval) for approval in approvals]})


class RunApproval(APIView):
    """`POST` {approved, reason?} → {run_id, tool_call_id, approved}: the answer. The first one counts."""

    @documented(
        "resolve_approval",
        "Allow or refuse a tool call. The first answer counts.",
        description="When no other call of the run waits, it goes on.",
        body=bodies.DecisionBody,
        answer=schemas.Resolved,
        errors=[ErrorCode.APPROVAL_NOT_FOUND],
        tag="approvals",
    )
    def post(self, request: Request, run_id: uuid.UUID, tool_call_id: str) -> Response:
        command = command_of(ResolveApproval, request.data, run_id=run_id, tool_call_id=tool_call_id[:200])
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
