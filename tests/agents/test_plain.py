from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.plain import DEEPEST, capped, plain_object, plain_text, plain_value


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", ""),
        ("plain", "plain"),
        ("é😀", "é😀"),
        ("a\x00b", "a\ufffdb"),
        ("\ud83d", "\ufffd"),
        ("\ude00x", "\ufffdx"),
        ("\ud83d\ude00", "😀"),
    ],
)
def test_text_without_what_storage_refuses(text: str, plain: str) -> None:
    assert plain_text(text) == plain


@given(st.text(alphabet=st.characters()))
def test_every_text_can_be_stored(text: str) -> None:
    plain = plain_text(text)
    assert "\x00" not in plain
    assert plain.encode().decode() == plain


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (Decimal("1.10"), "1.10"),
        (2**1023, 2**1023),
        ([10**5000], [hex(10**5000)]),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (date(2026, 1, 2), "2026-01-02"),
        ((1, "\x00"), [1, "\ufffd"]),
        ({1: float("nan"), "b": float("-inf")}, {"1": "nan", "b": "-inf"}),
        ({"nested": [{"\x00": {"deep": b"\x00"}}]}, {"nested": [{"\ufffd": {"deep": "AA=="}}]}),
    ],
)
def test_values_become_json(value: Any, plain: Any) -> None:
    assert plain_value(value) == plain
    json.dumps(plain_value(value), allow_nan=False)


def test_an_object_stays_one_and_a_stranger_becomes_text() -> None:
    class Stranger:
        def __str__(self) -> str:
            return "stranger"

    assert plain_object({"who": Stranger()}) == {"who": "stranger"}


@pytest.mark.parametrize("levels", [DEEPEST - 1, DEEPEST, 150, 200, 250])
def test_what_is_nested_deeper_than_readers_take_is_text(levels: int) -> None:
    nested: Any = "core"
    for _ in range(levels):
        nested = [nested]
    event = {"data": {"arguments": plain_object({"value": nested})}}
    assert pydantic_core.from_json(pydantic_core.to_json(event)) == event
    assert "core" in json.dumps(event)


def test_only_what_is_too_long_is_cut() -> None:
    assert capped({"a": [1, 2]}, 13) == {"a": [1, 2]}
    assert capped({"a": [1, 2]}, 12) == '{"a": [1, 2]… [cut: the first 12 of 13 characters]'
    assert capped("é" * 5, 5) == "é" * 5
    assert capped("é" * 6, 5) == "é" * 5 + "… [cut: the first 5 of 6 characters]"
