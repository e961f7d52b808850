"""Statements that are asked again and again: each connection plans them once, and again when their tables change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, connections
from psycopg.errors import FeatureNotSupported

from chat.pool import Connection, DatabasePool
from netra.database import connection_parameters

OFTEN = 10
# As a migration does while servers of the previous release go on.
LENGTHEN = "ALTER TABLE chat_test_named ALTER name TYPE varchar(20)"
NAMES = "SELECT name FROM chat_test_named WHERE name <> %s"


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def named(transactional_db: None) -> Iterator[None]:
    """A table with a name in it."""
    sql("CREATE TABLE chat_test_named (name varchar(10)); INSERT INTO chat_test_named VALUES ('ann')")
    yield
    sql("DROP TABLE chat_test_named")
    connections.close_all()


def lengthen() -> None:
    sql(LENGTHEN)


@pytest.fixture
async def pool() -> AsyncIterator[DatabasePool]:
    pool = DatabasePool()
    yield pool
    await pool.close()


async def names(on: Connection) -> list[Any]:
    return await (await on.execute(NAMES, ["bob"])).fetchall()


def test_of_the_orm(transactional_db: None) -> None:
    for _ in range(OFTEN):
        assert not get_user_model().objects.filter(last_name__startswith="nobody").exists()
    with connection.cursor() as cursor:
        # What tests before this one have asked of the same connection may be prepared, too.
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%last_name\"::text LIKE %'")
        assert cursor.fetchone() == (1,)


async def test_of_the_pool(named: None, pool: DatabasePool) -> None:
    async with pool.connection() as pooled:
        for _ in range(OFTEN):
            await names(pooled)
        prepared = await pooled.execute("SELECT count(*) AS number FROM pg_prepared_statements")
        assert await prepared.fetchone() == {"number": 1}


async def test_who_waits_for_the_database_outlives_a_change_of_the_schema(named: None, pool: DatabasePool) -> None:
    """All that has prepared statements ends at the first refusal, so there is no second one."""
    async with pool.connection() as first, pool.connection() as second:
        for _ in range(OFTEN):
            await names(first)
            await names(second)
    assert pool.stats()["pool_size"] >= 2
    await database_sync_to_async(lengthen)()
    tries = 0

    async def read() -> list[Any]:
        nonlocal tries
        tries += 1
        async with pool.connection() as pooled:
            return await names(pooled)

    for _ in range(3):
        assert await pool.until_reached(read) == [{"name": "ann"}]
    assert tries == 4


def test_a_command_is_refused_once_after_a_change_of_the_schema(named: None) -> None:
    def read() -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(NAMES, ["bob"])
            return list(cursor.fetchall())

    for _ in range(OFTEN):
        read()
    # By another connection: one that alters something forgets what it has prepared.
    with psycopg.connect(**connection_parameters()) as other:
        other.execute(LENGTHEN)
    with pytest.raises(OperationalError, match="schema was changed"):
        read()
    connection.close()
    assert read() == [("ann",)]


async def test_what_is_really_not_supported_is_told_as_that(transactional_db: None, pool: DatabasePool) -> None:
    async with pool.connection() as pooled:
        with pytest.raises(FeatureNotSupported):
            await pooled.execute("CREATE TABLE other.of_another.database ()")
        assert not pooled.closed
