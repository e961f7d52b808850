"""The page in Chromium through everything that comes between: nothing is lost, repeated or stalled, and nothing jumps.

Access tokens live for six seconds here, so that each test goes through several.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, WebSocket, expect

from tests.browser import Cable, answers, ask, plain, sign_in
from tests.clients import PASSWORD, Account
from tests.e2e.conftest import CONNECTED, connected, new_data_dir
from tests.live import LiveServer
from tests.processes import until

UNSENT = '[data-testid="message"][data-status="waiting"]'
AWAY = '[data-testid="connection"]:not([data-state="connected"])'
WAKE = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    for folder in new_data_dir():
        with LiveServer(
            folder,
            offline_tokens_per_second=40,
            access_token_minutes=0.1,
            worker_heartbeat_seconds=0.5,
            worker_stalled_seconds=1.5,
            sweep_seconds=0.5,
        ) as server:
            yield server


@pytest.fixture
def page(context: BrowserContext, cable: Cable, account: Account) -> Page:
    return connected(context.new_page(), cable.url, account)


def thread_of(page: Page) -> str:
    return page.url.rpartition("/")[2]


def stored(server: LiveServer, account: Account, thread: str) -> list[tuple[str, str]]:
    """Role and text of each message of the thread, as REST shows them."""
    answer = server.http("GET", f"/api/threads/{thread}/messages", token=account.token())
    return [(message["role"], message["content"]) for message in answer.body["messages"]]


def said(server: LiveServer, account: Account) -> list[str]:
    """All that the person has said, in all threads, in the order of the server."""
    with server.database() as connection:
        rows = connection.execute(
            "SELECT content FROM chat_message WHERE user_id = %s AND role = 'user' ORDER BY id", (account.id,)
        )
        return [row[0] for row in rows.fetchall()]


def assert_shows_what_is_stored(page: Page, server: LiveServer, account: Account) -> None:
    messages = stored(server, account, thread_of(page))
    seen = page.get_by_test_id("message").evaluate_all(
        "all => all.map((each) => [each.dataset.role, each.querySelector('.bubble, .answer')?.innerText ?? ''])"
    )
    assert [(role, re.sub(r"\W", "", text)) for role, text in seen] == [(role, plain(text)) for role, text in messages]


def sent_by(page: Page) -> list[dict[str, Any]]:
    """The commands that the page sends from now on; it fills as they are sent."""
    commands: list[dict[str, Any]] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framesent", lambda payload: commands.append(json.loads(payload)))

    page.on("websocket", listen)
    return commands


def test_messages_sent_while_away_wait_outlive_a_reload_and_go_out_once_in_order(
    page: Page, cable: Cable, server: LiveServer, account: Account
) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    cable.cut_sockets()
    expect(page.locator(AWAY)).to_have_count(1)
    field = page.get_by_test_id("composer").bounding_box()
    for text in ("first", "second", "third"):
        ask(page, text)
    expect(page.locator(UNSENT)).to_have_count(3)
    expect(page.get_by_test_id("connection")).to_contain_text("3 messages wait.")
    assert page.get_by_test_id("composer").bounding_box() == field, "the line speaks, and nothing moves"
    page.reload()
    expect(page.locator(UNSENT)).to_have_count(3)
    page.locator(UNSENT).nth(1).get_by_role("button").click()
    expect(page.get_by_test_id("composer")).to_have_value("second")
    expect(page.locator(UNSENT)).to_have_count(2)
    cable.join()
    expect(answers(page)).to_have_count(3, timeout=30_000)
    expect(page.locator(UNSENT)).to_have_count(0)
    assert said(server, account) == ["hello", "first", "third"]
    assert_shows_what_is_stored(page, server, account)


def test_what_a_closed_tab_has_left_is_sent_once_by_another_or_at_the_next_visit(
    page: Page, context: BrowserContext, cable: Cable, server: LiveServer, account: Account
) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    cable.cut_sockets()
    others = [context.new_page(), context.new_page()]
    commands = [sent_by(other) for other in others]
    for other in others:
        other.goto(page.url)
        expect(answers(other)).to_have_count(1)
    expect(page.locator(AWAY)).to_have_count(1)
    ask(page, "left behind")
    expect(page.locator(UNSENT)).to_have_count(1)
    page.close()
    cable.join()
    for other in others:
        expect(answers(other)).to_have_count(2, timeout=30_000)
    assert [command["content"] for both in commands for command in both if command["type"] == "user_message"] == [
        "left behind"
    ]
    cable.cut_sockets()
    others[1].close()
    last = others[0]
    last.get_by_role("button", name="New chat").first.click()
    expect(last.locator(AWAY)).to_have_count(1)
    ask(last, "from the last tab")
    expect(last.locator(UNSENT)).to_have_count(1)
    last.close()
    visit = context.new_page()
    visit.goto(cable.url)
    expect(visit.locator(UNSENT)).to_contain_text("from the last tab", timeout=10_000)
    cable.join()
    expect(answers(visit)).to_have_count(1, timeout=30_000)
    assert said(server, account) == ["hello", "left behind", "from the last tab"]
    assert_shows_what_is_stored(visit, server, account)


def test_a_server_that_is_killed_in_mid_answer_and_comes_back_gives_the_whole_answer_once(
    page: Page, server: LiveServer, account: Account
) -> None:
    ask(page, "help")
    expect(page.get_by_test_id("answer")).to_contain_text("offline")
    server.kill()
    expect(page.locator(AWAY)).to_have_count(1)
    ask(page, "hello")
    server.start()
    expect(answers(page)).to_have_count(2, timeout=40_000)
    assert said(server, account) == ["help", "hello"]
    assert_shows_what_is_stored(page, server, account)


def test_two_tabs_renew_their_tokens_at_the_same_moment_and_keep_their_sockets(
    page: Page, context: BrowserContext, cable: Cable, server: LiveServer, account: Account
) -> None:
    under_way: set[Request] = set()
    most: list[int] = []
    renewals = "/api/auth/token/refresh"

    def begun(request: Request) -> None:
        if request.url.endswith(renewals):
            under_way.add(request)
            most.append(len(under_way))

    context.on("request", begun)
    context.on("requestfinished", lambda request: under_way.discard(request))  # noqa: PLW0108 - playwright asks for a signature
    context.on("requestfailed", lambda request: under_way.discard(request))  # noqa: PLW0108 - as above
    other = context.new_page()
    sockets: list[WebSocket] = []
    refreshed: dict[int, int] = {0: 0, 1: 0}
    for number, each in enumerate((page, other)):

        def listen(socket: WebSocket, number: int = number) -> None:
            sockets.append(socket)

            def received(payload: str | bytes) -> None:
                refreshed[number] += json.loads(payload)["type"] == "token_refreshed"

            socket.on("framereceived", received)

        each.on("websocket", listen)
    other.goto(cable.url)
    page.reload()
    for each in (page, other):
        expect(each.locator(CONNECTED)).to_have_count(1)
    # Both hear of a sign-in at the same moment, and each gets a token of its own.
    page.evaluate("new BroadcastChannel('netra-session').postMessage('signed-in')")
    ask(page, "help")
    expect(answers(page)).to_have_count(1, timeout=30_000)
    # Events of a page are heard while it is spoken to.
    until(lambda: page.evaluate("true") and min(refreshed.values()) >= 3, what="both to have renewed three times")
    assert len(sockets) == 2, "a token is renewed over the open socket"
    assert len(most) >= 6
    assert max(most) == 1, "one renewal at a time in this browser"
    expect(answers(page)).to_have_count(1)
    assert_shows_what_is_stored(page, server, account)


def test_a_tab_that_sleeps_beyond_its_token_catches_up(
    page: Page, context: BrowserContext, cable: Cable, server: LiveServer, account: Account
) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    sleeper = context.new_page()
    sleeper.goto(page.url)
    expect(answers(sleeper)).to_have_count(1)
    control = context.new_cdp_session(sleeper)
    control.send("Page.setWebLifecycleState", {"state": "frozen"})
    ask(page, "help")
    expect(answers(page)).to_have_count(2, timeout=30_000)
    ask(page, "hello again")
    expect(answers(page)).to_have_count(3, timeout=30_000)
    control.send("Page.setWebLifecycleState", {"state": "active"})
    expect(answers(sleeper)).to_have_count(3, timeout=30_000)
    expect(sleeper.locator(CONNECTED)).to_have_count(1)
    assert_shows_what_is_stored(sleeper, server, account)


def test_a_half_open_socket_is_found_on_waking_and_what_went_into_it_is_sent_again_once(
    page: Page, cable: Cable, server: LiveServer, account: Account
) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    cable.silence_sockets()
    ask(page, "into the void")
    expect(page.locator('[data-testid="message"][data-status="sending"]')).to_have_count(1)
    assert page.get_by_role("button", name="Take back").count() == 0, "the server may have it"
    page.evaluate(WAKE)
    expect(answers(page)).to_have_count(2, timeout=30_000)
    assert said(server, account) == ["hello", "into the void"]
    assert_shows_what_is_stored(page, server, account)


def test_signing_out_in_one_tab_signs_out_the_other_and_in_again(
    page: Page, context: BrowserContext, cable: Cable, account: Account
) -> None:
    other = context.new_page()
    other.goto(cable.url)
    expect(other.get_by_test_id("composer")).to_be_visible()
    page.get_by_test_id("person").click()
    page.get_by_test_id("menu-sign-out").click()
    for each in (page, other):
        expect(each.get_by_test_id("sign-in")).to_be_visible()
    sign_in(page, cable.url, account)
    expect(other.get_by_test_id("composer")).to_be_visible()


def test_another_person_who_signs_in_in_this_browser_gets_a_page_of_their_own_and_no_message_of_the_first(
    page: Page, cable: Cable, server: LiveServer, account: Account
) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    other = server.add_user("bob")
    cable.cut_sockets()
    expect(page.locator(AWAY)).to_have_count(1)
    ask(page, "my secret")
    page.evaluate(
        """async ([username, password]) => {
            await fetch("/api/auth/token", {
                method: "POST",
                headers: {"Content-Type": "application/json", "X-Requested-With": "netra"},
                body: JSON.stringify({username, password, session: "cookie"}),
            });
            new BroadcastChannel("netra-session").postMessage("signed-in");
        }""",
        [other.username, PASSWORD],
    )
    expect(page.get_by_test_id("person")).to_contain_text(other.username)
    expect(page.get_by_test_id("message")).to_have_count(0)
    cable.join()
    expect(page.locator(CONNECTED)).to_have_count(1, timeout=30_000)
    ask(page, "hello from bob")
    expect(answers(page)).to_have_count(1, timeout=30_000)
    assert said(server, other) == ["hello from bob"]
    assert said(server, account) == ["hello"]


def test_a_session_that_is_ended_elsewhere_leads_to_the_sign_in_and_back_to_the_words_that_were_typed(
    page: Page, cable: Cable, server: LiveServer, account: Account
) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    page.get_by_test_id("composer").fill("half a thought")
    assert server.http("POST", "/api/me/sessions/end", token=account.token()).status == 204
    expect(page.get_by_test_id("sign-in")).to_be_visible(timeout=15_000)
    page.get_by_test_id("username").fill(account.username)
    page.get_by_test_id("password").fill(PASSWORD)
    page.get_by_test_id("sign-in").click()
    expect(page.get_by_test_id("composer")).to_have_value("half a thought")
    expect(answers(page)).to_have_count(1)


def test_a_thread_renamed_or_deleted_while_the_page_was_away_is_so_here_and_the_words_are_kept(
    browser: Browser, cable: Cable, server: LiveServer, account: Account
) -> None:
    # A context whose console may tell that the thread is not there.
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, cable.url, account)
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    thread = f"/api/threads/{thread_of(page)}"
    cable.cut_sockets()
    expect(page.locator(AWAY)).to_have_count(1)
    server.http("PATCH", thread, token=account.token(), body={"title": "Renamed elsewhere"})
    cable.join()
    page.evaluate(WAKE)
    expect(page.get_by_role("heading", level=1)).to_have_text("Renamed elsewhere")
    cable.cut_sockets()
    expect(page.locator(AWAY)).to_have_count(1)
    ask(page, "sent too late")
    page.get_by_test_id("composer").fill("half a thought")
    assert server.http("DELETE", thread, token=account.token()).status == 204
    cable.join()
    page.evaluate(WAKE)
    expect(page.get_by_test_id("composer")).to_have_value(re.compile("half a thought"))
    expect(page.get_by_test_id("composer")).to_have_value(re.compile("sent too late"))
    expect(page.get_by_test_id("message")).to_have_count(0)
    expect(page.get_by_test_id("error")).to_contain_text("deleted")
    context.close()


def test_the_tab_tells_of_an_answer_that_ended_while_nobody_looked(page: Page) -> None:
    ask(page, "help")
    expect(page.get_by_test_id("answer")).to_contain_text("offline")
    page.evaluate(
        """Object.defineProperty(document, "hidden", {configurable: true, get: () => true});
        document.dispatchEvent(new Event("visibilitychange"))"""
    )
    expect(page).to_have_title(re.compile(r"^\(1\) "), timeout=15_000)
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page).to_have_title(re.compile(r"^[^(]"))
