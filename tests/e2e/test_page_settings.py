"""The settings in Chromium: what they change, what they show, and how one comes there and back."""

from __future__ import annotations

import io
import json
import re
import uuid
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Download, Locator, Page, expect

from tests.browser import answers, ask, assert_accessible, choose_agent, profile, sign_in
from tests.clients import PASSWORD, Account
from tests.live import LiveServer

SECTIONS = ("general", "notes", "usage", "data", "account", "about")
PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def server(daphne: LiveServer) -> LiveServer:
    return daphne


@pytest.fixture
def account(server: LiveServer) -> Account:
    return server.add_user("ann")


@pytest.fixture
def page(context: BrowserContext, server: LiveServer, account: Account) -> Page:
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


def open_section(page: Page, server: LiveServer, section: str) -> Locator:
    """By its address, as from a bookmark."""
    page.goto(f"{server.url}/settings/{section}")
    shown = page.get_by_test_id(f"section-{section}")
    expect(shown).to_be_visible()
    return shown


def another_tab(context: BrowserContext, server: LiveServer) -> Page:
    other = context.new_page()
    other.goto(server.url)
    expect(other.get_by_test_id("composer")).to_be_visible()
    return other


def rest(server: LiveServer, account: Account, path: str, method: str = "GET") -> Any:
    return server.http(method, path, token=account.token()).body


def path_of(page: Page) -> str:
    path: str = page.evaluate("() => location.pathname")
    return path


def opens_at(page: Page, path: str) -> None:
    expect(page).to_have_url(re.compile(rf"^http://[^/]+{re.escape(path)}$"))


# Where one is


def test_the_settings_are_opened_from_the_menu_and_closing_leads_back_with_focus_and_scroll(
    page: Page, account: Account
) -> None:
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    ask(page, "help")
    expect(answers(page)).to_have_count(1)
    page.set_viewport_size({"width": 1100, "height": 320})
    scroller = page.locator(".scroller")
    page.mouse.move(700, 100)
    page.mouse.wheel(0, -100)
    page.evaluate("() => new Promise(requestAnimationFrame)")
    before = scroller.evaluate("element => element.scrollTop")
    place = path_of(page)
    page.get_by_test_id("person").click()
    page.get_by_test_id("menu-settings").click()
    expect(page.get_by_test_id("section-general")).to_be_visible()
    expect(page.get_by_role("heading", name="Settings")).to_be_focused()
    expect(page).to_have_title(re.compile("^Settings"))
    opens_at(page, "/settings")
    page.get_by_test_id("to-usage").click()
    opens_at(page, "/settings/usage")
    page.get_by_test_id("settings-close").click()
    opens_at(page, place)
    expect(page.get_by_test_id("settings")).to_have_count(0)
    expect(page.get_by_test_id("person")).to_be_focused()
    assert scroller.evaluate("element => element.scrollTop") == before
    expect(answers(page)).to_have_count(1)
    assert sockets == [], "the connection stays"


def test_an_answer_goes_on_behind_the_settings_and_its_conversation_is_there_afterwards(page: Page) -> None:
    ask(page, "What is 6 * 7?")
    page.keyboard.press("Control+,")
    expect(page.get_by_test_id("settings")).to_be_visible()
    expect(page).to_have_title(re.compile(r"^\(1\) Settings"))
    opens_at(page, "/settings")
    page.keyboard.press("Escape")
    expect(answers(page)).to_have_count(1)
    opens_at(page, page.get_by_test_id("thread").get_attribute("href") or "")
    expect(page.get_by_test_id("composer")).to_be_focused()
    expect(page).to_have_title(re.compile(r"^[^(]"))


