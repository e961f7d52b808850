"""Signing in and out over REST, and the shape of every error there."""

from __future__ import annotations

import json
import logging
from http.cookies import Morsel
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken
from rest_framework_simplejwt.tokens import Token

from chat.api.sessions import COOKIE
from chat.tokens import AccessToken, RefreshToken

pytestmark = pytest.mark.django_db

SIGN_IN, REFRESH, SIGN_OUT, ME = "/api/auth/token", "/api/auth/token/refresh", "/api/auth/logout", "/api/me"
PASSWORD = " a password, with a space before it"
JSON = "application/json"


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann", password=PASSWORD)


def post(client: Client, path: str, body: Any = None, **headers: str) -> Any:
    return client.post(path, {} if body is None else body, content_type=JSON, headers=headers)


def sign_in(client: Client, **fields: str) -> Any:
    return post(client, SIGN_IN, {"username": "ann", "password": PASSWORD, **fields})


def me(client: Client, access: str) -> Any:
    return client.get(ME, headers={"Authorization": f"Bearer {access}"})


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The body of an error, which has the one shape that there is."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["error_code"]) == (status, code), body
    assert body.keys() == {"error_code", "error_message", "details", "correlation_id"}
    assert body["error_message"]
    assert body["correlation_id"] == answer["X-Correlation-Id"]
    return body


# Signing in


def test_a_program_signs_in_and_gets_both_tokens(client: Client, ann: Any) -> None:
    answer = sign_in(client)
    tokens = answer.json()
    assert answer.status_code == 200
    assert tokens.keys() == {"access", "refresh", "expires_in"}
    assert tokens["expires_in"] == 600
    assert not answer.cookies
    assert me(client, tokens["access"]).json() == {
        "id": str(ann.pk),
        "username": "ann",
        "email": "",
        "is_staff": False,
        "default_agent": None,
    }
    ann.refresh_from_db()
    assert ann.last_login is not None


def test_a_page_signs_in_and_gets_the_refresh_token_as_a_cookie_that_it_cannot_read(client: Client, ann: Any) -> None:
    answer = sign_in(client, session="cookie")
    assert answer.json().keys() == {"access", "expires_in"}
    cookie: Morsel[str] = answer.cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/api/auth")
    assert cookie["max-age"] == 14 * 86_400
    assert not cookie["secure"], "a development server speaks plain HTTP"
    assert cookie["domain"] == ""


def test_outside_development_the_cookie_is_sent_over_https_only(client: Client, ann: Any, settings: Any) -> None:
    settings.DEVELOPMENT = False
    assert sign_in(client, session="cookie").cookies[COOKIE]["secure"]


def test_wrong_password_unknown_and_inactive_users_are_answered_alike(client: Client, ann: Any) -> None:
    get_user_model().objects.create_user("carl", password=PASSWORD, is_active=False)
    get_user_model().objects.create_user("dora")  # who has no password at all
    answers = [
        sign_in(client, **fields)
        for fields in ({"password": "wrong"}, {"username": "nobody"}, {"username": "carl"}, {"username": "dora"})
    ]
    bodies = [refused(answer, 401, "INVALID_CREDENTIALS") for answer in answers]
    assert len({json.dumps(body | {"correlation_id": ""}) for body in bodies}) == 1
    assert len({answer["WWW-Authenticate"] for answer in answers}) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        7,
        None,
        {"username": "ann"},
        {"username": "ann", "password": ""},
        {"username": "ann", "password": None},
        {"username": ["ann"], "password": {"$ne": ""}},
        {"username": "ann\x00", "password": PASSWORD},
        {"username": "ann", "password": PASSWORD, "session": "forever"},
        {"username": "ann", "password": PASSWORD, "session": ["cookie"]},
    ],
)
def test_what_is_no_sign_in_is_an_invalid_message(client: Client, ann: Any, body: Any) -> None:
    answer = client.post(SIGN_IN, json.dumps(body), content_type=JSON)
    assert "problems" in refused(answer, 400, "INVALID_MESSAGE")["details"]
    assert PASSWORD not in answer.content.decode()


BROKEN = [
    pytest.param(b"{", id="cut"),
    pytest.param(b"\xff\xfe{}", id="no UTF-8"),
    pytest.param('{"username": "ann"}'.encode("utf-16"), id="UTF-16"),
    pytest.param(b'{"username": "\\ud800", "password": "x"}', id="half a character"),
    pytest.param(b'{"username": NaN}', id="NaN"),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, id="nested"),
    pytest.param(b"username=ann&password=x", id="form"),
]


