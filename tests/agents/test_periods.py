from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from agents.errors import ToolError
from agents.tools.periods import find_period

WEDNESDAY = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
LEAP_DAY = datetime(2024, 2, 29, 0, 0, tzinfo=UTC)
NEW_YEAR = datetime(2026, 1, 1, 23, 59, tzinfo=UTC)
SUNDAY = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "now", "first", "last"),
    [
        ("today", WEDNESDAY, "2026-03-04", "2026-03-04"),
        (" Today ", WEDNESDAY, "2026-03-04", "2026-03-04"),
        ("yesterday", NEW_YEAR, "2025-12-31", "2025-12-31"),
        ("this_week", WEDNESDAY, "2026-03-02", "2026-03-04"),
        ("this week", SUNDAY, "2026-02-23", "2026-03-01"),
        ("this_week", datetime(2026, 3, 2, tzinfo=UTC), "2026-03-02", "2026-03-02"),
        ("last_week", WEDNESDAY, "2026-02-23", "2026-03-01"),
        ("last_week", NEW_YEAR, "2025-12-22", "2025-12-28"),
        ("this_month", WEDNESDAY, "2026-03-01", "2026-03-04"),
        ("last_month", WEDNESDAY, "2026-02-01", "2026-02-28"),
        ("last_month", NEW_YEAR, "2025-12-01", "2025-12-31"),
        ("this_year", WEDNESDAY, "2026-01-01", "2026-03-04"),
        ("last_year", LEAP_DAY, "2023-01-01", "2023-12-31"),
        ("last_7_days", WEDNESDAY, "2026-02-26", "2026-03-04"),
        ("last 1 days", WEDNESDAY, "2026-03-04", "2026-03-04"),
        ("last_30_days", WEDNESDAY, "2026-02-03", "2026-03-04"),
        ("all", WEDNESDAY, "2000-01-01", "2026-03-04"),
        ("2026-02", WEDNESDAY, "2026-02-01", "2026-02-28"),
        ("2024-02", LEAP_DAY, "2024-02-01", "2024-02-29"),
        ("2026-03", WEDNESDAY, "2026-03-01", "2026-03-04"),
        ("march", WEDNESDAY, "2026-03-01", "2026-03-04"),
        ("April", WEDNESDAY, "2025-04-01", "2025-04-30"),
        ("december 2024", WEDNESDAY, "2024-12-01", "2024-12-31"),
        ("2026-02-28", WEDNESDAY, "2026-02-28", "2026-02-28"),
        ("2026-02-20..2026-03-01", WEDNESDAY, "2026-02-20", "2026-03-01"),
        ("2026-03-01..", WEDNESDAY, "2026-03-01", "2026-03-04"),
        ("2026-03-01..2026-12-31", WEDNESDAY, "2026-03-01", "2026-03-04"),
        ("1990-01-01..2026-01-01", WEDNESDAY, "2000-01-01", "2026-01-01"),
    ],
)
def test_names_are_whole_days(name: str, now: datetime, first: str, last: str) -> None:
    period = find_period(name, now)
    assert (period.first.isoformat(), period.last.isoformat()) == (first, last)
    assert period.since == datetime.fromisoformat(f"{first}T00:00:00+00:00")
    assert period.until == datetime.fromisoformat(f"{last}T00:00:00+00:00") + timedelta(days=1)


def test_days_are_those_of_utc() -> None:
    late = datetime(2026, 3, 4, 22, 0, tzinfo=timezone(timedelta(hours=-5)))
    assert find_period("today", late).first == date(2026, 3, 5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is not a period; periods are: today"),
        ("next_week", "is not a period"),
        ("last_0_days", "1 to 3660"),
        ("last_9999_days", "1 to 3660"),
        ("2026-02-30", "a date that there is not"),
        ("2026-13", "a date that there is not"),
        ("0000-01", "a date that there is not"),
        ("march 0000", "a date that there is not"),
        ("9999-12", "a date that there is not"),
        ("2026-03-05", "lies in the future"),
        ("2026-04", "lies in the future"),
        ("2026-03-04..2026-03-01", "ends before it begins"),
        ("1999-12-31", "before 2000-01-01"),
        ("today; DROP TABLE", "is not a period"),
        ("２０２６-03-04", "is not a period"),  # noqa: RUF001
    ],
)
def test_what_is_no_period_says_why(name: str, reason: str) -> None:
    with pytest.raises(ToolError, match=reason.replace("(", r"\(")):
        find_period(name, WEDNESDAY)