def test_back_forward_reload_and_a_link_find_each_section(page: Page, server: LiveServer) -> None:
    page.keyboard.press("Control+,")
    for section in ("notes", "usage"):
        page.get_by_test_id(f"to-{section}").click()
        expect(page.get_by_test_id(f"section-{section}")).to_be_visible()
    page.go_back()
    expect(page.get_by_test_id("section-notes")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("section-notes")).to_be_visible()
    page.go_forward()
    expect(page.get_by_test_id("to-usage")).to_have_attribute("aria-current", "page")
    for _ in range(3):
        page.go_back()
    expect(page.get_by_test_id("settings")).to_have_count(0)
    opens_at(page, "/")
    open_section(page, server, "account")
    page.get_by_test_id("settings-close").click()
    expect(page.get_by_test_id("composer")).to_be_visible()
    opens_at(page, "/")
    page.goto(f"{server.url}/settings/nothing-like-that")
    expect(page.get_by_test_id("section-general")).to_be_visible()


def test_after_a_reload_closing_still_leads_to_the_conversation(page: Page) -> None:
    ask(page, "What is 6 * 7?")
    expect(answers(page)).to_have_count(1)
    place = path_of(page)
    page.keyboard.press("Control+,")
    page.get_by_test_id("to-about").click()
    page.reload()
    expect(page.get_by_test_id("section-about")).to_be_visible()
    page.keyboard.press("Escape")
    opens_at(page, place)
    expect(answers(page)).to_have_count(1)


def test_who_is_signed_out_signs_in_first_and_is_then_where_the_link_leads(
    context: BrowserContext, server: LiveServer, account: Account
) -> None:
    page = context.new_page()
    page.goto(f"{server.url}/settings/account")
    page.get_by_test_id("username").fill(account.username)
    page.get_by_test_id("password").fill(PASSWORD)
    page.get_by_test_id("sign-in").click()
    expect(page.get_by_test_id("account-name")).to_have_text(account.username)


def test_settings_that_cannot_be_loaded_come_when_the_server_is_back(page: Page, server: LiveServer) -> None:
    failed: list[str] = []

    def lose(route: Any) -> None:
        if failed:
            route.continue_()
        else:
            failed.append(route.request.url)
            route.abort()

    page.route("**/chat/settings.js*", lose)
    page.goto(f"{server.url}/settings/about")
    expect(page.get_by_text("The server cannot be reached. Trying again…")).to_be_visible()
    expect(page.get_by_role("button", name="Close the settings")).to_be_focused()
    expect(page.get_by_test_id("section-about")).to_be_visible(timeout=10_000)
    assert failed


def test_the_settings_work_by_keyboard_alone(page: Page, server: LiveServer, account: Account) -> None:
    press = page.keyboard.press
    press("Control+,")
    expect(page.get_by_role("heading", name="Settings")).to_be_focused()
    press("Tab")
    expect(page.get_by_test_id("settings-close")).to_be_focused()
    for section in SECTIONS[:2]:
        press("Tab")
        expect(page.get_by_test_id(f"to-{section}")).to_be_focused()
    press("Enter")
    expect(page.get_by_test_id("section-notes")).to_be_visible()
    expect(page.get_by_test_id("to-notes")).to_be_focused()
    press("Shift+Tab")
    press("Enter")
    expect(page.get_by_test_id("section-general")).to_be_visible()
    for _ in SECTIONS:
        press("Tab")
    press("ArrowRight")
    press("ArrowRight")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    press("Tab")
    expect(page.get_by_test_id("default-agent")).to_be_focused()
    page.keyboard.type("data")
    press("Tab")
    expect(page.get_by_test_id("single-keys")).to_be_focused()
    press("Space")
    press("Control+/")
    expect(page.locator("[data-shortcut]")).to_have_count(5)
    press("Escape")
    expect(page.get_by_test_id("single-keys")).to_be_focused()
    press("?")
    expect(page.get_by_test_id("shortcuts")).to_have_count(0)
    press("Space")
    press("Escape")
    expect(page.get_by_test_id("composer")).to_be_focused()
    assert rest(server, account, "/api/me")["default_agent"] == "data"


