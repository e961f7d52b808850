"""A database that is somebody else's (DATABASE_URL): it comes late, goes away and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netra.postgres import EmbeddedPostgres
from tests.clients import Account, Client, assert_state_is_what_rest_shows, refusal
from tests.cluster import Link
from tests.e2e.conftest import new_data_dir
from tests.live import LiveServer, LiveWorker
from tests.processes import HOST, LiveRedis, eventually

TOKENS_PER_SECOND = 25  # an answer to "help" takes some seconds


class Database:
    """A PostgreSQL that the test starts and stops. The server knows no more of it than its address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._postgres = EmbeddedPostgres(folder)
        self.url = self._postgres.dsn
        self._pid_file = folder / "postgres" / "data" / "postmaster.pid"

    def start(self) -> None:
        self._postgres.acquire()

    def stop(self) -> None:
        """Return when it has ended, and all its sessions with it."""
        self._postgres.release()

    def kill(self) -> None:
        """Kill it. Its guard starts it again at once."""
        os.kill(int(self._pid_file.read_text().split()[0]), signal.SIGKILL)


@pytest.fixture
def database() -> Iterator[Database]:
    for folder in new_data_dir():
        database = Database(folder)
        database.start()
        try:
            yield database
        finally:
            database.stop()


@pytest.fixture
def server(database: Database, data_dir: Path) -> LiveServer:
    return LiveServer(data_dir, database_url=database.url, offline_tokens_per_second=TOKENS_PER_SECOND)


async def ask_for_a_long_answer(client: Client) -> str:
    """The id of a run whose answer has begun."""
    run_id: str = (await client.post("help"))["run_id"]
    await client.events(run_id, to=["agent_response_chunk"])
    return run_id


def is_ready(server: LiveServer) -> bool:
    return server.http("GET", "/health/ready").status == 200


async def test_a_database_that_is_away_costs_its_users_time_and_nothing_else(
    server: LiveServer, database: Database
) -> None:
    with server:
        account = server.add_user()
        async with server.connect(account) as client:
            run_id = await ask_for_a_long_answer(client)
            await asyncio.to_thread(database.stop)

            await asyncio.gather(
                commands_are_refused_and_the_socket_lives(client, run_id),
                who_comes_is_told_in_time(server, account),
                asyncio.to_thread(http_says_what_is_missing, server, account),
            )
            await asyncio.to_thread(database.start)
            await all_goes_on(server, account, client, run_id)
            assert not [event for event in client.events_of(run_id) if event["type"] == "agent_restarted"]
        assert not server.traceback(), server.traceback()


async def all_goes_on(server: LiveServer, account: Account, client: Client, run_id: str) -> None:
    assert (await client.events(run_id))[-1]["type"] == "agent_completed"
    await eventually(lambda: is_ready(server), what="the server to be ready again")
    assert "42" in (await client.ask("What is 6 * 7?"))[-1]["data"]["message"]["content"]
    assert_state_is_what_rest_shows(server, account, client.state)


async def commands_are_refused_and_the_socket_lives(client: Client, run_id: str) -> None:
    for command in (
        {"type": "user_message", "content": "What is 6 * 7?"},
        {"type": "stop_run", "run_id": run_id},
        {"type": "resume", "cursors": {run_id: 0}},
    ):
        refused = await client.request(**command)
        assert (refused["error_code"], refused["details"]) == ("SERVICE_UNAVAILABLE", {"missing": ["database"]})
        assert refused["retry_after"] > 0
        await client.ping()


async def who_comes_is_told_in_time(server: LiveServer, account: Account) -> None:
    began = time.monotonic()
    frame, code = await refusal(server.url, token=account.token())
    assert time.monotonic() - began < 2
    assert (frame["error_code"], frame["details"]) == ("SERVICE_UNAVAILABLE", {"missing": ["database"]})
    assert code == 4503


def http_says_what_is_missing(server: LiveServer, account: Account) -> None:
    assert server.http("GET", "/health").status == 200
    ready = server.http("GET", "/health/ready")
    assert (ready.status, ready.body["status"], ready.body["missing"]) == (503, "unavailable", ["database"])
    listed = server.http("GET", "/api/threads", token=account.token())
    assert (listed.status, listed.body["error_code"]) == (503, "SERVICE_UNAVAILABLE")


