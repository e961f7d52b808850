"""In each state that a person meets: axe finds nothing, nothing stands out at the side, no word is missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import assert_accessible, profile
from tests.e2e.page_states import Showcase, showcase

WIDE = {"viewport": {"width": 1200, "height": 800}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def shown() -> Iterator[Showcase]:
    with showcase() as shown:
        yield shown


@pytest.mark.parametrize("form", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_state_is_accessible_and_fits_its_window(
    browser: Browser, shown: Showcase, theme: str, form: dict[str, object]
) -> None:
    with profile(browser, color_scheme=theme, **form) as context:
        page = context.new_page()
        for state in shown.states(page, shown.server.add_user("ann")):
            assert_accessible(page)
            wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider == 0, f"{state}: the page is wider than its window"