@pytest.mark.parametrize("path", [SIGN_IN, REFRESH, SIGN_OUT])
@pytest.mark.parametrize("body", BROKEN)
def test_a_body_that_is_no_json_is_said_to_be_none(client: Client, path: str, body: bytes) -> None:
    refused(client.post(path, body, content_type=JSON), 400, "INVALID_JSON")


@pytest.mark.parametrize("charset", ["zlib", "rot13", "utf-16", "nonsense", "undefined"])
def test_json_is_utf_8_whatever_the_charset_says(client: Client, ann: Any, charset: str) -> None:
    body = json.dumps({"username": "ann", "password": PASSWORD})
    answer = client.generic("POST", SIGN_IN, body, content_type=f"{JSON}; charset={charset}")
    assert answer.status_code == 200


def test_a_body_over_the_limit_is_refused_unread(client: Client, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    refused(post(client, SIGN_IN, {"username": "a" * 1001}), 413, "MESSAGE_TOO_LARGE")


# Refreshing


def test_a_refresh_token_gives_new_tokens(client: Client, ann: Any) -> None:
    tokens = sign_in(client).json()
    answer = post(client, REFRESH, {"refresh": tokens["refresh"]})
    assert answer.json().keys() == {"access", "expires_in", "refresh"}
    assert answer.json()["expires_in"] == 600
    assert answer.json()["refresh"] != tokens["refresh"]
    assert not answer.cookies
    assert me(client, answer.json()["access"]).status_code == 200


def test_without_a_token_in_the_body_the_cookie_refreshes_and_is_replaced(client: Client, ann: Any) -> None:
    before = sign_in(client, session="cookie").cookies[COOKIE].value
    answer = post(client, REFRESH)
    assert answer.json().keys() == {"access", "expires_in"}
    assert me(client, answer.json()["access"]).status_code == 200
    cookie: Morsel[str] = answer.cookies[COOKIE]
    assert cookie.value != before
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/api/auth")
    assert cookie["max-age"] == 14 * 86_400


@pytest.mark.parametrize("given", [{}, {"refresh": None}, {"refresh": ""}])
def test_refreshing_without_a_token_has_its_own_code(client: Client, given: Any) -> None:
    refused(post(client, REFRESH, given), 401, "NO_TOKEN")


def unusable(kind: str, ann: Any, of: type[Token] = RefreshToken) -> str:
    token = of.for_user(ann)
    match kind:
        case "access":
            return str(AccessToken.for_user(ann))
        case "expired":
            token.set_exp(from_time=token.current_time.replace(year=2020))
        case "altered":
            return str(token)[:-4] + "AAAA"
        case "unsigned":
            return f"eyJhbGciOiJub25lIn0.{str(token).split('.')[1]}."
        case "nobody":
            token["user_id"] = "0"
        case "no user":
            del token["user_id"]
        case "no type":
            del token["token_type"]
        case "garbage":
            return "é\x00.\n" * 10
    return str(token)


@pytest.mark.parametrize(
    "kind", ["access", "expired", "altered", "unsigned", "nobody", "no user", "no type", "garbage"]
)
def test_no_other_token_refreshes(client: Client, ann: Any, kind: str) -> None:
    token = unusable(kind, ann)
    refused(post(client, REFRESH, {"refresh": token}), 401, "INVALID_TOKEN")
    if kind != "garbage":
        client.cookies[COOKIE] = token
        refused(post(client, REFRESH), 401, "INVALID_TOKEN")


@pytest.mark.parametrize("kind", ["refresh", "expired", "altered", "unsigned", "nobody", "no user", "no type"])
def test_no_other_token_opens_anything(client: Client, ann: Any, kind: str) -> None:
    token = str(RefreshToken.for_user(ann)) if kind == "refresh" else unusable(kind, ann, AccessToken)
    refused(me(client, token), 401, "TOKEN_EXPIRED" if kind == "expired" else "INVALID_TOKEN")


def change_password(ann: Any) -> None:
    ann.set_password("another password")
    ann.save()


def deactivate(ann: Any) -> None:
    ann.is_active = False
    ann.save()


def delete(ann: Any) -> None:
    ann.delete()


@pytest.mark.parametrize("happens", [change_password, deactivate, delete])
def test_what_happens_to_the_user_ends_access_and_refresh(client: Client, ann: Any, happens: Any) -> None:
    tokens = sign_in(client, session="cookie").json() | sign_in(client).json()
    happens(ann)
    refused(me(client, tokens["access"]), 401, "USER_INACTIVE" if happens is deactivate else "INVALID_TOKEN")
    refused(post(client, REFRESH, {"refresh": tokens["refresh"]}), 401, "INVALID_TOKEN")
    refused(post(client, REFRESH), 401, "INVALID_TOKEN")


# Signing out


def test_after_signing_out_the_cookie_is_gone_and_its_token_is_good_for_nothing(client: Client, ann: Any) -> None:
    sign_in(client, session="cookie")
    token = client.cookies[COOKIE].value
    answer = post(client, SIGN_OUT)
    assert (answer.status_code, answer.content) == (204, b"")
    removed = answer.cookies[COOKIE]
    assert (removed.value, removed["max-age"], removed["path"]) == ("", 0, "/api/auth")
    refused(post(client, REFRESH, {"refresh": token}), 401, "INVALID_TOKEN")


def test_a_program_signs_out_with_its_token(client: Client, ann: Any) -> None:
    tokens = sign_in(client).json()
    assert post(client, SIGN_OUT, {"refresh": tokens["refresh"]}).status_code == 204
    refused(post(client, REFRESH, {"refresh": tokens["refresh"]}), 401, "INVALID_TOKEN")
    refused(me(client, tokens["access"]), 401, "INVALID_TOKEN")
    assert post(client, SIGN_OUT, {"refresh": tokens["refresh"]}).status_code == 204, "a second time is no error"


def test_any_token_of_a_session_signs_out_of_it(client: Client, ann: Any) -> None:
    first = sign_in(client).json()
    second = post(client, REFRESH, {"refresh": first["refresh"]}).json()
    assert post(client, SIGN_OUT, {"refresh": first["refresh"]}).status_code == 204
    refused(me(client, second["access"]), 401, "INVALID_TOKEN")
    refused(post(client, REFRESH, {"refresh": second["refresh"]}), 401, "INVALID_TOKEN")


def test_signing_out_of_one_place_leaves_the_others(client: Client, ann: Any) -> None:
    here, there = sign_in(client).json(), sign_in(client).json()
    post(client, SIGN_OUT, {"refresh": here["refresh"]})
    assert me(client, there["access"]).status_code == 200
    assert post(client, REFRESH, {"refresh": there["refresh"]}).status_code == 200


@pytest.mark.parametrize("path", [REFRESH, SIGN_OUT])
@pytest.mark.parametrize("body", [[], None, 7, {"refresh": 7}, {"refresh": []}])
def test_what_is_no_body_with_a_refresh_token_is_refused(client: Client, path: str, body: Any) -> None:
    answer = client.post(path, json.dumps(body), content_type=JSON)
    assert "problems" in refused(answer, 400, "INVALID_MESSAGE")["details"]


@pytest.mark.parametrize("body", [{}, {"refresh": None}, {"refresh": "garbage"}])
def test_who_is_not_signed_in_is_signed_out(client: Client, body: Any) -> None:
    assert post(client, SIGN_OUT, body).status_code == 204
    assert not BlacklistedToken.objects.exists()


# Pages of other sites


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""]
)
@pytest.mark.parametrize("body", ["", "{}", '{"refresh":"x","a":"="}'])
@pytest.mark.parametrize("path", [REFRESH, SIGN_OUT, SIGN_IN])
def test_what_a_form_can_send_reaches_no_session(
    client: Client, ann: Any, path: str, body: str, content_type: str
) -> None:
    sign_in(client, session="cookie")
    answer = client.generic("POST", path, body, content_type=content_type)
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert not answer.cookies, "signing out is not for other sites either"
    assert post(client, REFRESH).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://testserver.evil.example", "http://testserver:81", "null", "file://", "é", ""],
)
@pytest.mark.parametrize("path", [REFRESH, SIGN_OUT, SIGN_IN])
def test_pages_of_other_origins_are_refused(client: Client, ann: Any, path: str, origin: str) -> None:
    sign_in(client, session="cookie")
    answer = post(client, path, {}, Origin=origin)
    refused(answer, 403, "ORIGIN_NOT_ALLOWED")
    assert not answer.cookies
    assert post(client, REFRESH).status_code == 200


