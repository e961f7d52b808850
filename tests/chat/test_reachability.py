"""One line when a service is gone, one when it is back, however many attempts are under way."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import structlog
from procrastinate.exceptions import ConnectorException
from psycopg import OperationalError, errors
from psycopg_pool import PoolClosed, PoolTimeout

from chat.pool import database_is_away
from chat.reachability import Reachability


def events(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines]


def fail(reachability: Reachability) -> None:
    with contextlib.suppress(ConnectionError), reachability.watching():
        raise ConnectionError("nobody\nthere")


def succeed(reachability: Reachability) -> None:
    with reachability.watching():
        pass


def test_one_line_for_each_change() -> None:
    service = Reachability("service", server="one")
    with structlog.testing.capture_logs() as lines:
        for attempt in (succeed, fail, fail, succeed, succeed, fail):
            attempt(service)
    assert events(lines) == ["service_lost", "service_back", "service_lost"]
    assert (lines[0]["server"], lines[0]["cause"]) == ("one", "nobody")


def test_a_success_that_began_before_the_loss_does_not_say_that_it_is_over() -> None:
    service = Reachability("service")
    with structlog.testing.capture_logs() as lines:
        with service.watching():
            fail(service)
        assert not service.available
    assert events(lines) == ["service_lost"]


def test_a_failure_that_began_before_the_return_is_no_second_loss() -> None:
    service = Reachability("service")
    with structlog.testing.capture_logs() as lines:
        with contextlib.suppress(ConnectionError), service.watching():
            fail(service)
            succeed(service)
            raise ConnectionError("a connection of before")
        assert service.available
    assert events(lines) == ["service_lost", "service_back"]


def test_an_answer_that_is_an_error_is_no_loss() -> None:
    service = Reachability("database", is_loss=database_is_away)
    with structlog.testing.capture_logs() as lines:
        for error in (errors.DeadlockDetected(), errors.QueryCanceled(), errors.UniqueViolation(), PoolClosed()):
            with contextlib.suppress(type(error)), service.watching():
                raise error
    assert lines == []


@pytest.mark.parametrize("error", [OperationalError("gone"), errors.AdminShutdown(), PoolTimeout("none")])
def test_a_database_that_is_away_is_known_by_its_error_however_it_is_wrapped(error: Exception) -> None:
    wrapped = ConnectorException()
    wrapped.__cause__ = error
    assert database_is_away(error)
    assert database_is_away(wrapped)
    assert not database_is_away(ConnectorException())


def test_the_line_does_not_name_the_run_that_happened_to_meet_the_change() -> None:
    met: list[dict[str, Any]] = []

    def note(_logger: Any, _name: str, event: Any) -> Any:
        met.append(structlog.contextvars.get_contextvars())
        raise structlog.DropEvent

    service = Reachability("service")
    service._log = structlog.wrap_logger(structlog.PrintLogger(), processors=[note])
    with structlog.contextvars.bound_contextvars(run_id="r"):
        fail(service)
    assert met == [{}]
