"""`/api/threads/<id>/export.md` and `export.json`: a thread as a file."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import pydantic_core
from django.http import HttpResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from chat import exports
from chat.api import schemas
from chat.api.documented import documented
from chat.api.runs import approval_json
from chat.api.serving import thread_service
from chat.api.shapes import message_json, run_json
from chat.errors import ErrorCode
from chat.models import Thread
from chat.own_threads import thread_json


class OneForm(BaseContentNegotiation):
    """A file has the form that its name says, whatever is asked for."""

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 - DRF's signature
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""


class MarkdownExport(APIView):
    """`GET`: the newest branch, to read."""

    content_negotiation_class = OneForm

    @documented(
        "export_markdown",
        "The newest branch of a thread, to read.",
        answer="text/markdown",
        given="The file.",
        errors=[ErrorCode.THREAD_NOT_FOUND],
        headers=["Content-Disposition"],
        negotiated=False,
        tag="threads",
    )
    def get(self, request: Request, thread_id: uuid.UUID) -> HttpResponse:
        return markdown_file(thread_service().get_thread(request.user.pk, thread_id))


class JsonExport(APIView):
    """`GET` → {thread, messages, runs, approvals, truncated}: all branches."""

    content_negotiation_class = OneForm

    @documented(
        "export_json",
        "A thread with all its branches, runs and approvals.",
        answer=schemas.Export,
        errors=[ErrorCode.THREAD_NOT_FOUND],
        headers=["Content-Disposition"],
        negotiated=False,
        tag="threads",
    )
    def get(self, request: Request, thread_id: uuid.UUID) -> HttpResponse:
        service = thread_service()
        thread = service.get_thread(request.user.pk, thread_id)
        return json_file(thread, open_runs=service.open_runs(thread))


def markdown_file(thread: Thread) -> HttpResponse:
    """The newest branch, to read. The caller has asked who may."""
    return _file(thread, "md", exports.markdown(thread).encode(), "text/markdown; charset=utf-8")


def json_file(thread: Thread, *, open_runs: int) -> HttpResponse:
    """All branches, with runs and approvals. The caller has asked who may."""
    found = exports.everything(thread)
    runs = {run.run_number: run.id for run in found["runs"]}
    body: dict[str, Any] = {
        "thread": thread_json(thread, open_runs=open_runs),
        "messages": [
            message_json(message, siblings=[message.message_id], run_id=runs.get(message.run_number))
            for message in found["messages"]
        ],
        "runs": [run_json(run) for run in found["runs"]],
        "approvals": [approval_json(approval) | {"run_id": str(approval.run_id)} for approval in found["approvals"]],
        "truncated": found["truncated"],
    }
    for message in body["messages"]:
        del message["siblings"]  # its `parent_id` says where it stands
    return _file(thread, "json", pydantic_core.to_json(body, indent=2), "application/json")


def _file(thread: Thread, ending: str, body: bytes, content_type: str) -> HttpResponse:
    name = exports.file_name(thread, ending)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return HttpResponse(body, content_type=content_type, headers=headers)