def test_our_own_pages_and_allowed_ones_may(client: Client, ann: Any, settings: Any) -> None:
    settings.NETRA = settings.NETRA.model_copy(update={"allowed_origins": ("https://chat.example.org",)})
    sign_in(client, session="cookie")
    for origin in ("http://testserver", "https://chat.example.org"):
        assert post(client, REFRESH, Origin=origin).status_code == 200


def test_no_answer_grants_another_origin_anything(client: Client, ann: Any) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for path in (SIGN_IN, REFRESH, SIGN_OUT, ME):
        answer = client.options(path, headers=asked)
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_the_cookie_is_no_credential_for_anything_else(client: Client, ann: Any) -> None:
    sign_in(client, session="cookie")
    refused(client.get(ME), 401, "NO_TOKEN")


# Errors


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/threads/", "/api/threads/7", "/api/auth/token/"])
def test_an_unknown_path_is_404_in_our_shape(client: Client, method: str, path: str) -> None:
    refused(getattr(client, method)(path), 404, "NOT_FOUND")


@pytest.mark.parametrize(("path", "method"), [(SIGN_IN, "get"), (REFRESH, "put"), (SIGN_OUT, "delete")])
def test_a_wrong_method_is_405_and_says_what_is_right(client: Client, path: str, method: str) -> None:
    answer = getattr(client, method)(path)
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert "POST" in answer["Allow"]


