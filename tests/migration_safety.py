"""What a migration does that the previous release, which serves meanwhile, does not outlive.

Before an upgrade has ended, old processes read and write the new schema: nothing that they name may be gone, nothing
that they do not name may be required, and no statement may hold a table of theirs for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.db import connection
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED

HARMLESS = (
    operations.CreateModel,
    operations.AlterModelOptions,
    operations.AlterModelManagers,
    operations.AlterModelTableComment,
    operations.RemoveConstraint,
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
DROPS_ONE_INDEX = "DROP INDEX CONCURRENTLY IF EXISTS "


def dangers(migration: Migration, state: ProjectState, tables: set[str]) -> list[str]:
    """One sentence for each operation that is unsafe, and why. `tables`: the models of the release, by lower-case name.

    `state` is what was before the migration, and is changed to what is after it.
    """
    found = []
    for operation in migration.operations:
        before = state.clone()
        operation.state_forwards(migration.app_label, state)
        told = _of_operation(operation, migration.app_label, before, state, tables)
        found += [f"{operation.describe()}: {danger}" for danger in told]
        if not migration.atomic and not _can_be_repeated(operation):
            found.append(f"{operation.describe()}: beside what is done concurrently, it is not undone when that fails")
    return found


def _can_be_repeated(operation: Operation) -> bool:
    """Without a transaction, what was done of a migration that failed is done again by the next try."""
    return isinstance(
        operation, operations.RunSQL | AddIndexConcurrently | RemoveIndexConcurrently | ValidateConstraint
    )


def _of_operation(
    operation: Operation, app: str, before: ProjectState, after: ProjectState, tables: set[str]
) -> Iterator[str]:
    if isinstance(operation, operations.SeparateDatabaseAndState):
        for part in operation.database_operations:
            yield from _of_operation(part, app, before, after, tables)
        return
    if isinstance(operation, operations.RunSQL):
        if not isinstance(operation.sql, str) or not operation.sql.startswith(DROPS_ONE_INDEX):
            yield "nobody but its author knows what it locks"
        return
    if isinstance(operation, operations.RunPython):
        yield "it must go in batches, and what old processes write after it is missed"
        return
    model = str(getattr(operation, "model_name", getattr(operation, "name", ""))).lower()
    if isinstance(operation, HARMLESS) or model not in tables:
        return
    if isinstance(operation, operations.AddField):
        yield from _of_new_field(after.apps.get_model(app, model)._meta.get_field(operation.name))
    elif isinstance(operation, operations.AlterField):
        yield from _of_changed_field(
            before.apps.get_model(app, model)._meta.get_field(operation.name),
            after.apps.get_model(app, model)._meta.get_field(operation.name),
        )
    elif isinstance(operation, operations.AddIndex | operations.RemoveIndex):
        yield "it holds the table meanwhile: AddIndexConcurrently, RemoveIndexConcurrently"
    elif isinstance(operation, operations.AddConstraint):
        yield "all rows are looked at meanwhile: AddConstraintNotValid, and ValidateConstraint in the next migration"
    else:
        yield "old processes use what was there before"


def _of_new_field(field: Any) -> Iterator[str]:
    if field.many_to_many:
        return
    if not field.null and field.db_default is NOT_PROVIDED:
        yield "old processes insert rows without it: null=True or db_default"
    yield from _of_index(field)


def _of_changed_field(before: Any, after: Any) -> Iterator[str]:
    if before.column != after.column:
        yield "old processes know the column by its old name"
    if before.null and not after.null:
        yield "old processes may write null"
    if before.db_default is not NOT_PROVIDED and after.db_default is NOT_PROVIDED and not after.null:
        yield "old processes may insert rows without it"
    if before.db_type(connection) != after.db_type(connection) and not _longer(before, after):
        yield "its type changes, which writes the whole table anew"
    if (after.unique, after.db_index) != (before.unique, before.db_index):
        yield from _of_index(after)


def _longer(before: Any, after: Any) -> bool:
    """A longer varchar, or text instead of one, is a change of the catalogue only."""
    if after.get_internal_type() not in ("CharField", "TextField") or before.get_internal_type() != "CharField":
        return False
    return after.max_length is None or (before.max_length is not None and after.max_length >= before.max_length)


def _of_index(field: Any) -> Iterator[str]:
    if field.unique or field.db_index:
        yield "its index is built while the table is held: db_index=False, and AddIndexConcurrently"
    if field.remote_field is not None and getattr(field, "db_constraint", False):
        yield "all rows are looked at meanwhile, for the foreign key's constraint: db_constraint=False"
