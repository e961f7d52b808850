"""Runs: what they came to, what they took, event by event; cancelled, and tried again in their people's names."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from chat.admin.access import VIEW_CONTENT, deed, looked, may_read, require
from chat.admin.filters import AgentFilter, ErrorCodeFilter, period_filter
from chat.admin.rows import ReadOnlyAdmin, linked, moment, person_column, said, seconds, short
from chat.admin.timeline import shown, whole_event
from chat.api.serving import thread_service
from chat.errors import ChatError
from chat.models import OPEN_STATUSES, CancelledBy, ModelRequest, Run, RunStatus
from chat.threads import ThreadService

# What it takes to cancel a run and to try one again. Nobody changes a run by a form.
CHANGE_RUN = "chat.change_run"
REQUESTS_SHOWN = 50
_COLOURS = {
    RunStatus.COMPLETED: "good",
    RunStatus.FAILED: "bad",
    RunStatus.CANCELLED: "plain",
    RunStatus.RUNNING: "busy",
    RunStatus.QUEUED: "waits",
    RunStatus.AWAITING_APPROVAL: "waits",
}


def outcome_badge(run: Run) -> str:
    """The status, and by which code or whom it is so."""
    why = f" by {run.get_cancelled_by_display().lower()}" if run.cancelled_by else ""
    why = f": {run.error_code}" if run.error_code else why
    colour = _COLOURS.get(RunStatus(run.status), "plain")
    return format_html('<span class="badge badge-{}">{}{}</span>', colour, said(run.status), why)


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("agent", "outcome", "waited", "took", "created")
    list_filter = ("status", AgentFilter, ErrorCodeFilter, period_filter("created_at", "created"))
    lookups = ("user__id__exact", "thread__id__exact")
    list_select_related = ("user",)
    search_fields = ("id",)
    ids = ("id", "thread")
    search_help_text = "Id of a run or thread, or person"
    ordering = ("-created_at", "-id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("paused_state")

    def get_list_display(self, request: HttpRequest) -> Any:
        @admin.display(description="thread")
        def thread(run: Run) -> str:
            return linked(request, "thread", run.thread_id, short(run.thread_id))

        return ("number", person_column(request), thread, *self.list_display)

    @admin.display(description="run")
    def number(self, run: Run) -> str:
        return f"#{run.run_number}"

    @admin.display(description="status")
    def outcome(self, run: Run) -> str:
        return outcome_badge(run)

    @admin.display(description="waited")
    def waited(self, run: Run) -> str:
        return seconds(run.started_at - run.created_at if run.started_at else None)

    @admin.display(description="took")
    def took(self, run: Run) -> str:
        return seconds(run.finished_at - run.started_at if run.finished_at and run.started_at else None)

    @admin.display(description="created (UTC)")
    def created(self, run: Run) -> str:
        return moment(run.created_at)

    # One run

    def get_urls(self) -> list[URLPattern]:
        def posted(view: Callable[..., HttpResponse]) -> Any:
            return self.admin_site.admin_view(require_POST(view))

        return [
            path("<uuid:run_id>/cancel/", posted(self.cancel_view), name="chat_run_cancel"),
            path("<uuid:run_id>/retry/", posted(self.retry_view), name="chat_run_retry"),
            path("<uuid:run_id>/event/<int:seq>/", self.admin_site.admin_view(self.event_view), name="chat_run_event"),
            *super().get_urls(),
        ]

    def show(self, request: HttpRequest, run: Any) -> HttpResponse:
        reads = may_read(request)
        if reads:
            looked(request, subject=run.user_id, target=f"run {run.id}")
        spent = ModelRequest.objects.filter(run=run).order_by("started_at")[:REQUESTS_SHOWN]
        may_change = request.user.has_perm(CHANGE_RUN)
        return self.rendered(
            request,
            "administration/run.html",
            title=f"Run #{run.run_number} of {run.user.get_username()}",
            run=run,
            reads=reads,
            outcome=outcome_badge(run),
            person=linked(request, "user", run.user_id, run.user.get_username()),
            thread=linked(request, "thread", run.thread_id, str(run.thread_id)),
            facts=_facts(run, reads=reads),
            requests=list(spent) if request.user.has_perm("chat.view_modelrequest") else [],
            question=run.input_message.message_id,
            **shown(run, request.GET, reads=reads),
            may_cancel=may_change and run.status in OPEN_STATUSES,
            may_retry=may_change and run.status in (RunStatus.FAILED, RunStatus.CANCELLED),
        )

    def event_view(self, request: HttpRequest, run_id: uuid.UUID, seq: int) -> HttpResponse:
        """One event as it is kept, with the whole of a large result."""
        require(request, VIEW_CONTENT)
        run = self.found(request, str(run_id))
        text = whole_event(run_id, seq) if run is not None and seq < 2**31 else None
        if run is None or text is None:
            return self.missing(request, str(run_id))
        looked(request, subject=run.user_id, target=f"run {run.id}", seq=seq)
        return HttpResponse(text, content_type="text/plain; charset=utf-8")

    def cancel_view(self, request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
        def cancel(service: ThreadService, run: Run) -> str:
            if run.status not in OPEN_STATUSES:
                return f"The run had ended already: {run.status}."
            stopped = service.stop_run(run.user_id, run.id, by=CancelledBy.STAFF)
            return "The run is cancelled." if stopped.status == "cancelled" else "The run had ended already."

        return self._done(request, run_id, "cancelled", cancel)

    def retry_view(self, request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
        def retry(service: ThreadService, run: Run) -> str:
            accepted = service.retry_run(run.user_id, run.id)
            address = reverse("admin:chat_run_change", args=[accepted.run_id])
            return format_html('It is asked again: <a href="{}">run #{}</a>.', address, accepted.run_number)

        return self._done(request, run_id, "retried", retry)

    def _done(
        self, request: HttpRequest, run_id: uuid.UUID, what: str, work: Callable[[ThreadService, Run], str]
    ) -> HttpResponse:
        require(request, CHANGE_RUN)
        run = self.found(request, str(run_id))
        if run is None:
            return self.missing(request, str(run_id))
        try:
            told = work(thread_service(), run)
        except ChatError as error:
            messages.error(request, f"{error.code}: {error.message}.")
        else:
            deed(request, what, subject=run.user_id, target=f"run {run.id}")
            messages.success(request, told)
        return HttpResponseRedirect(reverse("admin:chat_run_change", args=[run.id]))


def _facts(run: Run, *, reads: bool) -> list[tuple[str, str]]:
    times = [("created", run.created_at), ("started", run.started_at), ("finished", run.finished_at)]
    spent = {name.replace("_", " "): value for name, value in (run.usage or {}).items() if value is not None}
    facts = [
        ("agent", run.agent),
        ("id", str(run.id)),
        ("times (UTC)", ", ".join(f"{name} {moment(at)}" for name, at in times if at)),
        ("waited", seconds(run.started_at - run.created_at if run.started_at else None)),
        ("took", seconds(run.finished_at - run.started_at if run.finished_at and run.started_at else None)),
        ("attempt", str(run.attempt)),
        ("spent", ", ".join(f"{name}: {value}" for name, value in spent.items()) or "-"),
        ("events", f"{run.last_seq}{', removed since' if run.events_pruned_at else ''}"),
    ]
    if run.error_message and reads:
        facts.append(("error", run.error_message))
    return facts
