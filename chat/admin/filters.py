"""Filters whose choices are known without reading a table, and which an index answers: links and plain forms."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.dateparse import parse_date, parse_datetime

from chat.admin.finding import people_named
from chat.api.serving import agents_config
from chat.errors import ErrorCode
from chat.models import RunStatus

# How a run can end that fails.
ENDING_CODES = (
    ErrorCode.MODEL_ERROR,
    ErrorCode.RUN_TIMEOUT,
    ErrorCode.WORKER_LOST,
    ErrorCode.APPROVAL_EXPIRED,
    ErrorCode.AGENT_NOT_FOUND,
    ErrorCode.INTERNAL_ERROR,
)


class AgentFilter(admin.SimpleListFilter):
    """By the agents that there are now: to find which there ever were, the table would have to be read."""

    title = "agent"
    parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        supervisor = agents_config().supervisor
        return [(name, name) for name in (supervisor.agent_names if supervisor is not None else ())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(agent=self.value()) if self.value() else queryset


class ModelFilter(admin.SimpleListFilter):
    """By the models that agents have now."""

    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        supervisor = agents_config().supervisor
        agents = supervisor.status().agents if supervisor is not None else ()
        return [(model, model) for model in sorted({agent.model for agent in agents})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(model=self.value()) if self.value() else queryset


class ErrorCodeFilter(admin.SimpleListFilter):
    title = "error"
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(code.value, code.value) for code in ENDING_CODES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        # Only what failed has one, and what failed has an index.
        return queryset.filter(status=RunStatus.FAILED, error_code=self.value()) if self.value() else queryset


class _FormFilter(admin.ListFilter):
    """A filter that is a form: what else filters goes along in it."""

    used_parameters: dict[str, Any]
    parameters: tuple[str, ...] = ()

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.parameters:
            if given := params.pop(name, None):
                self.used_parameters[name] = str(given[-1]).strip()

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def choices(self, changelist: Any) -> Iterator[Any]:
        others = {
            name: values
            for name, values in changelist.filter_params.items()
            if name not in (*self.parameters, "p") and values
        }
        pairs = [(name, value) for name, values in others.items() for value in values]
        yield {
            "others": pairs,
            "fields": [(name, self.used_parameters.get(name, "")) for name in self.parameters],
            "selected": not self.used_parameters,
            "query_string": changelist.get_query_string(remove=list(self.parameters)),
            "display": "All",
        }


class PersonFilter(_FormFilter):
    """By a person's number, or by a part of the name."""

    template = "administration/person_filter.html"
    field = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.used_parameters.get(self.parameters[0])
        return queryset.filter(**{f"{self.field}__in": people_named(value)}) if value else queryset


def person_filter(name: str, field: str, title: str) -> type[PersonFilter]:
    """A filter by the people that `field` of a row names; `name` is that of its parameter."""
    return type("PersonFilter", (PersonFilter,), {"title": title, "parameters": (name,), "field": field})


class PeriodFilter(_FormFilter):
    """Between two days, both included, or two times."""

    template = "administration/period_filter.html"
    field = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since, until = (self.used_parameters.get(name) for name in self.parameters)
        if since:
            queryset = queryset.filter(**{f"{self.field}__gte": _moment(since)})
        if until:
            end = _moment(until)
            queryset = queryset.filter(**{f"{self.field}__lt": end + _DAY if parse_date(until) else end})
        return queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        today = datetime.datetime.now(datetime.UTC).date()
        for display, since in (
            ("Today", today),
            ("Past 7 days", today - 6 * _DAY),
            ("Past 30 days", today - 29 * _DAY),
        ):
            chosen = dict(zip(self.parameters, (str(since), None), strict=True))
            given = {name: value for name, value in chosen.items() if value}
            yield {
                "selected": given == self.used_parameters,
                "query_string": changelist.get_query_string(chosen),
                "display": display,
            }
        yield from super().choices(changelist)


_DAY = datetime.timedelta(days=1)


def period_filter(field: str, title: str) -> type[PeriodFilter]:
    return type("PeriodFilter", (PeriodFilter,), {"title": title, "parameters": ("since", "until"), "field": field})


def _moment(text: str) -> datetime.datetime:
    """Of a day or a time, in UTC when it does not say. Raises IncorrectLookupParameters."""
    try:
        day = parse_date(text)
        found = datetime.datetime.combine(day, datetime.time()) if day else parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise IncorrectLookupParameters
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
