"""Spans of days as people and models name them: whole days, in UTC, that end at the latest today."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from agents.errors import ToolError

FIRST_DAY = date(2000, 1, 1)
LONGEST_DAYS = 3660
MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)

_DAY = timedelta(days=1)
_LAST_DAYS = re.compile(r"last_(\d{1,4})_days", re.ASCII)
_DATES = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.\.(\d{4}-\d{2}-\d{2})?)?", re.ASCII)
_YEAR_AND_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
_MONTH_NAME = re.compile(rf"({'|'.join(MONTHS)})(?:_(\d{{4}}))?", re.ASCII)
NAMES = (
    "today, yesterday, this_week, last_week, this_month, last_month, this_year, last_year, last_7_days, last_30_days "
    "(any number of days), all, a month (2026-03, or march for the latest one), a day (2026-03-04), or days "
    "(2026-03-01..2026-03-04, 2026-03-01.. until today)"
)


@dataclass(frozen=True, slots=True)
class Period:
    """The days `first` to `last`, both included."""

    name: str
    first: date
    last: date

    @property
    def since(self) -> datetime:
        return _midnight(self.first)

    @property
    def until(self) -> datetime:
        """The first moment that no longer belongs to it."""
        return _midnight(self.last + _DAY)


def find_period(text: str, now: datetime) -> Period:
    """The period of this name. Raises ToolError, which lists the names."""
    name = re.sub(r"[\s_]+", "_", text.strip().lower())
    today = now.astimezone(UTC).date()
    try:
        found = _named(name, today) or _counted(name, today) or _month(name, today) or _dates(name, today)
    except (ValueError, OverflowError) as error:
        raise ToolError(f"{text!r} has a date that there is not") from error
    if found is None:
        raise ToolError(f"{text!r} is not a period; periods are: {NAMES}")
    first, last = max(found[0], FIRST_DAY), found[1]
    if last < first:
        raise ToolError(f"{text!r} ends before it begins, lies in the future, or before {FIRST_DAY}")
    return Period(name, first, last)


def _named(name: str, today: date) -> tuple[date, date] | None:
    monday = today - today.weekday() * _DAY
    month = today.replace(day=1)
    year = month.replace(month=1)
    before_month = month - _DAY
    spans: dict[str, Callable[[], tuple[date, date]]] = {
        "today": lambda: (today, today),
        "yesterday": lambda: (today - _DAY, today - _DAY),
        "this_week": lambda: (monday, today),
        "last_week": lambda: (monday - 7 * _DAY, monday - _DAY),
        "this_month": lambda: (month, today),
        "last_month": lambda: (before_month.replace(day=1), before_month),
        "this_year": lambda: (year, today),
        "last_year": lambda: (year.replace(year=year.year - 1), year - _DAY),
        "all": lambda: (FIRST_DAY, today),
    }
    span = spans.get(name)
    return span() if span else None


def _counted(name: str, today: date) -> tuple[date, date] | None:
    """The last n days with today as one of them."""
    found = _LAST_DAYS.fullmatch(name)
    if found is None:
        return None
    days = int(found[1])
    if not 1 <= days <= LONGEST_DAYS:
        raise ToolError(f"a period of days has 1 to {LONGEST_DAYS} of them")
    return today - (days - 1) * _DAY, today


def _month(name: str, today: date) -> tuple[date, date] | None:
    """A whole month; by its name alone the latest that has begun."""
    if found := _YEAR_AND_MONTH.fullmatch(name):
        first = date(int(found[1]), int(found[2]), 1)
    elif found := _MONTH_NAME.fullmatch(name):
        month = MONTHS.index(found[1]) + 1
        first = date(int(found[2]) if found[2] else today.year - (month > today.month), month, 1)
    else:
        return None
    following = (first + 31 * _DAY).replace(day=1)
    return first, min(following - _DAY, today)


def _dates(name: str, today: date) -> tuple[date, date] | None:
    found = _DATES.fullmatch(name)
    if found is None:
        return None
    first = date.fromisoformat(found[1])
    last = date.fromisoformat(found[2]) if found[2] else today if ".." in name else first
    return first, min(last, today)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
