"""Files in the web chat, in Chromium against a real server: attached in every way, sent, refused, and looked at."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, FilePayload, Locator, Page, Request, Route, expect

from tests.browser import Cable, answers, ask, assert_accessible, choose_agent, profile, sign_in
from tests.chat.files import image
from tests.clients import Account
from tests.e2e.conftest import connected, own_server
from tests.live import LiveServer
from tests.processes import until

LARGEST = 100_000
MOST = 4
SPACE = 250_000
LOG = b"begin\nend\n"
HOSTILE_NAMES = (
    "<script>document.title='x'<\\script>.txt",
    '"><img src=x onerror="document.title=1">.txt',
    "annual\u202etxt.exe",
    "long " + "x" * 220 + " the end.txt",
    "\u05d0\u05d1\u05d2 \u05d3\u05d4.txt",
)

Chosen = tuple[str, str, bytes]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    yield from own_server(
        agents="tests.e2e.applications.blind_agent:blind",
        max_attachment_bytes=LARGEST,
        max_attachments=MOST,
        max_person_attachment_bytes=SPACE,
    )


@pytest.fixture
def page(context: BrowserContext, cable: Cable, account: Account) -> Page:
    page = context.new_page()
    # The browser hears of it later than of a click: so that a picker is caught that opens at once.
    page.on("filechooser", lambda _: None)
    return connected(page, cable.url, account)


def choose(page: Page, *files: Chosen) -> None:
    given = [FilePayload(name=name, mimeType=kind, buffer=content) for name, kind, content in files]
    page.get_by_test_id("file-input").set_input_files(given)


def picture(name: str = "cat.png", size: tuple[int, int] = (40, 30)) -> Chosen:
    return name, "image/png", image(size=size)


def text(name: str = "server.log", content: bytes = LOG) -> Chosen:
    return name, "text/plain", content


def files(page: Page, state: str = "there") -> Locator:
    return page.locator(f'[data-testid="draft-file"][data-state="{state}"]')


def refused(page: Page, code: str) -> Locator:
    return page.locator(f'[data-testid="draft-file"][data-code="{code}"]')


def sent_files(page: Page) -> Locator:
    return page.get_by_test_id("message-file")


def rows(server: LiveServer, account: Account) -> list[tuple[str, bool]]:
    """The files that the server has of a person: name, and whether a message has it."""
    with server.database() as connection:
        query = """SELECT name, message_id IS NOT NULL FROM chat_attachment WHERE user_id = %s
                   ORDER BY position, created_at"""
        return connection.execute(query, (account.id,)).fetchall()


def questions(server: LiveServer, account: Account) -> int:
    with server.database() as connection:
        query = "SELECT count(*) FROM chat_message WHERE user_id = %s AND role = 'user'"
        row = connection.execute(query, (account.id,)).fetchone()
        assert row is not None
        return int(row[0])


TRANSFER = """([type, target, files, texts]) => {
    const transfer = new DataTransfer();
    for (const [name, kind, content] of files) {
        const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type: kind }));
    }
    for (const [kind, content] of texts) transfer.setData(kind, content);
    const given = { bubbles: true, cancelable: true };
    const event = type === "paste"
        ? new ClipboardEvent(type, { ...given, clipboardData: transfer })
        : new DragEvent(type, { ...given, dataTransfer: transfer });
    return document.querySelector(target).dispatchEvent(event);
}"""


def bring(page: Page, event: str, target: str, *given: Chosen, texts: dict[str, str] | None = None) -> bool:
    """A paste or a step of dragging with this in it. True when the browser is left to do with it what it does."""
    encoded = [[name, kind, base64.b64encode(content).decode()] for name, kind, content in given]
    untouched: bool = page.evaluate(TRANSFER, [event, target, encoded, list((texts or {}).items())])
    return untouched


def hold(page: Page, address: str | re.Pattern[str], times: int | None = None) -> list[Route]:
    """Requests of the page that wait for the test."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(address, keep, times=times)
    return held


def test_chosen_files_are_sent_shown_and_answered_and_are_there_after_a_reload(
    page: Page, server: LiveServer, account: Account
) -> None:
    choose(page, picture(), text())
    expect(files(page)).to_have_count(2)
    expect(files(page).first.locator("img")).to_have_attribute("src", re.compile("^data:image/"))
    assert rows(server, account) == [("cat.png", False), ("server.log", False)]
    ask(page, "What is in them?")
    expect(page.get_by_test_id("draft-file")).to_have_count(0)
    expect(answers(page)).to_have_count(1)
    expect(page.get_by_test_id("answer")).to_contain_text("server.log is text of 10 bytes")
    for _ in range(2):
        expect(sent_files(page)).to_have_count(2)
        expect(sent_files(page).first.locator("img")).to_have_attribute("alt", "Image: cat.png")
        expect(sent_files(page).last).to_contain_text("server.log")
        expect(sent_files(page).last).to_contain_text("10 bytes")
        page.reload()
    assert rows(server, account) == [("cat.png", True), ("server.log", True)]