@pytest.mark.parametrize("form", [{}, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_section_is_accessible_and_fits(
    browser: Browser, server: LiveServer, account: Account, theme: str, form: dict[str, Any]
) -> None:
    add_usage(server, account)
    add_notes(server, account, 2)
    with profile(browser, color_scheme=theme, **form) as context:
        page = context.new_page()
        sign_in(page, server.url, account)
        for section in SECTIONS:
            open_section(page, server, section)
            if section == "usage":
                expect(page.get_by_test_id("chart")).to_be_visible()
                page.locator("summary").click()
            if section == "notes":
                expect(page.get_by_test_id("note")).to_have_count(2)
            assert_accessible(page)
            assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        page.goto(f"{server.url}/settings")
        expect(page.get_by_test_id("to-about")).to_be_visible()
        assert_accessible(page)


def test_on_a_phone_the_list_leads_to_each_section_and_back(
    browser: Browser, server: LiveServer, account: Account
) -> None:
    with profile(browser, **PHONE) as context:
        page = context.new_page()
        sign_in(page, server.url, account)
        page.get_by_test_id("open-drawer").click()
        page.get_by_test_id("person").click()
        page.get_by_test_id("menu-settings").click()
        expect(page.get_by_test_id("section-general")).to_have_count(0)
        page.get_by_test_id("to-notes").click()
        expect(page.get_by_role("heading", name="Notes")).to_be_focused()
        expect(page.get_by_test_id("to-usage")).to_have_count(0)
        page.get_by_test_id("settings-up").click()
        expect(page.get_by_test_id("to-usage")).to_be_visible()
        page.get_by_test_id("settings-close").click()
        expect(page.get_by_test_id("settings")).to_have_count(0)
        expect(page.get_by_test_id("person")).to_be_focused()


# General


def test_the_default_agent_answers_in_new_conversations_on_every_device(
    page: Page, context: BrowserContext, server: LiveServer, account: Account, elsewhere: Page
) -> None:
    other = another_tab(context, server)
    page.bring_to_front()
    choose_agent(page, "triage")
    open_section(page, server, "general").get_by_test_id("default-agent").select_option("data")
    page.get_by_test_id("settings-close").click()
    picker = page.get_by_test_id("agent-picker")
    expect(picker).to_have_attribute("data-agent", "data")
    expect(other.get_by_test_id("agent-picker")).to_have_attribute("data-agent", "data")
    ask(page, "What did I spend this week?")
    expect(answers(page)).to_have_count(1)
    assert [run["agent"] for run in rest(server, account, "/api/runs")["runs"]] == ["data"]
    for tab in (page, elsewhere):
        tab.goto(server.url)
        expect(tab.get_by_test_id("agent-picker")).to_have_attribute("data-agent", "data")
    choose_agent(page, "triage")
    page.get_by_test_id("new-thread").click()
    expect(picker).to_have_attribute("data-agent", "data")
    open_section(page, server, "general").get_by_test_id("default-agent").select_option("")
    page.get_by_test_id("settings-close").click()
    expect(picker).to_have_attribute("data-agent", "triage")


def test_a_default_agent_that_is_gone_is_said_and_another_one_answers(
    page: Page, server: LiveServer, account: Account
) -> None:
    with server.database() as connection:
        query = "INSERT INTO chat_preferences (user_id, default_agent) VALUES (%s, 'retired')"
        connection.execute(query, (account.id,))
    section = open_section(page, server, "general")
    expect(section.get_by_test_id("default-agent")).to_have_value("retired")
    expect(section.get_by_test_id("default-agent-note")).to_contain_text("assistant is asked")
    page.get_by_test_id("settings-close").click()
    expect(page.get_by_test_id("agent-picker")).to_have_attribute("data-agent", "assistant")
    ask(page, "What is 6 * 7?")
    expect(answers(page)).to_have_count(1)


def test_a_choice_that_the_server_does_not_take_is_as_it_was(page: Page, server: LiveServer) -> None:
    section = open_section(page, server, "general")
    page.route("**/api/me", lambda route: route.abort() if route.request.method == "PATCH" else route.continue_())
    section.get_by_test_id("default-agent").select_option("data")
    expect(section.get_by_test_id("settings-error")).to_have_text("The server cannot be reached.")
    expect(section.get_by_test_id("default-agent")).to_have_value("")


def test_theme_and_keys_are_the_same_in_every_tab(page: Page, context: BrowserContext, server: LiveServer) -> None:
    other = context.new_page()
    theirs = open_section(other, server, "general")
    mine = open_section(page, server, "general")
    mine.get_by_test_id("theme-dark").click()
    mine.get_by_test_id("single-keys").uncheck()
    expect(other.locator("html")).to_have_attribute("data-theme", "dark")
    expect(theirs.get_by_role("radio", name="Dark")).to_be_checked()
    expect(theirs.get_by_test_id("single-keys")).not_to_be_checked()
    mine.get_by_test_id("default-agent").select_option("data")
    expect(theirs.get_by_test_id("default-agent")).to_have_value("data")


# Notes


def add_notes(server: LiveServer, account: Account, number: int) -> None:
    with server.database() as connection:
        for at in range(number):
            connection.execute(
                """INSERT INTO chat_note (user_id, content, agent, created_at)
                   VALUES (%s, %s, 'data', now() - %s * interval '1 day')""",
                (account.id, f"note {at} " + "and more of it " * 30, at),
            )


def test_a_note_that_an_agent_makes_is_shown_and_forgotten(page: Page, server: LiveServer, account: Account) -> None:
    expect(open_section(page, server, "notes").get_by_test_id("no-notes")).to_be_visible()
    page.get_by_test_id("settings-close").click()
    ask(page, "Remember that I live in Lisbon")
    expect(answers(page)).to_have_count(1)
    section = open_section(page, server, "notes")
    note = section.get_by_test_id("note")
    expect(note).to_contain_text("live in Lisbon")
    expect(note).to_contain_text("assistant · ")
    note.get_by_test_id("forget").click()
    page.get_by_test_id("question-no").click()
    expect(note.get_by_test_id("forget")).to_be_focused()
    assert len(rest(server, account, "/api/notes")["notes"]) == 1
    note.get_by_test_id("forget").click()
    page.get_by_test_id("question-yes").click()
    expect(section.get_by_test_id("no-notes")).to_be_visible()
    assert rest(server, account, "/api/notes")["notes"] == []


def test_notes_come_in_pages_and_all_of_them_are_forgotten(page: Page, server: LiveServer, account: Account) -> None:
    add_notes(server, account, 25)
    section = open_section(page, server, "notes")
    notes = section.get_by_test_id("note")
    expect(notes).to_have_count(20)
    text = notes.first.locator(".note-text")
    cut = text.evaluate("element => element.clientHeight")
    section.get_by_role("button", name="Show all of it").first.click()
    assert text.evaluate("element => element.clientHeight") > cut
    notes.nth(3).get_by_test_id("forget").click()
    page.get_by_test_id("question-yes").click()
    expect(notes).to_have_count(19)
    expect(notes.nth(3).get_by_test_id("forget")).to_be_focused()
    section.get_by_test_id("more-notes").click()
    expect(notes).to_have_count(24)
    assert [note.split()[1] for note in notes.all_inner_texts()] == [str(at) for at in range(25) if at != 3]
    section.get_by_test_id("forget-all").click()
    page.get_by_test_id("question-yes").click()
    expect(section.get_by_test_id("no-notes")).to_be_visible()
    assert rest(server, account, "/api/notes")["notes"] == []


def test_a_note_that_is_gone_already_is_forgotten_and_what_fails_is_said(
    page: Page, server: LiveServer, account: Account
) -> None:
    add_notes(server, account, 1)
    note = open_section(page, server, "notes").get_by_test_id("note")
    note.get_by_test_id("forget").click()
    page.route("**/api/notes/*", lambda route: route.abort())
    page.get_by_test_id("question-yes").click()
    expect(page.get_by_test_id("question")).to_contain_text("The server cannot be reached.")
    page.unroute("**/api/notes/*")
    assert rest(server, account, "/api/notes", "DELETE") == ""
    page.get_by_test_id("question-yes").click()
    expect(page.get_by_test_id("no-notes")).to_be_visible()


# Usage


def add_usage(server: LiveServer, account: Account) -> None:
    """Requests of some days, some of them failed or without a price."""
    rows = [(0, "data", "m1", 1000, "0.5"), (0, "assistant", "m2", 20, None), (2, "data", "m1", 3, "0.004")]
    rows += [(6, "assistant", "m1", 50_000, "1.25"), (7, "triage", "m3", 7, "3"), (40, "data", "m2", 900, None)]
    with server.database() as connection:
        for days, agent, model, tokens, cost in rows:
            connection.execute(
                """INSERT INTO chat_modelrequest (id, user_id, agent, model, provider, outcome, error, input_tokens,
                        output_tokens, cache_read_tokens, cache_write_tokens, estimated, cost_usd, duration_ms,
                        started_at)
                   VALUES (%s, %s, %s, %s, '', %s, '', %s, 10, 0, 0, false, %s, 5,
                           date_trunc('day', now(), 'UTC') - %s * interval '1 day')""",
                (uuid.uuid4(), account.id, agent, model, "failed" if days == 2 else "completed", tokens, cost, days),
            )


def numbers(table: Locator) -> dict[str, list[str]]:
    rows = table.locator("tbody tr")
    return {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows.all()}


def shown_cost(row: dict[str, Any]) -> str:
    cost = Decimal(row["cost_usd"])
    if row["requests"] and row["unpriced"] == row["requests"]:
        return "unknown"
    return f"${cost:.2f}" if cost == 0 or cost >= Decimal("0.1") else f"${cost.normalize():f}"


def as_shown(rows: list[dict[str, Any]], by: str) -> dict[str, list[str]]:
    return {
        row["group"][by]: [f"{row['requests']:,}", f"{row['input_tokens'] + row['output_tokens']:,}", shown_cost(row)]
        for row in rows
    }


def test_usage_is_what_rest_counts(page: Page, server: LiveServer, account: Account) -> None:
    add_usage(server, account)
    section = open_section(page, server, "usage")
    for days, requests in ((7, 4), (30, 5), (90, 6)):
        section.get_by_test_id(f"days-{days}").click()
        expect(section.get_by_test_id("totals")).to_contain_text(re.compile(rf"Requests\s*{requests}"))
        first = section.get_by_test_id("chart-day").get_attribute("aria-valuemax")
        assert first == str(days)
        since = page.evaluate(f"() => new Date(Date.now() - {days - 1} * 864e5).toISOString().slice(0, 10)")
        for by in ("agent", "model"):
            told = rest(server, account, f"/api/usage?since={since}&by={by}")
            assert numbers(section.get_by_test_id(f"by-{by}")) == as_shown(told["rows"], by)
        total = rest(server, account, f"/api/usage?since={since}")["total"]
        expect(section.get_by_test_id("totals")).to_contain_text(f"{total['input_tokens'] + total['output_tokens']:,}")
        expect(section.get_by_test_id("totals")).to_contain_text(shown_cost(total))
        section.locator("summary").click()
        by_day = numbers(section.get_by_test_id("by-day"))
        assert len(by_day) == days
        told = rest(server, account, f"/api/usage?since={since}&by=day")
        assert sorted(row for row in by_day.values() if row[0] != "0") == sorted(as_shown(told["rows"], "day").values())
        section.locator("summary").click()


def test_each_day_of_the_chart_is_read_by_keys_and_by_pointer(page: Page, server: LiveServer, account: Account) -> None:
    add_usage(server, account)
    section = open_section(page, server, "usage")
    section.get_by_test_id("days-7").click()
    chart, said = section.get_by_test_id("chart-day"), section.get_by_test_id("chart-said")
    expect(chart).to_have_attribute("aria-valuemax", "7")
    expect(section.locator(".chart-bar")).to_have_count(3)
    expect(said).to_contain_text("1,040 tokens, cost $0.50, 2 requests")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(said).to_contain_text(": 0 tokens, cost $0.00, 0 requests")
    page.keyboard.press("ArrowLeft")
    expect(chart).to_have_attribute("aria-valuetext", re.compile("13 tokens, cost \\$0.004, 1 request$"))
    page.keyboard.press("Home")
    expect(said).to_contain_text("50,010 tokens")
    page.keyboard.press("End")
    expect(chart).to_have_attribute("aria-valuenow", "7")
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 4.5 / 7, box["y"] + 20)
    expect(chart).to_have_attribute("aria-valuenow", "5")
    section.get_by_test_id("measure-cost").click()
    expect(section.get_by_role("slider", name="Cost per day")).to_be_visible()
    expect(section.locator(".chart-bar")).to_have_count(3)


def test_usage_that_is_none_or_cannot_be_read_is_said(page: Page, server: LiveServer, account: Account) -> None:
    page.route("**/api/usage*", lambda route: route.abort())
    section = open_section(page, server, "usage")
    expect(section.get_by_test_id("settings-error")).to_contain_text("The server cannot be reached.")
    page.unroute("**/api/usage*")
    section.get_by_role("button", name="Try again").click()
    expect(section.get_by_test_id("no-usage")).to_be_visible()


# Data


def content(download: Download) -> bytes:
    return Path(download.path()).read_bytes()


def test_the_export_is_an_archive_with_everything(page: Page, server: LiveServer) -> None:
    ask(page, "What is 6 * 7?")
    expect(answers(page)).to_have_count(1)
    section = open_section(page, server, "data")
    with page.expect_download() as saved:
        section.get_by_test_id("export").click()
    assert saved.value.suggested_filename == "netra.zip"
    with zipfile.ZipFile(io.BytesIO(content(saved.value))) as archive:
        assert archive.testzip() is None
        [thread] = json.loads(archive.read("threads.json"))
    assert thread["messages"][0]["content"] == "What is 6 * 7?"
    expect(section.get_by_test_id("exported")).to_contain_text("The archive is saved")


def test_an_export_that_is_broken_off_or_stopped_saves_nothing(page: Page, server: LiveServer) -> None:
    saved: list[str] = []
    page.on("download", lambda download: saved.append(download.suggested_filename))
    section = open_section(page, server, "data")
    page.route("**/api/me/export", lambda route: route.fulfill(status=200, body=b"PK\x03\x04 and no end of it"))
    section.get_by_test_id("export").click()
    expect(section.get_by_test_id("settings-error")).to_contain_text("The file did not come to its end.")
    page.unroute("**/api/me/export")
    page.route("**/api/me/export", lambda _route: None)
    section.get_by_test_id("export").click()
    expect(section.get_by_test_id("export-progress")).to_contain_text("so far…")
    section.get_by_test_id("stop-export").click()
    expect(section.get_by_test_id("export-progress")).to_have_count(0)
    expect(section.get_by_test_id("settings-error")).to_have_count(0)
    assert saved == []


def test_a_conversation_is_saved_from_its_menu(page: Page, server: LiveServer) -> None:
    ask(page, "What is 6 * 7?")
    expect(answers(page)).to_have_count(1)
    found: dict[str, bytes] = {}
    for form in ("md", "json"):
        page.locator(".thread-row").hover()
        page.get_by_test_id("thread-menu").click()
        with page.expect_download() as saved:
            page.get_by_test_id(f"menu-export-{form}").click()
        assert saved.value.suggested_filename.endswith(f".{form}")
        found[form] = content(saved.value)
    assert "What is 6 * 7?" in found["md"].decode()
    assert json.loads(found["json"])["messages"][0]["content"] == "What is 6 * 7?"
    page.route("**/export.md", lambda route: route.abort())
    page.locator(".thread-row").hover()
    page.get_by_test_id("thread-menu").click()
    page.get_by_test_id("menu-export-md").click()
    expect(page.get_by_test_id("toast")).to_contain_text("The server cannot be reached.")


# Account


def kept(page: Page) -> list[str]:
    keys: list[str] = page.evaluate("() => [...Object.keys(localStorage), ...Object.keys(sessionStorage)]")
    return keys


def test_a_deleted_account_is_gone_from_the_server_and_from_this_browser(
    page: Page, context: BrowserContext, server: LiveServer, account: Account
) -> None:
    page.evaluate("() => localStorage.setItem('netra.draft.0.new', 'of somebody else')")
    ask(page, "What is 6 * 7?")
    expect(answers(page)).to_have_count(1)
    page.get_by_test_id("composer").fill("a draft")
    other = another_tab(context, server)
    page.bring_to_front()
    choose_agent(page, "data")
    section = open_section(page, server, "account")
    section.get_by_test_id("delete-account").click()
    question = page.get_by_test_id("question")
    expect(question).to_contain_text("all conversations")
    assert_accessible(page)
    question.get_by_test_id("password").fill("not the password")
    question.get_by_test_id("delete-for-good").click()
    expect(question.get_by_test_id("password-error")).to_have_text("This is not your current password.")
    assert server.http("GET", "/api/me", token=account.token()).status == 200
    question.get_by_test_id("password").fill(PASSWORD)
    page.keyboard.press("Enter")
    for tab in (page, other):
        expect(tab.get_by_test_id("sign-in")).to_be_visible()
        expect(tab.get_by_text("Your account is deleted.")).to_be_visible()
        opens_at(tab, "/")
        assert kept(tab) == ["netra.draft.0.new"]
    assert server.http("GET", "/api/me", token=account.token()).status == 401
    page.get_by_test_id("username").fill(account.username)
    page.get_by_test_id("password").fill(PASSWORD)
    page.get_by_test_id("sign-in").click()
    expect(page.get_by_text("The user name or the password is not right.")).to_be_visible()
    assert context.cookies() == []


def test_the_password_is_changed_and_everybody_signed_out_from_the_settings(
    page: Page, server: LiveServer, account: Account, elsewhere: Page
) -> None:
    section = open_section(page, server, "account")
    expect(section.get_by_test_id("account-name")).to_have_text(account.username)
    expect(section.get_by_test_id("account-email")).to_contain_text("none")
    section.get_by_test_id("old_password").fill(PASSWORD)
    section.get_by_test_id("new_password").fill("staple correct horse")
    # What is being typed is not lost by a key.
    page.keyboard.press("Escape")
    section.get_by_test_id("change-password").click()
    expect(section.get_by_test_id("password-changed")).to_contain_text("Your password is changed.")
    expect(elsewhere.get_by_test_id("sign-in")).to_be_visible(timeout=20_000)
    section.get_by_test_id("everywhere").click()
    section.get_by_test_id("everywhere-sure").click()
    expect(page.get_by_test_id("sign-in")).to_be_visible()
    page.get_by_test_id("username").fill(account.username)
    page.get_by_test_id("password").fill("staple correct horse")
    page.get_by_test_id("sign-in").click()
    expect(page.get_by_test_id("section-account")).to_be_visible()


# About


def test_about_names_version_agents_and_documents(page: Page, server: LiveServer, account: Account) -> None:
    section = open_section(page, server, "about")
    version = re.search(r'^version = "(.+)"', (Path(__file__).parents[2] / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    expect(section.get_by_test_id("version")).to_have_text(version[1])
    agents = rest(server, account, "/api/agents")["agents"]
    expect(section.get_by_test_id("about-agent")).to_have_count(len(agents))
    for shown, agent in zip(section.get_by_test_id("about-agent").all(), agents, strict=True):
        expect(shown).to_contain_text(agent["name"])
        expect(shown).to_contain_text(agent["model"])
    for link in section.get_by_role("link").all():
        assert server.http("GET", link.get_attribute("href") or "").status == 200
