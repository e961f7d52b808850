"""docs/identity.md, executed: its classes are made, its settings read, and the class of one's own signs people in."""

from __future__ import annotations

import hashlib
import hmac
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pydantic import SecretStr

from chat.api.urls import urlpatterns
from chat.apps import check_identity_provider
from netra.config import Config, variable
from netra.testing import rebuild
from tests.chat.test_api_sessions import me, post, refused
from tests.examples import blocks_of
from tests.processes import REPOSITORY

BLOCKS = blocks_of(REPOSITORY / "docs" / "identity.md")
EXPORTED = [
    dict(word.split("=", 1) for word in shlex.split(block.text) if "=" in word)
    for block in BLOCKS
    if block.language == "sh"
]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    [block] = [block for block in BLOCKS if block.language == "python"]
    (tmp_path / block.info).write_text(block.text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("tickets", None)


@pytest.fixture
def as_exported(settings: Any) -> Iterator[Any]:
    before = settings.NETRA

    def change(exported: dict[str, str]) -> None:
        by_variable = {variable(name): name for name in Config.model_fields}
        given = {by_variable[name]: value for name, value in exported.items() if name in by_variable}
        assert given.keys() == {by_variable[name] for name in exported if name.startswith("NETRA_")}
        secret = {"identity_provider": SecretStr(given["identity_provider"])}
        settings.NETRA = before.model_copy(update=given | secret)
        rebuild()

    yield change
    settings.NETRA = before
    rebuild()


@pytest.mark.parametrize(
    "exported", EXPORTED, ids=lambda exported: json.loads(exported["NETRA_IDENTITY_PROVIDER"])["BACKEND"]
)
@pytest.mark.usefixtures("module")
def test_each_provider_of_the_page_can_be_made(as_exported: Any, exported: dict[str, str]) -> None:
    as_exported(exported)
    assert check_identity_provider(None) == []


@pytest.mark.django_db
@pytest.mark.usefixtures("module")
def test_the_class_of_ones_own_signs_people_in(client: Client, as_exported: Any) -> None:
    exported = EXPORTED[-1]
    as_exported(exported)
    key = json.loads(exported["NETRA_IDENTITY_PROVIDER"])["OPTIONS"]["key"]
    ticket = f"ann:{hmac.new(key.encode(), b'ann', hashlib.sha256).hexdigest()}"
    tokens = post(client, "/api/auth/exchange", {"token": ticket}).json()
    assert me(client, tokens["access"]).json()["username"] == "ann"
    for wrong in ("bob" + ticket[3:], ticket[:-1], "", ":"):
        refused(post(client, "/api/auth/exchange", {"token": wrong}), 401, "INVALID_TOKEN")


def test_the_request_of_the_page_is_there() -> None:
    assert "auth/exchange" in {str(pattern.pattern) for pattern in urlpatterns}