def test_the_picker_opens_by_button_and_by_keyboard(page: Page) -> None:
    page.get_by_test_id("composer").focus()
    for key in (None, "Control+u"):
        with page.expect_file_chooser() as chooser:
            page.keyboard.press(key) if key else page.get_by_test_id("attach").click()
        assert chooser.value.is_multiple()
        chooser.value.set_files(FilePayload(name="a.txt", mimeType="", buffer=LOG))
        expect(page.get_by_test_id("composer")).to_be_focused()
    expect(files(page)).to_have_count(2)
    page.get_by_test_id("composer").blur()
    page.keyboard.press("?")
    expect(page.locator('[data-shortcut="attach"]')).to_contain_text("Attach files")


def test_each_file_is_refused_by_itself_with_the_reason_and_the_rest_is_sent(
    page: Page, server: LiveServer, account: Account
) -> None:
    uploads: list[Request] = []
    page.on("request", lambda request: uploads.append(request) if request.method == "POST" else None)
    choose(
        page,
        text("large.txt", b"x" * (LARGEST + 1)),
        text("empty.txt", b""),
        ("holiday.png", "image/png", b"MZ\0\1 this is a program"),
        text("good.txt"),
    )
    expect(files(page)).to_have_count(1)
    expect(refused(page, "ATTACHMENT_TOO_LARGE")).to_contain_text("It is larger than 100 kB.")
    expect(refused(page, "FILE_EMPTY")).to_contain_text("The file is empty.")
    expect(refused(page, "ATTACHMENT_TYPE_NOT_SUPPORTED")).to_contain_text("Only images")
    assert len([each for each in uploads if each.url.endswith("/api/attachments")]) == 2, "no more than has to be sent"
    expect(page.get_by_role("alert").filter(has_text="holiday.png is not attached.")).to_have_count(1)
    choose(page, *[text(f"{number}.txt") for number in range(MOST)])
    expect(files(page)).to_have_count(MOST)
    expect(refused(page, "TOO_MANY_ATTACHMENTS")).to_contain_text("at most 4 files")
    ask(page, "And these?")
    expect(answers(page)).to_have_count(1)
    assert [name for name, _ in rows(server, account)] == ["good.txt", "0.txt", "1.txt", "2.txt"]
    expect(page.get_by_test_id("draft-file")).to_have_count(0)


def test_what_only_the_server_knows_is_told_beside_the_file(page: Page, server: LiveServer, account: Account) -> None:
    choose(page, *[text(f"{number}.txt", b"x" * 90_000) for number in range(3)])
    expect(files(page)).to_have_count(2)
    expect(refused(page, "ATTACHMENT_SPACE_FULL")).to_contain_text("take all the space that you have")
    # Sent together, any of them may have come last.
    refused(page, "ATTACHMENT_SPACE_FULL").get_by_test_id("file-remove").click()
    refusal = {"error_code": "ATTACHMENT_TOO_LARGE", "error_message": "", "details": {}}

    def answer(route: Route) -> None:
        route.fulfill(status=413, body=json.dumps(refusal), content_type="application/json")

    page.route("**/api/attachments", answer)
    choose(page, text("small.txt"))
    expect(refused(page, "ATTACHMENT_TOO_LARGE")).to_have_count(1)
    assert len(rows(server, account)) == 2


def test_a_limited_file_waits_and_goes_on_by_itself(page: Page) -> None:
    seen: list[str] = []

    def limit_once(route: Route) -> None:
        seen.append(route.request.method)
        if len(seen) > 1:
            route.continue_()
            return
        body = json.dumps({"error_code": "RATE_LIMITED", "error_message": "slow down"})
        route.fulfill(status=429, body=body, content_type="application/json", headers={"Retry-After": "2"})

    page.route("**/api/attachments", limit_once)
    choose(page, text())
    expect(refused(page, "RATE_LIMITED")).to_contain_text("It goes on in 2 seconds.")
    page.get_by_test_id("composer").fill("Not yet")
    expect(page.get_by_test_id("send")).to_be_disabled()
    expect(files(page)).to_have_count(1)
    expect(page.get_by_test_id("send")).to_be_enabled()


