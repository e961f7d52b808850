"""The audit log, to be read: who did, or was refused, what, to whom, from where."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse

from chat.admin.filters import period_filter, person_filter
from chat.admin.finding import people_named
from chat.admin.rows import ReadOnlyAdmin, RowList, linked, moment, said
from chat.models import AuditEntry


class RefusedFilter(admin.SimpleListFilter):
    title = "outcome"
    parameter_name = "refused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("0", "Done"), ("1", "Refused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "0":
                return queryset.filter(refused="")
            case "1":
                return queryset.exclude(refused="")
        return queryset


class EntryList(RowList):
    """Knows the names of its page's people, read at once."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = name_people(list(self.result_list))


def name_people(entries: list[AuditEntry]) -> list[AuditEntry]:
    """Each with `names`: of actor and subject. Of people who are gone there is only the number."""
    numbers = {number for entry in entries for number in (entry.actor, entry.subject) if number is not None}
    people = get_user_model().objects.filter(pk__in=numbers).exclude(username__startswith="deleted:")
    names = dict(people.values_list("pk", "username"))
    for entry in entries:
        vars(entry)["names"] = names
    return entries


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    owner = ""
    list_display = ("refused", "address", "target", "told")
    list_filter = (
        period_filter("at", "time"),
        "action",
        RefusedFilter,
        person_filter("actor", "actor", "who did it"),
        person_filter("subject", "subject", "whom it is about"),
    )
    search_fields = ("actor",)
    search_help_text = "Name or number of a person"
    ordering = ("-at", "-id")

    def get_changelist(self, request: HttpRequest, **_options: Any) -> type[Any]:
        return EntryList

    def wanted(self, request: HttpRequest, queryset: QuerySet[Any], word: str) -> Q:
        people = people_named(word)
        return Q(actor__in=people) | Q(subject__in=people)

    def get_list_display(self, request: HttpRequest) -> Any:
        @admin.display(description="who")
        def actor(entry: AuditEntry) -> str:
            return self._person(request, entry, entry.actor)

        @admin.display(description="about")
        def subject(entry: AuditEntry) -> str:
            return self._person(request, entry, entry.subject)

        return ("time", "done", actor, subject, *self.list_display)

    def _person(self, request: HttpRequest, entry: AuditEntry, number: int | None) -> str:
        if number is None:
            return "-"
        name = vars(entry)["names"].get(number)
        return linked(request, "user", number, name) if name is not None else f"#{number}"

    @admin.display(description="time (UTC)")
    def time(self, entry: AuditEntry) -> str:
        return moment(entry.at)

    @admin.display(description="action")
    def done(self, entry: AuditEntry) -> str:
        return said(entry.action)

    @admin.display(description="details")
    def told(self, entry: AuditEntry) -> str:
        return ", ".join(f"{name}: {_plain(value)}" for name, value in entry.details.items()) or "-"

    def show(self, request: HttpRequest, entry: Any) -> HttpResponse:
        name_people([entry])
        return self.rendered(
            request,
            "administration/facts.html",
            title=said(entry.action),
            facts=[
                ("time (UTC)", moment(entry.at)),
                ("action", self.done(entry)),
                ("refused", entry.refused or "-"),
                ("who", self._person(request, entry, entry.actor)),
                ("about", self._person(request, entry, entry.subject)),
                ("address", entry.address or "-"),
                ("target", entry.target or "-"),
                *((name, _plain(value)) for name, value in entry.details.items()),
            ],
        )


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
