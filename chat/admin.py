"""Threads and runs for administrators: found fast, shown whole, and never changed by hand."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Count, F, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from chat.models import Message, Run, RunEvent, Thread

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    # The stubs know a type parameter that the class itself does not take.
    ModelAdmin = admin.ModelAdmin

MAX_SHOWN = 500

admin.site.site_header = "Netra"
admin.site.site_title = "Netra"
admin.site.index_title = "Administration"


class ReadOnlyAdmin(ModelAdmin):
    """Shows; the chat itself writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


@admin.register(Thread)
class ThreadAdmin(ReadOnlyAdmin):
    list_display = ("title_or_id", "user", "message_count", "created_at", "updated_at", "deleted")
    list_filter = ("updated_at", ("deleted_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("title", "user__username", "messages__content")
    search_help_text = "Title, user name or what was said"
    date_hierarchy = "updated_at"
    ordering = ("-updated_at",)
    show_full_result_count = False
    fields = ("title", "user", "id", "created_at", "updated_at", "deleted_at", "conversation", "run_list")
    readonly_fields = ("conversation", "run_list")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        counted: QuerySet[Any] = super().get_queryset(request).annotate(messages_in_it=Count("messages", distinct=True))
        return counted

    @admin.display(description="thread", ordering="title")
    def title_or_id(self, thread: Thread) -> str:
        return str(thread)

    @admin.display(description="messages", ordering="messages_in_it")
    def message_count(self, thread: Any) -> int:
        return int(thread.messages_in_it)

    @admin.display(boolean=True, ordering="deleted_at")
    def deleted(self, thread: Thread) -> bool:
        return thread.deleted_at is not None

    @admin.display(description="messages")
    def conversation(self, thread: Thread) -> SafeString:
        messages = Message.objects.filter(thread=thread).order_by("-run_number", "-id")[:MAX_SHOWN]
        return SafeString(
            render_to_string("admin/chat/conversation.html", {"messages": list(messages)[::-1], "limit": MAX_SHOWN})
        )

    @admin.display(description="runs")
    def run_list(self, thread: Thread) -> SafeString:
        runs = Run.objects.filter(thread=thread).order_by("-run_number")[:MAX_SHOWN]
        return SafeString(render_to_string("admin/chat/run_list.html", {"runs": runs, "limit": MAX_SHOWN}))


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("id", "run_number", "user", "thread_link", "agent", "status", "duration", "created_at")
    list_filter = ("status", "agent", "error_code", "created_at")
    list_select_related = ("user", "thread")
    search_fields = ("=id", "user__username", "thread__title")
    search_help_text = "Run id, user name or title of the thread"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    show_full_result_count = False
    readonly_fields = ("thread_link", "duration", "events_in_order")
    fields = (
        *("id", "run_number", "user", "thread_link", "agent", "status", "duration", "attempt", "last_seq"),
        *("error_code", "error_message", "cancelled_by", "usage"),
        *("created_at", "started_at", "finished_at", "events_in_order"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        timed: QuerySet[Any] = super().get_queryset(request).annotate(took=F("finished_at") - F("started_at"))
        return timed

    @admin.display(description="thread", ordering="thread__title")
    def thread_link(self, run: Run) -> SafeString:
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:chat_thread_change", args=[run.thread_id]), str(run.thread)
        )

    @admin.display(ordering="took")
    def duration(self, run: Any) -> str:
        return f"{run.took / datetime.timedelta(seconds=1):.2f} s" if run.took is not None else "-"

    @admin.display(description="events")
    def events_in_order(self, run: Run) -> SafeString:
        events = RunEvent.objects.filter(run=run).order_by("seq")[:MAX_SHOWN]
        return SafeString(
            render_to_string("admin/chat/events.html", {"events": events, "run": run, "limit": MAX_SHOWN})
        )