def test_a_broken_upload_is_sent_again_by_the_person_or_with_the_next_connection(page: Page, cable: Cable) -> None:
    page.route("**/api/attachments", lambda route: route.abort(), times=1)
    choose(page, text())
    expect(refused(page, "UNREACHABLE")).to_contain_text("cannot be reached")
    page.get_by_test_id("file-again").click()
    expect(files(page)).to_have_count(1)
    cable.cut()
    choose(page, picture())
    expect(refused(page, "UNREACHABLE")).to_have_count(1)
    expect(page.get_by_test_id("hint")).to_contain_text("A file has not arrived.")
    cable.join()
    expect(files(page)).to_have_count(2, timeout=30_000)


def test_sending_waits_for_the_files_and_a_file_on_its_way_can_be_taken_out(
    page: Page, server: LiveServer, account: Account
) -> None:
    hold(page, "**/api/attachments", times=1)
    choose(page, text("slow.txt"))
    choose(page, text("quick.txt"))
    expect(files(page)).to_have_count(1)
    expect(files(page, "sending").locator("progress")).to_have_attribute("aria-label", "Sending slow.txt")
    page.get_by_test_id("composer").fill("Well?")
    expect(page.get_by_test_id("send")).to_be_disabled()
    expect(page.get_by_test_id("hint")).to_contain_text("The files are on their way.")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("composer")).to_have_value("Well?")
    page.get_by_label("Cancel sending slow.txt").click()
    expect(page.get_by_test_id("draft-file")).to_have_count(1)
    expect(page.get_by_label("Remove quick.txt")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("draft-file")).to_have_count(0)
    expect(page.get_by_test_id("composer")).to_be_focused()
    until(lambda: rows(server, account) == [], what="the file to be taken back")


def test_what_is_pasted_is_a_file_or_text_as_it_was_meant(page: Page) -> None:
    field = page.get_by_test_id("composer")
    target = '[data-testid="composer"]'
    assert not bring(page, "paste", target, picture("image.png"))
    expect(files(page)).to_have_count(1)
    assert not bring(page, "paste", target, text("notes.txt"), texts={"text/plain": "notes.txt"})
    expect(files(page)).to_have_count(2)
    assert bring(page, "paste", target, texts={"text/plain": "two words"}), "text is left to the browser"
    cells = {"text/plain": "1\t2", "text/html": "<table></table>"}
    assert bring(page, "paste", target, picture("of cells.png"), texts=cells)
    expect(page.get_by_test_id("draft-file")).to_have_count(2)
    field.fill("See: .")
    field.evaluate("(field) => field.setSelectionRange(5, 5)")
    long = "line\n" * 2500
    assert not bring(page, "paste", target, texts={"text/plain": long})
    expect(page.get_by_test_id("draft-file").last).to_contain_text("pasted.txt")
    expect(field).to_have_value("See: .")
    page.get_by_test_id("undo").click()
    expect(field).to_have_value(f"See: {long}.")
    expect(page.get_by_test_id("draft-file")).to_have_count(2)
    assert field.evaluate("(field) => field.selectionStart") == 5 + len(long)


def test_files_are_dropped_over_the_conversation_and_nothing_else_is(page: Page) -> None:
    zone = page.get_by_test_id("drop-zone")
    ask(page, "hello")
    expect(answers(page)).to_have_count(1)
    assert bring(page, "dragenter", "main", texts={"text/uri-list": "https://example.org"})
    expect(zone).to_be_hidden()
    bring(page, "dragenter", ".turn", text())
    expect(zone).to_be_visible()
    expect(zone).to_contain_text("up to 4 files of 100 kB")
    assert not bring(page, "dragover", ".turn", text())
    assert_accessible(page)
    bring(page, "dragleave", "html", text())
    expect(zone).to_be_hidden()
    bring(page, "dragenter", ".turn", text())
    assert not bring(page, "drop", "#sidebar", text()), "the browser would open it in place of the page"
    expect(zone).to_be_hidden()
    expect(page.get_by_test_id("draft-file")).to_have_count(0)
    bring(page, "dragenter", ".turn", text())
    assert not bring(page, "drop", ".turn", text(), picture())
    expect(files(page)).to_have_count(2)
    expect(zone).to_be_hidden()
    bring(page, "dragstart", ".turn")
    bring(page, "dragenter", ".turn", picture("of this page.png"))
    expect(zone).to_be_hidden()
    assert bring(page, "drop", ".turn", picture("of this page.png"))
    bring(page, "dragend", ".turn")
    expect(page.get_by_test_id("draft-file")).to_have_count(2)


