"""Servers that the end-to-end tests share, and data folders for those that need a server of their own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from netra.config import SERVERS, ServerName
from netra.postgres import EmbeddedPostgres
from tests.browser import Cable, chromium, profile, sign_in
from tests.clients import Account
from tests.live import Form, LiveServer
from tests.prepared import prepare
from tests.processes import LiveProcess, processes_of, until
from tests.smtp_server import SmtpServer

ALLOWED_ORIGIN = "https://chat.example.org"
FORMS: tuple[Form, ...] = ("serve", "uvicorn")
CONNECTED = '[data-testid="connection"][data-state="connected"]'


def new_data_dir(*, is_empty: bool = False) -> Iterator[Path]:
    """A folder that root's PostgreSQL, which runs as another user, can enter too. No process may outlive it.

    Unless it is to be empty, its database has all tables.
    """
    folder = Path(tempfile.mkdtemp(prefix="netra-e2e-")).resolve()
    folder.chmod(0o755)
    if not is_empty:
        prepare(folder)
    yield folder
    try:
        until(lambda: not processes_of(folder), what=f"the processes in {folder} to end")
    finally:
        for pid in processes_of(folder):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    yield from new_data_dir()


@pytest.fixture(scope="session")
def shared_data_dir() -> Iterator[Path]:
    """The database of all servers but those that have one of their own: it runs as long as the session."""
    for folder in new_data_dir():
        with EmbeddedPostgres(folder):
            yield folder


Start = Callable[..., LiveServer]


def starting(data_dir: Path, redis_url: str, *, expects_traceback: bool = False) -> Iterator[Start]:
    """Starts servers on one database and Redis. At the end they are stopped, and their logs show no traceback."""
    servers: list[LiveServer] = []
    with ExitStack() as stack:

        def start(**options: Any) -> LiveServer:
            servers.append(stack.enter_context(LiveServer(data_dir, **{"redis_url": redis_url, **options})))
            return servers[-1]

        yield start
    for server in servers:
        assert expects_traceback or not server.traceback(), server.traceback()


def own_server(**options: Any) -> Iterator[LiveServer]:
    """A server with a database of its own. It logs no traceback."""
    for folder in new_data_dir():
        with LiveServer(folder, **options) as server:
            yield server
        assert not server.traceback(), server.traceback()


@pytest.fixture(scope="module")
def mails() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


def inherited(**variables: str) -> dict[str, str]:
    """What a server has of this process's environment, and variables of its own."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | variables


def scripted_server(data_dir: Path, folder: Path, **settings: Any) -> Iterator[LiveServer]:
    """A server with the agent of tests/scripted_agent.py, and no variable of this process. It logs no traceback."""
    server = LiveServer(data_dir, **{"agents": "tests.scripted_agent:scripted", **settings})
    server.inherited = inherited(SCRIPTED_FOLDER=str(folder))
    with server:
        yield server
    assert not server.traceback(), server.traceback()


@pytest.fixture(scope="session")
def daphne(shared_data_dir: Path, redis_url: str) -> Iterator[LiveServer]:
    """`manage.py serve`, with Redis as the channel layer: the same users are served by `uvicorn`."""
    for start in starting(shared_data_dir, redis_url):
        yield start(form="serve", allowed_origins=ALLOWED_ORIGIN)


@pytest.fixture(scope="session")
def uvicorn(daphne: LiveServer, shared_data_dir: Path, redis_url: str) -> Iterator[LiveServer]:
    """The application under uvicorn. `daphne` has made the tables."""
    for start in starting(shared_data_dir, redis_url):
        yield start(form="uvicorn", allowed_origins=ALLOWED_ORIGIN)


@pytest.fixture
def start_server(daphne: LiveServer, shared_data_dir: Path, redis_url: str) -> Iterator[Start]:
    """Starts servers beside the shared ones, with settings of their own."""
    yield from starting(shared_data_dir, redis_url)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    """Both servers, for a test that starts one of its own."""
    chosen: Form = request.param
    return chosen


@pytest.fixture(params=SERVERS)
def asgi_server(request: pytest.FixtureRequest) -> ServerName:
    """What `manage.py serve` runs: each of them."""
    chosen: ServerName = request.param
    return chosen


@pytest.fixture
def server(form: Form, request: pytest.FixtureRequest) -> LiveServer:
    """Each of the shared servers."""
    shared: LiveServer = request.getfixturevalue("daphne" if form == "serve" else "uvicorn")
    return shared


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """What the servers wrote during a failed test is shown with it."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {process.name}", process.log_text()[-6000:]) for process in LiveProcess.running]
    return report


# Pages


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def cable(server: LiveServer) -> Iterator[Cable]:
    """The network between a page and its module's `server`."""
    cable = Cable(server.port)
    yield cable
    cable.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with profile(browser) as context:
        yield context


@pytest.fixture
def account(server: LiveServer) -> Account:
    """Somebody of the module's `server`, new for each test."""
    return server.add_user("ann")


@pytest.fixture
def page(context: BrowserContext, server: LiveServer, account: Account) -> Page:
    """The person has signed in."""
    page = context.new_page()
    sign_in(page, server.url, account)
    return page


@pytest.fixture
def elsewhere(browser: Browser, server: LiveServer, account: Account) -> Iterator[Page]:
    """The same person in another browser."""
    with profile(browser) as context:
        page = context.new_page()
        sign_in(page, server.url, account)
        yield page


def connected(page: Page, url: str, account: Account) -> Page:
    """The person has signed in, and the page knows the limits of the server."""
    sign_in(page, url, account)
    expect(page.locator(CONNECTED)).to_have_count(1)
    return page
