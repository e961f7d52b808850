"""Reading in Chromium: what the person reads stays where it is, whatever grows, loads or ends around it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser import answers, ask, assert_accessible, sign_in
from tests.clients import Account
from tests.e2e.conftest import own_server
from tests.live import LiveServer
from tests.processes import until

# Question, answer, question, answer: the page reads them fifty at a time.
TALK = """
    WITH talk AS (
        INSERT INTO chat_thread (id, user_id, title, title_origin, created_at, updated_at)
        VALUES (%(thread)s, %(user)s, 'A long talk', 'user', now(), now()) RETURNING id
    ), first AS (SELECT coalesce(max(id), 0) AS id FROM chat_message), said AS (
        INSERT INTO chat_message (id, message_id, user_id, thread_id, parent_id, role, content, run_number, partial,
                                  created_at)
        SELECT first.id + n, gen_random_uuid(), %(user)s, talk.id, CASE WHEN n > 1 THEN first.id + n - 1 END,
               CASE n %% 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
               'Message ' || n || repeat(E'\\n\\n- a point\\n- and *another*\\n\\nMore words of it.', n %% 5),
               (n + 1) / 2, false, now()
        FROM talk, first, generate_series(1, %(messages)s) n
    )
    INSERT INTO chat_run (id, run_number, user_id, thread_id, input_message_id, output_message_id, agent, status,
                          claim, attempt, last_seq, restart_seq, error_code, error_message, cancelled_by,
                          created_at, started_at, finished_at)
    SELECT gen_random_uuid(), n, %(user)s, talk.id, first.id + 2 * n - 1, first.id + 2 * n, 'assistant', 'completed',
           1, 1, 1, 1, '', '', '', now(), now(), now()
    FROM talk, first, generate_series(1, %(messages)s / 2) n
"""
# The message at the middle of what is seen, and its place on the screen.
PLACE = """(text) => {
    const scroller = document.querySelector(".scroller");
    const all = [...document.querySelectorAll('[data-testid="message"]')];
    const middle = scroller.getBoundingClientRect().top + scroller.clientHeight / 2;
    const found = text === null
        ? all.find((each) => each.getBoundingClientRect().bottom > middle)
        : all.find((each) => each.dataset.messageId === text);
    return [found.dataset.messageId, found.getBoundingClientRect().top];
}"""
DISTANCE = """() => {
    const { scrollHeight, scrollTop, clientHeight } = document.querySelector(".scroller");
    return scrollHeight - scrollTop - clientHeight;
}"""
# Notes where a message is at each frame, until it is asked for.
WATCH = """(id) => {
    const message = document.querySelector(`[data-message-id="${id}"]`);
    window.seenAt = new Set();
    const look = () => {
        window.seenAt.add(Math.round(message.getBoundingClientRect().top));
        window.watching = requestAnimationFrame(look);
    };
    look();
}"""
MOTION = """() => {
    const scroller = document.querySelector(".scroller");
    window.motion = new Promise((ended) => scroller.addEventListener("scrollend", ended, { once: true }));
}"""
SEEN = "() => { cancelAnimationFrame(window.watching); return [...window.seenAt]; }"

# Where the text of the last answer ends on the screen, at the last frame before and the first after the end of its run.
LAST_LINE = """() => new Promise((done) => {
    let before = null;
    const look = () => {
        const answer = [...document.querySelectorAll('[data-testid="message"][data-role="assistant"]')].at(-1);
        const bottom = answer.querySelector(".answer")?.getBoundingClientRect().bottom;
        if (answer.dataset.status === "completed") return done([before, bottom]);
        before = bottom;
        requestAnimationFrame(look);
    };
    look();
})"""


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    yield from own_server(offline_tokens_per_second=30)


@pytest.fixture
def talk(server: LiveServer, account: Account) -> str:
    thread = str(uuid.uuid4())
    with server.database() as connection:
        connection.execute(TALK, {"thread": thread, "user": account.id, "messages": 140})
        connection.execute(
            "SELECT setval(pg_get_serial_sequence('chat_message', 'id'), (SELECT max(id) FROM chat_message))"
        )
        connection.execute(
            "INSERT INTO chat_usercounters (user_id, last_run_number, threads_version) VALUES (%s, 70, 1)",
            (account.id,),
        )
    return thread


@pytest.fixture
def page(context: BrowserContext, server: LiveServer, account: Account, talk: str) -> Page:
    page = context.new_page()
    sign_in(page, server.url, account)
    page.goto(f"{server.url}/t/{talk}")
    expect(answers(page).last).to_be_visible()
    return page


def scroll(page: Page, pixels: int) -> None:
    """Turn the wheel and wait for the end of its motion: it may begin late."""
    page.locator(".scroller").hover()
    page.evaluate(MOTION)
    page.mouse.wheel(0, pixels)
    page.evaluate("async () => { await window.motion; }")


def place(page: Page, message: str | None = None) -> tuple[str, float]:
    found: tuple[str, float] = page.evaluate(PLACE, message)
    return found


def test_a_thread_opens_at_its_end_and_stays_there_while_it_is_being_drawn(page: Page) -> None:
    expect(page.get_by_text("Message 140", exact=False).last).to_be_in_viewport()
    until(lambda: page.locator(".answer.unread").count() == 0, what="all answers to be read as Markdown")
    assert page.evaluate(DISTANCE) < 2
    expect(page.get_by_test_id("to-end")).to_have_count(0)


def test_earlier_messages_come_in_above_without_moving_what_is_read(page: Page) -> None:
    first = page.get_by_test_id("message").count()
    for _ in range(3):
        before = page.get_by_test_id("message").count()
        scroll(page, -1500)
        message, top = place(page)
        page.evaluate("document.querySelector('.earlier')?.click()")
        expect(page.get_by_test_id("message").nth(min(before, 139))).to_be_attached()
        until(lambda: page.locator(".answer.unread").count() == 0, what="all answers to be read as Markdown")
        assert abs(place(page, message)[1] - top) <= 1
    assert page.get_by_test_id("message").count() > first


def test_an_answer_that_grows_and_ends_below_moves_nothing_and_leaves_a_sign(page: Page) -> None:
    ask(page, "help")
    expect(page.locator('[data-status="running"]')).to_have_count(1)
    scroll(page, -900)
    message, top = place(page)
    page.evaluate(WATCH, message)
    expect(page.get_by_test_id("to-end")).to_have_attribute("data-fresh", "true")
    assert_accessible(page)
    expect(page.locator('[data-status="running"], [data-status="queued"]')).to_have_count(0, timeout=30_000)
    expect(page.locator('[data-testid="usage"]')).not_to_have_count(0)
    assert [round(top)] == page.evaluate(SEEN), "nothing moved, at no frame"
    page.get_by_test_id("to-end").click()
    until(lambda: page.evaluate(DISTANCE) < 2, what="the end to be in view")
    expect(page.get_by_test_id("to-end")).to_have_count(0)


def test_the_end_of_an_answer_does_not_move_its_last_line(page: Page) -> None:
    ask(page, "help")
    expect(page.locator('[data-status="running"]')).to_have_count(1)
    before, after = page.evaluate(LAST_LINE)
    # The view is at the end: what is below the text stays as high as it was.
    assert abs(before - after) <= 1
    assert page.evaluate(DISTANCE) < 2
