"""Forged tokens: other algorithms, keys of the attacker's, headers that name keys, other claims, other kinds.

One function says whether a token counts, for REST, streams and sockets alike (`chat.auth.authenticate`); REST is asked,
too, so that an answer is seen.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.contrib.auth import get_user_model
from django.test import Client
from rest_framework_simplejwt.settings import api_settings

from chat.auth import MAX_TOKEN_LENGTH, authenticate
from chat.errors import ConnectionRefused
from tests.security.conftest import PASSWORD, signed_in

Claims = dict[str, Any]
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key() -> str:
    """What this server signs with."""
    found: str = api_settings.SIGNING_KEY
    return found


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def read(part: str) -> Claims:
    found: Claims = json.loads(base64.urlsafe_b64decode(part + "=="))
    return found


def header_of(token: str) -> Claims:
    return read(token.split(".", maxsplit=1)[0])


def claims_of(token: str) -> Claims:
    return read(token.split(".")[1])


def signed(header: Any, claims: Any, secret: bytes | str, digest: str = "sha256") -> str:
    """A token put together by hand: no library checks what it says."""
    said = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(claims).encode())}"
    secret = secret.encode() if isinstance(secret, str) else secret
    return f"{said}.{base64url(hmac.digest(secret, said.encode(), digest))}"


def refusal(token: str, *, code: str = "INVALID_TOKEN") -> None:
    """It opens nothing, here or over REST, and the answer says nothing of it."""
    with pytest.raises(ConnectionRefused) as refused:
        authenticate(token)
    assert refused.value.code == code
    answer = Client(headers={"Authorization": f"Bearer {token}"}).get("/api/me")
    assert (answer.status_code, answer.json()["error_code"]) == (401, code)
    assert len(token) < 20 or token not in answer.content.decode()


def test_the_token_itself_opens(tokens: dict[str, str], ann: Any) -> None:
    """So what is refused below is refused for what was done to it."""
    assert authenticate(tokens["access"]).user_id == ann.pk
    again = signed(header_of(tokens["access"]), claims_of(tokens["access"]), key())
    assert authenticate(again).user_id == ann.pk


# Confusion of algorithms


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS1", "plain"])
@pytest.mark.parametrize("signature", ["", "kept"])
def test_a_token_without_a_signature_is_none(tokens: dict[str, str], algorithm: str, signature: str) -> None:
    header, claims, given = tokens["access"].split(".")
    changed = base64url(json.dumps({**read(header), "alg": algorithm}).encode())
    refusal(f"{changed}.{claims}.{given if signature else ''}")


@pytest.mark.parametrize(("algorithm", "digest"), [("HS384", "sha384"), ("HS512", "sha512")])
def test_another_algorithm_is_refused_even_with_the_right_key(
    tokens: dict[str, str], algorithm: str, digest: str
) -> None:
    refusal(signed({**header_of(tokens["access"]), "alg": algorithm}, claims_of(tokens["access"]), key(), digest))


@pytest.mark.parametrize("algorithm", [None, 0, ["HS256"], {"HS256": 1}, True])
def test_an_algorithm_that_is_no_name_is_refused(tokens: dict[str, str], algorithm: Any) -> None:
    header = {**header_of(tokens["access"]), "alg": algorithm}
    refusal(signed(header, claims_of(tokens["access"]), key()))
    del header["alg"]
    refusal(signed(header, claims_of(tokens["access"]), key()))


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
def test_a_signature_by_a_key_pair_of_the_attacker_is_refused(tokens: dict[str, str], algorithm: str) -> None:
    pair = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else RSA
    refusal(
        jwt.encode(
            claims_of(tokens["access"]), pair, algorithm, headers=header_of(tokens["access"]) | {"alg": algorithm}
        )
    )


@pytest.mark.parametrize(
    "secret", [PUBLIC_PEM, b"", b"secret", b"netra.jwt", b"\0" * 32], ids=lambda s: s[:12].decode()
)
def test_a_signature_by_a_guessed_or_public_key_is_refused(tokens: dict[str, str], secret: bytes) -> None:
    refusal(signed(header_of(tokens["access"]), claims_of(tokens["access"]), secret))


def test_the_key_of_cookies_and_links_signs_no_tokens(tokens: dict[str, str], settings: Any) -> None:
    refusal(signed(header_of(tokens["access"]), claims_of(tokens["access"]), settings.SECRET_KEY))


# Headers that name a key

KIDS: dict[str, Any] = {
    "a path to an empty file": "../../../../../../dev/null",
    "a path to a file that everybody can read": "/etc/hostname",
    "a path with a NUL": "/etc/passwd\0.pem",
    "an address": "https://evil.example/key",
    "an address inside": "http://169.254.169.254/latest/meta-data",
    "SQL": "x' UNION SELECT 'secret' -- ",
    "a command": "|echo secret",
    "a template": "{{ settings.SECRET_KEY }}",
    "a name of another key": "another",
    "an empty name": "",
    "a long name": "k" * 5000,
    "a list": ["derived"],
    "an object": {"$ne": ""},
    "a number": 0,
    "null": None,
}


@pytest.mark.parametrize("kid", KIDS.values(), ids=KIDS.keys())
@pytest.mark.parametrize("secret", [b"", b"secret", b"\0"], ids=["empty", "secret", "nul"])
def test_a_key_s_name_leads_to_no_other_key(tokens: dict[str, str], kid: Any, secret: bytes) -> None:
    refusal(signed({**header_of(tokens["access"]), "kid": kid}, claims_of(tokens["access"]), secret))


def test_names_of_keys_ask_nothing_of_the_disk_the_network_or_the_database(
    tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Callable[[int], Any]
) -> None:
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("somebody was asked")

    forged = [
        signed({**header_of(tokens["access"]), "kid": kid}, claims_of(tokens["access"]), b"") for kid in KIDS.values()
    ]
    for name in ("socket.socket.connect", "socket.getaddrinfo", "builtins.open", "os.open", "subprocess.Popen"):
        monkeypatch.setattr(name, asked)
    codes = []
    with django_assert_num_queries(0):
        for token in forged:
            try:
                authenticate(token)
            except ConnectionRefused as error:
                codes.append(error.code)
    monkeypatch.undo()
    assert codes == ["INVALID_TOKEN"] * len(forged)


JWK = {"kty": "oct", "k": base64url(b"the attacker's own key, long enough")}
ELSEWHERE: dict[str, Any] = {
    "jwk": JWK,
    "jku": "https://evil.example/keys.json",
    "x5u": "https://evil.example/certificate.pem",
    "x5c": [base64url(PUBLIC_PEM)],
    "x5t": base64url(hashlib.sha256(PUBLIC_PEM).digest()),
    "crit": ["exp"],
    "b64": False,
    "zip": "DEF",
    "enc": "A128GCM",
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_key_that_the_token_brings_is_not_used(tokens: dict[str, str], name: str) -> None:
    header = {**header_of(tokens["access"]), name: ELSEWHERE[name]}
    refusal(signed(header, claims_of(tokens["access"]), b"the attacker's own key, long enough"))


# Claims


@pytest.mark.parametrize("name", ["user_id", "exp", "token_type", "jti", "iat"])
def test_a_claim_that_was_changed_breaks_the_signature(tokens: dict[str, str], name: str) -> None:
    header, claims, signature = tokens["access"].split(".")
    changed = {**read(claims), name: "1"}
    refusal(f"{header}.{base64url(json.dumps(changed).encode())}.{signature}")


def test_a_signature_of_another_token_is_none_of_this(tokens: dict[str, str]) -> None:
    access, refresh = tokens["access"].split("."), tokens["refresh"].split(".")
    refusal(".".join([*access[:2], refresh[2]]))
    refusal(".".join([access[0], refresh[1], access[2]]))


@pytest.mark.parametrize("change", ["cut", "longer", "another letter", "upper case"])
def test_a_signature_is_compared_whole(tokens: dict[str, str], change: str) -> None:
    said, _, signature = tokens["access"].rpartition(".")
    other = "B" if signature[5] != "B" else "C"
    changed = {
        "cut": signature[:-1],
        "longer": signature + "AAAA",
        "another letter": signature[:5] + other + signature[6:],
        "upper case": signature.upper(),
    }
    refusal(f"{said}.{changed[change]}")


CLAIMS: dict[str, Callable[[Claims], Claims]] = {
    "of nobody": lambda claims: {**claims, "user_id": str(10**9)},
    "of a user that is no number": lambda claims: {**claims, "user_id": "1 OR 1=1"},
    "of a list of users": lambda claims: {**claims, "user_id": [1, 2]},
    "of an object": lambda claims: {**claims, "user_id": {"$gt": 0}},
    "of true": lambda claims: {**claims, "user_id": True},
    "without a user": lambda claims: {name: value for name, value in claims.items() if name != "user_id"},
    "without an end": lambda claims: {name: value for name, value in claims.items() if name != "exp"},
    "without a kind": lambda claims: {name: value for name, value in claims.items() if name != "token_type"},
    "without an id": lambda claims: {name: value for name, value in claims.items() if name != "jti"},
    "without the password that it was issued on": lambda c: {n: v for n, v in c.items() if n != "hash_password"},
    "of another kind": lambda claims: {**claims, "token_type": "sliding"},
    "of an epoch that never was": lambda claims: {**claims, "sessions_epoch": 7},
    "of an epoch that is true": lambda claims: {**claims, "sessions_epoch": False},
    "of an epoch that is no number": lambda claims: {**claims, "sessions_epoch": "0"},
    "whose end is a text": lambda claims: {**claims, "exp": "tomorrow"},
    "that ends beyond all time": lambda claims: {**claims, "exp": 10**30},
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_claims_are_checked_even_under_our_own_signature(tokens: dict[str, str], kind: str) -> None:
    """As after a fault elsewhere, or with an earlier version's token."""
    refusal(signed(header_of(tokens["access"]), CLAIMS[kind](claims_of(tokens["access"])), key()))