async def test_a_database_that_is_killed_costs_its_users_time_and_nothing_else(
    server: LiveServer, database: Database
) -> None:
    with server:
        account = server.add_user()
        async with server.connect(account) as client:
            run_id = await ask_for_a_long_answer(client)
            database.kill()
            await all_goes_on(server, account, client, run_id)
        assert not server.traceback(), server.traceback()


async def test_a_server_waits_at_its_start_for_a_database_that_comes_late(
    server: LiveServer, database: Database
) -> None:
    database.stop()
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    await eventually(
        lambda: server.log_file.exists() and "database_awaited" in server.log_text(), what="the server to wait"
    )
    database.start()
    await starting
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        async with server.connect(server.add_user()) as client:
            assert "42" in (await client.ask("What is 6 * 7?"))[-1]["data"]["message"]["content"]


def test_a_database_that_never_comes_ends_the_start_with_one_sentence(server: LiveServer, database: Database) -> None:
    database.stop()
    server.configure(database_start_timeout=1)
    with pytest.raises(AssertionError, match="ended with status 2"):
        server.start()
    last_line = server.log_text().rstrip().splitlines()[-1]
    assert last_line.startswith("netra: DATABASE_URL: the database did not answer within 1 seconds")
    assert not server.traceback()


async def test_a_database_that_hangs_blocks_nobody_for_long(database: Database, data_dir: Path) -> None:
    """It keeps its connections and takes new ones, and answers nothing: as behind a proxy that hangs."""
    of = EmbeddedPostgres(database.folder).connection_params
    address = f"unix@{of['host']}/.s.PGSQL.{of['port']}"
    with Link("link", data_dir, address) as link, contextlib.ExitStack() as stack:
        server = stack.enter_context(
            LiveServer(
                data_dir,
                database_url=f"postgresql://{of['user']}@{HOST}:{link.port}/{of['dbname']}",
                database_timeout=2,
                offline_tokens_per_second=TOKENS_PER_SECOND,
            )
        )
        stack.callback(link.go_on)
        account = server.add_user()
        async with server.connect(account) as client:
            run_id = await ask_for_a_long_answer(client)
            link.pause()
            await asyncio.gather(
                commands_are_refused_and_the_socket_lives(client, run_id),
                who_comes_is_told_in_time(server, account),
                asyncio.to_thread(http_says_what_is_missing, server, account),
            )
            link.go_on()
            await all_goes_on(server, account, client, run_id)
        assert not server.traceback(), server.traceback()


async def test_the_log_of_each_process_says_once_that_it_is_gone_and_once_that_it_is_back(
    database: Database, data_dir: Path
) -> None:
    settings: dict[str, Any] = {"database_url": database.url, "worker": "external", "offline_tokens_per_second": 10}
    with (
        LiveRedis() as redis,
        LiveServer(data_dir, redis_url=redis.url, **settings) as server,
        LiveWorker("worker", data_dir, redis_url=redis.url, **settings) as worker,
    ):
        both = (server, worker)
        account = server.add_user()

        async def says(event: str) -> None:
            for process in both:
                await eventually(lambda p=process: event in p.log_text(), what=f"{event} of {process.name}")  # type: ignore[misc]

        async with server.connect(account) as client:
            run_id = await ask_for_a_long_answer(client)
            await asyncio.to_thread(database.stop)
            await says("database_lost")
            refused = await client.request(type="user_message", content="What is 6 * 7?")
            assert refused["error_code"] == "SERVICE_UNAVAILABLE"
            for _ in range(3):  # as a proxy asks every second
                assert not await asyncio.to_thread(is_ready, server)
            await asyncio.to_thread(database.start)
            await says("database_back")
            assert (await client.events(run_id))[-1]["type"] == "agent_completed"

            redis.kill()
            await client.ask("What is 6 * 7?")
            await says("channel_layer_lost")
            redis.start()
            while not all("channel_layer_back" in process.log_text() for process in both):
                await client.ask("What is 6 * 7?")
        for process in both:
            warnings = [line for line in process.log_text().splitlines() if "[warning" in line or "[error" in line]
            said = re.findall(r"\b(\w+_(?:lost|back)) ", process.log_text())
            assert len(said) == len(set(said)), said
            of_counting = {"counting_redis_lost", "counting_redis_back"}
            assert set(said) - of_counting == {
                *("database_lost", "database_back"),
                *("channel_layer_lost", "channel_layer_back"),
            }
            assert len(warnings) <= 3 + (process is server), warnings
            assert not process.traceback(), process.traceback()
