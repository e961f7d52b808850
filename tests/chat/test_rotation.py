"""Refresh tokens: exchanged once, the same answer for whoever asks again at once, and the end of the session later."""

from __future__ import annotations

import datetime
import json
import logging
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.testing import HttpCommunicator
from django.db import connections
from django.db.models import F
from django.test import Client
from rest_framework_simplejwt import tokens as before
from rest_framework_simplejwt.exceptions import TokenError

from chat import rotation, sessions
from chat.api.sessions import COOKIE
from chat.errors import ChatError
from chat.models import AuditEntry, EndedBy, Session, SessionKind
from chat.publisher import Publisher
from chat.rotation import Origin, Tokens
from chat.tokens import AccessToken, RefreshToken
from netra.testing import Netra, Socket, receive, send
from tests.chat.test_api_sessions import REFRESH, SIGN_OUT, me, post, refused
from tests.chat.test_sessions import change_password, deactivate, end_all, made, nothing_is_sent, sign_in

MINUTE = datetime.timedelta(minutes=1)


def refresh(client: Client, token: str) -> Any:
    return post(client, REFRESH, {"refresh": token})


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def time_passes(by: datetime.timedelta = MINUTE) -> None:
    """All that a session knows was so much earlier."""
    for session in Session.objects.all():
        session.replaced = [
            [token, (datetime.datetime.fromisoformat(when) - by).isoformat()] for token, when in session.replaced
        ]
        for name in ("created_at", "issued_at", "last_used_at", "expires_at"):
            setattr(session, name, getattr(session, name) - by)
        session.save()


# One line of tokens


@pytest.mark.django_db
def test_each_refresh_gives_another_token_of_the_same_session(client: Client) -> None:
    made()
    given = [sign_in(client).json()["refresh"]]
    for _ in range(5):
        given.append(refresh(client, given[-1]).json()["refresh"])
        time_passes()
    assert len({claims(token)["jti"] for token in given}) == 6
    assert len({claims(token)["sid"] for token in given}) == 1
    assert Session.objects.get().pk.hex == claims(given[0])["sid"]