@pytest.mark.parametrize("claims", [[], "text", 7, None, [{"user_id": "1"}]], ids=str)
def test_claims_that_are_no_object_are_refused(tokens: dict[str, str], claims: Any) -> None:
    refusal(signed(header_of(tokens["access"]), claims, key()))


def test_a_token_that_has_expired_says_so(tokens: dict[str, str]) -> None:
    claims = claims_of(tokens["access"]) | {"exp": int(time.time()) - 1}
    refusal(signed(header_of(tokens["access"]), claims, key()), code="TOKEN_EXPIRED")


def test_a_refresh_token_opens_nothing_and_an_access_token_refreshes_nothing(tokens: dict[str, str]) -> None:
    refusal(tokens["refresh"])
    asked = Client().post("/api/auth/token/refresh", {"refresh": tokens["access"]}, content_type="application/json")
    assert (asked.status_code, asked.json()["error_code"]) == (401, "INVALID_TOKEN")


def test_a_link_for_a_new_password_is_no_token(ann: Any) -> None:
    from django.contrib.auth.tokens import default_token_generator

    refusal(default_token_generator.make_token(ann))


# People


def test_an_inactive_and_a_deleted_user_s_tokens_open_nothing(tokens: dict[str, str], ann: Any) -> None:
    get_user_model().objects.filter(pk=ann.pk).update(is_active=False)
    refusal(tokens["access"], code="USER_INACTIVE")
    get_user_model().objects.filter(pk=ann.pk).update(is_active=True)
    assert authenticate(tokens["access"]).user_id == ann.pk
    ann.delete()
    refusal(tokens["access"])


