"""What tests of the settings share: coming there, and what a person has to see there."""

from __future__ import annotations

import re
import uuid
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.clients import Account
from tests.live import LiveServer


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


def opens_at(page: Page, path: str) -> None:
    expect(page).to_have_url(re.compile(rf"^http://[^/]+{re.escape(path)}$"))


def add_notes(server: LiveServer, account: Account, number: int) -> None:
    with server.database() as connection:
        for at in range(number):
            connection.execute(
                """INSERT INTO chat_note (user_id, content, agent, created_at)
                   VALUES (%s, %s, 'data', now() - %s * interval '1 day')""",
                (account.id, f"note {at} " + "and more of it " * 30, at),
            )


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
