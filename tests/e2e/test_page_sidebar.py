"""The list of threads in Chromium: groups, search, renaming, archive, deletion with undo, and what is new in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser import answers, ask
from tests.clients import Account
from tests.e2e.conftest import own_server
from tests.live import LiveServer


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    yield from own_server(offline_tokens_per_second=40)


def add_threads(server: LiveServer, account: Account, titles: dict[str, str], **columns: Any) -> None:
    """Threads by title, each as long ago as PostgreSQL's interval says."""
    with server.database() as connection:
        for title, ago in titles.items():
            connection.execute(
                """INSERT INTO chat_thread (id, user_id, title, title_origin, created_at, updated_at)
                   VALUES (gen_random_uuid(), %s, %s, 'user', now() - %s::interval, now() - %s::interval)""",
                (account.id, title, ago, ago),
            )


def row(page: Page, title: str) -> Locator:
    return page.locator(".thread-row").filter(has_text=re.compile(title))


def titles(page: Page) -> list[str]:
    return page.locator(".thread-title").all_inner_texts()


def choose(page: Page, title: str, action: str) -> None:
    row(page, title).hover()
    row(page, title).get_by_test_id("thread-menu").click()
    page.get_by_test_id(f"menu-{action}").click()


def another_tab(context: BrowserContext, server: LiveServer) -> Page:
    other = context.new_page()
    other.goto(server.url)
    expect(other.get_by_test_id("composer")).to_be_visible()
    return other


def test_threads_are_grouped_by_day_and_month(page: Page, server: LiveServer, account: Account) -> None:
    ago = {"Now": "0", "Before": "1 day", "Some days": "5 days", "Years": "800 days"}
    add_threads(server, account, ago)
    page.reload()
    expect(page.locator(".thread-title")).to_have_text(list(ago))
    groups = page.locator(".thread-group-title").all_inner_texts()
    assert groups[:3] == ["Today", "Yesterday", "Previous 7 days"]
    assert re.fullmatch(r"\w+ 20\d\d", groups[3])


def test_a_search_shows_where_it_stands_and_says_when_there_is_nothing(
    page: Page, server: LiveServer, account: Account
) -> None:
    add_threads(server, account, {"A walk by the River": "1 day", "Other": "2 days"})
    page.reload()
    ask(page, "my little river song")
    expect(answers(page)).to_have_count(1)
    page.keyboard.press("Control+k")
    expect(page.get_by_test_id("search")).to_be_focused()
    page.keyboard.type("river")
    expect(page.get_by_test_id("search-state")).to_have_text("2 conversations found")
    assert page.locator("mark").first.inner_text().lower() == "river"
    expect(page.get_by_test_id("thread-match").first).to_contain_text("river")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("A walk by the River")
    page.get_by_test_id("search").fill("nowhere to be found")
    expect(page.get_by_test_id("search-state")).to_have_text("Nothing has “nowhere to be found” in it")
    page.get_by_test_id("search").press("Escape")
    expect(page.get_by_test_id("search")).to_have_value("")
    expect(page.locator(".thread-row")).to_have_count(3)


def test_a_search_asks_once_for_what_is_typed_in_one_go(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "search=" in request.url else None)
    page.get_by_test_id("search").press_sequentially("hello", delay=20)
    expect(page.get_by_test_id("search-state")).to_have_text("Nothing has “hello” in it")
    assert [url for url in asked if "archived=false" in url and "search=hello" in url] == asked[:1]


def test_a_thread_is_renamed_in_place_and_every_tab_knows(
    page: Page, context: BrowserContext, server: LiveServer, account: Account
) -> None:
    add_threads(server, account, {"Old name": "1 day"})
    page.reload()
    other = another_tab(context, server)
    page.bring_to_front()
    choose(page, "Old name", "rename")
    page.get_by_test_id("rename").fill("New name")
    page.keyboard.press("Enter")
    for tab in (page, other):
        expect(tab.locator(".thread-title")).to_have_text(["New name"])
    expect(page.get_by_test_id("thread")).to_be_focused()


def test_who_renames_what_was_renamed_meanwhile_is_told(
    page: Page, context: BrowserContext, server: LiveServer, account: Account
) -> None:
    add_threads(server, account, {"Old name": "1 day"})
    page.reload()
    other = another_tab(context, server)
    choose(page, "Old name", "rename")
    page.get_by_test_id("rename").fill("Mine")
    choose(other, "Old name", "rename")
    other.get_by_test_id("rename").fill("Theirs")
    other.keyboard.press("Enter")
    expect(page.get_by_test_id("rename-note")).to_contain_text("renamed to “Theirs”")
    expect(page.get_by_test_id("rename")).to_have_value("Mine")
    page.get_by_test_id("rename").press("Escape")
    expect(page.locator(".thread-title")).to_have_text(["Theirs"])
    choose(page, "Theirs", "rename")
    page.get_by_test_id("rename").fill("Mine")
    page.keyboard.press("Enter")
    for tab in (page, other):
        expect(tab.locator(".thread-title")).to_have_text(["Mine"])


def test_a_thread_is_put_away_found_and_brought_back(page: Page, server: LiveServer, account: Account) -> None:
    add_threads(server, account, {"Kept": "1 day", "Away": "2 days"})
    page.reload()
    choose(page, "Away", "archive")
    expect(page.locator(".thread-title")).to_have_text(["Kept"])
    expect(page.get_by_test_id("thread")).to_be_focused()
    page.get_by_test_id("search").fill("away")
    expect(page.locator(".thread-group-title")).to_have_text(["In the archive"])
    page.get_by_test_id("clear-search").click()
    page.get_by_test_id("show-archive").click()
    expect(page.locator(".thread-title")).to_have_text(["Away"])
    choose(page, "Away", "unarchive")
    expect(page.get_by_text("Nothing is archived")).to_be_visible()
    page.get_by_test_id("leave-archive").click()
    expect(page.locator(".thread-title")).to_have_text(["Kept", "Away"])


