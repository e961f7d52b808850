"""Sessions that end everywhere: tokens of REST, open sockets and streams, on any process, whatever the layer loses."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.testing import HttpCommunicator
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from django.test import Client

from chat import removal, rotation, sessions
from chat.credential import Credential
from chat.errors import ConnectionRefused
from chat.models import Session, SessionKind, UserCounters
from chat.own_threads import lock_counters
from chat.publisher import Publisher
from chat.run_event import now
from chat.tokens import AccessToken
from netra.testing import Netra, Socket, receive, send
from tests.chat.test_api_sessions import REFRESH, SIGN_OUT, me, post, refused

END = "/api/me/sessions/end"
PASSWORD = "correct horse battery"


def made(username: str = "ann") -> Any:
    return get_user_model().objects.create_user(username, password=PASSWORD)


def sign_in(client: Client, **fields: str) -> Any:
    return post(client, "/api/auth/token", {"username": "ann", "password": PASSWORD, **fields})


def end(client: Client, access: str) -> Any:
    return post(client, END, Authorization=f"Bearer {access}")


# Tokens


@pytest.mark.django_db
def test_signed_out_everywhere_no_token_of_before_counts(client: Client) -> None:
    made()
    here, there = sign_in(client).json(), sign_in(client, session="cookie").json()
    answer = end(client, here["access"])
    assert (answer.status_code, answer.content, answer.cookies["netra_refresh"].value) == (204, b"", "")
    for tokens in (here, there):
        refused(me(client, tokens["access"]), 401, "INVALID_TOKEN")
    refused(post(client, REFRESH, {"refresh": here["refresh"]}), 401, "INVALID_TOKEN")
    assert set(Session.objects.values_list("ended_by", flat=True)) == {"all"}
    refused(end(client, here["access"]), 401, "INVALID_TOKEN")


@pytest.mark.django_db
def test_who_signs_in_again_is_in_and_others_never_were_out(client: Client) -> None:
    made()
    bob = AccessToken.for_user(made("bob"))
    for _ in range(3):
        tokens = sign_in(client).json()
        assert me(client, tokens["access"]).status_code == 200
        assert post(client, REFRESH, {"refresh": tokens["refresh"]}).status_code == 200
        end(client, tokens["access"])
    assert me(client, str(bob)).status_code == 200


@pytest.mark.django_db
def test_ending_sessions_leaves_what_is_counted_for_the_person(client: Client) -> None:
    ann = made()
    UserCounters.objects.create(user=ann, last_run_number=7, threads_version=9)
    end(client, sign_in(client).json()["access"])
    counters = UserCounters.objects.get(user=ann)
    assert (counters.last_run_number, counters.threads_version, counters.sessions_epoch) == (7, 9, 1)
    with transaction.atomic():
        lock_counters(ann.pk).save(update_fields=["last_run_number", "threads_version"])
    assert UserCounters.objects.get(user=ann).sessions_epoch == 1


@pytest.mark.django_db(transaction=True)
def test_a_refresh_that_is_under_way_while_all_sessions_end_gives_a_token_that_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made()
    tokens = sign_in(Client()).json()
    renew = rotation._renew
    ending = threading.Thread(target=end_elsewhere, args=[tokens["access"]])

    def end_and_renew(*given: Any) -> None:
        ending.start()
        until_somebody_waits()
        renew(*given)

    monkeypatch.setattr(rotation, "_renew", end_and_renew)
    answer = post(Client(), REFRESH, {"refresh": tokens["refresh"]})
    assert answer.status_code == 200, "it was taken for good before the sessions ended"
    ending.join(timeout=10)
    refused(me(Client(), answer.json()["access"]), 401, "INVALID_TOKEN")
    refused(post(Client(), REFRESH, {"refresh": answer.json()["refresh"]}), 401, "INVALID_TOKEN")


def end_elsewhere(access: str) -> None:
    assert end(Client(), access).status_code == 204
    connections.close_all()


def until_somebody_waits() -> None:
    """For a row that this connection has locked."""
    with connection.cursor() as cursor:
        for _ in range(1000):
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            if cursor.fetchone() is not None:
                return
            time.sleep(0.01)
    raise AssertionError("nobody waits")


@pytest.mark.django_db(transaction=True)
def test_a_sign_in_that_is_under_way_while_the_password_changes_gives_nothing_that_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ann = made()

    begin = rotation.begin

    def change_and_begin(*given: Any) -> Any:
        ann.set_password("another password")
        ann.save()
        return begin(*given)

    monkeypatch.setattr(rotation, "begin", change_and_begin)
    tokens = sign_in(Client()).json()
    refused(me(Client(), tokens["access"]), 401, "INVALID_TOKEN")
    refused(post(Client(), REFRESH, {"refresh": tokens["refresh"]}), 401, "INVALID_TOKEN")


@pytest.mark.parametrize(
    ("claims", "credential"),
    [
        ({"hash_password": "A"}, Credential(0, "A")),
        ({"hash_password": "A", "sessions_epoch": 3}, Credential(3, "A")),
        ({"sessions_epoch": 3}, None),
        ({"hash_password": "A", "sessions_epoch": "3"}, None),
        ({"hash_password": "A", "sessions_epoch": True}, None),
        ({"hash_password": None}, None),
        ({"hash_password": "A", "sid": "6" * 32}, Credential(0, "A", uuid.UUID("6" * 32))),
        ({"hash_password": "A", "sid": "../6"}, None),
        ({"hash_password": "A", "sid": ["6" * 32]}, None),
        ({"hash_password": "A", "sid": None}, None),
        ({"hash_password": "A", "sid": 6}, None),
    ],
)
def test_a_token_says_on_what_it_was_issued(claims: dict[str, Any], credential: Credential | None) -> None:
    assert Credential.of_claims(claims) == credential


@pytest.mark.django_db
def test_expired_sessions_are_not_kept(client: Client) -> None:
    made()
    tokens = [sign_in(client).json() for _ in range(3)]
    post(client, SIGN_OUT, {"refresh": tokens[0]["refresh"]})
    first, second, _ = Session.objects.order_by("created_at")
    Session.objects.filter(pk__in=[first.pk, second.pk]).update(expires_at=now())
    assert [sessions.forget_expired(limit=1) for _ in range(3)] == [1, 1, 0]
    assert Session.objects.count() == 1
    assert post(client, REFRESH, {"refresh": tokens[2]["refresh"]}).status_code == 200


# Sockets and streams


def end_all(user: Any) -> None:
    with transaction.atomic():
        sessions.end_all(user.pk, Publisher())


def change_password(user: Any) -> None:
    user.set_password("another password")
    user.save()


def deactivate(user: Any) -> None:
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)


def delete_account(user: Any) -> None:
    removal.delete_account(user.pk, Publisher())


def delete_user(user: Any) -> None:
    user.delete()


async def closed(socket: Socket) -> None:
    """It is told why, and closed."""
    error = await receive(socket, "error_message")
    assert error["error_code"] == "INVALID_TOKEN"
    assert (await socket.receive_output(timeout=5))["code"] == 4401


@pytest.fixture
def checks_often(configure: Callable[..., None]) -> None:
    configure(ws_position_check_seconds=0.1)


@pytest.fixture
def never_checks(configure: Callable[..., None]) -> None:
    """But when it is told to."""
    configure(ws_position_check_seconds=600.0)


HAPPENS = [end_all, change_password, deactivate, delete_account, delete_user]


@pytest.mark.usefixtures("checks_often")
@pytest.mark.parametrize("happens", HAPPENS)
async def test_open_sockets_are_closed_though_nobody_tells_them(
    netra: Netra, monkeypatch: pytest.MonkeyPatch, happens: Any
) -> None:
    ann, bob = await netra.user("ann"), await netra.user("bob")
    sockets, other = [await netra.connect(ann) for _ in range(2)], await netra.connect(bob)
    monkeypatch.setattr(Publisher, "send", nothing_is_sent)
    await database_sync_to_async(happens)(ann)
    for socket in sockets:
        await closed(socket)
    await send(other, type="ping")
    assert (await receive(other))["type"] == "pong"


async def nothing_is_sent(*_: Any) -> None:
    """The layer loses everything."""


@pytest.mark.usefixtures("layer", "never_checks")
async def test_a_socket_that_is_told_looks_at_once(netra: Netra) -> None:
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    await database_sync_to_async(end_all)(ann)
    await closed(socket)


async def test_what_is_told_closes_nothing_while_the_session_lasts(netra: Netra) -> None:
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    await Publisher().send(ann.pk, {"type": sessions.SESSIONS_ENDED})
    await netra.chat.connections.check_positions()
    await send(socket, type="ping")
    assert (await receive(socket))["type"] == "pong"


@pytest.mark.usefixtures("never_checks")
async def test_a_socket_that_took_a_new_token_in_time_stays(netra: Netra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Publisher, "send", nothing_is_sent)
    ann = await netra.user("ann")
    socket = await netra.connect(ann)
    connections_of = netra.chat.connections
    news = connections_of._event_log.news

    async def ended_and_refreshed(known: Any) -> Any:
        """While the check has its answer and looks at nothing yet, the socket gets its token of the new epoch."""
        await database_sync_to_async(end_all)(ann)
        found = await news(known)
        await send(socket, type="refresh_token", token=(await begun(ann)).access)
        assert (await receive(socket))["type"] == "token_refreshed"
        return found

    with monkeypatch.context() as patch:
        patch.setattr(connections_of._event_log, "news", ended_and_refreshed)
        await connections_of.check_positions()
    await connections_of.check_positions()
    await send(socket, type="ping")
    assert (await receive(socket))["type"] == "pong"


async def begun(user: Any) -> rotation.Tokens:
    return await sync_to_async(rotation.begin)(user, SessionKind.PROGRAM, rotation.Origin("", ""))


async def test_an_ended_session_connects_and_refreshes_no_socket(netra: Netra) -> None:
    ann = await netra.user("ann")
    old = (await begun(ann)).access
    await database_sync_to_async(end_all)(ann)
    refused_one = netra.communicator(headers=[(b"authorization", f"Bearer {old}".encode())])
    await refused_one.connect()
    assert (await receive(refused_one))["error_code"] == "INVALID_TOKEN"
    new = (await begun(ann)).access
    socket = netra.communicator(headers=[(b"authorization", f"Bearer {new}".encode())])
    await socket.connect()
    assert (await receive(socket))["type"] == "connection_established"
    await send(socket, type="refresh_token", token=old)
    assert (await receive(socket))["error_code"] == "INVALID_TOKEN"
    await send(socket, type="ping")
    assert (await receive(socket))["type"] == "pong"


@pytest.mark.usefixtures("checks_often")
async def test_a_stream_ends_with_its_session(netra: Netra, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await netra.user("ann")
    headers = [*netra.headers(ann), (b"accept", b"text/event-stream"), (b"host", b"localhost")]
    stream = HttpCommunicator(netra.application, "GET", "/api/events", headers=headers)
    stream.scope["query_string"] = b""
    await stream.send_input({"type": "http.request", "body": b""})
    assert (await stream.receive_output(timeout=5))["status"] == 200
    monkeypatch.setattr(Publisher, "send", nothing_is_sent)
    await database_sync_to_async(end_all)(ann)
    text, more = b"", True
    while more:
        message = await stream.receive_output(timeout=5)
        text, more = text + message["body"], message["more_body"]
    assert b'"error_code":"INVALID_TOKEN"' in text
    await stream.wait()


@pytest.mark.django_db
def test_whose_user_is_gone_has_no_session() -> None:
    ann = made()
    token = AccessToken.for_user(ann)
    credential = Credential.of_claims(token.payload)
    assert credential is not None
    assert sessions.counts(ann.pk, credential)
    ann.delete()
    assert not sessions.counts(ann.pk, credential)
    assert not sessions.counts(ann.pk, Credential(0, "A"))
    with pytest.raises(ConnectionRefused, match="INVALID_TOKEN"):
        sessions.user_of(token)
