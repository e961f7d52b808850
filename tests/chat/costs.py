"""What a request costs the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext


def queries(ask: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as captured:
        ask()
    return len(captured)


def rows_read(ask: Callable[[], Any]) -> int:
    """How many rows of its tables PostgreSQL has looked at, found by an index or not."""

    def so_far() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(seq_tup_read + COALESCE(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables")
            return int(cursor.fetchone()[0])

    with transaction.atomic():
        before = so_far()
        ask()
        return so_far() - before
