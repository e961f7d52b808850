"""The access token of an open socket: told when it ends, taken anew, and the end of the socket without that."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth import get_user_model

from chat import token_clock
from chat.tokens import AccessToken
from netra.testing import Netra, Socket, receive, send

pytestmark = pytest.mark.usefixtures("layer")


def token(user: Any, seconds: float) -> str:
    made = AccessToken.for_user(user)
    made.set_exp(lifetime=datetime.timedelta(seconds=seconds))
    return str(made)


async def connected(netra: Netra, user: Any, seconds: float) -> Socket:
    socket = netra.communicator(headers=[(b"authorization", f"Bearer {token(user, seconds)}".encode())])
    assert (await socket.connect(timeout=5))[0]
    assert (await receive(socket))["type"] == "connection_established"
    return socket


async def test_a_socket_is_warned_and_then_closed_with_its_token(netra: Netra) -> None:
    socket = await connected(netra, await netra.user("ann"), 2)
    warning = await receive(socket)
    assert (warning["type"], warning["expires_in"] <= 2) == ("token_expiring", True)
    error = await receive(socket)
    assert (error["type"], error["error_code"]) == ("error_message", "TOKEN_EXPIRED")
    assert (await socket.receive_output(timeout=5))["code"] == 4401


async def test_a_newer_token_takes_its_place(netra: Netra) -> None:
    ann = await netra.user("ann")
    socket = await connected(netra, ann, 2)
    assert (await receive(socket))["type"] == "token_expiring"
    await send(socket, type="refresh_token", token=token(ann, 600), ref="r")
    refreshed = await receive(socket)
    assert (refreshed["type"], refreshed["ref"]) == ("token_refreshed", "r")
    assert 590 <= refreshed["expires_in"] <= 600
    assert refreshed["expires_at"].endswith("Z")
    # A question asked now outlives the first token.
    answered = await netra.ask(socket, "What is 6 * 7?")
    assert answered[-1]["type"] == "agent_completed"
    await receive(socket, "thread_updated")
    assert await socket.receive_nothing(timeout=2.1), "the first token's end means nothing any more"


async def test_what_is_no_newer_token_of_this_user_changes_nothing(netra: Netra) -> None:
    ann, bob, carol = [await netra.user(name) for name in ("ann", "bob", "carol")]
    gone = token(carol, 600)
    await database_sync_to_async(get_user_model().objects.filter(pk=carol.pk).update)(is_active=False)
    socket = await connected(netra, ann, 300)
    for given, code in (
        ("nonsense", "INVALID_TOKEN"),
        (token(ann, -10), "TOKEN_EXPIRED"),
        (token(bob, 600), "INVALID_TOKEN"),
        (gone, "USER_INACTIVE"),
    ):
        await send(socket, type="refresh_token", token=given, ref=code)
        error = await receive(socket)
        assert (error["type"], error["error_code"], error["ref"]) == ("error_message", code, code)
        assert given not in str(error)
    await send(socket, type="ping")
    assert (await receive(socket))["type"] == "pong"


async def test_an_early_refresh_moves_the_warning(netra: Netra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_clock, "WARN_SECONDS", 1.0)
    ann = await netra.user("ann")
    socket = await connected(netra, ann, 600)
    await send(socket, type="refresh_token", token=token(ann, 2))
    assert (await receive(socket))["type"] == "token_refreshed"
    assert (await receive(socket))["type"] == "token_expiring"
    assert (await receive(socket))["error_code"] == "TOKEN_EXPIRED"
