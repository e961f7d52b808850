"""The entrance of the page in Chromium: signing in, registering, a forgotten password, and how sessions end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect

from tests.browser import Cable, answers, ask, assert_accessible, profile
from tests.browser import sign_in as sign_in_as
from tests.clients import PASSWORD, Account, request
from tests.e2e.conftest import own_server
from tests.live import LiveServer
from tests.processes import HOST
from tests.smtp_server import SmtpServer

NEW_PASSWORD = "staple correct horse"
LINK = re.compile(r"https://chat\.example(/reset/([\w-]+)/([\w-]+))")


@pytest.fixture(scope="module")
def server(mails: SmtpServer) -> Iterator[LiveServer]:
    """People may register, and mails are sent."""
    yield from own_server(
        registration="open",
        email_url=f"smtp://{HOST}:{mails.port}",
        email_from="netra@example.org",
        public_url="https://chat.example",
    )


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def elsewhere(browser: Browser) -> Iterator[Page]:
    """Another browser."""
    with profile(browser) as other:
        yield other.new_page()


def with_address(server: LiveServer, account: Account) -> str:
    """An address that this person alone has."""
    address = f"{account.username}@example.org"
    with server.database() as connection:
        connection.execute("UPDATE auth_user SET email = %s WHERE id = %s", (address, account.id))
    return address


def enter(page: Page, username: str, password: str) -> None:
    page.get_by_test_id("username").fill(username)
    page.get_by_test_id("password").fill(password)
    page.keyboard.press("Enter")


def expect_chat(page: Page, username: str) -> None:
    expect(page.get_by_test_id("composer")).to_be_visible()
    expect(page.get_by_test_id("user")).to_have_text(username)


def asked_for(page: Page, server: LiveServer, mails: SmtpServer, address: str) -> str:
    """The path of the link that a mail has, which was asked for from the sign-in on."""
    page.goto(server.url)
    page.get_by_test_id("to-forgot").click()
    page.get_by_test_id("email").fill(address)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("mail-asked")).to_contain_text(address)
    mail = mails.wait_for_mail()
    assert mail.recipients == (address,)
    found = LINK.search(mail.text)
    assert found is not None
    return found[1]


# Signing in


def test_a_password_manager_and_a_keyboard_find_their_way(page: Page, server: LiveServer, account: Account) -> None:
    page.goto(server.url)
    expect(page.get_by_test_id("username")).to_be_focused()
    expect(page.get_by_test_id("username")).to_have_attribute("autocomplete", "username")
    expect(page.get_by_test_id("password")).to_have_attribute("autocomplete", "current-password")
    assert page.title().startswith("Sign in ")
    page.keyboard.type(account.username)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Tab")
    expect(page.get_by_test_id("show-password")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_test_id("password")).to_have_attribute("type", "text")
    expect(page.get_by_test_id("password")).to_have_value(PASSWORD)
    page.keyboard.press("Space")
    expect(page.get_by_test_id("password")).to_have_attribute("type", "password")
    page.keyboard.press("Tab")
    expect(page.get_by_test_id("sign-in")).to_be_focused()
    page.keyboard.press("Enter")
    expect_chat(page, account.username)


def test_a_password_that_is_shown_is_hidden_when_it_is_sent(page: Page, server: LiveServer, account: Account) -> None:
    page.goto(server.url)
    page.get_by_test_id("show-password").click()
    kinds: list[str | None] = []

    def note(request: Request) -> None:
        if request.url.endswith("/api/auth/token"):
            kinds.append(page.get_by_test_id("password").get_attribute("type"))

    page.on("request", note)
    enter(page, account.username, PASSWORD)
    expect_chat(page, account.username)
    assert kinds == ["password"]


def test_what_is_wrong_is_said_at_its_field(page: Page, server: LiveServer, account: Account) -> None:
    page.goto(server.url)
    page.get_by_test_id("sign-in").click()
    expect(page.get_by_test_id("username")).to_be_focused()
    expect(page.get_by_test_id("username")).to_have_accessible_description("Give a user name.")
    expect(page.get_by_test_id("password-error")).to_have_text("Give a password.")
    enter(page, account.username, "not the password")
    field = page.get_by_test_id("password")
    expect(field).to_have_accessible_description("The user name or the password is not right.")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(page.get_by_test_id("username-error")).to_be_empty()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect_chat(page, account.username)


def test_caps_lock_is_told(page: Page, server: LiveServer) -> None:
    page.goto(server.url)
    note = page.get_by_test_id("password-caps-lock")
    page.get_by_test_id("password").dispatch_event("keydown", {"key": "A", "modifierCapsLock": True})
    expect(note).to_have_text("Caps Lock is on")
    page.get_by_test_id("password").dispatch_event("keyup", {"key": "CapsLock", "modifierCapsLock": False})
    expect(note).to_be_empty()


def test_pressed_twice_it_is_sent_once(page: Page, server: LiveServer, account: Account) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/auth/token") else None)
    page.goto(server.url)
    page.get_by_test_id("username").fill(account.username)
    page.get_by_test_id("password").fill(PASSWORD)
    page.get_by_test_id("sign-in-form").evaluate("(form) => { form.requestSubmit(); form.requestSubmit(); }")
    expect_chat(page, account.username)
    assert len(asked) == 1


def test_without_the_server_it_says_so_and_goes_on_when_it_is_back(page: Page, cable: Cable, account: Account) -> None:
    page.goto(cable.url)
    expect(page.get_by_test_id("to-register")).to_be_visible()
    cable.cut()
    enter(page, account.username, PASSWORD)
    expect(page.get_by_test_id("sign-in-error")).to_have_text("The server cannot be reached.")
    cable.join()
    page.get_by_test_id("sign-in").click()
    expect_chat(page, account.username)


def test_who_guesses_too_often_waits_and_the_form_opens_by_itself(
    page: Page, server: LiveServer, account: Account
) -> None:
    for _ in range(5):
        body = {"username": account.username, "password": "a guess"}
        assert server.http("POST", "/api/auth/token", body=body).status == 401
    page.clock.install()
    page.goto(server.url)
    enter(page, account.username, PASSWORD)
    button = page.get_by_test_id("sign-in")
    expect(page.get_by_test_id("sign-in-error")).to_contain_text("too many attempts")
    expect(button).to_have_text(re.compile(r"Try again in \d:\d\d$"))
    expect(button).to_be_disabled()
    before = left(page)
    page.clock.run_for(2000)
    assert before - 3 <= left(page) < before
    page.keyboard.press("Enter")
    expect(button).to_be_disabled()
    page.clock.run_for(left(page) * 1000)
    expect(button).to_be_enabled()
    expect(button).to_have_text("Sign in")
    expect(page.get_by_test_id("sign-in-error")).to_have_count(0)
    expect(page.get_by_role("status").filter(has_text="You can try again now.")).to_have_count(1)


def left(page: Page) -> int:
    minutes, seconds = page.get_by_test_id("sign-in").inner_text().rsplit(" ", 1)[1].split(":")
    return int(minutes) * 60 + int(seconds)


def test_who_waits_is_not_in_the_way_of_somebody_else(page: Page, server: LiveServer, account: Account) -> None:
    other = server.add_user("bob")
    for _ in range(5):
        server.http("POST", "/api/auth/token", body={"username": account.username, "password": "a guess"})
    page.goto(server.url)
    enter(page, account.username, PASSWORD)
    expect(page.get_by_test_id("sign-in")).to_have_text(re.compile("Try again"))
    enter(page, other.username, PASSWORD)
    expect_chat(page, other.username)


# Registering


def test_who_registers_is_signed_in_and_answered(page: Page, server: LiveServer) -> None:
    page.goto(server.url)
    page.get_by_test_id("to-register").click()
    expect(page.get_by_test_id("username")).to_be_focused()
    expect(page.get_by_test_id("username")).to_have_attribute("autocomplete", "username")
    expect(page.get_by_test_id("password")).to_have_attribute("autocomplete", "new-password")
    expect(page.get_by_test_id("password-hint")).to_contain_text("at least 8 characters")
    expect(page.get_by_test_id("email-hint")).to_contain_text("forget your password")
    enter(page, "newcomer", NEW_PASSWORD)
    expect_chat(page, "newcomer")
    assert page.evaluate("location.pathname") == "/"
    ask(page, "What is 6 * 7?")
    expect(answers(page)).to_have_count(1)
    page.reload()
    expect_chat(page, "newcomer")


def test_all_that_is_wrong_with_a_password_or_a_name_is_said(page: Page, server: LiveServer) -> None:
    body = {"username": "first", "password": PASSWORD}
    assert server.http("POST", "/api/auth/register", body=body).status == 201
    page.goto(f"{server.url}/register")
    enter(page, "somebody", "1234")
    problems = page.get_by_test_id("password-error").locator("p")
    expect(problems).to_have_count(3)
    expect(problems.nth(0)).to_contain_text("too short")
    expect(problems.nth(1)).to_contain_text("too common")
    expect(problems.nth(2)).to_contain_text("entirely numeric")
    expect(page.get_by_test_id("password")).to_be_focused()
    enter(page, "no name", NEW_PASSWORD)
    expect(page.get_by_test_id("username-error")).to_contain_text("valid username")
    expect(page.get_by_test_id("password-error")).to_be_empty()
    enter(page, "First", NEW_PASSWORD)
    expect(page.get_by_test_id("username")).to_have_accessible_description(re.compile("Somebody has this name"))
    page.get_by_test_id("email").fill("nowhere")
    enter(page, "somebody", NEW_PASSWORD)
    expect(page.get_by_test_id("email-error")).to_have_text("Must be an e-mail address.")


def test_each_place_has_an_address_that_back_and_reload_keep(page: Page, server: LiveServer, account: Account) -> None:
    wanted = f"{server.url}/t/00000000-0000-0000-0000-000000000000"
    page.goto(wanted)
    page.get_by_test_id("to-register").click()
    expect(page).to_have_url(f"{server.url}/register")
    page.reload()
    expect(page.locator("h1")).to_have_text("Create an account")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Sign in")
    assert page.url == wanted
    page.go_forward()
    expect(page.locator("h1")).to_have_text("Create an account")
    page.go_back()
    page.get_by_test_id("to-forgot").click()
    expect(page.locator("h1")).to_have_text("Forgot your password?")
    page.get_by_test_id("to-sign-in").click()
    expect(page).to_have_url(wanted)
    enter(page, account.username, PASSWORD)
    expect_chat(page, account.username)
    page.goto(f"{server.url}/register")
    expect_chat(page, account.username)
    assert page.evaluate("location.pathname") == "/"


def test_what_is_not_offered_is_not_shown_and_says_whom_to_ask(context: BrowserContext, daphne: LiveServer) -> None:
    page = context.new_page()
    with page.expect_response("**/api/auth/options"):
        page.goto(daphne.url)
    expect(page.get_by_test_id("sign-in")).to_be_visible()
    expect(page.locator(".entrance-links a")).to_have_count(0)
    page.goto(f"{daphne.url}/register")
    expect(page.get_by_text("People cannot register by themselves here.")).to_be_visible()
    page.goto(f"{daphne.url}/forgot")
    expect(page.get_by_text("This server sends no mails")).to_be_visible()
    page.get_by_test_id("to-sign-in").click()
    expect(page.get_by_test_id("sign-in")).to_be_visible()


# A forgotten password


def test_a_forgotten_password_is_chosen_anew_once_and_its_link_stays_secret(
    page: Page, server: LiveServer, mails: SmtpServer, account: Account
) -> None:
    said: list[str] = []
    asked: list[tuple[str, str]] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append((request.url, request.headers.get("referer", ""))))
    path = asked_for(page, server, mails, address := with_address(server, account))
    found = LINK.search(f"https://chat.example{path}")
    assert found is not None
    token = found[3]
    page.goto(server.url + path)
    assert page.url == f"{server.url}/reset"
    field = page.get_by_test_id("password")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("autocomplete", "new-password")
    expect(page.get_by_test_id("password-hint")).to_contain_text("at least 8 characters")
    field.fill("1234")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("password-error").locator("p")).to_have_count(3)
    field.fill(NEW_PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("why")).to_have_attribute("data-why", "reset")
    assert page.evaluate("location.pathname") == "/"
    enter(page, account.username, PASSWORD)
    expect(page.get_by_test_id("password-error")).to_contain_text("not right")
    enter(page, account.username, NEW_PASSWORD)
    expect_chat(page, account.username)
    assert [url for url, referrer in asked if token in url + referrer] == [server.url + path]
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, history.state, document.cookie])")
    for secret in (token, PASSWORD, NEW_PASSWORD, address):
        for place in (kept, page.content(), "\n".join(said), server.log_text()):
            assert secret not in place
    page.get_by_test_id("person").click()
    page.get_by_test_id("menu-sign-out").click()
    expect(page.get_by_test_id("why")).to_have_attribute("data-why", "left")
    page.goto(server.url + path)
    page.get_by_test_id("password").fill("another staple")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("This link is not good any more")
    page.get_by_test_id("to-forgot").click()
    expect(page.get_by_test_id("email")).to_be_focused()


def test_the_page_of_a_link_forgets_it_with_a_reload_and_says_what_to_do(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.url}/reset/MQ/some-token")
    expect(page.get_by_test_id("password")).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("no-link")).to_be_visible()
    expect(page.locator("h1")).to_be_focused()
    page.get_by_test_id("to-sign-in").click()
    expect(page.get_by_test_id("sign-in")).to_be_visible()


def test_a_mail_is_asked_for_again_after_a_while_and_nobody_learns_who_is_known(
    page: Page, server: LiveServer, mails: SmtpServer
) -> None:
    page.clock.install()
    page.goto(f"{server.url}/forgot")
    page.get_by_test_id("email").fill("not an address")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("email-error")).to_have_text("Must be an e-mail address.")
    page.get_by_test_id("email").fill("nobody@example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("mail-asked")).to_contain_text("If an account has the address nobody@example.org")
    again = page.get_by_test_id("ask-again")
    expect(again).to_have_text("Send it again in 0:30")
    expect(again).to_be_disabled()
    page.clock.run_for(31_000)
    with page.expect_request("**/api/auth/password/reset") as asked:
        again.click()
    assert asked.value.post_data_json == {"email": "nobody@example.org"}
    expect(page.get_by_test_id("asked-again")).to_have_text("It was asked for once more.")
    expect(again).to_be_disabled()
    page.get_by_test_id("other-address").click()
    expect(page.get_by_test_id("email")).to_have_value("")
    assert mails.mails.empty()


def test_a_link_for_somebody_else_leaves_who_is_signed_in(
    page: Page, elsewhere: Page, server: LiveServer, mails: SmtpServer, account: Account
) -> None:
    other, address = server.add_user("bob"), with_address(server, account)
    sign_in_as(page, server.url, other)
    for choice in ("go-on", "sign-out-and-in"):
        page.goto(server.url + asked_for(elsewhere, server, mails, address))
        expect(page.get_by_test_id("signed-in-as")).to_contain_text(f"{other.username} is signed in in this browser")
        page.get_by_test_id("password").fill(NEW_PASSWORD)
        page.keyboard.press("Enter")
        page.get_by_test_id(choice).click()
        if choice == "go-on":
            expect_chat(page, other.username)
            assert page.evaluate("location.pathname") == "/"
    expect(page.get_by_test_id("why")).to_have_attribute("data-why", "reset")
    enter(page, account.username, NEW_PASSWORD)
    expect_chat(page, account.username)


def test_a_link_for_who_is_signed_in_ends_that_session_too(
    page: Page, elsewhere: Page, server: LiveServer, mails: SmtpServer, account: Account
) -> None:
    address = with_address(server, account)
    sign_in_as(page, server.url, account)
    page.get_by_test_id("composer").fill("half a thought")
    tab = page.context.new_page()
    tab.goto(server.url + asked_for(elsewhere, server, mails, address))
    expect(tab.get_by_test_id("signed-in-as")).to_contain_text("With the new password you sign in again")
    tab.get_by_test_id("password").fill(NEW_PASSWORD)
    tab.keyboard.press("Enter")
    expect(tab.get_by_test_id("why")).to_have_attribute("data-why", "reset")
    expect(page.get_by_test_id("why")).to_have_attribute("data-why", "ended")
    enter(tab, account.username, NEW_PASSWORD)
    for each in (tab, page):
        expect_chat(each, account.username)
    expect(page.get_by_test_id("composer")).to_have_value("half a thought")


# The end of a session


def test_who_is_deactivated_is_told_so(page: Page, server: LiveServer, account: Account) -> None:
    sign_in_as(page, server.url, account)
    with server.database() as connection:
        connection.execute("UPDATE auth_user SET is_active = false WHERE id = %s", (account.id,))
    expect(page.get_by_test_id("why")).to_have_text(
        "This account was deactivated or deleted. Ask who runs this server."
    )


def test_signing_out_leaves_nothing_of_the_person_on_the_page(page: Page, server: LiveServer, account: Account) -> None:
    other = server.add_user("bob")
    sign_in_as(page, server.url, account)
    ask(page, "What is 6 * 7? My secret wish is to know.")
    expect(answers(page)).to_have_count(1)
    page.get_by_test_id("composer").fill("half a thought")
    page.get_by_test_id("person").click()
    page.get_by_test_id("menu-sign-out").click()
    expect(page.get_by_test_id("why")).to_have_text("You are signed out.")
    assert page.url == f"{server.url}/"
    assert page.title().startswith("Sign in ")
    for trace in (account.username, "secret wish", "half a thought"):
        assert trace not in page.content()
    enter(page, other.username, PASSWORD)
    expect_chat(page, other.username)
    expect(page.locator(".thread-row")).to_have_count(0)
    expect(page.get_by_test_id("composer")).to_have_value("")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_place_is_accessible_also_on_a_phone(browser: Browser, server: LiveServer, theme: str) -> None:
    size = {"width": 1100, "height": 760} if theme == "light" else {"width": 360, "height": 700}
    with profile(browser, color_scheme=theme, viewport=size) as context:
        page = context.new_page()
        for place in ("", "register", "forgot", "reset", "reset/MQ/some-token"):
            page.goto(f"{server.url}/{place}")
            page.locator("h1").wait_for()
            assert_accessible(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            if page.get_by_test_id("password").count() == 1:
                page.get_by_test_id("password").fill("1234")
                page.get_by_test_id("password").press("Enter")
                expect(page.locator("[aria-invalid=true], [data-testid=no-link]").first).to_be_visible()
                assert_accessible(page)
        page.goto(f"{server.url}/forgot")
        page.get_by_test_id("email").fill(f"nobody-{theme}@example.org")
        page.keyboard.press("Enter")
        page.get_by_test_id("mail-asked").wait_for()
        assert_accessible(page)


# What a person does with an account


def settings_of(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.url}/settings/account")
    expect(page.get_by_test_id("change-password")).to_be_visible()


def test_a_changed_password_keeps_this_browser_signed_in_and_no_other(
    page: Page, elsewhere: Page, server: LiveServer, account: Account
) -> None:
    for each in (page, elsewhere):
        sign_in_as(each, server.url, account)
    tab = page.context.new_page()
    tab.goto(server.url)
    expect_chat(tab, account.username)
    elsewhere.get_by_test_id("composer").fill("half a thought")
    settings_of(page, server)
    old, new = page.get_by_test_id("old_password"), page.get_by_test_id("new_password")
    expect(old).to_have_attribute("autocomplete", "current-password")
    expect(new).to_have_attribute("autocomplete", "new-password")
    assert page.locator("form input[autocomplete=username]").input_value() == account.username
    old.fill("a guess")
    new.fill(NEW_PASSWORD)
    page.keyboard.press("Enter")
    expect(old).to_have_accessible_description("This is not your current password.")
    old.fill(PASSWORD)
    new.fill("1234")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("new_password-error").locator("p")).to_have_count(3)
    new.fill(NEW_PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("password-changed")).to_contain_text("Your password is changed")
    expect(new).to_have_value("")
    expect(elsewhere.get_by_test_id("why")).to_contain_text("Your session ended")
    for each in (page, tab):
        each.goto(server.url)
        expect_chat(each, account.username)
        expect(each.get_by_test_id("connection")).to_have_attribute("data-state", "connected")
    ask(tab, "What is 6 * 7?")
    expect(answers(tab)).to_have_count(1)
    enter(elsewhere, account.username, PASSWORD)
    expect(elsewhere.get_by_test_id("password-error")).to_contain_text("not right")
    enter(elsewhere, account.username, NEW_PASSWORD)
    expect_chat(elsewhere, account.username)
    expect(elsewhere.get_by_test_id("composer")).to_have_value("half a thought")
    assert NEW_PASSWORD not in server.log_text()


def test_a_tab_that_is_open_while_the_password_changes_stays_signed_in(
    page: Page, server: LiveServer, account: Account
) -> None:
    """All sessions have ended, its socket is closed, and the new cookie is still on its way."""
    sign_in_as(page, server.url, account)
    tab = page.context.new_page()
    tab.goto(server.url)
    expect_chat(tab, account.username)
    settings_of(page, server)

    def hold(route: Route) -> None:
        asked = route.request
        headers = {"Authorization": asked.headers["authorization"]}
        answer = request(server.url, "POST", "/api/me/password", body=asked.post_data_json, headers=headers)
        expect(tab.get_by_test_id("connection")).not_to_have_attribute("data-state", "connected", timeout=15_000)
        cookie = {"Set-Cookie": answer.headers["Set-Cookie"], "Content-Type": "application/json"}
        route.fulfill(status=answer.status, headers=cookie, body=json.dumps(answer.body))

    page.route("**/api/me/password", hold)
    page.get_by_test_id("old_password").fill(PASSWORD)
    page.get_by_test_id("new_password").fill(NEW_PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("password-changed")).to_contain_text("Your password is changed", timeout=20_000)
    expect(tab.get_by_test_id("connection")).to_have_attribute("data-state", "connected", timeout=15_000)
    expect_chat(tab, account.username)


def test_signed_out_everywhere_is_signed_out_in_every_tab_and_browser_and_says_why(
    page: Page, elsewhere: Page, server: LiveServer, account: Account
) -> None:
    for each in (page, elsewhere):
        sign_in_as(each, server.url, account)
    elsewhere.get_by_test_id("composer").fill("half a thought")
    tab = page.context.new_page()
    tab.goto(server.url)
    expect_chat(tab, account.username)
    settings_of(page, server)
    page.get_by_test_id("everywhere").click()
    expect(page.get_by_test_id("everywhere-cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("everywhere")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_test_id("everywhere-sure")).to_be_focused()
    assert_accessible(page)
    page.keyboard.press("Enter")
    for each in (page, tab):
        expect(each.get_by_test_id("why")).to_have_attribute("data-why", "everywhere")
    expect(elsewhere.get_by_test_id("why")).to_have_attribute("data-why", "ended")
    enter(elsewhere, account.username, PASSWORD)
    expect(elsewhere.get_by_test_id("composer")).to_have_value("half a thought")
