"""The previous release and the present version on one database and one Redis: an upgrade while people talk.

The release's own source is run (`tests/releases.py`), with the packages of the present version.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from playwright.sync_api import expect

from chat.fold import ENDED
from netra.postgres import EmbeddedPostgres
from tests.browser import answers, ask, chromium, profile
from tests.browser import sign_in as sign_in_page
from tests.chat.files import FORM, form
from tests.clients import (
    PASSWORD,
    Account,
    Client,
    Frame,
    add_users,
    assert_state_is_what_rest_shows,
    assert_whole,
    connected,
    request,
    sign_in,
)
from tests.e2e.conftest import new_data_dir
from tests.live import LiveServer, LiveWorker, NetraProcess
from tests.processes import LiveRedis
from tests.releases import PREVIOUS, SourceMissing, archive_of, lay_out
from tests.whereabouts import paused, told_of

try:
    archive_of(PREVIOUS)
except SourceMissing as missing:
    pytest.skip(str(missing), allow_module_level=True)

# The first test starts everything.
pytestmark = pytest.mark.timeout(300)
SLOW = 60  # tokens a second: an answer to "help" takes two seconds
# Columns, and what is true of each that a process may rely on or be refused by.
COLUMNS = """SELECT table_name, column_name, data_type, is_nullable = 'YES', column_default IS NOT NULL OR
                    is_identity = 'YES' FROM information_schema.columns WHERE table_schema = 'public'"""


@dataclass
class Upgrade:
    """Old and new processes; the new ones are not started. `before` and `after` are the columns of the schemas."""

    postgres: EmbeddedPostgres
    old_web: LiveServer
    old_worker: LiveWorker
    new_web: LiveServer
    new_worker: LiveWorker
    before: set[tuple[Any, ...]] = field(default_factory=set)
    after: set[tuple[Any, ...]] = field(default_factory=set)
    streamed: list[Frame] = field(default_factory=list)
    written: str = ""

    @functools.cached_property
    def person(self) -> Account:
        """Whose thread `written` is."""
        return self.add_user()

    def database(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.postgres.dsn, autocommit=True)

    def add_user(self) -> Account:
        with self.database() as connection:
            return add_users(connection, 1)[0]

    @property
    def processes(self) -> list[NetraProcess]:
        return [self.old_web, self.old_worker, self.new_web, self.new_worker]

    @contextlib.contextmanager
    def running(self, *processes: NetraProcess) -> Iterator[None]:
        """These and no others."""
        stop([process for process in self.processes if process not in processes])
        for process in processes:
            if not process.is_launched:
                process.launch()
        for process in processes:
            process.wait_until_ready()
        yield


def stop(processes: Sequence[NetraProcess]) -> None:
    running = [process for process in processes if process.is_launched]
    for process in running:
        process.process.terminate()
    for process in running:
        assert process.wait() == 0


@pytest.fixture(autouse=True)
def frames_of_either_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the present document says of frames is no promise of the release."""
    monkeypatch.setattr("tests.clients.assert_conforms", lambda _frame: None)


@pytest.fixture(scope="module", autouse=True)
def hashed_as_by_the_release() -> Iterator[None]:
    """It hashes passwords with all their work, anew where less was done: so do all servers here."""
    hasher = PBKDF2PasswordHasher()
    hashed = hasher.encode(PASSWORD, hasher.salt())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SETTINGS_MODULE", "netra.settings")
        patch.setattr("tests.clients._password_hash", lambda: hashed)
        yield


