"""What a person has chosen for all devices, over REST, and what asking makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from chat import notes
from chat.models import Preferences, Run
from chat.threads import ThreadService
from chat.tokens import AccessToken
from tests.chat.holding import post
from tests.chat.test_api_sessions import refused

pytestmark = pytest.mark.usefixtures("transactional_db")
ME = "/api/me"


def change(client: Client, user: Any, body: Any) -> Any:
    bearer = {"Authorization": f"Bearer {AccessToken.for_user(user)}"}
    return client.patch(ME, body, content_type="application/json", headers=bearer)


def default_agent(client: Client, user: Any) -> Any:
    bearer = {"Authorization": f"Bearer {AccessToken.for_user(user)}"}
    return client.get(ME, headers=bearer).json()["default_agent"]


def agent_asked(service: ThreadService, user: Any, **fields: Any) -> str:
    return Run.objects.get(id=post(service, user, **fields).run_id).agent


def test_a_default_agent_is_kept_for_its_person_alone(client: Client, ann: Any, bob: Any) -> None:
    assert default_agent(client, ann) is None
    assert change(client, ann, {"default_agent": "data"}).json()["default_agent"] == "data"
    assert (default_agent(client, ann), default_agent(client, bob)) == ("data", None)
    assert change(client, ann, {"default_agent": "triage"}).json()["default_agent"] == "triage"
    assert change(client, ann, {"default_agent": None}).json()["default_agent"] is None
    assert default_agent(client, ann) is None


def test_an_agent_that_there_is_not_is_refused_and_changes_nothing(client: Client, ann: Any) -> None:
    change(client, ann, {"default_agent": "data"})
    for name in ("nobody", "Data", "data "):
        refused(change(client, ann, {"default_agent": name}), 404, "AGENT_NOT_FOUND")
    assert default_agent(client, ann) == "data"


@pytest.mark.parametrize("body", [{}, [], {"default_agent": ""}, {"default_agent": 7}, {"default_agent": "a" * 65}])
def test_what_is_no_change_is_refused(client: Client, ann: Any, body: Any) -> None:
    refused(change(client, ann, body), 400, "INVALID_MESSAGE")
    assert not Preferences.objects.exists()


def test_nobody_changes_anything_without_a_token(client: Client) -> None:
    refused(client.patch(ME, {"default_agent": None}, content_type="application/json"), 401, "NO_TOKEN")


def test_who_names_no_agent_asks_the_default_one(service: ThreadService, ann: Any, bob: Any) -> None:
    assert agent_asked(service, ann) == "assistant"
    Preferences.objects.create(user=ann, default_agent="data")
    assert agent_asked(service, ann) == "data"
    assert agent_asked(service, ann, agent="assistant") == "assistant"
    assert agent_asked(service, bob) == "assistant"


def test_a_default_agent_that_is_gone_hinders_nobody(client: Client, service: ThreadService, ann: Any) -> None:
    Preferences.objects.create(user=ann, default_agent="retired")
    assert agent_asked(service, ann) == "assistant"
    assert default_agent(client, ann) == "retired"


def test_the_person_is_told_name_and_address(client: Client, ann: Any) -> None:
    get_user_model().objects.filter(pk=ann.pk).update(email="ann@example.org")
    found = client.get(ME, headers={"Authorization": f"Bearer {AccessToken.for_user(ann)}"}).json()
    assert (found["username"], found["email"]) == ("ann", "ann@example.org")


def test_a_note_says_which_agent_made_it(client: Client, ann: Any) -> None:
    notes.remember(ann.pk, "old")
    notes.remember(ann.pk, "new", agent="data")
    found = client.get("/api/notes", headers={"Authorization": f"Bearer {AccessToken.for_user(ann)}"}).json()
    assert [(note["content"], note["agent"]) for note in found["notes"]] == [("new", "data"), ("old", None)]
