"""The administration in Chromium: no breach of its policy, axe in both themes, nothing wider than its window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import PHONE, assert_accessible, assert_fits, profile
from tests.e2e.administered import Administered, administered, sign_in

WIDE = {"viewport": {"width": 1360, "height": 900}}


@pytest.fixture(scope="module")
def shown() -> Iterator[Administered]:
    with administered() as shown:
        yield shown


@pytest.mark.parametrize("form", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible_and_keeps_to_its_policy(
    browser: Browser, shown: Administered, theme: str, form: dict[str, object]
) -> None:
    """`profile` fails for whatever the console says, and a breach of the policy is said there."""
    with profile(browser, color_scheme=theme, **form) as context:
        page = context.new_page()
        page.goto(shown.address("login/"))
        assert_accessible(page)
        sign_in(page, shown, shown.root)
        for name, path in shown.pages().items():
            page.goto(shown.address(path))
            expect(page.get_by_role("main")).to_be_visible()
            assert_accessible(page)
            assert_fits(page, name)
