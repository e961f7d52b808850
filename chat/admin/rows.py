"""Lists of what the chat itself writes: shown, never changed by hand, and never counted or sorted as a whole."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from unfold.admin import ModelAdmin as UnfoldModelAdmin
from unfold.views import ChangeList

from chat.admin.finding import of_people_or_ids
from chat.models import UserCounters

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    DjangoPaginator = Paginator[Any]
else:
    ModelAdmin, DjangoPaginator = UnfoldModelAdmin, Paginator

PER_PAGE = 50
# So many rows are counted, and can be leafed through; who looks for more asks for less by a filter.
MOST_COUNTED = 10_000


class BoundedPaginator(DjangoPaginator):
    """Counts no further than MOST_COUNTED."""

    template_name = "administration/pagination.html"

    @cached_property
    def found(self) -> int:
        """How many there are; MOST_COUNTED + 1: more than are counted."""
        # In the order that has an index: from anywhere, PostgreSQL may read on until it has found so many.
        rows: Any = self.object_list
        return int(rows[: MOST_COUNTED + 1].count())

    @cached_property
    def count(self) -> int:
        return min(self.found, MOST_COUNTED)

    @property
    def is_cut(self) -> bool:
        return self.found > MOST_COUNTED


class RowList(ChangeList):
    """In the one order that has an index, whatever the address asks for."""

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        ordering: list[Any] = self._get_deterministic_ordering(self._get_default_ordering())
        return ordering

    def get_ordering_field_columns(self) -> dict[int, str]:
        return {}


class PlainAdmin(ModelAdmin):
    """unfold's class without what it keeps of requests."""

    if not TYPE_CHECKING:

        @property
        def request(self) -> None:
            """unfold keeps the last request here, of anybody's and for all threads: it finds none."""
            raise AttributeError

        @request.setter
        def request(self, _: HttpRequest) -> None:
            pass


class ReadOnlyAdmin(PlainAdmin):
    """Shows; the chat itself writes. What deleted people have left is not shown.

    `owner` leads to the person whose the row is; empty: to nobody. A word in the search box is a person, or an id in
    one of `ids`. An address filters by `list_filter` and by `lookups`, and by nothing else: any field that could be
    asked for would tell what it holds.
    """

    owner = "user"
    ids: ClassVar[Sequence[str]] = ()
    lookups: ClassVar[Sequence[str]] = ()
    paginator = BoundedPaginator
    list_per_page = PER_PAGE
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    list_filter_submit = True

    def get_changelist(self, request: HttpRequest, **_options: Any) -> type[Any]:
        return RowList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        shown: QuerySet[Any] = super().get_queryset(request)
        if not self.owner or ("__" in self.owner and not deleted_people().exists()):
            # Whose a row is, another table says: it is asked only when somebody is gone and not removed yet.
            return shown
        return shown.exclude(**{f"{self.owner}__in": deleted_people()})

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        named = {*self.lookups, *(name for each in self.list_filter if callable(each) for name in asked_by(each))}
        filters: Sequence[Any] = self.list_filter
        fields = {each if isinstance(each, str) else each[0] for each in filters if not callable(each)}
        return lookup in named or lookup.partition("__")[0] in fields

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        word = search_term.strip()
        return (queryset.filter(self.wanted(request, queryset, word)) if word else queryset), False

    def wanted(self, request: HttpRequest, queryset: QuerySet[Any], word: str) -> Q:
        return of_people_or_ids(word, person=self.owner, ids=self.ids)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Nobody changes it here: it has no history. What staff looked at is in the audit log."""
        return self.missing(request, object_id)

    # One row

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        row = self.found(request, object_id)
        return self.missing(request, object_id) if row is None else self.show(request, row)

    def show(self, request: HttpRequest, row: Any) -> HttpResponse:
        """The page of a row that the person may view."""
        raise NotImplementedError

    def found(self, request: HttpRequest, object_id: str) -> Any:
        """The row, or None. Raises PermissionDenied for who may not view it."""
        row = self.get_object(request, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return row

    def missing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Back to the overview, which says so."""
        answer: HttpResponse = self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined]
            request, self.opts, object_id
        )
        return answer

    def rendered(self, request: HttpRequest, template: str, *, title: str, **context: Any) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "title": title, "subtitle": None}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, template, shared | context)


def asked_by(listed: Any) -> Sequence[str]:
    """The parameters of a filter that is no field's."""
    several: Sequence[str] = getattr(listed, "parameters", ())
    return several or (listed.parameter_name,)


def deleted_people() -> QuerySet[Any]:
    return UserCounters.objects.filter(deleted_at__isnull=False).values("user")


# How things are said


def said(choice: str) -> str:
    """A value of an enumeration, as a sentence has it."""
    return choice.replace("_", " ").capitalize()


def moment(value: datetime.datetime | None) -> str:
    """A time that fits into a column. The server's times are UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else "-"


def seconds(value: datetime.timedelta | None) -> str:
    return f"{value / datetime.timedelta(seconds=1):.2f} s" if value is not None else "-"


def size(number: int | None) -> str:
    """Of bytes."""
    if number is None:
        return "-"
    if number < 1000:
        return f"{number} B"
    return f"{number / 1000:.1f} KB" if number < 1_000_000 else f"{number / 1_000_000:.1f} MB"


def short(identifier: uuid.UUID) -> str:
    """The beginning of an id, by which one tells rows apart."""
    return str(identifier)[:8]


def person_column(request: HttpRequest) -> Any:
    """A column of a list: whose the row is."""

    @admin.display(description="person")
    def person(row: Any) -> str:
        return linked(request, "user", row.user_id, row.user.get_username())

    return person


def linked(request: HttpRequest, kind: str, key: Any, text: str) -> str:
    """A link to the page of a row, for whom may view it; for others the text."""
    app = "auth" if kind == "user" else "chat"
    if not request.user.has_perm(f"{app}.view_{kind}"):
        return text
    return format_html('<a href="{}">{}</a>', reverse(f"admin:{app}_{kind}_change", args=[key]), text)
