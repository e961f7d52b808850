"""Signing in with what an identity provider says: tokens with real keys over HTTP, a proxy's header, and who it is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client
from pydantic import SecretStr

from chat import audit, linking
from chat.api.sessions import COOKIE
from chat.apps import ChatConfig, check_identity_provider
from chat.identity import HeaderProvider, Identity, OidcProvider, Presented, Refused, Unavailable
from chat.identity import oidc as oidc_module
from chat.models import AuditEntry, ClaimedName, IdentityLink
from netra.testing import rebuild
from tests.chat.test_api_sessions import me, post, refused
from tests.identity_server import (
    AUDIENCE,
    EC_KEY,
    FOREIGN_KEY,
    ISSUER,
    PUBLIC_PEM,
    RSA_KEY,
    KeyServer,
    claims,
    key_server,
    token,
)

EXCHANGE = "/api/auth/exchange"
Set = Callable[..., None]


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with key_server() as server:
        yield server


@pytest.fixture
def set_up(settings: Any, configure: Set) -> Iterator[Set]:
    """Name a provider: `set_up("chat.identity.OidcProvider", {…}, trusted_proxy=True)`."""
    before = settings.NETRA

    def change(backend: str, options: dict[str, Any] | None = None, **changes: Any) -> None:
        described = json.dumps({"BACKEND": backend, "OPTIONS": options or {}})
        configure(identity_provider=SecretStr(described), **changes)

    yield change
    settings.NETRA = before
    rebuild()


@pytest.fixture
def oidc(keys: KeyServer, set_up: Set) -> Set:
    """The provider of these tests; further settings as arguments."""

    def change(**changes: Any) -> None:
        options = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": keys.url}
        set_up("chat.identity.OidcProvider", options, **changes)

    change()
    return change


def linked(username: str = "ann", subject: str = "7f3c", provider: str = ISSUER) -> Any:
    user = get_user_model().objects.create_user(username)
    IdentityLink.objects.create(provider=provider, subject=subject, user=user)
    return user


def exchange(given: str | None = None, **fields: Any) -> Any:
    return post(Client(), EXCHANGE, {**({"token": given} if given is not None else {}), **fields})


# Tokens


@pytest.mark.django_db
@pytest.mark.usefixtures("oidc")
@pytest.mark.parametrize("given", [{}, {"key": EC_KEY, "algorithm": "ES256", "kid": "ec"}, {"aud": ["x", AUDIENCE]}])
def test_a_linked_person_is_signed_in(client: Client, given: dict[str, Any]) -> None:
    ann = linked()
    tokens = exchange(token(**given)).json()
    assert tokens.keys() == {"access", "expires_in", "refresh"}
    assert me(client, tokens["access"]).json()["id"] == str(ann.pk)
    entry = AuditEntry.objects.get(action="sign_in")
    assert (entry.subject, entry.refused, entry.details) == (ann.pk, "", {"provider": ISSUER})
    assert IdentityLink.objects.get().last_used_at is not None


@pytest.mark.django_db
@pytest.mark.usefixtures("oidc")
def test_a_page_gets_a_cookie() -> None:
    linked()
    answer = exchange(token(), session="cookie")
    assert answer.json().keys() == {"access", "expires_in"}
    assert answer.cookies[COOKIE]["httponly"]


def hmac_signed(key: bytes, **header: Any) -> str:
    """Signed with a text as the key, whatever it is: PyJWT itself refuses to."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    text = f"{part({'typ': 'JWT', 'kid': 'rsa', **header})}.{part(claims())}"
    signature = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