def test_files_stay_with_the_draft_over_a_reload_and_those_that_are_gone_say_so(
    page: Page, server: LiveServer, account: Account
) -> None:
    choose(page, picture(), text("old.txt"))
    expect(files(page)).to_have_count(2)
    hold(page, "**/api/attachments")
    choose(page, text("half.txt"))
    expect(files(page, "sending")).to_have_count(1)
    page.get_by_test_id("composer").fill("Look at these")
    with server.database() as connection:
        connection.execute("DELETE FROM chat_attachment WHERE user_id = %s AND name = 'old.txt'", (account.id,))
    page.reload()
    expect(page.get_by_test_id("composer")).to_have_value("Look at these")
    expect(files(page).locator("img")).to_have_count(1)
    expect(refused(page, "ATTACHMENT_NOT_FOUND")).to_contain_text("no longer on the server")
    expect(refused(page, "UPLOAD_INTERRUPTED")).to_contain_text("not sent to its end")
    expect(page.get_by_test_id("send")).to_be_disabled()
    page.get_by_label("Remove old.txt").click()
    page.get_by_label("Remove half.txt").click()
    page.get_by_test_id("send").click()
    expect(answers(page)).to_have_count(1)
    assert rows(server, account) == [("cat.png", True)]


def test_a_message_with_files_that_is_sent_while_offline_goes_out_once(
    page: Page, cable: Cable, server: LiveServer, account: Account
) -> None:
    choose(page, picture(), text())
    expect(files(page)).to_have_count(2)
    cable.cut()
    expect(page.locator('[data-testid="connection"]:not([data-state="connected"])')).to_have_count(1)
    ask(page, "What are these?")
    expect(sent_files(page)).to_have_count(2)
    expect(page.get_by_test_id("draft-file")).to_have_count(0)
    # The page comes from this address and the message stays in its tab: the first way to the server is a reload.
    cable.join()
    page.reload()
    expect(answers(page)).to_have_count(1, timeout=30_000)
    expect(sent_files(page)).to_have_count(2)
    expect(sent_files(page).first.locator("img")).to_have_count(1)
    assert rows(server, account) == [("cat.png", True), ("server.log", True)]
    assert questions(server, account) == 1


