"""The page of the chat: every place in it is served, under the same policy, and nothing else is."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client

from chat.pages import CONTENT_SECURITY_POLICY

PLACES = ("/", f"/t/{uuid.UUID(int=7)}", "/settings", "/settings/usage", "/settings/no-such-section")


@pytest.mark.parametrize("path", PLACES)
def test_a_place_of_the_chat_is_the_page(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert b'<div id="chat">' in answer.content
    assert answer["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert answer["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", ["/settings/", "/settings/a/b", "/settings/a.b", "/setting"])
def test_what_is_no_place_is_not_found(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404