FORGED: dict[str, Callable[[], str]] = {
    "another issuer": lambda: token(iss="https://login.example.org.evil.example"),
    "an issuer with a slash more": lambda: token(iss=f"{ISSUER}/"),
    "no issuer": lambda: token(iss=None),
    "another audience": lambda: token(aud="others"),
    "other audiences": lambda: token(aud=["others", "netra2"]),
    "no audience": lambda: token(aud=None),
    "no end": lambda: token(exp=None),
    "no beginning": lambda: token(iat=None),
    "of the future": lambda: token(nbf=10**10),
    "nobody": lambda: token(sub=None),
    "an empty subject": lambda: token(sub=""),
    "a long subject": lambda: token(sub="x" * 256),
    "a subject with a NUL": lambda: token(sub="7f3c\x00"),
    "a number for a subject": lambda: token(sub=7),
    "a foreign key of the same name": lambda: token(FOREIGN_KEY),
    "an unknown key": lambda: token(FOREIGN_KEY, kid="other"),
    "no name of a key": lambda: token(kid=None),
    "the name of another key": lambda: token(kid="ec"),
    "another algorithm of the same key": lambda: token(algorithm="RS512"),
    "HS256 with the public key": lambda: hmac_signed(PUBLIC_PEM, alg="HS256"),
    "the public key, said to be RS256": lambda: hmac_signed(PUBLIC_PEM, alg="RS256"),
    "unsigned": lambda: token(None, "none"),
    "a path for a key": lambda: token(kid="../../../dev/null"),
    "no token at all": lambda: "nonsense",
    "empty": lambda: "",
    "long": lambda: "a." * 8000 + "a",
}


@pytest.mark.django_db
@pytest.mark.usefixtures("oidc")
def test_what_the_provider_has_not_said_signs_in_nobody(caplog: pytest.LogCaptureFixture) -> None:
    linked()
    for name, made in FORGED.items():
        answer = exchange(made())
        assert (name, answer.status_code, answer.json()["error_code"]) == (name, 401, "INVALID_TOKEN")
        assert not made() or made() not in f"{caplog.text}{answer.content.decode()}"
    refused(exchange(), 401, "INVALID_TOKEN")
    refused(exchange(token(iat=1, exp=2)), 401, "TOKEN_EXPIRED")
    assert AuditEntry.objects.filter(action="sign_in", refused="").count() == 0


@pytest.mark.django_db
def test_a_symmetric_key_among_the_keys_is_of_no_use(keys: KeyServer, oidc: Set) -> None:
    linked()
    secret = b"s" * 32
    keys.keys.append({"kty": "oct", "kid": "rsa2", "k": base64.urlsafe_b64encode(secret).decode().rstrip("=")})
    refused(exchange(hmac_signed(secret, alg="HS256", kid="rsa2")), 401, "INVALID_TOKEN")


# Keys


@pytest.mark.django_db
def test_keys_are_asked_for_once_and_not_again_for_each_unknown_one(keys: KeyServer, oidc: Set) -> None:
    linked()
    assert keys.asked == 0, "nothing is asked while the server starts"
    for _ in range(5):
        assert exchange(token()).status_code == 200
    for number in range(20):
        refused(exchange(token(kid=f"unknown-{number}")), 401, "INVALID_TOKEN")
    assert keys.asked == 1


