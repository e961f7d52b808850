"""What a person has written and not sent, in Chromium against a real server: it stays theirs, and is never lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, FilePayload, Locator, Page, expect

from tests.browser import PHONE, Cable, answers, ask, assert_accessible, profile, sign_in
from tests.clients import PASSWORD, Account
from tests.e2e.conftest import connected, own_server
from tests.live import LiveServer

LONGEST = 4_000


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    yield from own_server(max_message_bytes=LONGEST)


@pytest.fixture
def page(context: BrowserContext, cable: Cable, account: Account) -> Page:
    return connected(context.new_page(), cable.url, account)


def field(page: Page) -> Locator:
    return page.get_by_test_id("composer")


def files(page: Page) -> Locator:
    return page.locator('[data-testid="draft-file"][data-state="there"]')


def attach(page: Page, name: str) -> None:
    page.get_by_test_id("file-input").set_input_files(FilePayload(name=name, mimeType="text/plain", buffer=b"text\n"))


def sign_out(page: Page) -> None:
    page.get_by_test_id("person").click()
    page.get_by_test_id("menu-sign-out").click()
    expect(page.get_by_test_id("username")).to_be_visible()


def sign_in_again(page: Page, account: Account) -> None:
    page.get_by_test_id("username").fill(account.username)
    page.get_by_test_id("password").fill(PASSWORD)
    page.get_by_test_id("sign-in").click()
    expect(field(page)).to_be_visible()


def drafts_kept(page: Page, account: Account) -> dict[str, Any]:
    """What the browser keeps of a person's drafts, by thread."""
    kept: dict[str, str] = page.evaluate("() => ({ ...localStorage })")
    prefix = f"netra.draft.{account.id}."
    return {key.removeprefix(prefix): json.loads(text) for key, text in kept.items() if key.startswith(prefix)}


def keep_draft(page: Page, account: Account, name: str, text: str, days: float) -> None:
    until = (time.time() + days * 86_400) * 1000
    draft = json.dumps({"text": text, "files": [], "until": until})
    page.evaluate("([key, text]) => localStorage.setItem(key, text)", [f"netra.draft.{account.id}.{name}", draft])


def test_each_thread_has_its_draft_with_its_files_also_after_a_reload(page: Page) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    field(page).fill("Here I was about to say")
    attach(page, "here.txt")
    expect(files(page)).to_have_count(1)
    page.get_by_test_id("new-thread").click()
    expect(field(page)).to_have_value("")
    expect(files(page)).to_have_count(0)
    field(page).fill("And here something else")
    attach(page, "there.txt")
    expect(files(page)).to_have_count(1)
    for _ in range(2):
        page.get_by_test_id("thread").click()
        expect(field(page)).to_have_value("Here I was about to say")
        expect(files(page)).to_contain_text(["here.txt"])
        page.get_by_test_id("new-thread").click()
        expect(field(page)).to_have_value("And here something else")
        expect(files(page)).to_contain_text(["there.txt"])
        page.reload()
        expect(field(page)).to_have_value("And here something else")


def test_drafts_outlive_a_sign_out_for_the_same_person_and_nobody_else(
    page: Page, server: LiveServer, account: Account
) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    thread = page.get_by_test_id("thread").get_attribute("data-thread-id")
    field(page).fill("My secret plan")
    attach(page, "plan.txt")
    expect(files(page)).to_have_count(1)
    sign_out(page)
    assert "secret" not in page.content()
    bob = server.add_user("bob")
    sign_in_again(page, bob)
    expect(field(page)).to_have_value("")
    expect(page.get_by_test_id("draft-file")).to_have_count(0)
    page.goto(f"{page.url.rstrip('/')}/t/{thread}")
    expect(page.get_by_test_id("error")).to_be_visible()
    expect(field(page)).to_have_value("")
    assert "secret" not in page.content()
    assert "plan.txt" not in page.content()
    page.get_by_test_id("new-thread").click()
    field(page).fill("What Bob writes")
    sign_out(page)
    sign_in_again(page, account)
    expect(field(page)).to_have_value("")
    page.get_by_test_id("thread").click()
    expect(field(page)).to_have_value("My secret plan")
    expect(files(page)).to_contain_text(["plan.txt"])
    page.get_by_test_id("send").click()
    expect(answers(page)).to_have_count(2)


