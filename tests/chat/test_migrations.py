"""Migrations newer than the previous release are safe while its processes serve."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from tests.migration_safety import dangers
from tests.releases import PREVIOUS

APP = "chat"
# What is done all the same, by migration and operation, and why that is safe.
LISTED: dict[tuple[str, str], str] = {}


@pytest.fixture(scope="module")
def loader() -> MigrationLoader:
    return MigrationLoader(None, ignore_no_migrations=True)


@pytest.fixture
def released(loader: MigrationLoader) -> ProjectState:
    return loader.project_state((APP, PREVIOUS.migration))


def tables_of(state: ProjectState) -> set[str]:
    return {name for app, name in state.models if app == APP}


def newer(loader: MigrationLoader) -> list[Migration]:
    """In the order in which they are applied."""
    [leaf] = loader.graph.leaf_nodes(APP)
    plan = [loader.get_migration(*key) for key in loader.graph.forwards_plan(leaf) if key[0] == APP]
    return plan[[migration.name for migration in plan].index(PREVIOUS.migration) + 1 :]


def test_every_migration_since_the_release_is_safe_while_it_serves(
    loader: MigrationLoader, released: ProjectState
) -> None:
    state, tables = released.clone(), tables_of(released)
    found: dict[tuple[str, str], str] = {}
    for migration in newer(loader):
        found |= {(migration.name, danger.partition(":")[0]): danger for danger in dangers(migration, state, tables)}
    unlisted = [
        f"{name}: {danger}" for (name, _), danger in found.items() if (name, danger.partition(":")[0]) not in LISTED
    ]
    assert not unlisted, "\n".join(unlisted)
    assert not LISTED.keys() - found.keys(), "listed, and not there"


def to_a_user(**options: Any) -> models.ForeignKey[Any, Any]:
    return models.ForeignKey("auth.User", models.SET_NULL, null=True, related_name="+", **options)


ID = ("id", models.BigAutoField(primary_key=True))
SAFE = [
    operations.AddField("thread", "note", models.TextField(null=True)),
    operations.AddField("thread", "pinned", models.BooleanField(default=False, db_default=False)),
    operations.AddField("thread", "people", models.ManyToManyField("auth.User", related_name="+")),
    operations.AddField("run", "judge", to_a_user(db_index=False, db_constraint=False)),
    operations.CreateModel("Ticket", [ID, ("text", models.TextField(db_index=True))]),
    operations.AlterField("thread", "title", models.CharField(max_length=500)),
    operations.AlterField("thread", "title", models.TextField()),
    operations.RemoveConstraint("run", "run_status_known"),
    AddConstraintNotValid("thread", models.CheckConstraint(condition=~models.Q(title="x"), name="no_x")),
    AddIndexConcurrently("thread", models.Index(fields=["title"], name="by_title")),
    operations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS by_title", operations.RunSQL.noop),
]  # fmt: skip
UNSAFE = [
    operations.AddField("thread", "pinned", models.BooleanField(default=False)),
    operations.AddField("thread", "code", models.CharField(max_length=9, null=True, unique=True)),
    operations.AddField("thread", "code", models.CharField(max_length=9, null=True, db_index=True)),
    operations.AddField("run", "judge", to_a_user()),
    operations.AddField("run", "judge", to_a_user(db_index=False)),
    operations.RemoveField("thread", "title"),
    operations.RenameField("thread", "title", "name"),
    operations.RenameModel("Thread", "Talk"),
    operations.DeleteModel("Note"),
    operations.AlterModelTable("thread", "talks"),
    operations.AlterField("thread", "deleted_at", models.DateTimeField()),
    operations.AlterField("thread", "title", models.CharField(max_length=20)),
    operations.AlterField("thread", "title", models.CharField(max_length=200, db_column="name")),
    operations.AlterField("thread", "title", models.CharField(max_length=200, db_index=True)),
    operations.AlterField("run", "attempt", models.PositiveIntegerField()),
    operations.AddIndex("thread", models.Index(fields=["title"], name="by_title")),
    operations.RemoveIndex("thread", "thread_deleted"),
    operations.AddConstraint("thread", models.CheckConstraint(condition=~models.Q(title="x"), name="no_x")),
    operations.RunPython(print),
    operations.RunSQL("UPDATE chat_thread SET title = ''"),
    operations.SeparateDatabaseAndState(database_operations=[operations.RemoveField("thread", "title")]),
]  # fmt: skip


@pytest.mark.parametrize("operation", SAFE, ids=lambda operation: operation.describe())
def test_what_is_safe_passes(operation: operations.base.Operation, released: ProjectState) -> None:
    assert dangers(migration_of(operation), released.clone(), tables_of(released)) == []


@pytest.mark.parametrize("operation", UNSAFE, ids=lambda operation: operation.describe())
def test_what_is_not_safe_is_found(operation: operations.base.Operation, released: ProjectState) -> None:
    assert dangers(migration_of(operation), released.clone(), tables_of(released))


def test_a_table_that_the_release_does_not_have_is_free(released: ProjectState) -> None:
    made = operations.CreateModel("Ticket", [ID])
    changed = operations.AddField("ticket", "pinned", models.BooleanField(default=False, db_index=True))
    assert dangers(migration_of(made, changed), released.clone(), tables_of(released)) == []


def test_what_is_not_undone_is_a_migration_of_its_own(released: ProjectState) -> None:
    migration = migration_of(
        operations.AddField("thread", "note", models.TextField(null=True)),
        AddIndexConcurrently("thread", models.Index(fields=["note"], name="by_note")),
    )
    vars(migration)["atomic"] = False
    [danger] = dangers(migration, released.clone(), tables_of(released))
    assert danger.startswith("Add field note to thread: ")


def migration_of(*changes: operations.base.Operation) -> Migration:
    migration = Migration("0099_tried", APP)
    vars(migration)["operations"] = list(changes)
    return migration