def test_an_image_opens_large_and_text_opens_as_text(page: Page, tmp_path: Path) -> None:
    hostile = b"<script>document.title = 'x'</script>\n**bold** \xe2\x80\xae end\n"
    choose(page, picture(size=(300, 200)), text("page.html", hostile), text("wide.txt", "wörld".encode("utf-16")))
    expect(files(page)).to_have_count(3)
    ask(page, "Show them")
    expect(answers(page)).to_have_count(1)
    sent_files(page).first.focus()
    page.keyboard.press("Enter")
    shown = page.get_by_test_id("viewer-image")
    expect(shown).to_have_attribute("alt", "Image: cat.png")
    assert shown.evaluate("(image) => [image.naturalWidth, image.naturalHeight]") == [300, 200]
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("viewer")).to_have_count(0)
    expect(sent_files(page).first).to_be_focused()
    page.reload()
    sent_files(page).nth(1).click()
    expect(page.get_by_test_id("viewer-text")).to_have_text(hostile.decode())
    assert page.get_by_test_id("viewer-text").locator("*").count() == 0
    assert_accessible(page)
    with page.expect_download() as download:
        page.get_by_test_id("download").click()
    assert download.value.suggested_filename == "page.html"
    download.value.save_as(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == hostile
    page.get_by_test_id("close-viewer").click()
    expect(sent_files(page).nth(1)).to_be_focused()
    sent_files(page).nth(2).click()
    expect(page.get_by_test_id("viewer-text")).to_have_text("wörld")


def test_a_picture_has_its_place_before_it_is_there(page: Page) -> None:
    choose(page, picture(size=(20, 300)))
    expect(files(page)).to_have_count(1)
    ask(page, "Look")
    expect(answers(page)).to_have_count(1)
    held = hold(page, re.compile("/api/attachments/.+"))
    page.reload()
    expect(answers(page)).to_have_count(1)
    loading = page.locator('[data-testid="preview"][data-state="loading"]')
    expect(loading).to_have_count(1)
    before = [sent_files(page).bounding_box(), answers(page).bounding_box()]
    [route] = held
    route.continue_()
    expect(page.locator('[data-testid="preview"][data-state="shown"]')).to_have_count(1)
    assert [sent_files(page).bounding_box(), answers(page).bounding_box()] == before


def test_an_agent_that_reads_no_images_gives_the_message_back_and_names_one_that_may(
    page: Page, server: LiveServer, account: Account
) -> None:
    choose_agent(page, "blind")
    choose(page, picture(), text())
    expect(files(page)).to_have_count(2)
    ask(page, "What is this?")
    refusal = page.locator('[data-testid="error"][data-code="IMAGES_NOT_SUPPORTED"]')
    expect(refusal).to_contain_text("This agent cannot read images.")
    expect(page.locator('[data-testid="ask-instead"][data-agent="blind"]')).to_have_count(0)
    page.get_by_test_id("edit-refused").click()
    expect(page.get_by_test_id("composer")).to_have_value("What is this?")
    expect(files(page)).to_have_count(2)
    expect(sent_files(page)).to_have_count(0)
    page.get_by_test_id("send").click()
    page.locator('[data-testid="ask-instead"][data-agent="assistant"]').click()
    expect(answers(page)).to_have_attribute("data-agent", "assistant")
    expect(page.get_by_test_id("agent-picker")).to_have_attribute("data-agent", "assistant")
    assert questions(server, account) == 1
    assert rows(server, account) == [("cat.png", True), ("server.log", True)]


def test_hostile_names_are_shown_as_text_and_break_nothing(page: Page, server: LiveServer, account: Account) -> None:
    choose(page, *[text(name) for name in HOSTILE_NAMES[:MOST]])
    expect(files(page)).to_have_count(MOST)
    assert page.locator(".composer script, .composer img").count() == 0
    width = "() => document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(width)
    chips = files(page)
    assert all("\u202e" not in chip.inner_text() for chip in chips.all())
    expect(chips.nth(2)).to_contain_text("annualtxt.exe")
    expect(chips.nth(3)).to_contain_text(re.compile(r"^long x+…x+….txt"))
    # Three are sent at once, and stored in any order.
    assert chips.locator(".file-name").nth(3).get_attribute("title") in [row[0] for row in rows(server, account)]
    ask(page, "Names")
    expect(answers(page)).to_have_count(1)
    expect(sent_files(page)).to_have_count(MOST)
    assert page.locator(".message-files script, .message-files img").count() == 0
    assert page.evaluate(width)
    assert page.title() not in ("x", "1")
    choose(page, text(HOSTILE_NAMES[4]))
    expect(files(page).locator("bdi")).to_have_text(HOSTILE_NAMES[4])


def test_another_person_cannot_see_the_file(page: Page, browser: Browser, server: LiveServer, account: Account) -> None:
    choose(page, text("secret.txt", b"the giraffe is blue\n"))
    expect(files(page)).to_have_count(1)
    ask(page, "Keep it")
    expect(answers(page)).to_have_count(1)
    with server.database() as connection:
        row = connection.execute("SELECT id FROM chat_attachment WHERE user_id = %s", (account.id,)).fetchone()
    assert row is not None
    bob = server.add_user("bob")
    assert server.http("GET", f"/api/attachments/{row[0]}", token=bob.token()).status == 404
    assert server.http("GET", f"/api/attachments/{row[0]}", token=account.token()).status == 200
    with profile(browser) as context:
        foreign = context.new_page()
        sign_in(foreign, server.url, bob)
        answer = foreign.goto(f"{server.url}/api/attachments/{row[0]}")
        assert answer is not None
        assert answer.status == 401
        foreign.goto(f"{server.url}/t/{page.url.rsplit('/', 1)[-1]}")
        expect(foreign.get_by_test_id("error")).to_be_visible()
        assert "secret.txt" not in foreign.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_files_are_accessible_in_both_themes(
    browser: Browser, server: LiveServer, account: Account, scheme: Any
) -> None:
    with profile(browser, color_scheme=scheme) as context:
        page = context.new_page()
        sign_in(page, server.url, account)
        choose(page, picture(), text(), ("program.exe", "", b"MZ\0\1"))
        expect(files(page)).to_have_count(2)
        expect(refused(page, "ATTACHMENT_TYPE_NOT_SUPPORTED")).to_have_count(1)
        hold(page, "**/api/attachments")
        choose(page, text("slow.txt"))
        expect(files(page, "sending")).to_have_count(1)
        assert_accessible(page)
        page.get_by_label("Cancel sending slow.txt").click()
        ask(page, "What is in them?")
        expect(answers(page)).to_have_count(1)
        assert_accessible(page)
