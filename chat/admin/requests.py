"""Requests to models: who spent what, on what, and how each ended."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from chat.admin.access import looked, may_read
from chat.admin.filters import AgentFilter, ModelFilter, period_filter
from chat.admin.rows import ReadOnlyAdmin, linked, moment, person_column, short
from chat.models import ModelRequest


@admin.register(ModelRequest)
class ModelRequestAdmin(ReadOnlyAdmin):
    list_display = ("agent", "model", "outcome", "tokens", "cost_usd", "duration")
    list_filter = ("outcome", AgentFilter, ModelFilter, period_filter("started_at", "started"))
    lookups = ("user__id__exact", "run__id__exact", "thread__id__exact")
    list_select_related = ("user",)
    search_fields = ("id",)
    ids = ("id", "run", "thread")
    search_help_text = "Id of a run or thread, or person"
    ordering = ("-started_at", "-id")

    def get_list_display(self, request: HttpRequest) -> Any:
        return ("started", person_column(request), *self.list_display)

    @admin.display(description="started (UTC)")
    def started(self, asked: ModelRequest) -> str:
        return moment(asked.started_at)

    @admin.display(description="tokens in / out")
    def tokens(self, asked: ModelRequest) -> str:
        return f"{'~' if asked.estimated else ''}{asked.input_tokens:,} / {asked.output_tokens:,}"

    @admin.display(description="took")
    def duration(self, asked: ModelRequest) -> str:
        return f"{asked.duration_ms:,} ms"

    def show(self, request: HttpRequest, asked: Any) -> HttpResponse:
        # Why it failed is the provider's text, which may repeat what it was sent.
        if error := asked.error if may_read(request) else "":
            looked(request, subject=asked.user_id, target=f"model request {asked.id}")
        return self.rendered(
            request,
            "administration/facts.html",
            title=f"Request to {asked.model}",
            facts=[
                ("started (UTC)", moment(asked.started_at)),
                ("person", linked(request, "user", asked.user_id, asked.user.get_username())),
                ("run", linked(request, "run", asked.run_id, short(asked.run_id)) if asked.run_id else "-"),
                (
                    "thread",
                    linked(request, "thread", asked.thread_id, short(asked.thread_id)) if asked.thread_id else "-",
                ),
                ("agent", asked.agent),
                ("model", asked.model),
                ("provider", asked.provider or "-"),
                ("outcome", f"{asked.outcome}: {error}" if error else asked.outcome),
                ("tokens in / out", self.tokens(asked)),
                ("cached tokens read / written", f"{asked.cache_read_tokens:,} / {asked.cache_write_tokens:,}"),
                ("cost", f"${asked.cost_usd:f}" if asked.cost_usd is not None else "no price is known"),
                ("first token after", f"{asked.first_token_ms:,} ms" if asked.first_token_ms is not None else "-"),
                ("took", self.duration(asked)),
            ],
        )