def test_a_message_that_was_not_sent_comes_back_with_its_person(page: Page, cable: Cable, account: Account) -> None:
    cable.cut()
    expect(page.locator('[data-testid="connection"]:not([data-state="connected"])')).to_have_count(1)
    ask(page, "First")
    ask(page, "Second")
    field(page).fill("Third")
    sign_out(page)
    assert page.evaluate("() => Object.keys(sessionStorage).filter((key) => key.includes('outbox'))") == []
    cable.join()
    sign_in_again(page, account)
    expect(field(page)).to_have_value("First\n\nSecond\n\nThird")
    expect(page.get_by_test_id("message")).to_have_count(0)
    page.get_by_test_id("send").click()
    expect(answers(page)).to_have_count(1, timeout=30_000)
    expect(page.get_by_test_id("message")).to_have_count(2)


def test_the_draft_of_a_deleted_thread_goes_after_an_hour_and_comes_back_with_it(page: Page, account: Account) -> None:
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    thread = str(page.get_by_test_id("thread").get_attribute("data-thread-id"))
    field(page).fill("Not yet said")
    month = drafts_kept(page, account)[thread]["until"]
    page.get_by_test_id("thread").focus()
    page.keyboard.press("Delete")
    expect(page.get_by_test_id("thread")).to_have_count(0)
    expect(field(page)).to_have_value("")
    expect_until(page, account, thread, below=time.time() * 1000 + 3_700_000)
    page.get_by_test_id("undo").click()
    expect(page.get_by_test_id("thread")).to_have_count(1)
    expect(field(page)).to_have_value("Not yet said")
    expect_until(page, account, thread, above=month - 60_000)


def expect_until(page: Page, account: Account, thread: str, *, below: float = 1e18, above: float = 0) -> None:
    """The notice of the server comes a moment later."""
    for _ in range(100):
        if above < drafts_kept(page, account)[thread]["until"] < below:
            return
        page.wait_for_timeout(50)
    raise AssertionError(drafts_kept(page, account))


def test_old_drafts_go_whoever_wrote_them_and_the_newest_stay(page: Page, server: LiveServer, account: Account) -> None:
    bob = server.add_user("bob")
    keep_draft(page, bob, "new", "Bob's old one", -1)
    keep_draft(page, bob, "other", "Bob's newer one", 20)
    keep_draft(page, account, "old", "Old", -1)
    for number in range(105):
        keep_draft(page, account, f"{number:03}", "Some", 1 + number / 10)
    page.reload()
    expect(field(page)).to_be_visible()
    assert sorted(drafts_kept(page, account)) == [f"{number:03}" for number in range(5, 105)]
    assert list(drafts_kept(page, bob)) == ["other"]


def test_of_two_tabs_the_one_that_is_written_in_counts_and_the_other_shows_it(page: Page) -> None:
    other = page.context.new_page()
    other.goto(page.url)
    expect(field(other)).to_be_focused()
    other.keyboard.type("I am writing here")
    field(page).blur()
    expect(field(page)).to_have_value("I am writing here")
    page.bring_to_front()
    field(page).focus()
    page.keyboard.press("End")
    page.keyboard.type(", and go on")
    expect(field(page)).to_have_value("I am writing here, and go on")
    expect(field(other)).to_have_value("I am writing here")
    field(other).blur()
    page.keyboard.type(" there")
    expect(field(other)).to_have_value("I am writing here, and go on there")
    attach(page, "both.txt")
    expect(files(other)).to_have_count(1)
    page.keyboard.press("Enter")
    expect(answers(page)).to_have_count(1)
    expect(field(other)).to_have_value("")
    expect(files(other)).to_have_count(0)


