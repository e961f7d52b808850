"""The settings' sections in Chromium: notes, usage, one's data, the account, and what this is."""

from __future__ import annotations

import io
import json
import re
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Download, Locator, Page, expect

from tests.browser import answers, ask, assert_accessible, choose_agent
from tests.clients import PASSWORD, Account
from tests.e2e.settings_page import add_notes, add_usage, another_tab, open_section, opens_at, rest
from tests.live import LiveServer
from tests.processes import until


@pytest.fixture
def server(daphne: LiveServer) -> LiveServer:
    return daphne


# Notes


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


def test_who_is_signed_in_elsewhere_is_signed_out_there_from_the_settings(
    page: Page, server: LiveServer, account: Account, elsewhere: Page
) -> None:
    section = open_section(page, server, "account")
    sessions = section.get_by_test_id("session")
    expect(sessions).to_have_count(2)
    expect(sessions.filter(has_text="This browser")).to_have_count(1)
    here, there = sessions.filter(has_text="This browser"), sessions.filter(has_not_text="This browser")
    expect(there).to_contain_text(re.compile(r"Chrome on \w+.*127\.0\.0\.1 · used .*, since ", re.DOTALL))
    assert_accessible(page)
    page.route("**/api/me/sessions/*", lambda route: route.abort())
    there.get_by_test_id("end-session").click()
    expect(there.get_by_test_id("settings-error")).to_contain_text("The server cannot be reached.")
    page.unroute("**/api/me/sessions/*")
    there.get_by_test_id("end-session").click()
    expect(sessions).to_have_count(1)
    expect(here.get_by_test_id("end-session")).to_be_focused()
    expect(elsewhere.get_by_test_id("sign-in")).to_be_visible(timeout=20_000)
    expect(elsewhere.get_by_text("Your session ended.")).to_be_visible()
    here.get_by_test_id("end-session").click()
    expect(page.get_by_test_id("sign-in")).to_be_visible()
    # The page is signed out at once, and the server told meanwhile.
    with server.database() as database:

        def ended() -> list[Any]:
            rows = database.execute("SELECT ended_by FROM chat_session WHERE user_id = %s", [account.id])
            return sorted(rows.fetchall())

        until(lambda: ended() == [("person",), ("sign_out",)], what="both sessions to have ended")


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
