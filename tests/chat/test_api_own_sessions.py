"""Where a person is signed in, over REST: told, and signed out from anywhere."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from django.test import Client

from chat import rotation
from chat.api.sessions import COOKIE
from chat.models import AuditEntry, Session, SessionKind
from chat.rotation import Origin
from chat.run_event import now
from chat.tokens import AccessToken
from tests.chat.test_api_sessions import REFRESH, me, post, refused
from tests.chat.test_rotation import claims
from tests.chat.test_sessions import change_password, deactivate, end_all, made, sign_in

pytestmark = pytest.mark.django_db
SESSIONS = "/api/me/sessions"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def begun(user: Any) -> rotation.Tokens:
    return rotation.begin(user, SessionKind.PROGRAM, Origin("", ""))


def asked(access: str, method: str = "get", path: str = SESSIONS) -> Any:
    return getattr(Client(), method)(path, headers={"Authorization": f"Bearer {access}"})


def listed(access: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(access).json()["sessions"]
    return found


def end(access: str, session_id: object) -> Any:
    return asked(access, "delete", f"{SESSIONS}/{session_id}")


def test_a_person_sees_where_they_are_signed_in() -> None:
    made()
    made("bob")
    page, program = Client(headers={"User-Agent": BROWSER}), Client(headers={"User-Agent": "curl/8"})
    here, there = sign_in(page, session="cookie").json()["access"], sign_in(program).json()["access"]
    sign_in(program, username="bob")
    first, second = listed(here)
    assert (first["kind"], first["agent"], first["current"]) == ("program", "curl/8", False)
    assert (second["kind"], second["agent"], second["current"]) == ("cookie", BROWSER, True)
    assert second["network"] == "127.0.0.1"
    assert [session["current"] for session in listed(there)] == [True, False]
    assert second["id"] == str(uuid.UUID(claims(here)["sid"]))


def test_the_last_use_is_told_and_from_where() -> None:
    made()
    client = Client(headers={"User-Agent": "the first"})
    tokens = sign_in(client).json()
    Session.objects.update(last_used_at=now() - datetime.timedelta(hours=1))
    [before] = listed(tokens["access"])
    elsewhere = Client(headers={"User-Agent": "another"}, REMOTE_ADDR="2001:db8::1:2:3")
    post(elsewhere, REFRESH, {"refresh": tokens["refresh"]})
    [after] = listed(tokens["access"])
    assert after["created_at"] == before["created_at"]
    assert after["last_used_at"] > before["last_used_at"]
    assert (after["agent"], after["network"]) == ("another", "2001:db8::")


@pytest.mark.parametrize("agent", ["x" * 5000, "a\tb\x7f\u202ec", ""])
def test_of_what_a_client_calls_itself_a_part_is_kept(agent: str) -> None:
    """Headers are Latin-1 to a server; what a text of another kind would do is kept out, too."""
    ann = made()
    access = rotation.begin(ann, SessionKind.PROGRAM, Origin(agent, "nowhere")).access
    [session] = listed(access)
    assert session["agent"] == "".join(letter for letter in agent if letter.isprintable())[:200]
    assert session["network"] == ""


@pytest.mark.parametrize("happens", [end_all, change_password, deactivate])
def test_sessions_that_do_not_count_any_more_are_not_told(happens: Any) -> None:
    ann = made()
    begun(ann)
    expired = begun(ann)
    Session.objects.filter(pk=claims(expired.access)["sid"]).update(expires_at=now())
    happens(ann)
    if happens is deactivate:
        type(ann).objects.update(is_active=True)
    ann.refresh_from_db()
    lives = begun(ann)
    found = [session["id"] for session in listed(lives.access) if not session["current"]]
    assert len(found) == (1 if happens is deactivate else 0)


def test_they_come_in_pages() -> None:
    ann = made()
    access = begun(ann).access
    for _ in range(4):
        begun(ann)
    Session.objects.update(created_at=now())
    whole = [session["id"] for session in listed(access)]
    found: list[list[str]] = []
    more = ""
    while len(found) < 4:
        page = asked(access, path=f"{SESSIONS}?limit=2{more}").json()
        found.append([session["id"] for session in page["sessions"]])
        if page["next"] is None:
            break
        more = f"&cursor={page['next']}"
    assert [len(page) for page in found] == [2, 2, 1]
    assert [pk for page in found for pk in page] == whole
    refused(asked(access, path=f"{SESSIONS}?cursor=nonsense"), 400, "INVALID_MESSAGE")


def test_one_that_is_ended_is_signed_out_and_the_others_are_not(client: Client) -> None:
    ann = made()
    here, there, other = begun(ann), begun(ann), begun(ann)
    answer = end(here.access, uuid.UUID(claims(there.access)["sid"]))
    assert (answer.status_code, answer.content) == (204, b"")
    assert COOKIE not in answer.cookies
    refused(me(client, there.access), 401, "INVALID_TOKEN")
    refused(post(client, REFRESH, {"refresh": there.refresh}), 401, "INVALID_TOKEN")
    for tokens in (here, other):
        assert me(client, tokens.access).status_code == 200
    assert len(listed(here.access)) == 2
    entry = AuditEntry.objects.get(action="sign_out")
    assert (entry.actor, entry.subject) == (ann.pk, ann.pk)
    assert entry.details["session"] == str(uuid.UUID(claims(there.access)["sid"]))


def test_who_ends_the_own_session_gives_the_cookie_back(client: Client) -> None:
    made()
    access = sign_in(client, session="cookie").json()["access"]
    answer = end(access, listed(access)[0]["id"])
    assert (answer.status_code, answer.cookies[COOKIE].value) == (204, "")
    refused(me(client, access), 401, "INVALID_TOKEN")


def test_what_has_ended_is_somebody_elses_or_never_was_is_not_found(client: Client) -> None:
    ann, bob = made(), made("bob")
    here, ended, bobs = begun(ann), begun(ann), begun(bob)
    gone = uuid.UUID(claims(ended.access)["sid"])
    assert end(here.access, gone).status_code == 204
    for session_id in (gone, uuid.UUID(claims(bobs.access)["sid"]), uuid.uuid4()):
        refused(end(here.access, session_id), 404, "SESSION_NOT_FOUND")
    refused(end(here.access, "7"), 404, "NOT_FOUND")
    assert me(client, bobs.access).status_code == 200


def test_a_token_without_a_session_is_of_none_of_them() -> None:
    ann = made()
    begun(ann)
    assert [session["current"] for session in listed(str(AccessToken.for_user(ann)))] == [False]