def test_a_browser_without_room_keeps_the_newest_draft_and_the_page_goes_on(page: Page, account: Account) -> None:
    keep_draft(page, account, "older", "x" * 400_000, 2)
    page.evaluate("""() => {
        for (let size = 2 ** 22; size >= 1; size = Math.floor(size / 2)) {
            try { localStorage.setItem(`fill.${size}`, "x".repeat(size)); } catch {}
        }
    }""")
    field(page).fill("y" * 3000)
    assert drafts_kept(page, account)["new"]["text"] == "y" * 3000
    assert "older" not in drafts_kept(page, account)
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); }; }")
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)


def test_enter_sends_shift_enter_begins_a_line_and_an_input_method_is_left_alone(page: Page) -> None:
    field(page).focus()
    height = field(page).bounding_box()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    expect(field(page)).to_have_value("one\ntwo")
    grown = field(page).bounding_box()
    assert height is not None
    assert grown is not None
    assert grown["height"] > height["height"]
    for composing in ({"isComposing": True}, {"keyCode": 229}):
        field(page).dispatch_event("keydown", {"key": "Enter", **composing})
        expect(field(page)).to_have_value("one\ntwo")
    field(page).fill("line\n" * 100)
    box = field(page).bounding_box()
    assert box is not None
    assert box["height"] < 320
    field(page).fill("one\ntwo")
    page.keyboard.press("Enter")
    expect(answers(page)).to_have_count(1)
    expect(field(page)).to_be_focused()
    expect(field(page)).to_have_value("")


def test_on_a_touch_screen_enter_begins_a_line_and_the_button_sends(
    browser: Browser, server: LiveServer, account: Account
) -> None:
    with profile(browser, **PHONE) as context:
        page = context.new_page()
        sign_in(page, server.url, account)
        expect(field(page)).to_have_attribute("enterkeyhint", "enter")
        field(page).tap()
        page.keyboard.type("one")
        page.keyboard.press("Enter")
        page.keyboard.type("two")
        expect(field(page)).to_have_value("one\ntwo")
        page.get_by_test_id("send").tap()
        expect(answers(page)).to_have_count(1)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        attach(page, "from the phone.txt")
        expect(files(page)).to_have_count(1)
        sizes = "buttons => buttons.map(b => b.getBoundingClientRect()).every(b => b.width >= 44 && b.height >= 44)"
        assert page.locator('[data-testid="file-remove"], [data-testid="attach"]').evaluate_all(sizes)


def test_what_is_too_long_is_counted_refused_and_can_go_as_a_file(page: Page) -> None:
    room = page.get_by_test_id("room")
    field(page).fill("x" * 2000)
    expect(room).to_have_count(0)
    field(page).fill("x" * 3500)
    expect(room).to_contain_text("of the longest message")
    expect(page.get_by_test_id("send")).to_be_enabled()
    long = "ä" * 2000
    field(page).fill(long)
    expect(room).to_have_attribute("data-over", "true")
    expect(page.get_by_test_id("send")).to_be_disabled()
    expect(page.get_by_test_id("hint")).to_contain_text("longer than a message may be")
    page.keyboard.press("Enter")
    expect(field(page)).to_have_value(long)
    expect(page.get_by_test_id("message")).to_have_count(0)
    assert_accessible(page)
    page.get_by_test_id("as-file").click()
    expect(files(page)).to_contain_text(["pasted.txt"])
    expect(field(page)).to_have_value("")
    expect(page.get_by_test_id("hint")).to_contain_text("Write what you want to know")
    ask(page, "Sum it up")
    expect(answers(page)).to_have_count(1)


def test_the_longest_message_is_sent_and_one_byte_more_is_not(page: Page) -> None:
    field(page).fill("x" * 3300)
    low, high = 3300, LONGEST
    while high - low > 1:
        middle = (low + high) // 2
        field(page).fill("x" * middle)
        if page.get_by_test_id("send").is_enabled():
            low = middle
        else:
            high = middle
    ask(page, "x" * low)
    expect(answers(page)).to_have_count(1)
    expect(page.get_by_test_id("error")).to_have_count(0)
    ask(page, "y" * low)
    expect(answers(page)).to_have_count(2)
    expect(page.get_by_test_id("error")).to_have_count(0)
