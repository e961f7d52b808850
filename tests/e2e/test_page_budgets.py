"""The budgets of the page, as far as a busy machine can tell: nothing takes more than twice what it may."""

from __future__ import annotations

import pytest

from bench.page import figures, written

pytestmark = pytest.mark.nightly


@pytest.mark.timeout(900)
def test_no_budget_of_the_page_is_missed_by_far() -> None:
    found = figures()
    assert [figure.row() for figure in found if figure.is_far_beyond()] == []
    assert all(figure.row() in written(found) for figure in found)
