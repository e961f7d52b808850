"""The database of this process: started when it is the embedded one, awaited when it is somebody else's."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import structlog

from netra.config import Config, stop
from netra.postgres import EmbeddedPostgres, PostgresError

logger = structlog.get_logger(__name__)
RETRY_SECONDS = 0.5
# What Django gives to psycopg beside what libpq knows.
OF_DJANGO = ("cursor_factory", "context", "prepare_threshold")


@contextlib.contextmanager
def running(config: Config) -> Iterator[None]:
    """Hold the embedded PostgreSQL for the duration of the block; with DATABASE_URL set, do nothing.

    Ends the process with one sentence when the embedded server cannot be started.
    """
    if config.database_url is not None:
        yield
        return
    embedded = EmbeddedPostgres(config.data_dir)
    try:
        embedded.acquire()
    except PostgresError as error:
        stop(str(error))
    try:
        yield
    finally:
        embedded.release()


def connection_parameters() -> dict[str, Any]:
    """libpq's parameters for the database, for a connection of one's own."""
    from django.db import connection

    parameters = connection.get_connection_params()
    return {name: value for name, value in parameters.items() if name not in OF_DJANGO}


def wait_until_ready(config: Config) -> None:
    """Retry until the database accepts a connection; after `database_start_timeout` seconds end the process."""
    parameters = connection_parameters()
    deadline = time.monotonic() + config.database_start_timeout
    announced = False
    while True:
        try:
            psycopg.connect(**parameters).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                reason = str(error).strip().splitlines()[0]
                stop(
                    f"DATABASE_URL: the database did not answer within "
                    f"{config.database_start_timeout:g} seconds ({reason})."
                )
            if not announced:
                logger.warning("database_awaited", timeout_seconds=config.database_start_timeout)
                announced = True
            time.sleep(RETRY_SECONDS)
        else:
            return