def test_a_deleted_thread_is_brought_back_in_every_tab(
    page: Page, context: BrowserContext, server: LiveServer, account: Account
) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    other = another_tab(context, server)
    other.get_by_test_id("thread").click()
    expect(answers(other)).to_have_count(1)
    address = page.url
    choose(page, "", "delete")
    for tab in (page, other):
        expect(tab.get_by_test_id("thread")).to_have_count(0)
        expect(tab).to_have_url(f"{server.url}/")
    page.get_by_test_id("undo").click()
    for tab in (page, other):
        expect(tab.get_by_test_id("thread")).to_have_count(1)
    expect(page).to_have_url(address)
    expect(answers(page)).to_have_count(1)
    other.get_by_test_id("thread").click()
    ask(other, "hello again")
    for tab in (page, other):
        expect(answers(tab)).to_have_count(2)


def test_a_deletion_stops_what_is_being_written_and_the_undo_keeps_what_was_said(page: Page) -> None:
    ask(page, "help")
    expect(page.get_by_test_id("answer")).to_contain_text("offline")
    choose(page, "", "delete")
    expect(page.get_by_test_id("thread")).to_have_count(0)
    page.get_by_test_id("undo").click()
    stopped = page.locator('[data-testid="message"][data-role="assistant"][data-status="cancelled"]')
    expect(stopped).to_have_count(1)
    expect(stopped.get_by_test_id("answer")).to_contain_text("offline")
    expect(page.get_by_test_id("stop")).to_have_count(0)
    expect(page.get_by_test_id("thread")).to_have_attribute("data-state", "quiet")


def test_the_answer_is_stopped_by_keyboard(page: Page) -> None:
    ask(page, "help")
    expect(page.get_by_test_id("answer")).to_contain_text("offline")
    page.keyboard.press("Control+.")
    expect(page.locator('[data-testid="message"][data-role="assistant"][data-status="cancelled"]')).to_have_count(1)


def test_a_deletion_holds_when_the_tab_is_closed_at_once(
    page: Page, context: BrowserContext, server: LiveServer, account: Account
) -> None:
    add_threads(server, account, {"Gone": "1 day", "Kept": "2 days"})
    page.reload()
    with page.expect_request_finished(lambda request: request.method == "DELETE"):
        choose(page, "Gone", "delete")
    page.close()
    expect(another_tab(context, server).locator(".thread-title")).to_have_text(["Kept"])


def test_a_deletion_that_the_server_does_not_hear_is_taken_back(
    page: Page, server: LiveServer, account: Account
) -> None:
    add_threads(server, account, {"Stays": "1 day"})
    page.reload()
    page.route("**/api/threads/*", lambda route: route.abort())
    choose(page, "Stays", "delete")
    expect(page.locator('[data-testid="toast"][data-kind="failed"]')).to_contain_text("cannot be reached")
    expect(page.locator(".thread-title")).to_have_text(["Stays"])


def test_what_was_answered_elsewhere_is_news_until_it_is_seen(page: Page, context: BrowserContext) -> None:
    ask(page, "help")
    thread = page.get_by_test_id("thread")
    expect(thread).to_have_attribute("data-state", "busy")
    page.get_by_test_id("new-thread").click()
    expect(thread).to_have_attribute("data-state", "news", timeout=20_000)
    expect(page).to_have_title(re.compile(r"^\(1\) "))
    page.reload()
    expect(thread).to_have_attribute("data-state", "news")
    thread.click()
    expect(thread).to_have_attribute("data-state", "quiet")
    expect(page).to_have_title(re.compile(r"^[^(]"))


def test_an_answer_that_ended_while_the_page_was_closed_is_news(
    page: Page, context: BrowserContext, server: LiveServer, account: Account
) -> None:
    ask(page, "help")
    expect(page.get_by_test_id("thread")).to_have_attribute("data-state", "busy")
    page.close()
    with server.database() as connection:
        for _ in range(400):
            row = connection.execute("SELECT status, pg_sleep(0.05) FROM chat_run WHERE user_id = %s", (account.id,))
            if (row.fetchone() or ("",))[0] == "completed":
                break
    later = another_tab(context, server)
    expect(later.get_by_test_id("thread")).to_have_attribute("data-state", "news")


def test_ten_thousand_threads_scroll_to_their_end(page: Page, server: LiveServer, account: Account) -> None:
    with server.database() as connection:
        connection.execute(
            """INSERT INTO chat_thread (id, user_id, title, title_origin, created_at, updated_at)
               SELECT gen_random_uuid(), %s, 'Thread ' || i, 'user', now(), now() - i * interval '1 hour'
               FROM generate_series(1, 10000) i""",
            (account.id,),
        )
    page.reload()
    expect(page.get_by_test_id("thread").first).to_be_visible()
    rows: list[int] = page.evaluate(
        """async () => {
            const list = document.querySelector('[data-testid="thread-list"]');
            const rows = [];
            while (!list.innerText.includes("Thread 10000")) {
                list.scrollTop += 1500;
                await new Promise(requestAnimationFrame);
                rows.push(list.querySelectorAll('[data-testid="thread"]').length);
            }
            return rows;
        }"""
    )
    assert len(rows) > 100
    assert max(rows) < 80, "as many rows as are in view, at each frame"
    assert len(titles(page)) == page.get_by_test_id("thread").count()