@pytest.mark.django_db
def test_a_new_key_is_found(keys: KeyServer, oidc: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    linked()
    assert exchange(token()).status_code == 200
    keys.keys[0]["kid"] = "new"
    monkeypatch.setattr(provider()._keys, "cooldown_duration", 0.0)
    assert exchange(token(kid="new")).status_code == 200


def provider() -> Any:
    return cast("ChatConfig", apps.get_app_config("chat")).identity_provider


@pytest.mark.django_db
@pytest.mark.parametrize(
    "answer", [(500, b""), (404, b"nothing"), (200, b"<html>"), (200, b"[]"), (200, b"{}"), (200, b'{"keys": []}')]
)
def test_without_the_providers_keys_it_is_unavailable(keys: KeyServer, oidc: Set, answer: Any) -> None:
    linked()
    keys.answer = answer
    for _ in range(5):
        body = refused(exchange(token()), 503, "SERVICE_UNAVAILABLE")
        assert body["details"] == {"missing": ["identity_provider"]}
    assert keys.asked == 1, "who does not answer is not asked again at once"
    keys.answer = None
    provider()._keys._ask_again_at = 0.0
    assert exchange(token()).status_code == 200


@pytest.mark.django_db
def test_a_provider_that_is_away_costs_only_its_own_sign_in(keys: KeyServer, oidc: Set) -> None:
    linked()
    assert exchange(token()).status_code == 200
    keys.server_close()
    assert exchange(token()).status_code == 200, "its keys are known"


# Who it is


@pytest.mark.django_db
@pytest.mark.usefixtures("oidc")
def test_who_is_not_linked_is_not_let_in_by_a_name_or_an_address() -> None:
    audit._refusals.storage.reset()  # of which other tests have used up what a network may fill
    get_user_model().objects.create_user("ann", email="ann@example.org")
    refused(exchange(token(email="ann@example.org", email_verified=True)), 403, "IDENTITY_UNKNOWN")
    assert AuditEntry.objects.get().refused == "IDENTITY_UNKNOWN"


@pytest.mark.django_db
def test_where_it_is_allowed_a_new_person_is_made_once(client: Client, oidc: Set) -> None:
    oidc(identity_registration="open")
    first = me(client, exchange(token(email="ann@example.org")).json()["access"]).json()
    again = me(client, exchange(token(preferred_username="anna")).json()["access"]).json()
    assert first == again
    assert (first["username"], first["email"]) == ("ann", "ann@example.org")
    made = get_user_model().objects.get()
    assert not made.has_usable_password()
    assert (made.is_staff, made.is_superuser) == (False, False)
    assert ClaimedName.objects.get().user == made


@pytest.mark.django_db
@pytest.mark.parametrize("wanted", ["Ann", "\u0430nn", "root", "", "a b", "x" * 151, "<b>", 7, None])
def test_a_new_person_takes_nobodys_name(client: Client, oidc: Set, wanted: Any) -> None:
    oidc(identity_registration="open")
    others = [get_user_model().objects.create_user(name) for name in ("ann", "root", "user")]
    found = me(client, exchange(token(preferred_username=wanted)).json()["access"]).json()
    assert found["id"] not in [str(other.pk) for other in others]
    assert found["username"].rpartition("-")[0] in ("Ann", "\u0430nn", "root", "user")


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_is_made(oidc: Set) -> None:
    oidc(identity_registration="open")
    given = token()

    def ask(_: int) -> int:
        try:
            return int(exchange(given).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {200}
    assert get_user_model().objects.count() == IdentityLink.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("oidc")
def test_who_is_deactivated_is_not_let_in() -> None:
    ann = linked()
    get_user_model().objects.filter(pk=ann.pk).update(is_active=False)
    refused(exchange(token()), 401, "USER_INACTIVE")


@pytest.mark.django_db
@pytest.mark.usefixtures("oidc")
def test_the_same_subject_of_another_provider_is_somebody_else() -> None:
    linked(provider="https://other.example.org")
    refused(exchange(token()), 403, "IDENTITY_UNKNOWN")


# A proxy


def through_the_proxy(user: str | None, **headers: str) -> Any:
    given = {"X-Forwarded-User": user} if user is not None else {}
    return post(Client(), EXCHANGE, {}, **given, **headers)


@pytest.mark.django_db
def test_a_trusted_proxy_says_who_it_is(client: Client, set_up: Set) -> None:
    set_up("chat.identity.HeaderProvider", trusted_proxy=True)
    ann = linked(subject="ann", provider="proxy")
    assert me(client, through_the_proxy("ann").json()["access"]).json()["id"] == str(ann.pk)
    refused(through_the_proxy("bob"), 403, "IDENTITY_UNKNOWN")
    for nobody in (None, "", "ann,bob", "ann, ann"):
        refused(through_the_proxy(nobody), 401, "INVALID_TOKEN")


@pytest.mark.django_db
def test_without_a_trusted_proxy_no_header_says_anything(settings: Any, set_up: Set) -> None:
    linked(subject="ann", provider="proxy")
    set_up("chat.identity.HeaderProvider")
    [problem] = check_identity_provider(None)
    assert "NETRA_TRUSTED_PROXY" in str(problem)
    refused(through_the_proxy("ann"), 503, "SERVICE_UNAVAILABLE")
    set_up("chat.identity.HeaderProvider", trusted_proxy=True)
    settings.NETRA = settings.NETRA.model_copy(update={"trusted_proxy": False})
    refused(through_the_proxy("ann"), 401, "INVALID_TOKEN")


@pytest.mark.django_db
@pytest.mark.usefixtures("oidc")
def test_a_header_is_nothing_to_a_provider_of_tokens() -> None:
    linked(subject="ann", provider="proxy")
    refused(through_the_proxy("ann"), 401, "INVALID_TOKEN")


@pytest.mark.django_db
def test_pages_of_other_sites_exchange_nothing(set_up: Set) -> None:
    set_up("chat.identity.HeaderProvider", trusted_proxy=True)
    linked(subject="ann", provider="proxy")
    refused(through_the_proxy("ann", Origin="https://evil.example"), 403, "ORIGIN_NOT_ALLOWED")


# What is offered


OPTIONS = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": "https://login.example.org/jwks"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": ""},
        {"audience": []},
        {"algorithms": ["HS256"]},
        {"algorithms": ["RS256", "none"]},
        {"algorithms": []},
        {"jwks_url": "file:///etc/passwd"},
        {"jwks_url": "ftp://login.example.org/jwks"},
        {"no_such_option": 1},
    ],
)
def test_what_cannot_be_meant_is_told_at_the_start(set_up: Set, wrong: dict[str, Any]) -> None:
    set_up("chat.identity.OidcProvider", OPTIONS | wrong)
    [problem] = check_identity_provider(None)
    assert problem.id == "chat.E003"


