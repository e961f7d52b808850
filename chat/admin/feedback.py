"""What people think of answers, and what agents wait for people to allow."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from chat.admin.access import looked, may_read
from chat.admin.filters import period_filter
from chat.admin.rows import ReadOnlyAdmin, linked, moment, short, size
from chat.models import Approval, MessageFeedback

ANSWER_CHARACTERS = 20_000


@admin.register(MessageFeedback)
class MessageFeedbackAdmin(ReadOnlyAdmin):
    owner = "message__user"
    list_display = ("rating", "with_text", "updated")
    list_filter = ("rating", period_filter("updated_at", "given"))
    list_select_related = ("message__user",)
    search_fields = ("message",)
    ids = ("message__thread",)
    search_help_text = "Id of a thread, or person"
    ordering = ("-updated_at", "-pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("message__content")

    def get_list_display(self, request: HttpRequest) -> Any:
        @admin.display(description="person")
        def person(feedback: MessageFeedback) -> str:
            return linked(request, "user", feedback.message.user_id, feedback.message.user.get_username())

        @admin.display(description="thread")
        def thread(feedback: MessageFeedback) -> str:
            return linked(request, "thread", feedback.message.thread_id, short(feedback.message.thread_id))

        return (*self.list_display[:1], person, thread, *self.list_display[1:])

    @admin.display(description="with words")
    def with_text(self, feedback: MessageFeedback) -> str:
        return size(len(feedback.text.encode())) if feedback.text else "-"

    @admin.display(description="given (UTC)")
    def updated(self, feedback: MessageFeedback) -> str:
        return moment(feedback.updated_at)

    def show(self, request: HttpRequest, feedback: Any) -> HttpResponse:
        message = feedback.message
        facts = [
            ("rating", feedback.get_rating_display()),
            ("person", linked(request, "user", message.user_id, message.user.get_username())),
            ("thread", linked(request, "thread", message.thread_id, short(message.thread_id))),
            ("given (UTC)", moment(feedback.updated_at)),
            ("words", self.with_text(feedback)),
        ]
        texts = []
        if may_read(request):
            looked(request, subject=message.user_id, target=f"thread {message.thread_id}")
            texts = [("What was said of it", feedback.text or "-"), ("The answer", message.content[:ANSWER_CHARACTERS])]
        return self.rendered(
            request, "administration/facts.html", title=f"Feedback: {feedback.rating}", facts=facts, texts=texts
        )


class WaitingFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "waiting"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Waiting"), ("0", "Answered")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(approved__isnull=self.value() == "1") if self.value() in ("0", "1") else queryset


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    owner = "run__user"
    list_display = ("tool", "agent", "answer", "asked", "expires")
    list_filter = (WaitingFilter,)
    lookups = ("run__id__exact",)
    list_select_related = ("run__user",)
    search_fields = ("run",)
    ids = ("run",)
    search_help_text = "Id of a run, or person"
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("run__paused_state")

    def get_list_display(self, request: HttpRequest) -> Any:
        @admin.display(description="person")
        def person(approval: Approval) -> str:
            return linked(request, "user", approval.run.user_id, approval.run.user.get_username())

        @admin.display(description="run")
        def run(approval: Approval) -> str:
            return linked(request, "run", approval.run_id, short(approval.run_id))

        return (*self.list_display[:2], person, run, *self.list_display[2:])

    @admin.display(description="answer")
    def answer(self, approval: Approval) -> str:
        if approval.approved is None:
            return "waiting"
        return f"{'approved' if approval.approved else 'denied'} by {approval.get_by_display().lower()}"

    @admin.display(description="asked (UTC)")
    def asked(self, approval: Approval) -> str:
        return moment(approval.created_at)

    @admin.display(description="until (UTC)")
    def expires(self, approval: Approval) -> str:
        return moment(approval.expires_at)

    def show(self, request: HttpRequest, approval: Any) -> HttpResponse:
        run = approval.run
        facts = [
            ("tool", approval.tool),
            ("agent", approval.agent),
            ("person", linked(request, "user", run.user_id, run.user.get_username())),
            ("run", linked(request, "run", run.id, short(run.id))),
            ("answer", self.answer(approval)),
            ("asked (UTC)", moment(approval.created_at)),
            ("until (UTC)", moment(approval.expires_at)),
            ("answered (UTC)", moment(approval.resolved_at)),
        ]
        texts = []
        if may_read(request):
            looked(request, subject=run.user_id, target=f"run {run.id}")
            arguments = json.dumps(approval.arguments, ensure_ascii=False, indent=2)
            texts = [("What the tool would be given", arguments[:ANSWER_CHARACTERS])]
            texts += [("What the person said to it", approval.reason)] if approval.reason else []
        return self.rendered(
            request, "administration/facts.html", title=f"Approval of {approval.tool}", facts=facts, texts=texts
        )
