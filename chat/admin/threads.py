"""Threads: found by their people and, for who may read, by what was said; shown as the chat shows them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import IntegerField, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from chat.admin.access import VIEW_CONTENT, deed, looked, looked_at_people, may_read, require
from chat.admin.conversation import conversation
from chat.admin.filters import period_filter
from chat.admin.finding import SearchTookTooLong, as_uuid, saying
from chat.admin.rows import ReadOnlyAdmin, linked, moment, person_column, short
from chat.admin.runs import outcome_badge
from chat.admin.timeline import shown
from chat.api.exports import json_file, markdown_file
from chat.models import OPEN_STATUSES, AuditAction, Run, Thread

RUNS_SHOWN = 20
# More messages than these are not counted.
MESSAGES_COUNTED = 1000
_MESSAGES = f"""(SELECT count(*) FROM (
    SELECT FROM chat_message m WHERE m.thread_id = chat_thread.id LIMIT {MESSAGES_COUNTED + 1}) counted)"""


@admin.register(Thread)
class ThreadAdmin(ReadOnlyAdmin):
    list_display = ("message_count", "written", "state")
    list_filter = (period_filter("updated_at", "last written in"), ("deleted_at", admin.EmptyFieldListFilter))
    lookups = ("user__id__exact",)
    list_select_related = ("user",)
    search_fields = ("id",)
    search_help_text = "Id or person"
    ordering = ("-updated_at", "-id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        counted = RawSQL(_MESSAGES, (), IntegerField())  # noqa: S611 - a constant
        shown: QuerySet[Any] = super().get_queryset(request).annotate(messages_in_it=counted)
        return shown

    def wanted(self, request: HttpRequest, queryset: QuerySet[Any], word: str) -> Q:
        if (identifier := as_uuid(word)) is not None:
            of_run = Run.objects.filter(id=identifier).values_list("thread", flat=True)
            return Q(id__in=[identifier, *of_run])
        wanted = super().wanted(request, queryset, word)
        if may_read(request):
            try:
                wanted |= Q(id__in=saying(queryset, word))
            except SearchTookTooLong:
                messages.warning(request, "The search took too long: choose a person or a time first.")
        return wanted

    def get_list_display(self, request: HttpRequest) -> Any:
        reads = may_read(request)

        @admin.display(description="thread")
        def named(thread: Thread) -> str:
            return (thread.title if reads else "") or short(thread.id)

        return (named, person_column(request), *self.list_display)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        listed = getattr(response, "context_data", {}).get("cl")
        if listed is not None and may_read(request):
            listed.search_help_text = "Id, person, or what was said"
            looked_at_people(request, [thread.user_id for thread in listed.result_list], target="threads")
        return response

    @admin.display(description="messages")
    def message_count(self, thread: Any) -> str:
        counted = thread.messages_in_it
        return f"{MESSAGES_COUNTED}+" if counted > MESSAGES_COUNTED else str(counted)

    @admin.display(description="last written in (UTC)")
    def written(self, thread: Thread) -> str:
        return moment(thread.updated_at)

    @admin.display(description="state")
    def state(self, thread: Thread) -> str:
        if thread.deleted_at:
            return f"deleted {moment(thread.deleted_at)}"
        return "put away" if thread.archived_at else "-"

    # One thread

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(require_POST(self.export_view))
        return [
            path("<uuid:thread_id>/export/<str:ending>/", export, name="chat_thread_export"),
            *super().get_urls(),
        ]

    def show(self, request: HttpRequest, thread: Any) -> HttpResponse:
        reads = may_read(request)
        if reads:
            looked(request, subject=thread.user_id, target=f"thread {thread.id}")
        runs = list(Run.objects.filter(thread=thread).order_by("-run_number")[: RUNS_SHOWN + 1])
        chosen = self._chosen_run(request, thread)
        return self.rendered(
            request,
            "administration/thread.html",
            title=(thread.title if reads else "") or short(thread.id),
            thread=thread,
            reads=reads,
            person=linked(request, "user", thread.user_id, thread.user.get_username()),
            state=self.state(thread),
            conversation=conversation(thread, request.GET, reads=reads),
            runs=[(run, outcome_badge(run)) for run in runs[:RUNS_SHOWN]],
            has_more_runs=len(runs) > RUNS_SHOWN,
            chosen=chosen,
            place_query=_place(request),
            **(shown(chosen, request.GET, reads=reads) if chosen is not None else {}),
            may_see_runs=request.user.has_perm("chat.view_run"),
        )

    @staticmethod
    def _chosen_run(request: HttpRequest, thread: Thread) -> Run | None:
        """Whose events are shown: those are of who may see runs."""
        run_id = as_uuid(request.GET.get("run", ""))
        if run_id is None or not request.user.has_perm("chat.view_run"):
            return None
        return Run.objects.filter(thread=thread, id=run_id).first()

    def export_view(self, request: HttpRequest, thread_id: Any, ending: str) -> HttpResponse:
        require(request, "chat.view_thread", VIEW_CONTENT)
        thread = self.found(request, str(thread_id))
        if thread is None or ending not in ("md", "json"):
            return self.missing(request, str(thread_id))
        deed(request, "exported", subject=thread.user_id, target=f"thread {thread.id}", action=AuditAction.EXPORT)
        if ending == "md":
            return markdown_file(thread)
        return json_file(thread, open_runs=Run.objects.filter(thread=thread, status__in=OPEN_STATUSES).count())


def _place(request: HttpRequest) -> str:
    """Which branch is read, for addresses that stay in it."""
    named = {name: as_uuid(request.GET.get(name, "")) for name in ("branch", "upto")}
    return "".join(f"{name}={identifier}&" for name, identifier in named.items() if identifier is not None)
