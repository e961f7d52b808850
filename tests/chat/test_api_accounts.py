"""Accounts over REST: what is offered, registering, and passwords changed or forgotten."""

from __future__ import annotations

import functools
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.tokens import default_token_generator
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.http import urlsafe_base64_encode
from pydantic import SecretStr

from chat import passwords, sweep
from chat.api.sessions import COOKIE
from chat.models import ClaimedName, ResetRequest
from chat.pages import CONTENT_SECURITY_POLICY
from chat.run_event import now
from netra import email_url
from tests.certificates import write_certificate
from tests.chat.test_api_sessions import ME, REFRESH, me, post, refused
from tests.settings import QuickHasher
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

OPTIONS, REGISTER, SIGN_IN = "/api/auth/options", "/api/auth/register", "/api/auth/token"
RESET, CONFIRM, CHANGE = "/api/auth/password/reset", "/api/auth/password/reset/confirm", "/api/me/password"
OLD, NEW = "correct horse battery", "staple correct horse"
ADDRESS = "ann@example.org"
LINK = re.compile(r"https://chat\.example/reset/([\w-]+)/([\w-]+)")


@pytest.fixture
def change_settings(settings: Any) -> Callable[..., None]:
    def change(**changes: Any) -> None:
        settings.NETRA = settings.NETRA.model_copy(update=changes)

    return change


@pytest.fixture
def is_open(change_settings: Callable[..., None]) -> None:
    change_settings(registration="open")


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann", ADDRESS, OLD)


def register(client: Client, username: str = "ann", *, email: str = ADDRESS, **fields: Any) -> Any:
    return post(client, REGISTER, {"username": username, "email": email, "password": OLD, **fields})


def sign_in(client: Client, username: str = "ann", password: str = OLD, **headers: str) -> Any:
    return post(client, SIGN_IN, {"username": username, "password": password}, **headers)


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access']}"}


# What is offered


def test_a_page_is_told_what_works_here(client: Client, change_settings: Callable[..., None]) -> None:
    closed = client.get(OPTIONS).json()
    assert (closed["registration"], closed["password_reset"]) == (False, False)
    assert len(closed["password_rules"]) == 4
    assert any("at least 8 characters" in rule for rule in closed["password_rules"])
    change_settings(registration="open", email_url=SecretStr("console:"))
    opened = client.get(OPTIONS).json()
    assert (opened["registration"], opened["password_reset"]) == (True, True)


@pytest.mark.parametrize("path", ["/", "/register", "/forgot", "/reset"])
def test_each_place_of_the_entrance_is_the_page_of_the_chat(client: Client, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert page["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert page.content == client.get("/").content


# Registering


def test_nobody_registers_where_it_is_not_allowed(client: Client) -> None:
    refused(register(client), 403, "REGISTRATION_CLOSED")
    assert not get_user_model().objects.exists()


@pytest.mark.usefixtures("is_open")
def test_who_registers_is_signed_in(client: Client) -> None:
    answer = register(client, "  ann ")
    assert answer.status_code == 201
    assert answer.json().keys() == {"access", "refresh", "expires_in"}
    assert me(client, answer.json()["access"]).json()["username"] == "ann"
    user = get_user_model().objects.get()
    assert (user.email, user.is_staff, user.is_superuser, user.check_password(OLD)) == (ADDRESS, False, False, True)
    assert sign_in(client).status_code == 200


@pytest.mark.usefixtures("is_open")
@pytest.mark.parametrize("fields", [{}, {"email": None}])
def test_who_gives_no_address_has_none(client: Client, fields: dict[str, Any]) -> None:
    assert post(client, REGISTER, {"username": "ann", "password": OLD, **fields}).status_code == 201
    assert get_user_model().objects.get().email == ""


@pytest.mark.usefixtures("is_open")
def test_a_page_that_registers_gets_the_cookie(client: Client) -> None:
    answer = register(client, session="cookie")
    assert answer.json().keys() == {"access", "expires_in"}
    assert answer.cookies[COOKIE]["httponly"]
    assert post(client, REFRESH).status_code == 200


@pytest.mark.usefixtures("is_open")
@pytest.mark.parametrize("taken", ["ann", "Ann", "ANN", "\uff21nn", "\u0430nn"])
def test_the_same_name_in_other_writing_is_taken(client: Client, ann: Any, taken: str) -> None:
    refused(register(client, taken, email="other@example.org"), 409, "NAME_TAKEN")
    assert get_user_model().objects.count() == 1


@pytest.mark.usefixtures("is_open")
def test_whether_somebody_has_the_address_changes_nothing(client: Client, ann: Any) -> None:
    with CaptureQueriesContext(connection) as known:
        answers = [register(client, "bob", email=ADDRESS)]
    with CaptureQueriesContext(connection) as unknown:
        answers.append(register(client, "bab", email="new@example.org"))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json().keys() == answers[1].json().keys()
    assert len(known) == len(unknown), "the same work"


@pytest.mark.usefixtures("is_open")
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"username": "a b"}, "username"),
        ({"username": "deleted:7"}, "username"),
        ({"username": "a" * 151}, "username"),
        ({"username": "<b>"}, "username"),
        ({"username": ""}, "username"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b@c.org"}, "email"),
        ({"email": ""}, "email"),
        ({"email": "ann@example.org\nBcc: bob@example.org"}, "email"),
        ({"password": ""}, "password"),
        ({"password": "x" * 4097}, "password"),
        ({"session": "forever"}, "session"),
    ],
)
def test_what_is_no_registration_says_which_field(client: Client, fields: dict[str, Any], field: str) -> None:
    given = {"username": "ann", "email": ADDRESS, "password": OLD, **fields}
    body = refused(post(client, REGISTER, given), 400, "INVALID_MESSAGE")
    assert [problem["field"] for problem in body["details"]["problems"]] == [field]
    assert OLD not in str(body)


