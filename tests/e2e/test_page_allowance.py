"""What a person may use in a day, in Chromium: told before it is used up, and what is left of it in the settings."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser import answers, ask, assert_accessible
from tests.clients import Account
from tests.e2e.settings_page import open_section
from tests.live import LiveServer


@pytest.fixture
def server(daphne: LiveServer) -> LiveServer:
    return daphne


def allow(server: LiveServer, account: Account, **numbers: object) -> None:
    with server.database() as connection:
        connection.execute(
            f"""INSERT INTO chat_allowance (user_id, {", ".join(numbers)})
                VALUES (%s{", %s" * len(numbers)})""",
            (account.id, *numbers.values()),
        )


def test_the_page_says_how_much_is_left_before_nothing_is(page: Page, server: LiveServer, account: Account) -> None:
    allow(server, account, runs_per_day=3)
    line = page.get_by_test_id("allowance")
    for number in (1, 2):
        ask(page, "thanks")
        expect(answers(page)).to_have_count(number)
        expect(line).to_have_count(0)
    ask(page, "thanks")
    expect(answers(page)).to_have_count(3)
    expect(line).to_have_text(re.compile(r"^3 of 3 questions of today are asked\. A new day begins in \d+ \w+\.$"))
    assert_accessible(page)
    ask(page, "thanks")
    refusal = page.locator('[data-testid="error"][data-code="ALLOWANCE_USED"]')
    expect(refusal).to_contain_text("What you may use in a day is used up. Ask whoever runs this server for more.")
    expect(refusal.get_by_test_id("wait")).to_have_text(re.compile(r"^Try again in \d+ (hour|minute|second)s?\.$"))
    expect(refusal.get_by_test_id("retry")).to_be_disabled()
    expect(line).to_be_visible()
    expect(answers(page)).to_have_count(3)
    # An administrator gives more: the next question is asked, and nothing is said of it.
    with server.database() as connection:
        connection.execute("UPDATE chat_allowance SET runs_per_day = 100 WHERE user_id = %s", (account.id,))
    ask(page, "thanks")
    expect(answers(page)).to_have_count(4)
    expect(line).to_have_count(0)


def test_the_settings_show_what_is_left(page: Page, server: LiveServer, account: Account) -> None:
    ask(page, "thanks")
    expect(answers(page)).to_have_count(1)
    section = open_section(page, server, "usage")
    limits = section.get_by_test_id("allowances").locator("[data-limit]")
    expect(limits).to_have_count(3)
    allow(server, account, runs_per_day=4, cost_usd_per_day=2.5)
    page.reload()
    expect(limits).to_have_count(5)
    of_day = section.locator('[data-limit="runs_per_day"]')
    expect(of_day).to_contain_text("1 of 4, 3 left")
    expect(of_day.get_by_role("meter", name="Questions today")).to_have_js_property("value", 1)
    expect(section.locator('[data-limit="cost_usd_per_day"]')).to_contain_text("$0.00 of $2.50, $2.50 left")
    expect(section.locator('[data-limit="connections"]')).to_contain_text("1 of 20, 19 left")
    assert_accessible(page)