@pytest.mark.parametrize("backend", ["chat.identity.NoSuchClass", "no_such_package.Provider", "chat.models.Session"])
def test_what_is_no_provider_is_told_at_the_start(set_up: Set, backend: str) -> None:
    set_up(backend)
    assert check_identity_provider(None)


def test_outside_development_keys_come_over_tls(settings: Any) -> None:
    settings.DEVELOPMENT = False
    with pytest.raises(ValueError, match="https"):
        OidcProvider(issuer=ISSUER, audience=AUDIENCE, jwks_url="http://login.example.org/jwks")


@pytest.mark.django_db
def test_without_a_provider_nothing_is_exchanged() -> None:
    refused(exchange(token()), 403, "EXCHANGE_NOT_OFFERED")


@pytest.mark.django_db
def test_passwords_can_be_closed_but_for_the_administration(client: Client, oidc: Set) -> None:
    oidc(password_sign_in=False, registration="open", sign_in_url="https://login.example.org/netra")
    get_user_model().objects.create_superuser("root", password="correct horse battery")
    options = client.get("/api/auth/options").json()
    assert (options["password_sign_in"], options["registration"], options["password_reset"]) == (False, False, False)
    assert (options["exchange"], options["sign_in_url"]) == ("token", "https://login.example.org/netra")
    right = {"username": "root", "password": "correct horse battery"}
    for path, body in (
        ("/api/auth/token", right),
        ("/api/auth/register", right | {"username": "carl"}),
        ("/api/auth/password/reset", {"email": "a@example.org"}),
        ("/api/auth/password/reset/confirm", {"uid": "x", "token": "x", "password": "x"}),
    ):
        refused(post(client, path, body), 403, "PASSWORD_SIGN_IN_CLOSED")
    assert client.post("/admin/login/", right | {"next": "/admin/"}).status_code == 302


class Own:
    """A provider of somebody else's."""

    speaks = "token"

    def identify(self, presented: Presented) -> Identity:
        if presented.token == "away":
            raise Unavailable("it sleeps")
        if presented.token != "open sesame":
            raise Refused("the words are wrong")
        return Identity(provider="cave", subject="ali")


@pytest.mark.django_db
def test_a_class_of_ones_own_says_who_it_is(client: Client, set_up: Set) -> None:
    set_up(f"{__name__}.Own", identity_registration="open")
    assert me(client, exchange("open sesame").json()["access"]).json()["username"] == "user"
    refused(exchange("close sesame"), 401, "INVALID_TOKEN")
    refused(exchange("away"), 503, "SERVICE_UNAVAILABLE")


def test_those_that_come_along_are_providers() -> None:
    for kind in (HeaderProvider, OidcProvider):
        assert callable(kind.identify)
    assert {name for name in oidc_module.ALGORITHMS if name.startswith("HS") or name == "none"} == set()
    assert RSA_KEY.key_size >= 2048
    assert linking.MAX_SUBJECT == 255