def test_the_number_of_a_deleted_user_gives_the_next_one_no_token(tokens: dict[str, str], ann: Any) -> None:
    number = ann.pk
    ann.delete()
    twin = get_user_model()(pk=number, username="twin")
    twin.set_password(PASSWORD)
    twin.save()
    refusal(tokens["access"])


def test_a_changed_password_ends_the_tokens_of_the_one_before(tokens: dict[str, str], ann: Any) -> None:
    ann.set_password("another password")
    ann.save()
    refusal(tokens["access"])


def test_each_sign_in_has_tokens_of_its_own(tokens: dict[str, str]) -> None:
    others = signed_in("ann")
    for name in ("access", "refresh"):
        assert claims_of(others[name])["jti"] != claims_of(tokens[name])["jti"]


def test_a_token_tells_nothing_but_numbers(tokens: dict[str, str]) -> None:
    for token in (tokens["access"], tokens["refresh"]):
        text = json.dumps(claims_of(token)) + json.dumps(header_of(token))
        for secret in ('"ann"', "example.org", PASSWORD, key()):
            assert secret not in text


# What is no token

NONE_AT_ALL = {
    "empty parts": "..",
    "one part": "token",
    "two parts": "a.b",
    "four parts": "a.b.c.d",
    "five parts": "a.b.c.d.e",
    "no base64": "!!!.???.***",
    "a NUL": "\0.\0.\0",
    "deep JSON": base64url(b"[" * 2000) + ".e30.x",
    "a header that is a list": base64url(b"[]") + ".e30.x",
    "a header with a name twice": base64url(b'{"alg":"none","alg":"HS256"}') + ".e30.",
    "dots": "." * 1000,
    "as long as may be": "a" * MAX_TOKEN_LENGTH,
    "longer": "a" * (MAX_TOKEN_LENGTH + 1),
    "much longer": "a.b." + "c" * 100_000,
}


@pytest.mark.parametrize("kind", NONE_AT_ALL)
@pytest.mark.django_db
def test_what_is_no_token_is_refused(kind: str) -> None:
    with pytest.raises(ConnectionRefused) as refused:
        authenticate(NONE_AT_ALL[kind])
    assert refused.value.code == "INVALID_TOKEN"


def test_a_huge_token_is_not_even_read(tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    read_by = []
    monkeypatch.setattr(jwt.PyJWS, "decode_complete", lambda *_, **__: read_by.append(1))
    claims = claims_of(tokens["access"]) | {"padding": "x" * MAX_TOKEN_LENGTH}
    with pytest.raises(ConnectionRefused):
        authenticate(signed(header_of(tokens["access"]), claims, key()))
    assert read_by == []
