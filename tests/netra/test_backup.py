"""Backups: what is in one, and what is refused, and that a refusal leaves the database as it was."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from django.db import connection

from chat.run_event import now
from netra import backup, database
from netra.backup import programs
from netra.backup.manifest import DUMP, MANIFEST
from netra.config import PROJECT_ROOT

Parameters = dict[str, Any]
NAME = "ab/" + "c" * 62


@pytest.fixture
def source(transactional_db: None) -> Parameters:
    """A database with a person and a file of theirs."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff,
                                      is_active, date_joined)
               VALUES ('', false, 'ann', '', '', '', false, true, now()) RETURNING id"""
        )
        cursor.execute(
            """INSERT INTO chat_attachment (id, user_id, name, media_type, bytes, digest, storage_name, position,
                                            created_at)
               SELECT gen_random_uuid(), id, 'a.log', 'text/plain', 5, '', %s, 0, %s FROM auth_user""",
            [NAME, now()],
        )
    return database.connection_parameters()


@pytest.fixture
def storage() -> InMemoryStorage:
    storage = InMemoryStorage()
    storage.save(NAME, ContentFile(b"bytes"))
    return storage


@pytest.fixture
def empty(source: Parameters) -> Iterator[Parameters]:
    """Another database of the same server."""
    with psycopg.connect(**source, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS restored WITH (FORCE)")
        admin.execute("CREATE DATABASE restored")
        yield source | {"dbname": "restored"}
        admin.execute("DROP DATABASE restored WITH (FORCE)")


@pytest.fixture
def made(source: Parameters, storage: InMemoryStorage, tmp_path: Path) -> Path:
    backup.back_up(source, tmp_path / "made", storage=storage)
    return tmp_path / "made"


def rows(parameters: Parameters, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(**parameters) as asked:
        return asked.execute(query).fetchall()


def execute(parameters: Parameters, query: str) -> None:
    with psycopg.connect(**parameters) as asked:
        asked.execute(query)


def restore(parameters: Parameters, folder: Path, **changes: Any) -> backup.Restored:
    manifest = backup.Manifest.model_validate_json((folder / MANIFEST).read_text())
    given: dict[str, Any] = {
        "storage": InMemoryStorage(),
        "known_migrations": frozenset(manifest.migrations),
        "replace": False,
        "migrate": lambda: None,
    }
    return backup.restore(parameters, folder, **given | changes)


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(backup.BackupUnusable) as error:
        work()
    return str(error.value)


# Making one


def test_a_backup_says_what_it_has(source: Parameters, made: Path) -> None:
    manifest = json.loads((made / MANIFEST).read_text())
    assert manifest["files"] == {NAME: 5}
    assert manifest["rows"]["auth_user"] == 1
    assert manifest["rows"]["chat_attachment"] == 1
    assert "chat.0001_initial" in manifest["migrations"]
    assert (made / "files" / NAME).read_bytes() == b"bytes"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert sorted(path.name for path in made.iterdir()) == ["database.dump", "files", "manifest.json"]


def test_one_that_fails_leaves_nothing(source: Parameters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(InMemoryStorage):
        def _open(self, *_: Any, **__: Any) -> Any:
            raise OSError(5, "Input/output error")

    assert refused(lambda: backup.back_up(source, tmp_path / "x", storage=Broken())).endswith("Input/output error.")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(source: Parameters, tmp_path: Path) -> None:
    assert "is there already" in refused(lambda: backup.back_up(source, tmp_path, storage=None))


def test_a_file_that_was_removed_meanwhile_is_counted(source: Parameters, tmp_path: Path) -> None:
    made = backup.back_up(source, tmp_path / "x", storage=InMemoryStorage())
    assert (made.gone, made.manifest.files) == (1, {})


def test_files_may_be_kept_by_other_means(source: Parameters, tmp_path: Path) -> None:
    assert backup.back_up(source, tmp_path / "x", storage=None).manifest.files is None


def test_a_program_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [programs.Program(Path(f"/{major}/pg_dump"), major) for major in (15, 19, 17)]
    monkeypatch.setattr(programs, "_programs", lambda _name: iter(found))
    assert programs.program("pg_dump", server=17).major == 17
    assert programs.program("pg_dump", server=16).major == 17
    assert programs.program("pg_dump", server=17, at_least=18).major == 19
    assert "pg_dump of PostgreSQL 20 or newer is needed, and 15, 17, 19 is there" in refused(
        lambda: programs.program("pg_dump", server=20)
    )


def test_no_password_is_in_what_other_users_see(tmp_path: Path) -> None:
    script = tmp_path / "pg_dump"
    script.write_text('#!/bin/sh\necho "$@" "$PGPASSWORD" >"$0.said"\n')
    script.chmod(0o755)
    programs.Program(script, 18).run({"host": "db", "password": "s3cret and more", "user": "ann"}, "--x")
    said = (tmp_path / "pg_dump.said").read_text()
    assert said == "--dbname host=db user=ann --no-password --x s3cret and more\n"


# Restoring it


def test_what_is_restored_is_what_was_there_and_goes_on(
    source: Parameters, empty: Parameters, made: Path, storage: InMemoryStorage
) -> None:
    there = InMemoryStorage()
    assert restore(empty, made, storage=there).files == 1
    with there.open(NAME) as file:
        assert file.read() == b"bytes"
    for table in ("auth_user", "chat_attachment", "django_migrations", "procrastinate_jobs"):
        assert rows(empty, f"SELECT * FROM {table} ORDER BY 1") == rows(source, f"SELECT * FROM {table} ORDER BY 1")
    [[used]] = rows(source, "SELECT id FROM auth_user")
    assert rows(empty, "SELECT nextval(pg_get_serial_sequence('auth_user', 'id'))") == [(used + 1,)]
    assert restore(empty, made, storage=there, replace=True).files == 0, "what is there stays"


def test_a_database_that_has_something_is_replaced_only_when_told(empty: Parameters, made: Path) -> None:
    execute(empty, "CREATE TABLE mine (n int); INSERT INTO mine VALUES (7)")
    assert "has 1 tables already" in refused(lambda: restore(empty, made))
    assert rows(empty, "SELECT n FROM mine") == [(7,)]
    restore(empty, made, replace=True)
    assert rows(empty, "SELECT to_regclass('mine'), to_regnamespace('before_restore')") == [(None, None)]
    assert rows(empty, "SELECT username FROM auth_user") == [("ann",)]


def test_while_somebody_is_connected_nothing_is_touched(empty: Parameters, made: Path) -> None:
    with psycopg.connect(**empty, application_name="a worker"):
        said = refused(lambda: restore(empty, made))
    assert said == "1 sessions are connected to the database (a worker): stop web processes and workers first."


@pytest.mark.parametrize("replace", [False, True])
def test_a_restore_that_fails_leaves_what_was_there(
    empty: Parameters, made: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
) -> None:
    if replace:
        execute(empty, "CREATE TABLE mine (n int); INSERT INTO mine VALUES (7)")
    (made / DUMP).write_bytes((made / DUMP).read_bytes()[:-2000])
    assert "checksum is another" in refused(lambda: restore(empty, made, replace=replace))
    monkeypatch.setattr("netra.backup.restoring.check_dump", lambda *_: None)
    assert "pg_restore failed: " in refused(lambda: restore(empty, made, replace=replace))
    tables = rows(empty, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert tables == ([("mine",)] if replace else [])


def test_a_restore_that_was_killed_is_put_right_by_the_next(empty: Parameters, made: Path) -> None:
    """It had put aside what was there."""
    execute(empty, "CREATE TABLE mine (n int); ALTER SCHEMA public RENAME TO before_restore; CREATE SCHEMA public")
    assert "has 1 tables already" in refused(lambda: restore(empty, made))
    restore(empty, made, replace=True)
    assert rows(empty, "SELECT username FROM auth_user") == [("ann",)]


def test_an_extension_is_not_given_up_with_the_tables(empty: Parameters, made: Path) -> None:
    execute(empty, "UPDATE pg_extension SET extnamespace = 'public'::regnamespace; CREATE TABLE mine (n int)")
    assert "The extension plpgsql is in the schema public" in refused(lambda: restore(empty, made, replace=True))
    assert rows(empty, "SELECT to_regclass('mine')::text") == [("mine",)]


def test_a_backup_of_a_newer_version_is_refused_by_name(empty: Parameters, made: Path) -> None:
    said = refused(lambda: restore(empty, made, known_migrations=frozenset({"chat.0001_initial"})))
    assert "migrations that this one does not know (" in said


def test_a_backup_of_a_newer_postgresql_is_refused(empty: Parameters, made: Path) -> None:
    manifest = json.loads((made / MANIFEST).read_text())
    (made / MANIFEST).write_text(json.dumps(manifest | {"server": 99}))
    assert refused(lambda: restore(empty, made)).startswith("The backup is of PostgreSQL 99, and this is 18")


def test_rows_that_are_not_as_they_were_are_noticed(empty: Parameters, made: Path) -> None:
    manifest = json.loads((made / MANIFEST).read_text())
    manifest["rows"]["auth_user"] = 2
    (made / MANIFEST).write_text(json.dumps(manifest))
    assert refused(lambda: restore(empty, made)).startswith("auth_user has other rows")
    assert rows(empty, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


@pytest.mark.parametrize("content", [None, "{", '{"format": 2}'])
def test_what_is_no_backup_is_refused(empty: Parameters, made: Path, content: str | None) -> None:
    (made / MANIFEST).unlink()
    if content is not None:
        (made / MANIFEST).write_text(content)
    said = refused(
        lambda: backup.restore(
            empty, made, storage=InMemoryStorage(), known_migrations=frozenset(), replace=False, migrate=lambda: None
        )
    )
    assert ("it is no backup" in said) == (content is None)


def test_a_file_that_is_nowhere_is_counted(empty: Parameters, made: Path) -> None:
    (made / "files" / NAME).unlink()
    assert restore(empty, made).missing == 1


def test_the_wheel_of_the_embedded_database_has_both_programs() -> None:
    assert PROJECT_ROOT.exists()
    for name in ("pg_dump", "pg_restore"):
        assert programs.program(name, server=18).major >= 18
