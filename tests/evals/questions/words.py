"""What questions and checks have in common: the days of the history, and words of the tools."""

from __future__ import annotations

from datetime import date, timedelta

from tests.evals.history import MONDAY, TODAY
from tests.evals.ledger import Days

DAY = timedelta(days=1)
YESTERDAY = Days(TODAY - DAY, TODAY - DAY)
THIS_DAY = Days(TODAY, TODAY)
THIS_WEEK = Days(MONDAY, TODAY)
LAST_WEEK = Days(MONDAY - 7 * DAY, MONDAY - DAY)
THIS_MONTH = Days(date(2024, 5, 1), TODAY)
LAST_MONTH = Days(date(2024, 4, 1), date(2024, 4, 30))
SEVEN_DAYS = Days(TODAY - 6 * DAY, TODAY)
THIRTY_DAYS = Days(TODAY - 29 * DAY, TODAY)
EVER = Days(date(2000, 1, 1), TODAY)
SUMMARY = "usage_summary"
REFUSED = "only staff may ask for the usage of others"
OFFLINE_REFUSAL = "I cannot answer that"
ASSISTANT = "assistant"
STAFF = "root"
