"""Backups of a server that serves, and what is made of them: the same server elsewhere, and a cluster."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from netra.postgres import EmbeddedPostgres
from tests.chat.files import FORM, form
from tests.clients import PASSWORD, Account, assert_state_is_what_rest_shows, assert_whole, connected, request, sign_in
from tests.e2e.conftest import new_data_dir
from tests.held_model import HeldModel
from tests.live import LiveServer, LiveWorker, NetraProcess
from tests.processes import LiveRedis

# The first test starts everything.
pytestmark = pytest.mark.timeout(300)
SETTINGS: dict[str, Any] = {
    "model": "openai:held",
    "sweep_seconds": 0.5,
    "worker_heartbeat_seconds": 0.4,
    "worker_stalled_seconds": 1.0,
}
# Rows that do not change when their run has ended.
TABLES = {
    "auth_user": "id, username, password",
    "chat_thread": "id, user_id, created_at",
    "chat_message": "id, message_id, thread_id, parent_id, role, content, created_at",
    "chat_messagefeedback": "*",
    "chat_attachment": "*",
    "chat_note": "*",
    "chat_modelrequest": "*",
    "chat_auditentry": "*",
}

Process = TypeVar("Process", bound=NetraProcess)


@dataclass
class Source:
    """A deployment in one process, a backup of it, and what was there when it was taken."""

    backup: Path
    account: Account
    tokens: dict[str, Any]
    file: dict[str, Any]
    thread_id: str
    open_run: str
    rows: dict[str, set[Any]] = field(default_factory=dict)


def rows(connection: psycopg.Connection[Any], columns: str, table: str) -> set[str]:
    return {row[0] for row in connection.execute(f"SELECT t::text FROM (SELECT {columns} FROM {table}) t").fetchall()}


async def conversation(server: LiveServer, access: str, file: dict[str, Any]) -> str:
    async with connected(server.url, access) as client:
        events = await client.ask("What does the log say?", attachments=[file["id"]])
        assert_whole(events)
        answer = events[-1]["data"]["message"]["id"]
    rated = request(server.url, "PUT", f"/api/messages/{answer}/feedback", token=access, body={"rating": "up"})
    assert rated.status == 200, rated.body
    return str(events[0]["thread_id"])


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    yield from new_data_dir(is_empty=True)


@pytest.fixture(scope="module")
def model() -> Iterator[HeldModel]:
    """It answers when a test wants it to."""
    with HeldModel() as model:
        yield model


def reaching(model: HeldModel, process: Process) -> Process:
    process.inherited = {"PATH": os.environ["PATH"], **model.environment}
    return process


@pytest.fixture(scope="module")
def source(folder: Path, model: HeldModel) -> Source:
    """The backup is taken in the middle of an answer, and others go on after it."""
    place = folder / "one"
    place.mkdir()
    with reaching(model, LiveServer(place, **SETTINGS)) as server:
        account = server.add_user()
        tokens = sign_in(server.url, account.username, PASSWORD)
        uploaded = request(
            server.url,
            "POST",
            "/api/attachments",
            token=tokens["access"],
            body=form(b"a\nb\n", "a.log"),
            headers={"Content-Type": FORM},
        )
        thread_id = asyncio.run(conversation(server, tokens["access"], uploaded.body))
        made = Source(folder / "backups" / "first", account, tokens, uploaded.body, thread_id, "")

        async def back_up_in_mid_answer() -> None:
            async with connected(server.url, tokens["access"]) as client:
                made.open_run = (await client.post("Please wait."))["run_id"]
                await client.events(made.open_run, to=["agent_response_chunk"])
                await asyncio.to_thread(server.manage, "backup", str(made.backup))
                with server.database() as connection:
                    made.rows = {table: rows(connection, columns, table) for table, columns in TABLES.items()}
                model.release()
                assert_whole(await client.events(made.open_run))
                assert_whole(await client.ask("And this is in no backup."))

        asyncio.run(back_up_in_mid_answer())
    assert not server.traceback(), server.traceback()
    return made


def assert_rows_are_there(source: Source, connection: psycopg.Connection[Any]) -> None:
    for table, columns in TABLES.items():
        assert rows(connection, columns, table) >= source.rows[table], table


async def assert_goes_on(source: Source, server: LiveServer) -> None:
    """Whoever was signed in still is; the open run ends; and what is new has numbers of its own."""
    access = source.tokens["access"]
    assert server.http("GET", source.file["href"], token=access).body == "a\nb\n"
    refreshed = server.http("POST", "/api/auth/token/refresh", body={"refresh": source.tokens["refresh"]})
    assert refreshed.status == 200, refreshed.body
    async with connected(server.url, access) as client:
        await client.send(type="resume", ref="r", cursors={source.open_run: 0})
        assert_whole(events := await client.events(source.open_run))
        assert "agent_restarted" in [event["type"] for event in events]
        assert_whole(await client.ask("What is 6 * 7?", thread_id=source.thread_id))
        assert_state_is_what_rest_shows(server, source.account, client.state)
    shown = server.http("GET", f"/api/threads/{source.thread_id}/export.json", token=access).body
    assert [message["content"] for message in shown["messages"]][0::2] == ["What does the log say?", "What is 6 * 7?"]
    assert sign_in(server.url, source.account.username, PASSWORD)


async def test_a_backup_is_restored_into_another_folder_and_goes_on(
    source: Source, folder: Path, model: HeldModel
) -> None:
    place = folder / "two"
    place.mkdir()
    server = reaching(model, LiveServer(place, **SETTINGS))
    server.manage("restore", str(source.backup))
    with EmbeddedPostgres(place), server.database() as connection:
        assert_rows_are_there(source, connection)
    with server:
        await assert_goes_on(source, server)
        # A server that serves is not replaced.
        with pytest.raises(subprocess.CalledProcessError):
            server.manage("restore", str(source.backup), "--replace")
        assert server.http("GET", "/api/me", token=source.tokens["access"]).status == 200
    assert not server.traceback(), server.traceback()


async def test_what_was_embedded_becomes_a_cluster_with_all_it_had(
    source: Source, folder: Path, model: HeldModel
) -> None:
    """PostgreSQL and Redis of their own, a web process and a worker; the files in a folder that both have."""
    place = folder / "three"
    place.mkdir()
    with EmbeddedPostgres(folder / "postgres") as postgres, LiveRedis(folder / "redis.log") as redis:
        settings = SETTINGS | {"database_url": postgres.dsn, "redis_url": redis.url, "worker": "external"}
        web = reaching(model, LiveServer(place, options=["--no-migrate"], **settings))
        web.manage("restore", str(source.backup))
        with psycopg.connect(postgres.dsn) as connection:
            assert_rows_are_there(source, connection)
        with web, reaching(model, LiveWorker("worker", place, **settings)) as worker:
            await assert_goes_on(source, web)
        for process in (web, worker):
            assert not process.traceback(), process.traceback()


def test_the_backup_is_for_its_owner_alone(source: Source) -> None:
    assert source.backup.stat().st_mode & 0o077 == 0
    manifest = json.loads((source.backup / "manifest.json").read_text())
    assert manifest["rows"]["chat_attachment"] == 1
    assert [path.name for path in source.backup.parent.iterdir()] == ["first"], "nothing unfinished is left"