def test_a_wrong_method_is_405_for_who_is_signed_in(client: Client, ann: Any) -> None:
    answer = client.post(ME, {}, content_type=JSON, headers={"Authorization": f"Bearer {AccessToken.for_user(ann)}"})
    refused(answer, 405, "METHOD_NOT_ALLOWED")


def test_xml_is_415_for_who_is_signed_in(client: Client, ann: Any) -> None:
    headers = {"Authorization": f"Bearer {AccessToken.for_user(ann)}"}
    answer = client.post("/api/threads", "<a/>", content_type="application/xml", headers=headers)
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_who_accepts_no_json_is_told_in_json(client: Client, ann: Any) -> None:
    headers = {"Authorization": f"Bearer {AccessToken.for_user(ann)}", "Accept": "text/html"}
    refused(client.get(ME, headers=headers), 406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "NO_TOKEN"),
        ("", "NO_TOKEN"),
        ("Basic YW5uOng=", "NO_TOKEN"),
        ("Bearer", "INVALID_TOKEN"),
        ("Bearer a b", "INVALID_TOKEN"),
        ("Bearer nonsense", "INVALID_TOKEN"),
        ("Bearer \u00e9", "INVALID_TOKEN"),
        ("Bearer " + "a." * 5000, "INVALID_TOKEN"),
    ],
)
def test_no_or_an_unusable_token_is_401_and_asks_for_a_bearer(client: Client, header: str | None, code: str) -> None:
    answer = client.get(ME, headers={} if header is None else {"Authorization": header})
    refused(answer, 401, code)
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_refusal_is_one_log_line_with_its_code_stage_cause_and_the_answers_id(
    client: Client, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    body = refused(sign_in(client, password="hunter2, which is wrong"), 401, "INVALID_CREDENTIALS")
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    [line] = [line for line in lines if line["event"] == "refused"]
    assert line["code"] == "INVALID_CREDENTIALS"
    assert (line["stage"], line["view"]) == ("request", "SignIn")
    assert line["cause"] == body["error_message"]
    assert line["correlation_id"] == body["correlation_id"]


def test_each_request_has_an_id_of_its_own(client: Client) -> None:
    ids = {client.get(path)["X-Correlation-Id"] for path in ("/health", "/health", ME, "/api/nothing", "/nothing")}
    assert len(ids) == 5


def test_an_unexpected_error_is_answered_with_an_id_and_without_its_text(
    client: Client, ann: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.api.sessions.same_name", None)
    client.raise_request_exception = False
    body = refused(sign_in(client), 500, "INTERNAL_ERROR")
    assert "NoneType" not in json.dumps(body)
    lines = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    [line] = [line for line in lines if line["event"] == "request_failed"]
    assert line["correlation_id"] == body["correlation_id"]
    assert isinstance(line["exc_info"], TypeError)
    [django] = [record for record in caplog.records if record.name == "django.request"]
    assert django.getMessage() == "Internal Server Error: /api/auth/token"
