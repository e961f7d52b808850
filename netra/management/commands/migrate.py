"""Django's own `manage.py migrate`, beside processes that serve.

Its statements take the time that they need, but none waits long for a table: whoever came after it would wait, too.
So it lets go, and tries again from the migration on that did not get its table.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connection

from chat.postgres_connection import unhurried

LOCK_SECONDS = 2
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.5
# Of Netra's advisory locks, the one of whoever migrates.
ADVISORY_LOCK = 0x6E65747261


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        with unhurried(), _alone(), connection.execute_wrapper(_let_concurrent_ones_wait):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    super().handle(*args, **options)
                except OperationalError as error:
                    if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                        raise
                    if time.monotonic() > deadline:
                        raise CommandError(f"A table is in use{_oldest_transaction()}: run migrate again.") from None
                else:
                    return
                time.sleep(PAUSE_SECONDS)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One at a time. Asked for again and again: a statement that waits would hold up an index that is being built."""
    with connection.cursor() as cursor:
        while not _value(cursor, "SELECT pg_try_advisory_lock(%s)", ADVISORY_LOCK):
            time.sleep(PAUSE_SECONDS)
        cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
    try:
        yield
    finally:
        with contextlib.suppress(OperationalError), connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])


def _let_concurrent_ones_wait(
    execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]
) -> Any:
    """What is done CONCURRENTLY waits for the transactions of others, and holds up nobody."""
    if " CONCURRENTLY " not in sql:
        return execute(sql, parameters, many, context)
    context["cursor"].cursor.execute("SET lock_timeout = 0")
    try:
        return execute(sql, parameters, many, context)
    finally:
        context["cursor"].cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")


def _oldest_transaction() -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT pid, application_name, extract(epoch FROM now() - xact_start)::int FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
               ORDER BY xact_start LIMIT 1"""
        )
        row = cursor.fetchone()
    if row is None:
        return ""
    pid, application, seconds = row
    return f"; the oldest transaction is of {application or 'somebody'} (process {pid} of PostgreSQL, {seconds} s)"


def _value(cursor: Any, query: str, *parameters: object) -> Any:
    cursor.execute(query, parameters)
    return cursor.fetchone()[0]