@pytest.fixture(scope="module")
def release() -> Iterator[Path]:
    """A folder that root's PostgreSQL, which runs as another user, can read."""
    folder = Path(tempfile.mkdtemp(prefix="netra-release-")).resolve()
    folder.chmod(0o755)
    lay_out(PREVIOUS, folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def upgrade(release: Path) -> Iterator[Upgrade]:
    """The schema has become the new one while an old process streamed."""
    for folder in new_data_dir(is_empty=True):
        with EmbeddedPostgres(folder) as postgres, LiveRedis(folder / "redis.log") as redis:
            found = laid_out(folder, release, postgres, redis)
            try:
                found.old_web.manage("migrate", "--verbosity", "0")
                found.before = columns(found)
                with found.running(found.old_web, found.old_worker):
                    found.streamed = asyncio.run(migrated_in_mid_answer(found))
                found.after = columns(found)
                yield found
            finally:
                stop(found.processes)
        for process in found.processes:
            assert not process.traceback(), process.traceback()


def laid_out(folder: Path, release: Path, postgres: EmbeddedPostgres, redis: LiveRedis) -> Upgrade:
    settings: dict[str, Any] = {
        "database_url": postgres.dsn,
        "redis_url": redis.url,
        "worker": "external",
        "offline_tokens_per_second": SLOW,
        "sweep_seconds": 0.5,
        "worker_shutdown_seconds": 0.5,
    }
    web = [LiveServer(folder, name=f"{name}-web", options=["--no-migrate"], **settings) for name in ("old", "new")]
    workers = [LiveWorker(f"{name}-worker", folder, **settings) for name in ("old", "new")]
    web[0].source = workers[0].source = release
    return Upgrade(postgres, web[0], workers[0], web[1], workers[1])


async def migrated_in_mid_answer(upgrade: Upgrade) -> list[Frame]:
    async with upgrade.old_web.connect(upgrade.add_user()) as client:
        run_id = (await client.post("help"))["run_id"]
        await client.events(run_id, to=["agent_response_chunk"])
        upgrade.new_web.manage("migrate", "--verbosity", "0")
        return await client.events(run_id)


def columns(upgrade: Upgrade) -> set[tuple[Any, ...]]:
    with upgrade.database() as connection:
        return set(connection.execute(COLUMNS).fetchall())


def test_a_run_goes_on_while_the_schema_changes(upgrade: Upgrade) -> None:
    assert_whole(upgrade.streamed)


def test_nothing_that_the_release_names_is_gone_and_nothing_new_is_required_of_it(upgrade: Upgrade) -> None:
    after = {(table, column): (kind, nullable, given) for table, column, kind, nullable, given in upgrade.after}
    tables = {table for table, *_ in upgrade.before}
    for table, column, kind, nullable, given in upgrade.before:
        now_kind, now_nullable, now_given = after.pop((table, column))
        assert now_kind in (kind, "text"), (table, column)
        assert now_nullable or not nullable, f"{table}.{column}: the release may write null"
        assert now_given or not given, f"{table}.{column}: the release leaves it to its default"
    required = [
        name for name, (_, nullable, given) in after.items() if name[0] in tables and not nullable and not given
    ]
    assert not required, f"The release's rows lack {required}: null=True or db_default"


async def test_the_release_serves_everything_on_the_new_schema(upgrade: Upgrade) -> None:
    with upgrade.running(upgrade.old_web, upgrade.old_worker):
        upgrade.written = await everything(upgrade.old_web, upgrade.person)


async def test_the_release_passes_on_an_event_of_a_kind_that_it_does_not_know(upgrade: Upgrade) -> None:
    """As a newer worker may write it. It is written while the run waits: nothing else numbers events then."""
    account = upgrade.add_user()
    with upgrade.running(upgrade.old_web, upgrade.old_worker):
        async with upgrade.old_web.connect(account) as client:
            with paused([upgrade.old_worker]):
                run_id = (await client.post("help"))["run_id"]
                with upgrade.database() as connection:
                    connection.execute(
                        """WITH run AS (UPDATE chat_run SET last_seq = last_seq + 1 WHERE id = %s RETURNING *)
                           INSERT INTO chat_runevent (run_id, seq, type, agent, data, created_at)
                           SELECT id, last_seq, 'agent_dreamt', 'assistant', %s, now() FROM run""",
                        (run_id, json.dumps({"of": "sheep"})),
                    )
            events = await client.events(run_id)
            assert_whole(events)
            assert [event["type"] for event in events][:2] == ["message_created", "agent_dreamt"]
        async with upgrade.old_web.connect(account) as client:
            await client.send(type="resume", ref="r", cursors={run_id: 0})
            assert await client.events(run_id) == events


@pytest.mark.parametrize("socket", ["old", "new"])
async def test_a_socket_at_one_version_is_told_of_a_run_at_the_other(upgrade: Upgrade, socket: str) -> None:
    web, other_web = upgrade.old_web, upgrade.new_web
    worker, resting = upgrade.new_worker, upgrade.old_worker
    if socket == "new":
        web, other_web, worker, resting = other_web, web, resting, worker
    account = upgrade.add_user()
    with upgrade.running(*upgrade.processes):
        async with web.connect(account) as client, other_web.connect(account) as other:
            with paused([resting]):
                run_id = (await client.post("help"))["run_id"]
                assert (await client.events(run_id, to=["agent_response_chunk"]))[0]["type"] == "message_created"
            assert told_of(worker, "run_started", run_id)
            whole = await client.events(run_id)
            assert_whole(whole)
            assert await other.events(run_id) == whole
            assert_state_is_what_rest_shows(web, account, client.state)
            assert_state_is_what_rest_shows(other_web, account, other.state)
            thread_id = whole[0]["thread_id"]
            # What one version is told, the other says.
            for told, listening in ((web, other), (other_web, client)):
                answer = told.http(
                    "PATCH", f"/api/threads/{thread_id}", token=account.token(), body={"title": told.name}
                )
                assert answer.status == 200, answer.body
                while (await listening.receive("thread_updated"))["thread"]["title"] != told.name:
                    pass
            stopped = (await client.post("help", thread_id=thread_id))["run_id"]
            await other.events(stopped, to=["agent_response_chunk"])
            await other.request(type="stop_run", run_id=stopped)
            assert (await client.events(stopped))[-1]["type"] == "agent_cancelled"


async def test_tokens_of_one_version_are_good_at_the_other(upgrade: Upgrade) -> None:
    account = upgrade.add_user()
    with upgrade.running(*upgrade.processes):
        for here, there in ((upgrade.old_web, upgrade.new_web), (upgrade.new_web, upgrade.old_web)):
            tokens = sign_in(here.url, account.username, PASSWORD)
            assert there.http("GET", "/api/me", token=tokens["access"]).status == 200
            answer = there.http("POST", "/api/auth/token/refresh", body={"refresh": tokens["refresh"]})
            assert answer.status == 200, answer.body
            refreshed = answer.body | {"refresh": answer.body.get("refresh", tokens["refresh"])}
            assert here.http("GET", "/api/me", token=refreshed["access"]).status == 200
            again = here.http("POST", "/api/auth/token/refresh", body={"refresh": refreshed["refresh"]})
            assert again.status == 200, again.body
        tokens = sign_in(upgrade.new_web.url, account.username, PASSWORD)
        async with connected(upgrade.old_web.url, tokens["access"]) as client:
            assert upgrade.new_web.http("POST", "/api/me/sessions/end", token=tokens["access"]).status == 204
            assert await client.closed() == 4401


async def test_what_the_release_was_doing_when_it_was_ended_is_gone_on_with(upgrade: Upgrade) -> None:
    account = upgrade.add_user()
    with upgrade.running(*upgrade.processes):
        async with upgrade.old_web.connect(account) as client:
            with paused([upgrade.new_worker]):
                run_id = (await client.post("help"))["run_id"]
                await client.events(run_id, to=["agent_response_chunk"])
                queued = (await client.post("What is 6 * 7?", thread_id=thread_of(client, run_id)))["run_id"]
            state = client.state
            upgrade.old_worker.process.terminate()
            upgrade.old_web.process.terminate()
            assert await client.closed() == 4412
        for process in (upgrade.old_worker, upgrade.old_web):
            assert process.wait() == 0
        async with upgrade.new_web.connect(account, state=state) as client:
            for run in (run_id, queued):
                await eventually_ended(client, run)
            assert_state_is_what_rest_shows(upgrade.new_web, account, client.state)
            assert [client.state.runs[run]["status"] for run in (run_id, queued)] == ["completed"] * 2


async def test_the_new_version_alone_serves_everything_and_what_the_release_has_written(upgrade: Upgrade) -> None:
    with upgrade.running(upgrade.new_web, upgrade.new_worker):
        assert first_question(upgrade.new_web, upgrade.person, upgrade.written) == "What is 6 * 7?"
        upgrade.written = await everything(upgrade.new_web, upgrade.person)


async def test_back_to_the_release_without_touching_the_schema(upgrade: Upgrade) -> None:
    """Its own `migrate`, at its start, finds migrations that it does not know, and leaves them."""
    upgrade.old_web.options = []
    with upgrade.running(upgrade.old_web, upgrade.old_worker):
        assert first_question(upgrade.old_web, upgrade.person, upgrade.written) == "What is 6 * 7?"
        async with upgrade.old_web.connect(upgrade.person) as client:
            assert_whole(await client.ask("Hello!", thread_id=upgrade.written))


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_the_checks_of_the_release_pass_on_the_new_schema(upgrade: Upgrade, release: Path) -> None:
    """Its own tests against its own server."""
    people = [upgrade.add_user() for _ in range(2)]
    given = {
        "PATH": os.environ["PATH"],
        "STAGING_BASE_URL": upgrade.old_web.url,
        "STAGING_USERNAME": people[0].username,
        "STAGING_SECOND_USERNAME": people[1].username,
        "STAGING_PASSWORD": PASSWORD,
        "STAGING_SECOND_PASSWORD": PASSWORD,
    }
    checks = "tests/e2e/staging/test_priority1_critical.py"
    with upgrade.running(upgrade.old_web, upgrade.old_worker):
        command = [sys.executable, "-m", "pytest", "-q", checks]
        ended = subprocess.run(command, cwd=release, env=given, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-6000:]
    assert "25 passed" in ended.stdout


@pytest.mark.nightly
def test_a_page_of_the_release_that_is_open_goes_on_with_the_new_version(upgrade: Upgrade) -> None:
    """As long as nobody reloads it. The new process answers at the address of the old one."""
    account = upgrade.add_user()
    with chromium() as browser, profile(browser) as context:
        page = context.new_page()
        with upgrade.running(upgrade.old_web, upgrade.old_worker):
            sign_in_page(page, upgrade.old_web.url, account)
            ask(page, "What is 6 * 7?")
            expect(answers(page).last).to_contain_text("42")
        upgrade.new_web.port, upgrade.new_web.url = upgrade.old_web.port, upgrade.old_web.url
        with upgrade.running(upgrade.new_web, upgrade.new_worker):
            ask(page, "What is 6 * 8?")
            expect(answers(page).last).to_contain_text("48", timeout=30_000)
            page.reload()
            expect(answers(page).last).to_contain_text("48", timeout=30_000)


# What a person does -------------------------------------------------------------------------------------------


async def everything(server: LiveServer, account: Account) -> str:
    """By REST and socket, what writes to every table that a person writes to. Returns a thread that stays."""
    tokens = sign_in(server.url, account.username, PASSWORD)
    access = tokens["access"]

    def ask(method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        answer = request(server.url, method, path, token=access, body=body)
        assert answer.status == status, (method, path, answer.status, answer.body)
        return answer.body

    access = ask("POST", "/api/auth/token/refresh", {"refresh": tokens["refresh"]})["access"]
    file = request(
        server.url,
        "POST",
        "/api/attachments",
        token=access,
        body=form(b"a\nb\n", "a.log"),
        headers={"Content-Type": FORM},
    )
    assert file.status == 201, file.body
    async with connected(server.url, access) as client:
        first = await client.post("What is 6 * 7?", attachments=[file.body["id"]])
        answered = await client.events(first["run_id"])
        assert_whole(answered)
        thread_id = thread_of(client, first["run_id"])
        state = client.state
    late = ask(
        "POST", "/api/agents/execute", {"type": "assistant", "message": "help", "thread_id": thread_id}, status=202
    )
    async with connected(server.url, access, state=state) as client:
        await client.events(late["run_id"], to=["agent_response_chunk"])
        state = client.state
    async with connected(server.url, access, state=state) as client:
        await eventually_ended(client, late["run_id"])
        assert_state_is_what_rest_shows(server, account, client.state)
        again = await client.request(type="regenerate", message_id=first["message_id"])
        await client.events(again["run_id"])
        deleted = (await client.ask("Hello!"))[0]["thread_id"]
    assert thread_id in [thread["id"] for thread in ask("GET", "/api/threads")["threads"]]
    ask("PATCH", f"/api/threads/{thread_id}", {"title": "Kept", "archived": True})
    ask("PATCH", f"/api/threads/{thread_id}", {"archived": False})
    ask("DELETE", f"/api/threads/{deleted}", status=204)
    ask("POST", f"/api/threads/{deleted}/restore")
    ask("DELETE", f"/api/threads/{deleted}", status=204)
    ask("PUT", f"/api/messages/{answered[-1]['data']['message']['id']}/feedback", {"rating": "up"})
    ask("PATCH", "/api/me", {"default_agent": "triage"})
    ask("PATCH", "/api/me", {"default_agent": None})
    for path in ("me", "notes", "runs", "usage", "approvals", "agents", "tools", "supervisor", "mcp-servers"):
        ask("GET", f"/api/{path}")
    ask("POST", "/api/auth/logout", {"refresh": tokens["refresh"]}, status=204)
    return thread_id


def first_question(server: LiveServer, account: Account, thread_id: str) -> str:
    shown = server.http("GET", f"/api/threads/{thread_id}/export.json", token=account.token())
    return str(shown.body["messages"][0]["content"])


def thread_of(client: Client, run_id: str) -> str:
    return str(client.state.runs[run_id]["thread_id"])


async def eventually_ended(client: Client, run_id: str) -> None:
    """Whether or not this socket received the run's end."""
    while (run := client.state.runs.get(run_id)) is None or run["status"] not in ENDED:
        await client.receive()
