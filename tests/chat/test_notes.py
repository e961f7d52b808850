"""Notes: each person's own, found by words, bounded."""

from __future__ import annotations

from typing import Any

import pytest

from agents.errors import ToolError
from chat import notes

pytestmark = pytest.mark.django_db


def contents(user: Any, query: str = "", limit: int = 10) -> list[str]:
    return [note.content for note in notes.recall(user.pk, query, limit=limit)]


def test_what_is_remembered_is_recalled_newest_first_by_all_of_its_words(ann: Any) -> None:
    for text in ("The Budget is 500", "My budget talk is on Friday", "I like tea"):
        notes.remember(ann.pk, f" {text} ")
    assert contents(ann) == ["I like tea", "My budget talk is on Friday", "The Budget is 500"]
    assert contents(ann, "budget") == ["My budget talk is on Friday", "The Budget is 500"]
    assert contents(ann, "FRIDAY budget") == ["My budget talk is on Friday"]
    assert contents(ann, "coffee") == []
    assert len(contents(ann, limit=2)) == 2


def test_signs_of_a_pattern_are_letters(ann: Any) -> None:
    notes.remember(ann.pk, "100 % of it_all")
    assert contents(ann, "%") == ["100 % of it_all"]
    notes.remember(ann.pk, "something else")
    assert contents(ann, "%") == ["100 % of it_all"]


def test_the_same_again_is_the_same_note(ann: Any) -> None:
    first = notes.remember(ann.pk, "I like tea")
    assert notes.remember(ann.pk, "I like tea").pk == first.pk
    assert len(contents(ann)) == 1


def test_nobody_recalls_or_forgets_what_is_anothers(ann: Any, bob: Any) -> None:
    note = notes.remember(ann.pk, "A secret")
    assert contents(bob) == []
    assert notes.forget(bob.pk, note.pk) is None
    assert contents(ann) == ["A secret"]


def test_what_is_forgotten_is_gone_and_told(ann: Any) -> None:
    note = notes.remember(ann.pk, "I like tea")
    forgotten = notes.forget(ann.pk, note.pk)
    assert forgotten is not None
    assert forgotten.content == "I like tea"
    assert notes.forget(ann.pk, note.pk) is None
    assert contents(ann) == []


@pytest.mark.parametrize(("text", "reason"), [("", "nothing to remember"), (" \x00 ", "nothing"), ("x" * 2001, "2000")])
def test_what_is_no_note_is_refused(ann: Any, text: str, reason: str) -> None:
    with pytest.raises(ToolError, match=reason):
        notes.remember(ann.pk, text)


def test_there_is_an_end_to_it(ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MAX_NOTES", 2)
    notes.remember(ann.pk, "one")
    notes.remember(ann.pk, "two")
    with pytest.raises(ToolError, match="2 notes already"):
        notes.remember(ann.pk, "three")
    assert notes.remember(ann.pk, "one").content == "one"