@pytest.mark.django_db
def test_who_asks_again_at_once_gets_the_same_token(client: Client) -> None:
    """Another tab, or who has not heard the answer."""
    made()
    first = sign_in(client).json()["refresh"]
    second = refresh(client, first).json()["refresh"]
    assert [refresh(client, first).json()["refresh"] for _ in range(3)] == [second] * 3
    third = refresh(client, second).json()["refresh"]
    assert third != second
    assert refresh(client, first).json()["refresh"] == third, "however far the others are meanwhile"
    assert me(client, refresh(client, third).json()["access"]).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_get_one_token(client: Client) -> None:
    made()
    first = sign_in(client).json()["refresh"]

    def ask(_: int) -> str:
        try:
            return str(refresh(Client(), first).json()["refresh"])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        given = set(pool.map(ask, range(20)))
    assert len(given) == 1
    assert first not in given
    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_a_copy_that_is_used_later_ends_the_session_and_no_other(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    ann, _ = made(), made("bob")
    first, other = sign_in(client).json(), sign_in(client).json()
    bobs = sign_in(client, username="bob").json()
    second = refresh(client, first["refresh"]).json()
    time_passes()
    caplog.set_level(logging.WARNING)
    body = refused(refresh(client, first["refresh"]), 401, "TOKEN_REUSED")
    assert "session has ended" in body["error_message"]
    for tokens in (first, second):
        refused(me(client, tokens["access"]), 401, "INVALID_TOKEN")
        refused(refresh(client, tokens["refresh"]), 401, "INVALID_TOKEN")
    for tokens in (other, bobs):
        assert me(client, tokens["access"]).status_code == 200
        assert refresh(client, tokens["refresh"]).status_code == 200
    session = Session.objects.get(pk=claims(first["refresh"])["sid"])
    assert session.ended_by == "reuse"
    entry = AuditEntry.objects.get(action="token_reused")
    assert (entry.subject, entry.actor, entry.details["session"]) == (ann.pk, None, str(session.pk))
    [line] = [each.msg for each in caplog.records if isinstance(each.msg, dict) and each.levelno == logging.WARNING]
    assert line["event"] == "refresh_token_reused"
    assert (line["user_id"], line["session_id"]) == (str(ann.pk), str(session.pk))
    told = f"{caplog.text}{[each.msg for each in caplog.records]}{body}{entry.details}"
    assert not [token for token in (first["refresh"], second["refresh"]) if token in told]


@pytest.mark.django_db
def test_without_a_grace_the_second_use_ends_the_session(client: Client, configure: Callable[..., None]) -> None:
    configure(refresh_grace_seconds=0.0)
    made()
    first = sign_in(client).json()["refresh"]
    assert refresh(client, first).status_code == 200
    refused(refresh(client, first), 401, "TOKEN_REUSED")


@pytest.mark.django_db
def test_a_token_of_the_session_that_was_never_given_ends_it(client: Client) -> None:
    """Whoever has the key, and knows a session, has yet to know its token."""
    made()
    token = RefreshToken(sign_in(client).json()["refresh"])
    token["jti"] = uuid.uuid4().hex
    refused(refresh(client, str(token)), 401, "TOKEN_REUSED")


@pytest.mark.django_db
def test_what_a_session_remembers_of_its_tokens_is_bounded(client: Client) -> None:
    made()
    token = sign_in(client).json()["refresh"]
    for _ in range(rotation.MAX_REPLACED + 5):
        token = refresh(client, token).json()["refresh"]
    assert len(Session.objects.get().replaced) == rotation.MAX_REPLACED
    time_passes()
    refresh(client, token)
    assert len(Session.objects.get().replaced) == 1


@pytest.mark.django_db
def test_tabs_with_one_cookie_stay_in(client: Client) -> None:
    """The answer of the first did not come before the second asked."""
    made()
    sign_in(client, session="cookie")
    shared = client.cookies[COOKIE].value
    first = post(client, REFRESH).cookies[COOKIE].value
    client.cookies[COOKIE] = shared
    assert post(client, REFRESH).cookies[COOKIE].value == first != shared
    time_passes()
    assert post(client, REFRESH).status_code == 200


# How long


@pytest.mark.django_db
def test_use_puts_the_end_off_up_to_a_bound(client: Client) -> None:
    made()
    token = sign_in(client, session="cookie").cookies[COOKIE].value
    began = claims(token)["iat"]
    for day in range(10, 90, 10):
        time_passes(datetime.timedelta(days=10))
        answer = refresh(client, token)
        token = answer.json()["refresh"]
        left = claims(token)["exp"] - claims(token)["iat"]
        assert abs(left - min(14, 90 - day) * 86_400) <= 2
        assert claims(token)["iat"] - began < 5, "only the session has become older, no clock"
    time_passes(datetime.timedelta(days=10))
    refused(refresh(client, token), 401, "INVALID_TOKEN")


@pytest.mark.django_db
def test_no_access_token_outlives_its_session(client: Client) -> None:
    made()
    token = sign_in(client).json()["refresh"]
    time_passes(datetime.timedelta(days=13))
    Session.objects.update(created_at=F("created_at") - datetime.timedelta(days=77, seconds=-60))
    answer = refresh(client, token).json()
    assert 50 <= answer["expires_in"] <= 60
    assert claims(answer["access"])["exp"] == claims(answer["refresh"])["exp"]


# What ends it


@pytest.mark.django_db
@pytest.mark.parametrize("happens", [end_all, change_password, deactivate])
def test_what_ends_all_sessions_is_told_within_the_grace_too(client: Client, happens: Any) -> None:
    ann = made()
    first = sign_in(client).json()["refresh"]
    second = refresh(client, first).json()["refresh"]
    happens(ann)
    for token in (first, second):
        refused(refresh(client, token), 401, "INVALID_TOKEN")
    assert not AuditEntry.objects.filter(action="token_reused").exists()


@pytest.mark.django_db(transaction=True)
def test_of_a_refresh_and_a_sign_out_at_once_no_token_lives(client: Client) -> None:
    made()
    for _ in range(10):
        first = sign_in(client).json()

        def sign_out(token: str = first["refresh"]) -> None:
            assert post(Client(), SIGN_OUT, {"refresh": token}).status_code == 204
            connections.close_all()

        def ask(token: str = first["refresh"]) -> dict[str, str]:
            answer = refresh(Client(), token)
            connections.close_all()
            return dict(answer.json())

        with ThreadPoolExecutor(2) as pool:
            asked, out = pool.submit(ask), pool.submit(sign_out)
            out.result()
            for tokens in (first, asked.result()):
                if "access" in tokens:
                    refused(me(client, tokens["access"]), 401, "INVALID_TOKEN")
                    refused(refresh(client, tokens["refresh"]), 401, "INVALID_TOKEN")


# Tokens of releases before sessions


def token_before(user: Any) -> str:
    return str(before.RefreshToken.for_user(user))


@pytest.mark.django_db
def test_a_token_of_before_is_taken_into_a_session(client: Client) -> None:
    ann = made()
    old = token_before(ann)
    client.cookies[COOKIE] = old
    first = post(client, REFRESH).cookies[COOKIE].value
    assert refresh(client, old).json()["refresh"] == first
    session = Session.objects.get()
    assert (session.user, session.kind) == (ann, "cookie")
    assert claims(first)["sid"] == claims(old)["jti"]
    time_passes()
    refused(refresh(client, old), 401, "TOKEN_REUSED")
    refused(refresh(client, first), 401, "INVALID_TOKEN")
    refused(refresh(client, old), 401, "INVALID_TOKEN")
    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_a_token_of_before_that_was_signed_out_there_is_no_token_here(client: Client) -> None:
    old = before.RefreshToken.for_user(made())
    old.blacklist()
    refused(refresh(client, str(old)), 401, "INVALID_TOKEN")
    assert not Session.objects.exists()


@pytest.mark.django_db
def test_a_token_of_before_signs_out_whether_it_was_used_or_not(client: Client) -> None:
    ann = made()
    unused, used = token_before(ann), token_before(ann)
    access = refresh(client, used).json()["access"]
    for token in (unused, used):
        assert post(client, SIGN_OUT, {"refresh": token}).status_code == 204
        refused(refresh(client, token), 401, "INVALID_TOKEN")
        with pytest.raises(TokenError):
            before.RefreshToken(token)  # type: ignore[arg-type]  # as a process of that release reads it
    refused(me(client, access), 401, "INVALID_TOKEN")


@pytest.mark.django_db
def test_a_process_of_before_takes_tokens_of_a_session(client: Client) -> None:
    """Both releases serve during an upgrade."""
    made()
    token = before.RefreshToken(sign_in(client).json()["refresh"])
    assert me(client, str(token.access_token)).status_code == 200


# Sockets and streams


async def begun(user: Any) -> Tokens:
    return await sync_to_async(rotation.begin)(user, SessionKind.PROGRAM, Origin("", ""))


async def opened(netra: Netra, access: str) -> Socket:
    socket = netra.communicator(headers=[(b"authorization", f"Bearer {access}".encode())])
    await socket.connect(timeout=5)
    assert (await receive(socket))["type"] == "connection_established"
    return socket


@database_sync_to_async
def sign_out(token: str) -> None:
    rotation.sign_out(token, Publisher())


@database_sync_to_async
def reuse(token: str) -> None:
    rotation.rotate(token, SessionKind.PROGRAM, Origin("", ""), Publisher())
    time_passes()
    with pytest.raises(ChatError, match="TOKEN_REUSED"):
        rotation.rotate(token, SessionKind.PROGRAM, Origin("", ""), Publisher())


@database_sync_to_async
def end_from_elsewhere(token: str) -> None:
    session = Session.objects.get(pk=claims(token)["sid"])
    assert sessions.end_one(session.pk, EndedBy.PERSON, Publisher(), user=session.user_id)


async def assert_closed(socket: Socket) -> None:
    error = await receive(socket, "error_message")
    assert error["error_code"] == "INVALID_TOKEN"
    assert (await socket.receive_output(timeout=5))["code"] == 4401


@pytest.mark.parametrize("end", [sign_out, reuse, end_from_elsewhere])
@pytest.mark.parametrize("told", [True, False])
async def test_the_sockets_of_an_ended_session_are_closed_and_no_others(
    netra: Netra, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch, end: Any, told: bool
) -> None:
    netra.chat.connections._check_seconds = 600.0 if told else 0.05
    if not told:
        monkeypatch.setattr(Publisher, "send", nothing_is_sent)
    ann, bob = await netra.user("ann"), await netra.user("bob")
    here, there, bobs = await begun(ann), await begun(ann), await begun(bob)
    sockets = [await opened(netra, here.access) for _ in range(2)]
    others = [await opened(netra, tokens.access) for tokens in (there, bobs)]
    await end(here.refresh)
    for socket in sockets:
        await assert_closed(socket)
    await netra.chat.connections.check_positions()
    for socket in others:
        await send(socket, type="ping")
        assert (await receive(socket))["type"] == "pong"


async def test_a_stream_ends_with_its_session(netra: Netra) -> None:
    tokens = await begun(await netra.user("ann"))
    headers = [(b"accept", b"text/event-stream"), (b"host", b"localhost")]
    headers.append((b"authorization", f"Bearer {tokens.access}".encode()))
    stream = HttpCommunicator(netra.application, "GET", "/api/events", headers=headers)
    stream.scope["query_string"] = b""
    await stream.send_input({"type": "http.request", "body": b""})
    assert (await stream.receive_output(timeout=5))["status"] == 200
    await sign_out(tokens.refresh)
    text, more = b"", True
    while more:
        message = await stream.receive_output(timeout=5)
        text, more = text + message["body"], message["more_body"]
    assert b'"error_code":"INVALID_TOKEN"' in text
    await stream.wait()


async def test_an_ended_session_opens_nothing(netra: Netra) -> None:
    ann = await netra.user("ann")
    gone, lives = await begun(ann), await begun(ann)
    await sign_out(gone.refresh)
    refused_one = netra.communicator(headers=[(b"authorization", f"Bearer {gone.access}".encode())])
    await refused_one.connect()
    assert (await receive(refused_one))["error_code"] == "INVALID_TOKEN"
    socket = await opened(netra, lives.access)
    await send(socket, type="refresh_token", token=gone.access)
    assert (await receive(socket))["error_code"] == "INVALID_TOKEN"


async def test_a_socket_belongs_to_the_session_of_the_token_that_it_took_last(netra: Netra) -> None:
    """It is the same person: another session of theirs may keep the socket."""
    ann = await netra.user("ann")
    here, there = await begun(ann), await begun(ann)
    socket = await opened(netra, here.access)
    await send(socket, type="refresh_token", token=there.access)
    assert (await receive(socket))["type"] == "token_refreshed"
    await sign_out(here.refresh)
    await netra.chat.connections.check_positions()
    await send(socket, type="ping")
    assert (await receive(socket))["type"] == "pong"
    await sign_out(there.refresh)
    await assert_closed(socket)


async def test_all_sockets_are_checked_by_one_query(netra: Netra, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await netra.user("ann")
    tokens = [await begun(ann) for _ in range(3)]
    sockets = [await opened(netra, each.access) for each in tokens]
    asked: list[str] = []
    news = netra.chat.event_log.news

    async def counted(known: str) -> Any:
        asked.append(known)
        return await news(known)

    monkeypatch.setattr(netra.chat.event_log, "news", counted)
    await netra.chat.connections.check_positions()
    [known] = asked
    assert len(json.loads(known)) == len(sockets) == 3
    assert all(str(uuid.UUID(claims(each.access)["sid"])) in known for each in tokens)


@pytest.mark.django_db
def test_who_is_signed_in_is_found_by_one_query(client: Client, django_assert_num_queries: Any) -> None:
    made()
    access = AccessToken(sign_in(client).json()["access"])
    with django_assert_num_queries(1):
        sessions.user_of(access)
