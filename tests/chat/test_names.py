"""When two user names are the same name."""

# ruff: noqa: RUF001 - letters that look alike are what it is about

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.names import same_name


@pytest.mark.parametrize(
    "written",
    ["ann", "ANN", "Ann", "Ａｎｎ", "аnn", "АNN", "𝐚𝐧𝐧", "αnn"],
)
def test_case_and_look_alikes_make_no_other_name(written: str) -> None:
    assert same_name(written) == "ann"


@pytest.mark.parametrize(
    ("one", "other"), [("straße", "STRASSE"), ("ﬁn", "fin"), ("é", "e\u0301"), ("Σας", "σασ"), ("сосо", "coco")]
)
def test_they_are_the_same_the_other_way_round(one: str, other: str) -> None:
    assert same_name(one) == same_name(other)


@pytest.mark.parametrize(("one", "other"), [("ann", "anna"), ("é", "e"), ("анна", "ann"), ("李", "王"), ("a.b", "ab")])
def test_other_names_are_others(one: str, other: str) -> None:
    assert same_name(one) != same_name(other)


@given(st.text(max_size=150))
def test_a_name_is_the_same_as_its_own_form(name: str) -> None:
    assert same_name(same_name(name)) == same_name(name)
