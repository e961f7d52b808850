from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client

from chat.apps import ChatConfig
from netra.testing import rebuild

PASSWORD = "correct horse battery staple"


@pytest.fixture
def ann(db: None) -> Any:
    return get_user_model().objects.create_user("ann", email="ann@example.org", password=PASSWORD)


@pytest.fixture
def tokens(ann: Any) -> dict[str, str]:
    """What Ann is given when she signs in: `access` and `refresh`."""
    return signed_in("ann")


def signed_in(username: str) -> dict[str, str]:
    given = {"username": username, "password": PASSWORD}
    answer = Client().post("/api/auth/token", given, content_type="application/json")
    assert answer.status_code == 200, answer.content
    found: dict[str, str] = answer.json()
    return found


@pytest.fixture
def as_somebody(db: None) -> Callable[..., Client]:
    """A client of the API with the token of a user of this name, who is made."""

    def made(username: str, **attributes: Any) -> Client:
        get_user_model().objects.create_user(username, password=PASSWORD, **attributes)
        return Client(headers={"Authorization": f"Bearer {signed_in(username)['access']}"})

    return made


@pytest.fixture
async def application(db: None, settings: Any) -> AsyncIterator[Any]:
    """The whole application, without a worker. Its views have database connections of their own: they see no rows of a
    test, and what they write would stay.
    """
    from netra.asgi import Application  # a plugin's settings come first

    rebuild()
    chat = cast("ChatConfig", apps.get_app_config("chat"))
    application = Application(chat, settings.NETRA.model_copy(update={"worker": "external"}))
    application.start()
    yield application
    await application.stop()
    await sync_to_async(connections.close_all)()


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever is tried here, no line has a password or a token."""
    yield
    text = "".join(record.getMessage() + str(record.args) + str(record.exc_info) for record in caplog.records)
    assert PASSWORD not in text
    assert not re.search(r"eyJ[\w-]{10,}\.", text)
