from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client

from netra.postgres import EmbeddedPostgres
from netra.redis_url import channels_host
from tests.answers import assert_answer_conforms
from tests.conformance import assert_conforms
from tests.environment import DATA_DIR
from tests.prepared import prepare
from tests.processes import LiveRedis

pytest_plugins = ["netra.testing"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> Iterator[None]:
    """PostgreSQL runs while tests need a database. Theirs is a copy of one that has all tables."""
    prepare(DATA_DIR)
    connection.settings_dict["TEST"]["TEMPLATE"] = connection.settings_dict["NAME"]
    with EmbeddedPostgres(DATA_DIR):
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """The test database is dropped at the end; who is still connected to it then is named, and does not keep it."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            """SELECT state, query, pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
                 AND NOT pid = ANY(%s)""",
            [[held.info.backend_pid for held in connection.pool._pool if not held.closed]],  # type: ignore[attr-defined]
        )
        for state, query, _ in cursor.fetchall():
            print(f"\nA session was left {state}, its last statement: {query[:200]}")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis on a free port."""
    with LiveRedis() as redis:
        yield redis.url


@pytest.fixture(params=["in process", "redis"])
def layer(request: pytest.FixtureRequest, settings: Any) -> str:
    """The channel layer: a test that uses this runs on each."""
    name: str = request.param
    if name == "redis":
        url = request.getfixturevalue("redis_url")
        settings.CHANNEL_LAYERS = {
            "default": {
                "BACKEND": "chat.redis_layer.RedisLayer",
                "CONFIG": {"hosts": [channels_host(url)]},
            }
        }
    return name


@pytest.fixture(autouse=True)
def conforming_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a communicator receives is as the AsyncAPI document has it."""
    from netra.testing import Socket  # a plugin, whose assertions pytest rewrites when it loads it

    receive_from = Socket.receive_from

    async def receive_checked(socket: Socket, timeout: float = 1) -> Any:  # noqa: ASYNC109 - the communicator's own
        received = await receive_from(socket, timeout=timeout)
        assert_conforms(json.loads(received))
        return received

    monkeypatch.setattr(Socket, "receive_from", receive_checked)


@pytest.fixture(autouse=True)
def conforming_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Django's client receives of the API is as the OpenAPI document has it."""
    request = Client.request

    def request_checked(client: Client, **asked: Any) -> Any:
        answer: Any = request(client, **asked)
        if str(asked["PATH_INFO"]).startswith("/api/"):
            if answer.streaming:  # and read only once
                answer.streaming_content = [answer.getvalue()]
            is_json = answer["Content-Type"] == "application/json" if answer.has_header("Content-Type") else False
            content = b"a file" if answer.streaming else answer.content
            body = json.loads(content) if is_json else content
            assert_answer_conforms(
                asked["REQUEST_METHOD"], asked["PATH_INFO"], answer.status_code, answer.headers, body
            )
        return answer

    monkeypatch.setattr(Client, "request", request_checked)


@pytest.fixture(autouse=True)
def counted_anew() -> None:
    """What other tests did and attempted does not count."""
    from chat.apps import ChatConfig

    cast("ChatConfig", apps.get_app_config("chat")).count_anew()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure, unless docs/testing.md names it with its reason."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    named = Path(__file__).parent.with_name("docs").joinpath("testing.md").read_text()
    unnamed = [report.nodeid for report in reporter.stats.get("skipped", []) if report.nodeid not in named]
    if unnamed:
        reporter.write_line(f"Skipped, and not named in docs/testing.md: {', '.join(unnamed)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
