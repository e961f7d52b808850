"""`manage.py migrate` beside processes that serve: who waits for whom."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.core.management.commands import migrate as django_migrate
from django.db import connection, transaction

from netra.management.commands import migrate
from tests.processes import until

ADD_COLUMN = "ALTER TABLE scratch ADD COLUMN IF NOT EXISTS added int"
BUILD_INDEX = "CREATE INDEX CONCURRENTLY IF NOT EXISTS scratch_n ON scratch (n)"
WAITS = """SELECT extract(epoch FROM clock_timestamp() - query_start) FROM pg_stat_activity
           WHERE query = %s AND state = 'active' AND wait_event_type = 'Lock'"""

Connect = Callable[[], psycopg.Connection[Any]]


@pytest.fixture
def connect(transactional_db: None) -> Iterator[Connect]:
    """Further sessions. The table `scratch` is there."""
    opened: list[psycopg.Connection[Any]] = []

    def another() -> psycopg.Connection[Any]:
        names = ("host", "port", "user", "password", "dbname")
        given = {name: value for name, value in connection.get_connection_params().items() if name in names}
        opened.append(psycopg.connect(**given, application_name="dump", autocommit=True))
        return opened[-1]

    another().execute("CREATE TABLE scratch (n int)")
    yield another
    opened[0].execute("DROP TABLE scratch")
    for each in opened:
        each.close()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "LOCK_SECONDS", 0.2)
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 0.05)


class Migration(threading.Thread):
    """`manage.py migrate` whose one migration is this statement."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
        super().__init__()
        self.statement = statement
        self.tries = 0
        self.error: Exception | None = None
        monkeypatch.setattr(django_migrate.Command, "handle", self._apply)

    def _apply(self, *_args: object, **_options: object) -> None:
        self.tries += 1
        if "CONCURRENTLY" in self.statement:
            with connection.cursor() as cursor:
                cursor.execute(self.statement)
        else:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(self.statement)

    def run(self) -> None:
        try:
            call_command("migrate", verbosity=0)
        except Exception as error:  # noqa: BLE001 - given to the test
            self.error = error
        finally:
            with connection.cursor() as cursor:
                cursor.execute("SHOW lock_timeout")
                self.left = cursor.fetchone()[0]
            connection.close()

    def ended(self) -> None:
        self.join(30)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        assert self.left == "0"


def test_others_get_the_table_while_a_migration_waits_for_it(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants a table waits behind who wanted it before, even for what both could do at once."""
    dump, reader = connect(), connect()
    migration = Migration(monkeypatch, ADD_COLUMN)
    with dump.transaction():
        dump.execute("SELECT * FROM scratch")
        migration.start()
        until(lambda: migration.tries >= 2, what="a second try")
        for _ in range(3):
            reader.execute("SELECT * FROM scratch")
    migration.ended()
    reader.execute("SELECT added FROM scratch")


def test_a_table_that_is_never_free_is_told_with_who_has_it(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "PATIENCE_SECONDS", 0.0)
    dump = connect()
    migration = Migration(monkeypatch, ADD_COLUMN)
    with dump.transaction():
        dump.execute("SELECT * FROM scratch")
        migration.start()
        with pytest.raises(CommandError, match=rf"in use; the oldest .* of dump \(process {dump.info.backend_pid} "):
            migration.ended()


def test_an_index_that_is_built_concurrently_waits_as_long_as_it_must(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump, observer = connect(), connect()
    migration = Migration(monkeypatch, BUILD_INDEX)

    def waited() -> bool:
        row = observer.execute(WAITS, [BUILD_INDEX]).fetchone()
        return row is not None and row[0] > 3 * migrate.LOCK_SECONDS

    with dump.transaction():
        dump.execute("INSERT INTO scratch VALUES (1)")
        migration.start()
        until(waited, what="the index to be waited for")
    migration.ended()
    assert migration.tries == 1


def test_one_migrates_at_a_time(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    other, observer = connect(), connect()
    migration = Migration(monkeypatch, ADD_COLUMN)
    other.execute("SELECT pg_advisory_lock(%s)", [migrate.ADVISORY_LOCK])
    migration.start()
    asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_try_advisory_lock%%' AND state = 'idle'"
    until(lambda: observer.execute(asked).fetchone() != (0,), what="the lock to be asked for")
    assert migration.tries == 0
    other.execute("SELECT pg_advisory_unlock(%s)", [migrate.ADVISORY_LOCK])
    migration.ended()
    assert migration.tries == 1
