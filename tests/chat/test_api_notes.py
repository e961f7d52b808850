"""What agents remember, over REST."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from chat import notes
from chat.models import Note
from chat.tokens import AccessToken
from tests.chat.test_api_sessions import refused

pytestmark = pytest.mark.django_db
NOTES = "/api/notes"


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def bob() -> Any:
    return get_user_model().objects.create_user("bob")


def asked(client: Client, user: Any, method: str = "get", path: str = NOTES) -> Any:
    return getattr(client, method)(path, headers={"Authorization": f"Bearer {AccessToken.for_user(user)}"})


def pages(client: Client, user: Any, limit: int) -> list[list[str]]:
    found, cursor = [], ""
    while True:
        page = asked(client, user, path=f"{NOTES}?limit={limit}{cursor}").json()
        found.append([note["content"] for note in page["notes"]])
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


def test_notes_come_in_pages_the_newest_first(client: Client, ann: Any, bob: Any) -> None:
    kept = [notes.remember(ann.pk, f"note {number}") for number in range(5)]
    notes.remember(bob.pk, "bob's")
    Note.objects.filter(pk__in=[note.pk for note in kept[1:3]]).update(created_at=kept[1].created_at)
    whole = [note.content for note in notes.notes_of(ann.pk)]
    assert len(whole) == 5
    for limit in (1, 2, 5, 50):
        found = pages(client, ann, limit)
        assert [content for page in found for content in page] == whole
        assert all(len(page) == limit for page in found[:-1])
    [first, *_] = asked(client, ann).json()["notes"]
    assert first.keys() == {"id", "content", "agent", "created_at"}
    assert first["id"] == kept[4].pk


def test_a_note_that_is_made_meanwhile_moves_nothing(client: Client, ann: Any) -> None:
    for number in range(4):
        notes.remember(ann.pk, str(number))
    page = asked(client, ann, path=f"{NOTES}?limit=2").json()
    notes.remember(ann.pk, "new")
    following = asked(client, ann, path=f"{NOTES}?limit=2&cursor={page['next']}").json()
    assert [note["content"] for note in following["notes"]] == ["1", "0"]


def test_one_note_is_forgotten(client: Client, ann: Any, bob: Any) -> None:
    one, other = notes.remember(ann.pk, "one"), notes.remember(ann.pk, "other")
    theirs = notes.remember(bob.pk, "bob's")
    assert asked(client, ann, "delete", f"{NOTES}/{one.pk}").status_code == 204
    for pk in (one.pk, theirs.pk, 0, 10**30):
        refused(asked(client, ann, "delete", f"{NOTES}/{pk}"), 404, "NOTE_NOT_FOUND")
    assert set(Note.objects.all()) == {other, theirs}


def test_all_notes_are_forgotten(client: Client, ann: Any, bob: Any) -> None:
    for user in (ann, ann, bob):
        notes.remember(user.pk, f"note {Note.objects.count()}")
    for _ in range(2):
        assert asked(client, ann, "delete").status_code == 204
    assert [note.user for note in Note.objects.all()] == [bob]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "cursor=x", "cursor=WyIxIl0", "cursor="])
def test_a_page_that_there_cannot_be_is_refused(client: Client, ann: Any, query: str) -> None:
    refused(asked(client, ann, path=f"{NOTES}?{query}"), 400, "INVALID_MESSAGE")


@pytest.mark.parametrize(("method", "path"), [("get", NOTES), ("delete", NOTES), ("delete", f"{NOTES}/1")])
def test_nobody_sees_notes_without_a_token(client: Client, method: str, path: str) -> None:
    refused(getattr(client, method)(path), 401, "NO_TOKEN")
