"""Threads and runs for administrators: found fast, shown whole, and never changed by hand."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any, cast

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import admin as auth_admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Count, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from chat import audit, removal
from chat.addresses import client_address
from chat.apps import ChatConfig
from chat.attempt_limit import Guarded
from chat.errors import ChatError, ErrorCode
from chat.models import (
    AuditAction,
    McpServer,
    Message,
    MessageFeedback,
    ModelRequest,
    Run,
    RunEvent,
    Thread,
    UserCounters,
)
from chat.names import same_name
from chat.publisher import Publisher

if TYPE_CHECKING:
    DjangoUserAdmin = auth_admin.UserAdmin[Any]
    ModelAdmin = admin.ModelAdmin[Any]
else:
    # The stubs know a type parameter that the class itself does not take.
    ModelAdmin = admin.ModelAdmin
    DjangoUserAdmin = auth_admin.UserAdmin

MAX_SHOWN = 500
MAX_DATA_CHARACTERS = 2000

admin.site.site_header = "Netra"
admin.site.site_title = "Netra"
admin.site.index_title = "Administration"

# Their pages show refresh tokens, with which whoever reads them can act as another person.
admin.site.unregister([BlacklistedToken, OutstandingToken])
# Netra has its own, below.
admin.site.unregister(get_user_model())


class SignInForm(AdminAuthenticationForm):
    """The sign-in of the administration, where a password is guessed no more often than over REST."""

    def clean(self) -> dict[str, Any]:
        assert self.request is not None  # noqa: S101 - the view gives it
        name, address = same_name(self.cleaned_data.get("username") or ""), client_address(self.request)
        limit = cast("ChatConfig", apps.get_app_config("chat")).attempt_limit
        try:
            limit.spend(Guarded.SIGN_IN, name, address)
        except ChatError as error:
            audit.record_refusal(AuditAction.SIGN_IN, error.code, address=address, where="administration")
            raise ValidationError(error.message) from None
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            # Also for who has a password and is no staff: it is the same answer, and the same entry.
            audit.record_refusal(
                AuditAction.SIGN_IN, ErrorCode.INVALID_CREDENTIALS, address=address, where="administration"
            )
            raise
        limit.succeeded(Guarded.SIGN_IN, name, address)
        user_id = self.get_user().pk
        audit.record(AuditAction.SIGN_IN, actor=user_id, subject=user_id, address=address, where="administration")
        return cleaned


admin.site.login_form = SignInForm


def _of_deleted_people() -> QuerySet[Any]:
    return UserCounters.objects.filter(deleted_at__isnull=False).values("user")


@admin.register(get_user_model())
class UserAdmin(DjangoUserAdmin):
    """Django's own; but an account is deleted as its person does it: out of reach at once, and removed in steps."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).exclude(pk__in=_of_deleted_people())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:  # noqa: ARG002
        """What goes with them is not listed: it may be millions of rows."""
        named = [str(user) for user in objs]
        return named, {"accounts, with all that is in them": len(named)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:  # noqa: ARG002
        removal.delete_account(obj.pk, _publisher())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:  # noqa: ARG002
        for pk in list(queryset.values_list("pk", flat=True)):
            removal.delete_account(pk, _publisher())


def _publisher() -> Publisher:
    return cast("ChatConfig", apps.get_app_config("chat")).event_log.publisher


class ReadOnlyAdmin(ModelAdmin):
    """Shows; the chat itself writes. What deleted people have left is not shown."""

    owner = "user"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        shown: QuerySet[Any] = super().get_queryset(request)
        return shown.exclude(**{f"{self.owner}__in": _of_deleted_people()}) if self.owner else shown

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


def moment(value: datetime.datetime | None) -> str:
    """A time that fits into a column. The server's times are UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else "-"


def moments(**times: datetime.datetime | None) -> str:
    """Several times in one line, those that there are."""
    told = [f"{name.replace('_', ' ')} {moment(value)}" for name, value in times.items() if value]
    return f"{', '.join(told)} (UTC)"


@admin.register(Thread)
class ThreadAdmin(ReadOnlyAdmin):
    list_display = ("title_or_id", "user", "message_count", "written", "deleted")
    list_filter = ("updated_at", ("deleted_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("title", "user__username", "messages__content")
    search_help_text = "Title, user name or what was said"
    date_hierarchy = "updated_at"
    ordering = ("-updated_at",)
    show_full_result_count = False
    fields = ("title", "user", "id", "times", "conversation", "run_list")
    readonly_fields = ("times", "conversation", "run_list")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Counted per row shown: a join would count the messages of all threads before it sorts and cuts.
        of_thread = Message.objects.filter(thread=OuterRef("pk")).order_by().values("thread")
        number = Subquery(of_thread.annotate(number=Count("pk")).values("number"))
        counted: QuerySet[Any] = super().get_queryset(request).annotate(messages_in_it=Coalesce(number, 0))
        return counted

    @admin.display(description="thread", ordering="title")
    def title_or_id(self, thread: Thread) -> str:
        return str(thread)

    @admin.display(description="messages", ordering="messages_in_it")
    def message_count(self, thread: Any) -> int:
        return int(thread.messages_in_it)

    @admin.display(description="last written in (UTC)", ordering="updated_at")
    def written(self, thread: Thread) -> str:
        return moment(thread.updated_at)

    @admin.display(description="deleted (UTC)", ordering="deleted_at")
    def deleted(self, thread: Thread) -> str:
        return moment(thread.deleted_at)

    def times(self, thread: Thread) -> str:
        return moments(created=thread.created_at, last_written_in=thread.updated_at, deleted=thread.deleted_at)

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
    list_display = ("number", "user", "thread_link", "agent", "outcome", "duration", "created")
    list_filter = ("status", "agent", "error_code", "created_at")
    list_select_related = ("user", "thread")
    search_fields = ("=id", "user__username", "thread__title")
    search_help_text = "Run id, user name or title of the thread"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    show_full_result_count = False
    readonly_fields = ("thread_link", "outcome", "times", "duration", "spent", "events_in_order")
    fields = (
        *("thread_link", "user", "run_number", "id", "agent", "outcome"),
        *("times", "duration", "attempt", "spent", "events_in_order"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        timed: QuerySet[Any] = super().get_queryset(request).annotate(took=F("finished_at") - F("started_at"))
        return timed

    @admin.display(description="run", ordering="run_number")
    def number(self, run: Run) -> str:
        return f"#{run.run_number}"

    @admin.display(description="thread", ordering="thread__title")
    def thread_link(self, run: Run) -> SafeString:
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:chat_thread_change", args=[run.thread_id]), str(run.thread)
        )

    @admin.display(description="status", ordering="status")
    def outcome(self, run: Run) -> str:
        """The status, and why it is so."""
        why = ", ".join(part for part in (run.error_code, run.error_message) if part)
        if run.cancelled_by:
            why = f"by {run.get_cancelled_by_display().lower()}"
        return f"{run.get_status_display()}: {why}" if why else str(run.get_status_display())

    @admin.display(ordering="took")
    def duration(self, run: Any) -> str:
        return f"{run.took / datetime.timedelta(seconds=1):.2f} s" if run.took is not None else "-"

    @admin.display(description="created (UTC)", ordering="created_at")
    def created(self, run: Run) -> str:
        return moment(run.created_at)

    def times(self, run: Run) -> str:
        return moments(created=run.created_at, started=run.started_at, finished=run.finished_at)

    @admin.display(description="usage")
    def spent(self, run: Run) -> str:
        told = {name.replace("_", " "): value for name, value in (run.usage or {}).items() if value is not None}
        return ", ".join(f"{name}: {value}" for name, value in told.items()) or "-"

    @admin.display(description="events")
    def events_in_order(self, run: Run) -> SafeString:
        events = list(RunEvent.objects.filter(run=run).defer("whole_result").order_by("seq")[:MAX_SHOWN])
        rows = [(event, _shortened(json.dumps(event.data, ensure_ascii=False))) for event in events]
        return SafeString(render_to_string("admin/chat/events.html", {"rows": rows, "run": run, "limit": MAX_SHOWN}))


@admin.register(ModelRequest)
class ModelRequestAdmin(ReadOnlyAdmin):
    list_display = ("started", "user", "agent", "model", "told_outcome", "tokens", "cost_usd", "duration_ms")
    list_filter = ("outcome", "agent", "model", "started_at")
    list_select_related = ("user",)
    search_fields = ("=run__id", "user__username")
    search_help_text = "Run id or user name"
    ordering = ("-started_at",)
    show_full_result_count = False
    readonly_fields = ("started", "told_outcome", "tokens")
    fields = (
        *("started", "user", "thread", "run", "agent", "model", "provider", "told_outcome", "tokens"),
        *("cache_read_tokens", "cache_write_tokens", "estimated", "cost_usd", "first_token_ms", "duration_ms"),
    )

    @admin.display(description="started (UTC)", ordering="started_at")
    def started(self, request: ModelRequest) -> str:
        return moment(request.started_at)

    @admin.display(description="outcome", ordering="outcome")
    def told_outcome(self, request: ModelRequest) -> str:
        return f"{request.outcome}: {request.error}" if request.error else request.outcome

    @admin.display(description="tokens in / out")
    def tokens(self, request: ModelRequest) -> str:
        return f"{'~' if request.estimated else ''}{request.input_tokens} / {request.output_tokens}"


@admin.register(McpServer)
class McpServerAdmin(ReadOnlyAdmin):
    owner = ""
    list_display = ("name", "state", "tool_count", "error", "changed", "seen")
    list_filter = ("state",)
    ordering = ("name",)
    fields = ("name", "state", "error", "changed", "seen", "tool_list")
    readonly_fields = ("changed", "seen", "tool_list")

    @admin.display(description="tools")
    def tool_count(self, server: McpServer) -> int:
        return len(server.tools)

    @admin.display(description="tools")
    def tool_list(self, server: McpServer) -> SafeString:
        rows = ((tool["name"], tool["description"]) for tool in server.tools)
        return format_html("<dl>{}</dl>", format_html_join("", "<dt>{}</dt><dd>{}</dd>", rows))

    @admin.display(description="changed (UTC)", ordering="changed_at")
    def changed(self, server: McpServer) -> str:
        return moment(server.changed_at)

    @admin.display(description="last seen by a worker (UTC)", ordering="seen_at")
    def seen(self, server: McpServer) -> str:
        return moment(server.seen_at)


@admin.register(MessageFeedback)
class MessageFeedbackAdmin(ReadOnlyAdmin):
    owner = "message__user"
    list_display = ("rating", "text", "answer", "updated")
    list_filter = ("rating", "updated_at")
    list_select_related = ("message",)
    ordering = ("-updated_at",)
    fields = ("rating", "text", "answer", "updated")
    readonly_fields = ("answer", "updated")

    @admin.display(description="answer")
    def answer(self, feedback: MessageFeedback) -> str:
        return _shortened(feedback.message.content)

    @admin.display(description="updated (UTC)", ordering="updated_at")
    def updated(self, feedback: MessageFeedback) -> str:
        return moment(feedback.updated_at)


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_DATA_CHARACTERS else f"{text[:MAX_DATA_CHARACTERS]}… ({len(text)} characters)"
