"""A page in mid-answer while a worker, the server, Redis or PostgreSQL goes: it ends as it is stored, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser import Cable, answers, ask, plain, shown, sign_in
from tests.chaos.page_record import PageRecord
from tests.clients import Account
from tests.cluster import Cluster
from tests.e2e.conftest import new_data_dir
from tests.processes import until

TOKEN_SECONDS = 6
WAIT_MS = 60_000

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Quick to notice a lost worker. Access tokens are short-lived."""
    for folder in new_data_dir():
        with Cluster(
            folder,
            web=1,
            workers=1,
            offline_tokens_per_second=20,
            worker_heartbeat_seconds=0.5,
            worker_stalled_seconds=3,
            sweep_seconds=0.5,
            access_token_minutes=TOKEN_SECONDS / 60,
        ) as cluster:
            yield cluster


@pytest.fixture
def account(cluster: Cluster) -> Account:
    return cluster.add_users(1)[0]


@pytest.fixture
def cable(cluster: Cluster) -> Iterator[Cable]:
    cable = Cable(cluster.proxy.port)
    yield cable
    cable.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """What the faults make fail is told on the console, and nothing else is."""
    record = PageRecord("page", 0)
    context = browser.new_context(viewport={"width": 1100, "height": 760})
    context.on("console", lambda message: record.told(message.type, message.text, message.location["url"]))
    context.on("weberror", lambda error: record.page_errors.append(str(error.error)))
    yield context
    context.close()
    assert record.console + record.page_errors == []


@pytest.fixture
def page(context: BrowserContext, cable: Cable, account: Account) -> Page:
    """An answer has begun in it."""
    page = context.new_page()
    sign_in(page, cable.url, account)
    ask(page, "help")
    expect(page.get_by_test_id("answer")).to_contain_text("offline", timeout=WAIT_MS)
    assert answers(page).count() == 0
    return page


def stored(cluster: Cluster, account: Account) -> list[tuple[str, str]]:
    with cluster.database() as connection:
        rows = connection.execute(
            "SELECT role, content FROM chat_message WHERE user_id = %s ORDER BY created_at", (account.id,)
        )
        return [(row[0], row[1]) for row in rows.fetchall()]


def assert_ends_as_it_is_stored(page: Page, cluster: Cluster, account: Account) -> None:
    expect(answers(page)).to_have_count(1, timeout=WAIT_MS)
    expect(page.locator('[data-testid="message"]')).to_have_count(2)
    expect(page.locator('[data-testid="activity"], .spinner, [data-testid="stop"], [aria-busy="true"]')).to_have_count(
        0
    )
    [question, answer] = stored(cluster, account)
    assert (question, answer[0]) == (("user", "help"), "assistant")
    assert shown(page) == plain(answer[1])


def kill_the_worker(cluster: Cluster) -> None:
    cluster.workers[0].kill()
    cluster.workers[0].start()


def kill_the_server(cluster: Cluster) -> None:
    cluster.web[0].kill()
    cluster.web[0].start()


def end_the_server_in_order(cluster: Cluster) -> None:
    cluster.web[0].stop()
    cluster.web[0].start()


def kill_redis(cluster: Cluster) -> None:
    cluster.redis.kill()
    cluster.redis.start()


def restart_postgres(cluster: Cluster) -> None:
    cluster.postgres.release()
    cluster.postgres.acquire()


@pytest.mark.parametrize(
    "fault",
    [
        kill_the_worker,
        kill_the_server,
        pytest.param(end_the_server_in_order, marks=pytest.mark.nightly),
        kill_redis,
        restart_postgres,
    ],
)
def test_an_answer_goes_on_and_ends_as_it_is_stored_after(
    fault: Callable[[Cluster], None], page: Page, cluster: Cluster, account: Account
) -> None:
    fault(cluster)
    assert_ends_as_it_is_stored(page, cluster, account)


def test_code_is_highlighted_when_the_highlighter_comes_at_a_second_attempt(
    context: BrowserContext, cable: Cable, cluster: Cluster, account: Account
) -> None:
    asked: list[str] = []

    def fail_once(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.abort("connectionrefused")
        else:
            route.continue_()

    context.route("**/highlight.js*", fail_once)
    page = context.new_page()
    sign_in(page, cable.url, account)
    ask(page, "help")
    expect(page.locator('[data-testid="answer"] pre code span').first).to_be_visible(timeout=WAIT_MS)
    assert len(asked) == 2
    assert_ends_as_it_is_stored(page, cluster, account)


def test_two_tabs_of_which_one_is_reloaded_and_cut_off_end_alike(
    page: Page, context: BrowserContext, cable: Cable, cluster: Cluster, account: Account
) -> None:
    other = context.new_page()
    other.goto(page.url)
    expect(other.get_by_test_id("answer")).to_contain_text("offline", timeout=WAIT_MS)
    cable.cut()
    expect(page.locator('[data-testid="connection"]:not([data-state="connected"])')).to_have_count(1)
    cable.join()
    page.reload()
    for tab in (page, other):
        assert_ends_as_it_is_stored(tab, cluster, account)


def test_a_lid_closed_for_longer_than_the_token_lives_loses_nothing_and_signs_nobody_out(
    page: Page, context: BrowserContext, cable: Cable, cluster: Cluster, account: Account
) -> None:
    session = context.new_cdp_session(page)
    session.send("Debugger.enable")
    session.send("Debugger.pause")
    cable.cut()
    closed_at = time.time()
    until(lambda: time.time() > closed_at + TOKEN_SECONDS + 1, what="the token to expire")
    until(lambda: len(stored(cluster, account)) == 2, what="the answer to end meanwhile")
    cable.join()
    session.send("Debugger.disable")
    assert_ends_as_it_is_stored(page, cluster, account)
    ask(page, "hello")
    expect(answers(page)).to_have_count(2, timeout=WAIT_MS)