@pytest.mark.usefixtures("is_open")
@pytest.mark.parametrize("weak", ["short", "password123", "8417290635", "ann@example", "annannann"])
def test_a_weak_password_is_refused_with_all_that_is_wrong(client: Client, weak: str) -> None:
    given = {"username": "annann", "email": ADDRESS, "password": weak}
    problems = refused(post(client, REGISTER, given), 400, "PASSWORD_TOO_WEAK")["details"]["problems"]
    assert problems
    assert {problem["field"] for problem in problems} == {"password"}
    assert not get_user_model().objects.exists()


@pytest.mark.usefixtures("is_open")
@pytest.mark.parametrize("path", [REGISTER, RESET, CONFIRM])
def test_pages_of_other_sites_reach_nothing(client: Client, path: str) -> None:
    refused(post(client, path, {}, Origin="https://evil.example"), 403, "ORIGIN_NOT_ALLOWED")
    refused(client.post(path, "a=b", content_type="text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.usefixtures("is_open", "transactional_db")
def test_of_two_who_register_one_name_at_once_one_has_it(
    at_once: Callable[[list[Callable[[], Any]]], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    both_have_looked = threading.Barrier(2)
    hashed = get_user_model().set_password

    def wait_and_hash(user: Any, password: str) -> None:
        both_have_looked.wait(timeout=10)
        hashed(user, password)

    monkeypatch.setattr(get_user_model(), "set_password", wait_and_hash)
    for names in (("ann", "ann"), ("bob", "BOB")):
        answers = at_once([functools.partial(register, Client(), name) for name in names])
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        refused(next(answer for answer in answers if answer.status_code == 409), 409, "NAME_TAKEN")
    assert get_user_model().objects.count() == ClaimedName.objects.count() == 2


def test_who_is_made_by_others_has_the_name_too(client: Client, change_settings: Callable[..., None]) -> None:
    change_settings(registration="open")
    user = get_user_model().objects.create_user("Ann")
    refused(register(client, "ann"), 409, "NAME_TAKEN")
    user.username = "anna"
    user.save()
    assert register(client, "ann").status_code == 201
    refused(register(client, "ANNA"), 409, "NAME_TAKEN")
    user.delete()
    assert register(client, "ANNA").status_code == 201


def test_an_administrator_may_make_a_twin_who_keeps_a_name_of_their_own(client: Client, ann: Any) -> None:
    get_user_model().objects.create_user("ANN", password=NEW)
    assert me(client, sign_in(client, "ann").json()["access"]).json()["id"] == str(ann.pk)
    assert me(client, sign_in(client, "ANN", NEW).json()["access"]).json()["username"] == "ANN"


@pytest.mark.parametrize("written", ["ANN", " Ann", "\u0430nn"])
def test_one_signs_in_with_the_name_in_any_writing(client: Client, ann: Any, written: str) -> None:
    assert me(client, sign_in(client, written).json()["access"]).json()["username"] == "ann"


# Changing the password


def test_a_changed_password_ends_all_sessions_but_the_new_one(client: Client, ann: Any) -> None:
    here, there = sign_in(client).json(), sign_in(client).json()
    answer = post(client, CHANGE, {"old_password": OLD, "new_password": NEW}, **bearer(here))
    new = answer.json()
    assert (answer.status_code, new.keys()) == (200, {"access", "refresh", "expires_in"})
    for tokens in (here, there):
        refused(me(client, tokens["access"]), 401, "INVALID_TOKEN")
        refused(post(client, REFRESH, {"refresh": tokens["refresh"]}), 401, "INVALID_TOKEN")
    assert me(client, new["access"]).status_code == 200
    assert post(client, REFRESH, {"refresh": new["refresh"]}).status_code == 200
    refused(sign_in(client), 401, "INVALID_CREDENTIALS")
    assert sign_in(client, password=NEW).status_code == 200


def test_a_page_that_changes_it_gets_the_new_cookie(client: Client, ann: Any) -> None:
    tokens = sign_in(client).json()
    given = {"old_password": OLD, "new_password": NEW, "session": "cookie"}
    answer = post(client, CHANGE, given, **bearer(tokens))
    assert answer.json().keys() == {"access", "expires_in"}
    assert answer.cookies[COOKIE]["path"] == "/api/auth"
    assert post(client, REFRESH).status_code == 200


def test_who_does_not_know_the_old_password_changes_nothing(client: Client, ann: Any) -> None:
    tokens = sign_in(client).json()
    refused(post(client, CHANGE, {"old_password": "no", "new_password": NEW}, **bearer(tokens)), 403, "WRONG_PASSWORD")
    weak = post(client, CHANGE, {"old_password": OLD, "new_password": "short"}, **bearer(tokens))
    assert refused(weak, 400, "PASSWORD_TOO_WEAK")["details"]["problems"][0]["field"] == "new_password"
    assert me(client, tokens["access"]).status_code == 200
    refused(post(client, CHANGE, {"old_password": OLD, "new_password": NEW}), 401, "NO_TOKEN")


def test_a_stolen_token_guesses_the_password_only_so_often(client: Client, ann: Any) -> None:
    tokens = sign_in(client).json()
    guess = {"old_password": "no", "new_password": NEW}
    for _ in range(5):
        refused(post(client, CHANGE, guess, **bearer(tokens)), 403, "WRONG_PASSWORD")
    answer = post(client, CHANGE, {"old_password": OLD, "new_password": NEW}, **bearer(tokens))
    refused(answer, 429, "RATE_LIMITED")
    assert 1 <= int(answer["Retry-After"]) <= 61
    deleting = client.delete(ME, {"password": OLD}, content_type="application/json", headers=bearer(tokens))
    refused(deleting, 429, "RATE_LIMITED")


@pytest.mark.usefixtures("transactional_db")
def test_of_two_changes_at_once_one_counts(
    at_once: Callable[[list[Callable[[], Any]]], list[Any]], monkeypatch: pytest.MonkeyPatch, ann: Any
) -> None:
    tokens = sign_in(Client()).json()
    both_have_looked = threading.Barrier(2)

    def wait_and_hash(password: str) -> str:
        both_have_looked.wait(timeout=10)
        return make_password(password)

    monkeypatch.setattr(passwords, "make_password", wait_and_hash)
    wishes = [{"old_password": OLD, "new_password": f"{NEW} {number}"} for number in range(2)]
    answers = at_once([functools.partial(post, Client(), CHANGE, wish, **bearer(tokens)) for wish in wishes])
    assert sorted(answer.status_code for answer in answers) == [200, 403]
    winner = next(wish for wish, answer in zip(wishes, answers, strict=True) if answer.status_code == 200)
    assert sign_in(Client(), password=winner["new_password"]).status_code == 200


# Guessing at the sign-in


def test_guesses_are_slowed_down_alike_for_names_that_there_are_and_that_there_are_not(
    client: Client, ann: Any
) -> None:
    for name in ("ann", "nobody"):
        for _ in range(5):
            refused(sign_in(client, name, "no"), 401, "INVALID_CREDENTIALS")
        answer = sign_in(client, name.upper(), OLD)
        body = refused(answer, 429, "RATE_LIMITED")
        assert 1 <= int(answer["Retry-After"]) <= 61
        assert name not in str(body)


def test_a_guess_takes_the_same_work_whoever_there_is(
    client: Client, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_user_model().objects.create_user("carl", password=OLD, is_active=False)
    get_user_model().objects.create_user("dora")  # who has no password at all
    hashings: list[str] = []
    encode = QuickHasher.encode

    def counted(*arguments: Any) -> str:
        hashings.append("once more")
        return encode(*arguments)

    monkeypatch.setattr(QuickHasher, "encode", counted)
    work = []
    for name in ("ann", "ANN", "nobody", "carl", "dora"):
        hashings.clear()
        with CaptureQueriesContext(connection) as queries:
            refused(sign_in(client, name, "no"), 401, "INVALID_CREDENTIALS")
        work.append((len(queries), len(hashings)))
    assert len(set(work)) == 1, work
    # The name, the user, whom it is about, and the entry of the audit log.
    assert work[0] == (4, 1)


@pytest.mark.parametrize("is_trusted", [True, False])
def test_where_a_guess_comes_from_is_said_by_a_trusted_proxy_only(
    client: Client, ann: Any, change_settings: Callable[..., None], is_trusted: bool
) -> None:
    change_settings(trusted_proxy=is_trusted)
    for number in range(5):
        # What stands before the proxy's own word is the client's.
        sign_in(client, "ann", "no", **{"X-Forwarded-For": f"192.0.2.{number}, 198.51.100.1"})
    elsewhere = {"X-Forwarded-For": "198.51.100.1, 198.51.100.2"}
    assert sign_in(client, "ann", OLD, **elsewhere).status_code == (200 if is_trusted else 429)
    if is_trusted:
        refused(sign_in(client, "ann", OLD, **{"X-Forwarded-For": "198.51.100.1"}), 429, "RATE_LIMITED")


@pytest.mark.usefixtures("is_open")
def test_an_address_registers_only_so_many(client: Client) -> None:
    statuses = [register(client, f"person-{number}").status_code for number in range(21)]
    assert statuses == [201] * 20 + [429]


# Forgetting the password


@pytest.fixture
def sends_mails(change_settings: Callable[..., None]) -> None:
    change_settings(email_url=SecretStr("smtp://mail"), public_url="https://chat.example")


@pytest.fixture
def mail_server(settings: Any, sends_mails: None) -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        use(settings, f"smtp://u:p%40@127.0.0.1:{server.port}")
        yield server


def use(settings: Any, url: str) -> None:
    mail = email_url.settings_of(url)
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = mail.backend, mail.host, mail.port
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = mail.user, mail.password
    settings.EMAIL_USE_SSL, settings.EMAIL_USE_TLS = mail.tls, mail.starttls
    settings.DEFAULT_FROM_EMAIL = "Netra <n@example.org>"


def send_due() -> None:
    """What a worker does with the jobs of the requests."""
    for request_id in ResetRequest.objects.values_list("id", flat=True):
        passwords.send_reset_mail(request_id)


def link_for(client: Client, server: SmtpServer, address: str = ADDRESS) -> tuple[str, str]:
    """What the link in the mail has."""
    assert post(client, RESET, {"email": address}, Host="testserver").status_code == 202
    send_due()
    found = LINK.search(server.wait_for_mail().text)
    assert found is not None
    return found[1], found[2]


def test_without_a_mail_server_reset_is_off_and_says_so(client: Client, ann: Any) -> None:
    refused(post(client, RESET, {"email": ADDRESS}), 403, "RESET_NOT_OFFERED")
    assert not ResetRequest.objects.exists()


def test_the_link_of_the_mail_gives_a_new_password_once(client: Client, ann: Any, mail_server: SmtpServer) -> None:
    tokens = sign_in(client).json()
    uid, token = link_for(client, mail_server)
    page = client.get(f"/reset/{uid}/{token}")
    assert page.status_code == 200
    assert page["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert (page["Referrer-Policy"], page["Cache-Control"]) == ("no-referrer", "no-store"), "nobody learns of the link"
    weak = post(client, CONFIRM, {"uid": uid, "token": token, "password": "short"})
    refused(weak, 400, "PASSWORD_TOO_WEAK")
    assert post(client, CONFIRM, {"uid": uid, "token": token, "password": NEW}).status_code == 204
    refused(me(client, tokens["access"]), 401, "INVALID_TOKEN")
    refused(post(client, REFRESH, {"refresh": tokens["refresh"]}), 401, "INVALID_TOKEN")
    assert sign_in(client, password=NEW).status_code == 200
    refused(post(client, CONFIRM, {"uid": uid, "token": token, "password": OLD}), 400, "INVALID_RESET_LINK")


def test_the_mail_says_who_it_is_for_and_comes_from_us(client: Client, ann: Any, mail_server: SmtpServer) -> None:
    post(client, RESET, {"email": "ANN@Example.org"})
    send_due()
    mail = mail_server.wait_for_mail()
    assert (mail.sender, mail.recipients, mail.credentials) == ("n@example.org", (ADDRESS,), "\x00u\x00p@")
    assert (mail.message["From"], mail.message["To"]) == ("Netra <n@example.org>", ADDRESS)
    assert "ann:\nhttps://chat.example/reset/" in mail.text
    assert "60 minutes" in mail.text
    assert not ResetRequest.objects.exists()


def test_the_host_of_a_request_is_not_in_the_link(client: Client, ann: Any, mail_server: SmtpServer) -> None:
    answer = post(client, RESET, {"email": ADDRESS}, Host="localhost", **{"X-Forwarded-Host": "evil.example"})
    assert answer.status_code == 202
    send_due()
    text = mail_server.wait_for_mail().text
    assert re.findall(r"https?://[^/\s]+", text) == ["https://chat.example"]


def test_nobody_learns_whether_there_is_such_a_person(client: Client, ann: Any, mail_server: SmtpServer) -> None:
    answers, queries = [], []
    for address in (ADDRESS, "nobody@example.org"):
        with CaptureQueriesContext(connection) as captured:
            answers.append(post(client, RESET, {"email": address}))
        queries.append([re.sub(r"'[^']*'|\d+", "?", query["sql"]) for query in captured])
    assert [(answer.status_code, answer.content) for answer in answers] == [(202, b"")] * 2
    assert queries[0] == queries[1], "the same work"
    assert "auth_user" not in str(queries), "nobody is looked for while the request is answered"
    send_due()
    assert mail_server.wait_for_mail().recipients == (ADDRESS,)
    assert (mail_server.mails.empty(), ResetRequest.objects.exists()) == (True, False)


@pytest.mark.parametrize(
    "attributes", [{"is_active": False}, {"email": ""}, {"email": "ann@example.com"}, {"password": "!"}]
)
def test_who_may_not_sign_in_gets_no_mail(
    client: Client, ann: Any, mail_server: SmtpServer, attributes: dict[str, Any]
) -> None:
    get_user_model().objects.filter(pk=ann.pk).update(**attributes)
    assert post(client, RESET, {"email": ADDRESS}).status_code == 202
    send_due()
    assert mail_server.mails.empty()


def test_accounts_of_one_address_get_one_mail(client: Client, ann: Any, mail_server: SmtpServer) -> None:
    for number in range(12):
        get_user_model().objects.create_user(f"other-{number}", ADDRESS, OLD)
    post(client, RESET, {"email": ADDRESS})
    send_due()
    links = LINK.findall(mail_server.wait_for_mail().text)
    assert len(links) == len(set(links)) == 10
    assert default_token_generator.check_token(ann, links[0][1]), "who was first is first"
    assert mail_server.mails.empty()


@pytest.mark.parametrize("change", ["uid", "token", "nobody", "garbage", "late", "other password", "inactive"])
def test_no_other_link_works(client: Client, ann: Any, mail_server: SmtpServer, settings: Any, change: str) -> None:
    uid, token = link_for(client, mail_server)
    match change:
        case "uid":
            uid = urlsafe_base64_encode(str(get_user_model().objects.create_user("bob").pk).encode())
        case "token":
            token = f"{token[:-1]}{'0' if token[-1] != '0' else '1'}"
        case "nobody":
            uid = urlsafe_base64_encode(b"999999999999999999999999")
        case "garbage":
            uid, token = "é", "-"
        case "late":
            settings.PASSWORD_RESET_TIMEOUT = -1
        case "other password":
            ann.set_password(NEW)
            ann.save()
        case "inactive":
            get_user_model().objects.filter(pk=ann.pk).update(is_active=False)
    refused(post(client, CONFIRM, {"uid": uid, "token": token, "password": NEW}), 400, "INVALID_RESET_LINK")


def test_asking_for_mails_and_guessing_links_are_slowed_down(client: Client, ann: Any, mail_server: SmtpServer) -> None:
    for address in (ADDRESS, "nobody@example.org"):
        assert [post(client, RESET, {"email": address}).status_code for _ in range(4)] == [202] * 3 + [429]
    guess = {"uid": "Nw", "token": "a-b", "password": NEW}
    assert [post(client, CONFIRM, guess).status_code for _ in range(11)] == [400] * 10 + [429]


def test_after_a_reset_guesses_of_others_keep_nobody_out(
    client: Client, ann: Any, mail_server: SmtpServer, change_settings: Callable[..., None]
) -> None:
    change_settings(trusted_proxy=True)
    for number in range(25):
        sign_in(client, "ann", "no", **{"X-Forwarded-For": f"198.51.100.{number}"})
    refused(sign_in(client), 429, "RATE_LIMITED")
    uid, token = link_for(client, mail_server)
    assert post(client, CONFIRM, {"uid": uid, "token": token, "password": NEW}).status_code == 204
    assert sign_in(client, password=NEW).status_code == 200


def test_a_mail_that_cannot_be_sent_is_tried_again(
    client: Client, ann: Any, mail_server: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    mail_server.refusals.put("451 not now")
    post(client, RESET, {"email": ADDRESS})
    send_due()
    assert "reset_mail_not_sent" in caplog.text
    assert ADDRESS not in caplog.text
    assert ResetRequest.objects.exists()
    sweep.sweep_runs()
    jobs_before = job_count()
    ResetRequest.objects.update(tried_at=now() - passwords.RETRY)
    sweep.sweep_runs()
    assert job_count() == jobs_before + 1
    send_due()
    assert LINK.search(mail_server.wait_for_mail().text)
    assert not ResetRequest.objects.exists()


def job_count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE task_name = %s", ["chat.tasks.send_reset_mail"])
        return int(cursor.fetchone()[0])


def test_a_mail_that_nobody_takes_is_given_up_in_time(client: Client, ann: Any, mail_server: SmtpServer) -> None:
    post(client, RESET, {"email": ADDRESS})
    ResetRequest.objects.update(created_at=now() - passwords.KEEP_TRYING)
    send_due()
    assert (mail_server.mails.empty(), ResetRequest.objects.exists()) == (True, False)


@pytest.mark.usefixtures("transactional_db")
def test_two_workers_send_one_mail(client: Client, ann: Any, mail_server: SmtpServer) -> None:
    post(client, RESET, {"email": ADDRESS})
    [request_id] = ResetRequest.objects.values_list("id", flat=True)

    def send_too() -> None:
        passwords.send_reset_mail(request_id)
        connections.close_all()

    other = threading.Thread(target=send_too)

    class Slow:
        """A mail that is on its way while another worker has the same job."""

        def send(self) -> None:
            other.start()
            other.join(timeout=10)
            assert not other.is_alive(), "it does not wait for the mail"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_mails", lambda _: [Slow()])
        passwords.send_reset_mail(request_id)
    assert mail_server.mails.empty()
    assert not ResetRequest.objects.exists()


@pytest.mark.parametrize(("scheme", "starttls"), [("smtps", False), ("smtp+starttls", True)])
@pytest.mark.usefixtures("ann", "sends_mails")
def test_mails_go_over_tls_to_a_server_that_is_known(
    client: Client, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, *, starttls: bool
) -> None:
    write_certificate(tmp_path / "mail.pem", "localhost")
    with SmtpServer(tmp_path / "mail.pem", starttls=starttls) as server:
        use(settings, f"{scheme}://u:p@localhost:{server.port}")
        post(client, RESET, {"email": ADDRESS})
        send_due()
        assert (server.mails.empty(), ResetRequest.objects.exists()) == (True, True), "nobody vouches for it"
        trusting = ssl.create_default_context(cafile=str(tmp_path / "mail.pem"))
        monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: trusting)
        send_due()
        mail = server.wait_for_mail()
        assert (mail.encrypted, mail.credentials) == (True, "\x00u\x00p")


# What is said of it


@pytest.mark.usefixtures("is_open")
def test_no_password_and_no_token_reaches_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    tokens = register(client).json()
    sign_in(client, password="hunter2 hunter2")
    sign_in(client, "hunter2 hunter2", OLD)
    assert "registered" in caplog.text
    for secret in (OLD, tokens["access"], tokens["refresh"], "hunter2", ADDRESS):
        assert secret not in caplog.text
