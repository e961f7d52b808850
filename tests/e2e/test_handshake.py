"""How a socket opens, is refused and is closed: docs/protocol.md, sections 1 and 4, on the sockets of real servers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from netra.config import ServerName
from tests.clients import Account, Client, dial, refusal, sign_in, signing_key
from tests.e2e.conftest import ALLOWED_ORIGIN, FORMS, Start, starting
from tests.live import Form, LiveServer
from tests.processes import HOST

NO_TOKEN = {
    "type": "error_message",
    "error_code": "NO_TOKEN",
    "error_message": "No JWT token found in WebSocket headers or subprotocols",
    "details": {
        "environment": "staging",
        "ssot_authentication": True,
        "auth_headers": {
            "authorization_present": False,
            "authorization_preview": "[MISSING]",
            "websocket_protocol": "[MISSING]",
        },
    },
}
ESTABLISHED_FIELDS = {
    "type",
    "event",
    "connection_ready",
    "protocol",
    "connection_id",
    "user",
    "environment",
    "server_time",
    "services",
    "agents",
    "last_run_number",
    "threads_version",
    "open_runs",
    "token",
    "heartbeat",
    "limits",
}


def encoded(token: str) -> str:
    """The token as an item of Sec-WebSocket-Protocol."""
    return "jwt." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


# Accepted ---------------------------------------------------------------------------------------------------


async def test_a_connection_is_established_within_two_seconds_and_nothing_comes_before(server: LiveServer) -> None:
    ann = server.add_user()
    token = sign_in(server.url, ann.username, ann.password)["access"]
    began = time.monotonic()
    async with dial(server.url, token=token) as client:
        established = await client.receive()
        assert time.monotonic() - began < 2
        await client.ping()
    assert established["type"] == established["event"] == "connection_established"
    assert established.keys() == ESTABLISHED_FIELDS
    assert established["user"] == {"id": str(ann.id), "username": ann.username}
    assert set(established["services"].values()) == {"ready"}
    assert 590 <= established["token"]["expires_in"] <= 600
    assert established["open_runs"] == []


@pytest.mark.parametrize("path", ["/ws", "/ws/"])
async def test_the_authorization_header_is_a_credential(server: LiveServer, path: str) -> None:
    async with dial(server.url, token=server.add_user().token(), path=path) as client:
        assert (await client.receive())["type"] == "connection_established"
        assert client.socket.subprotocol is None


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer  "])
async def test_the_scheme_is_read_whatever_its_case(server: LiveServer, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {server.add_user().token()}"}
    async with dial(server.url, headers=headers) as client:
        assert (await client.receive())["type"] == "connection_established"


@pytest.mark.parametrize("name", ["netra.v1", "jwt-auth"])
@pytest.mark.parametrize("write", [encoded, "jwt.{}".format], ids=["base64url", "bare"])
@pytest.mark.parametrize("token_first", [True, False], ids=["token first", "name first"])
async def test_a_subprotocol_is_a_credential_and_only_the_name_is_echoed(
    server: LiveServer, name: str, write: Callable[[str], str], token_first: bool
) -> None:
    offered = [write(server.add_user().token()), name]
    async with dial(server.url, subprotocols=offered if token_first else offered[::-1]) as client:
        assert (await client.receive())["type"] == "connection_established"
        assert client.socket.subprotocol == name


async def test_of_both_names_the_protocol_of_today_is_echoed(server: LiveServer) -> None:
    async with dial(server.url, subprotocols=["jwt-auth", encoded(server.add_user().token()), "netra.v1"]) as client:
        assert client.socket.subprotocol == "netra.v1"
        assert (await client.receive())["type"] == "connection_established"


async def test_the_header_wins_over_the_subprotocol(server: LiveServer) -> None:
    ann, bob = server.add_users(2)
    offered = ["netra.v1", encoded(bob.token())]
    async with dial(server.url, token=ann.token(), subprotocols=offered) as client:
        assert (await client.receive())["user"]["username"] == ann.username
    frame, code = await refusal(server.url, token="not a token", subprotocols=offered)
    assert (frame["error_code"], code) == ("INVALID_TOKEN", 4401)


async def test_a_refused_browser_reads_its_name_echoed_too(server: LiveServer) -> None:
    async with dial(server.url, subprotocols=["netra.v1", "jwt.bm90aGluZw"]) as client:
        assert client.socket.subprotocol == "netra.v1"
        assert await client.closed() == 4401
    assert [frame["error_code"] for frame in client.frames] == ["INVALID_TOKEN"]


async def test_no_token_is_in_the_log(server: LiveServer) -> None:
    ann = server.add_user()
    tokens = [ann.token(), ann.token(exp=1), ann.token(iat="x")]
    for token in tokens:
        async with dial(server.url, token=token) as client:
            await client.receive()
        async with dial(server.url, subprotocols=["netra.v1", encoded(token)]) as client:
            await client.receive()
    log = server.log_text()
    assert not any(token in log or encoded(token) in log or token.split(".")[2] in log for token in tokens)


# Refused tokens ---------------------------------------------------------------------------------------------

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def forged(account: Account, *, algorithm: str, secret: bytes | None) -> str:
    """What PyJWT refuses to make: any algorithm's name, any secret or no signature at all."""
    parts = ({"alg": algorithm, "typ": "JWT"}, account.claims())
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = b"" if secret is None else hmac.new(secret, signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def tampered(account: Account) -> str:
    """A valid signature below another user's id."""
    head, _, signature = account.token().split(".")
    _, payload, _ = account.token(user_id=str(account.id + 1)).split(".")
    return f"{head}.{payload}.{signature}"


INVALID: dict[str, Callable[[Account], str]] = {
    "malformed": lambda _: "this is no token",
    "three dots": lambda _: "...",
    "three parts": lambda _: "a.b.c",
    "not ASCII": lambda _: "tökén",
    "cut": lambda ann: ann.token()[:-10],
    "followed by more": lambda ann: ann.token() + "A" * 16,
    "long": lambda ann: ann.token() + "A" * 7000,
    "tampered": tampered,
    "foreign key": lambda ann: jwt.encode(ann.claims(), "k" * 64, "HS256"),
    "foreign key, expired": lambda ann: jwt.encode(ann.claims(exp=1), "k" * 64, "HS256"),
    "empty key": lambda ann: forged(ann, algorithm="HS256", secret=b""),
    "alg none": lambda ann: forged(ann, algorithm="none", secret=None),
    "alg None": lambda ann: forged(ann, algorithm="None", secret=None),
    "alg none with a signature": lambda ann: forged(ann, algorithm="none", secret=signing_key().encode()),
    "alg unknown": lambda ann: forged(ann, algorithm="HS257", secret=signing_key().encode()),
    "no signature": lambda ann: forged(ann, algorithm="HS256", secret=None),
    "RS256": lambda ann: jwt.encode(ann.claims(), RSA_KEY, "RS256"),
    "RSA public key as secret": lambda ann: forged(ann, algorithm="HS256", secret=PUBLIC_PEM),
    "HS512 with our key": lambda ann: jwt.encode(ann.claims(), signing_key(), "HS512"),
    "the server's secret key itself": lambda ann: jwt.encode(
        ann.claims(), "the secret key of every server that a test starts", "HS256"
    ),
    "not yet valid": lambda ann: ann.token(nbf=int(time.time()) + 300),
    "without exp": lambda ann: ann.token(exp=None),
    "exp beyond time": lambda ann: ann.token(exp=10**18),
    "exp no number": lambda ann: ann.token(exp="never"),
    "without jti": lambda ann: ann.token(jti=None),
    "without type": lambda ann: ann.token(token_type=None),
    "type refresh": lambda ann: ann.token(token_type="refresh"),
    "without user": lambda ann: ann.token(user_id=None),
    "user text": lambda ann: ann.token(user_id="ann"),
    "user NUL": lambda ann: ann.token(user_id="\x00"),
    "user list": lambda ann: ann.token(user_id=[ann.id]),
    "user object": lambda ann: ann.token(user_id={"id": ann.id}),
    "user huge": lambda ann: ann.token(user_id=10**30),
    "user negative": lambda ann: ann.token(user_id=-1),
    "without password": lambda ann: ann.token(hash_password=None),
}


@pytest.mark.parametrize("kind", INVALID)
async def test_an_invalid_token_is_refused(server: LiveServer, kind: str) -> None:
    token = INVALID[kind](server.add_user())
    frame, code = await refusal(server.url, headers={"Authorization": f"Bearer {token}"})
    assert frame == {"type": "error_message", "error_code": "INVALID_TOKEN", "error_message": "The token is not valid"}
    assert code == 4401


@pytest.mark.parametrize("item", ["jwt.", "jwt.!", "jwt.a", "jwt.w6k", "jwt.a.b.c", "jwt." + "A" * 7000])
async def test_a_subprotocol_that_holds_no_token_is_refused(server: LiveServer, item: str) -> None:
    frame, code = await refusal(server.url, subprotocols=["netra.v1", item])
    assert (frame["error_code"], code) == ("INVALID_TOKEN", 4401)


async def test_an_expired_token_is_refused_by_its_own_code(server: LiveServer) -> None:
    ann = server.add_user()
    expired = ann.token(iat=int(time.time()) - 700, exp=int(time.time()) - 60)
    for options in ({"token": expired}, {"subprotocols": ["netra.v1", encoded(expired)]}):
        frame, code = await refusal(server.url, **options)
        assert (frame["error_code"], code) == ("TOKEN_EXPIRED", 4401)


async def test_a_refresh_token_opens_nothing(server: LiveServer) -> None:
    ann = server.add_user()
    frame, code = await refusal(server.url, token=sign_in(server.url, ann.username, ann.password)["refresh"])
    assert (frame["error_code"], code) == ("INVALID_TOKEN", 4401)


@pytest.mark.parametrize(
    ("statement", "error_code", "close_code"),
    [
        ("DELETE FROM auth_user WHERE id = %s", "INVALID_TOKEN", 4401),
        ("UPDATE auth_user SET password = 'pbkdf2_sha256$1$a$b' WHERE id = %s", "INVALID_TOKEN", 4401),
        ("UPDATE auth_user SET is_active = false WHERE id = %s", "USER_INACTIVE", 4403),
    ],
    ids=["deleted", "password changed", "inactive"],
)
async def test_a_token_ends_with_its_user(server: LiveServer, statement: str, error_code: str, close_code: int) -> None:
    ann = server.add_user()
    async with server.connect(ann):
        pass
    with server.database() as connection:
        connection.execute(statement.encode(), (ann.id,))
    frame, code = await refusal(server.url, token=ann.token())
    assert (frame["error_code"], code) == (error_code, close_code)


# No token ---------------------------------------------------------------------------------------------------


WINDOW = 8192


@pytest.fixture(scope="module", params=FORMS)
def strict(
    request: pytest.FixtureRequest, daphne: LiveServer, shared_data_dir: Path, redis_url: str
) -> Iterator[LiveServer]:
    """A server of a staging environment with limits that are soon reached."""
    for start in starting(shared_data_dir, redis_url):
        yield start(
            form=request.param,
            environment="staging",
            allowed_hosts=HOST,
            ws_window_bytes=WINDOW,
            ws_window_timeout=0.5,
            max_connections=2,
            commands_per_minute=60,
        )


async def test_without_a_token_the_answer_is_the_one_that_was_agreed(strict: LiveServer) -> None:
    frame, code = await refusal(strict.url)
    assert frame == NO_TOKEN
    assert list(frame) == ["type", "error_code", "error_message", "details"]
    assert code == 4401


@pytest.mark.parametrize("authorization", ["Basic YW5uOnNlY3JldA==", "Bearer", "Bearer ", "Token geheim", ""])
async def test_another_authorization_is_told_of_and_not_shown(strict: LiveServer, authorization: str) -> None:
    frame, code = await refusal(strict.url, headers={"Authorization": authorization})
    expected = {**NO_TOKEN["details"]["auth_headers"]}  # type: ignore[index]
    expected |= {"authorization_present": True, "authorization_preview": "[REDACTED]"}
    assert (frame["error_code"], code) == ("NO_TOKEN", 4401)
    assert frame["details"]["auth_headers"] == expected


async def test_another_subprotocol_is_told_of_and_not_shown(strict: LiveServer) -> None:
    async with dial(strict.url, subprotocols=["netra.v1", "bearer.c2VjcmV0"]) as client:
        assert await client.closed() == 4401
    [frame] = client.frames
    assert frame["details"]["auth_headers"]["websocket_protocol"] == "[REDACTED]"
    assert "c2VjcmV0" not in json.dumps(frame)


@pytest.mark.parametrize("query", ["token={}", "jwt={}", "access_token={}", "authorization=Bearer%20{}"])
async def test_a_token_in_the_query_string_grants_nothing(server: LiveServer, query: str) -> None:
    token = server.add_user().token()
    frame, code = await refusal(server.url, path=f"/ws?{query.format(token)}")
    assert (frame["error_code"], code) == ("NO_TOKEN", 4401)


TEST_HEADERS = {
    "X-E2E-Test": "true",
    "X-Test-Mode": "true",
    "X-Test-Type": "E2E",
    "X-Test-Environment": "staging",
    "X-Bypass-Auth": "true",
    "X-Forwarded-User": "admin",
}


async def test_test_headers_grant_nothing(server: LiveServer) -> None:
    ann = server.add_user()
    for options, expected in (
        ({}, ("NO_TOKEN", 4401)),
        ({"token": ann.token(exp=1)}, ("TOKEN_EXPIRED", 4401)),
        ({"token": ann.token(), "origin": "https://elsewhere.example"}, ("ORIGIN_NOT_ALLOWED", 4403)),
    ):
        frame, code = await refusal(server.url, headers=TEST_HEADERS, **options)
        assert (frame["error_code"], code) == expected
    assert "test_label=true" in server.log_text()


# Origin -----------------------------------------------------------------------------------------------------

FOREIGN_ORIGINS = {
    "another site": "https://elsewhere.example",
    "null": "null",
    "another port": "http://{host}:1",
    "the allowed one over http": ALLOWED_ORIGIN.replace("https", "http"),
    "below the allowed one": ALLOWED_ORIGIN.replace("chat", "evil.chat"),
    "beginning like the allowed one": ALLOWED_ORIGIN + ".evil.example",
    "beginning like this one": "http://{host}.evil.example",
    "this one as user name": "http://{here}@evil.example",
    "another scheme": "file://{here}",
}


@pytest.mark.parametrize("kind", FOREIGN_ORIGINS)
async def test_pages_of_other_origins_are_refused_with_a_valid_token(server: LiveServer, kind: str) -> None:
    origin = FOREIGN_ORIGINS[kind].format(host=HOST, here=f"{HOST}:{server.port}")
    frame, code = await refusal(server.url, token=server.add_user().token(), origin=origin)
    assert (frame["error_code"], code) == ("ORIGIN_NOT_ALLOWED", 4403)


@pytest.mark.parametrize("origin", ["http://[", "http://here:port", "http://", "nonsense", "\xe4"])
async def test_an_origin_that_is_none_is_refused_by_us_or_by_the_server(server: LiveServer, origin: str) -> None:
    """daphne answers some of them with HTTP 400 before we are asked."""
    try:
        frame, code = await refusal(server.url, token=server.add_user().token(), origin=origin)
    except InvalidStatus as refused:
        assert refused.response.status_code == 400
    else:
        assert (frame["error_code"], code) == ("ORIGIN_NOT_ALLOWED", 4403)


async def test_a_foreign_page_learns_nothing_of_its_token(server: LiveServer) -> None:
    frame, code = await refusal(server.url, token="nonsense", origin="https://elsewhere.example")
    assert (frame["error_code"], code) == ("ORIGIN_NOT_ALLOWED", 4403)


@pytest.mark.parametrize("origin", ["http://{here}", "https://{here}", ALLOWED_ORIGIN])
async def test_own_and_allowed_origins_may_connect(server: LiveServer, origin: str) -> None:
    here = f"{HOST}:{server.port}"
    token = server.add_user().token()
    async with dial(server.url, token=token, origin=origin.format(here=here)) as client:
        assert (await client.receive())["type"] == "connection_established"


async def test_a_foreign_name_that_leads_here_is_no_own_origin(server: LiveServer) -> None:
    headers = {"Host": "rebound.example", "Origin": "http://rebound.example"}
    frame, code = await refused_with_host(server, headers)
    assert (frame["error_code"], code) == ("ORIGIN_NOT_ALLOWED", 4403)


async def refused_with_host(server: LiveServer, headers: dict[str, str]) -> tuple[dict[str, str], int]:
    """The library sets Host from the address, so the name is given as the address."""
    token = server.add_user().token()
    url = f"ws://{headers['Host']}:{server.port}/ws"
    async with open_socket(
        url,
        host=HOST,
        port=server.port,
        origin=f"{headers['Origin']}:{server.port}",  # type: ignore[arg-type]
        additional_headers={"Authorization": f"Bearer {token}"},
        proxy=None,
    ) as socket:
        client = Client(socket)
        code = await client.closed()
    [frame] = client.frames
    return frame, code


# Close codes ------------------------------------------------------------------------------------------------


def assert_reason(server: LiveServer, client: Client, error_code: str) -> None:
    """It is in the last frame, and in the close frame where the server can send one."""
    assert client.frames[-1]["error_code"] == error_code
    assert client.socket.close_reason == (error_code if server.form == "uvicorn" else "")


async def test_the_reason_of_a_refusal_is_also_in_the_close_frame_where_the_server_can(strict: LiveServer) -> None:
    async with dial(strict.url) as client:
        assert await client.closed() == 4401
    assert_reason(strict, client, "NO_TOKEN")


async def test_a_client_that_acknowledges_nothing_is_sent_no_more_than_its_window_and_then_closed(
    strict: LiveServer,
) -> None:
    async with dial(strict.url, token=strict.add_user().token(), acks=False) as client:
        for _ in range(12):
            await client.send(type="user_message", content="help")
        assert await client.closed() == 4408
    assert_reason(strict, client, "WINDOW_FULL")
    assert sum(len(json.dumps(frame)) for frame in client.frames) < 2 * WINDOW


async def test_a_client_that_only_asks_and_never_acknowledges_is_closed(strict: LiveServer) -> None:
    async with dial(strict.url, token=strict.add_user().token(), acks=False) as client:
        await client.receive("connection_established")
        for number in range(55):
            await client.send(type="ping", ref=f"{number:0>200}")
        assert await client.closed() == 4408
    assert_reason(strict, client, "WINDOW_FULL")


async def test_a_client_that_acknowledges_is_sent_more_than_its_window(strict: LiveServer) -> None:
    async with strict.connect(strict.add_user()) as client:
        for _ in range(12):
            await client.ask("help")
        await client.ping()
    assert sum(len(json.dumps(frame)) for frame in client.frames) > 2 * WINDOW


async def test_one_connection_too_many_is_refused_and_frees_nobody_elses_place(strict: LiveServer) -> None:
    ann, bob = strict.add_users(2)
    async with strict.connect(ann) as first, strict.connect(ann) as second:
        frame, code = await refusal(strict.url, token=ann.token())
        assert (frame["error_code"], code) == ("TOO_MANY_CONNECTIONS", 4429)
        assert frame["details"] == {"max_connections": 2}
        assert frame["retry_after"] > 0
        async with strict.connect(bob) as other:
            await other.ping()
        await first.ping()
        await second.ping()
    async with connected_again(strict, ann) as third:
        await third.ping()


@asynccontextmanager
async def connected_again(server: LiveServer, account: Account) -> AsyncIterator[Client]:
    """A connection of a user whose others have just been closed: the server may not have noticed yet."""
    while True:
        async with dial(server.url, token=account.token()) as client:
            if (await client.receive())["type"] == "connection_established":
                yield client
                return


async def test_who_floods_is_warned_and_then_closed(strict: LiveServer) -> None:
    async with strict.connect(strict.add_user()) as client:
        for _ in range(200):
            await client.send(type="ack", cursors={})
        assert await client.closed() == 4429
    warnings = [frame for frame in client.frames if frame.get("error_code") == "RATE_LIMITED"]
    assert len(warnings) == 51
    assert all(frame["retry_after"] > 0 for frame in warnings)
    assert client.frames[-1] is warnings[-1]
    assert_reason(strict, client, "RATE_LIMITED")


async def test_a_frame_above_the_hard_limit_is_answered_with_1009(server: LiveServer) -> None:
    async with server.connect(server.add_user()) as client:
        # Its head announces 17 MiB. Were the rest sent, the answer could be lost in a reset connection.
        client.socket.transport.write(struct.pack("!BBQ4s", 0x81, 0xFF, 17 * 2**20, b"mask"))
        assert await client.closed() == 1009


async def test_text_that_is_not_utf_8_is_answered_with_1007(server: LiveServer) -> None:
    async with server.connect(server.add_user()) as client:
        await client.socket.send(b'{"type": "ping", "ref": "\xff"}', text=True)
        assert await client.closed() == 1007


async def test_a_frame_of_a_reserved_kind_is_answered_with_1002(server: LiveServer) -> None:
    async with server.connect(server.add_user()) as client:
        client.socket.transport.write(struct.pack("!BB4s", 0x83, 0x80, b"mask"))
        assert await client.closed() == 1002


async def test_a_client_that_leaves_is_answered_with_its_own_code(server: LiveServer) -> None:
    async with server.connect(server.add_user()) as client:
        await client.socket.close(1000)
        assert client.socket.close_code == 1000


async def test_manage_serve_says_that_it_drains_before_it_ends(start_server: Start) -> None:
    server = start_server(form="serve")
    async with server.connect(server.add_user()) as first, server.connect(server.add_user()) as second:
        server.process.terminate()
        for client in (first, second):
            assert await client.closed() == 4412
            assert client.frames[-1]["type"] == "server_draining"
            assert client.frames[-1]["reconnect_after_ms"] > 0
    assert server.wait() == 0


async def test_uvicorn_closes_with_its_own_code_when_it_ends(start_server: Start) -> None:
    """uvicorn closes sockets before it tells the application, which then has nothing left to drain."""
    server = start_server(form="uvicorn")
    async with server.connect(server.add_user()) as client:
        server.process.terminate()
        assert await client.closed() == 1012
    server.wait()


async def test_plain_daphne_starts_the_worker_by_itself_and_answers(start_server: Start) -> None:
    server = start_server(form="daphne")
    async with server.connect(server.add_user()) as client:
        events = await client.ask("What is 6 * 7?")
        assert "42" in events[-1]["data"]["message"]["content"]
        server.process.terminate()
        assert await client.closed() in (1000, 1001, 1006)
    server.wait()


# A service is missing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "application", "missing"),
    [("daphne", "without_supervisor", "agent_supervisor"), ("uvicorn", "without_thread_service", "thread_service")],
)
async def test_a_server_that_lacks_a_service_names_it_and_closes(
    start_server: Start, form: Form, application: str, missing: str
) -> None:
    server = start_server(form=form, application=f"tests.e2e.applications.{application}:application", ready=False)
    frame, code = await refusal(server.url, token=server.add_user().token())
    assert (frame["error_code"], code) == ("SERVICE_UNAVAILABLE", 4503)
    assert frame["details"] == {"missing": [missing]}
    assert frame["retry_after"] > 0
    readiness = server.http("GET", "/health/ready")
    assert (readiness.status, readiness.body["status"], readiness.body["missing"]) == (503, "unavailable", [missing])
    assert server.http("GET", "/health").status == 200


# Refused handshakes -----------------------------------------------------------------------------------------


async def test_by_setting_the_handshake_itself_is_refused_with_403(start_server: Start, form: Form) -> None:
    server = start_server(form=form, ws_reject="handshake", max_connections=1)
    ann = server.add_user()
    for options in ({}, {"token": "nonsense"}, {"token": ann.token(), "origin": "https://elsewhere.example"}):
        with pytest.raises(InvalidStatus) as refused:
            async with dial(server.url, **options):  # type: ignore[arg-type]
                raise AssertionError("accepted")
        assert refused.value.response.status_code == 403
    async with server.connect(ann) as client:
        with pytest.raises(InvalidStatus):
            async with server.connect(ann):
                raise AssertionError("accepted")
        await client.ping()


async def test_other_paths_are_refused_and_plain_requests_find_nothing(server: LiveServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with dial(server.url, token=server.add_user().token(), path="/ws/elsewhere"):
            raise AssertionError("accepted")
    assert refused.value.response.status_code == 403
    assert server.http("GET", "/ws").status == 404


async def test_what_a_refused_client_still_sends_is_not_read(server: LiveServer) -> None:
    async with dial(server.url) as client:
        try:
            for _ in range(100):
                await client.send(type="user_message", content="let me in")
        except ConnectionClosed:
            pass
        assert await client.closed() == 4401
    assert [frame["error_code"] for frame in client.frames] == ["NO_TOKEN"]


async def test_a_client_that_goes_away_at_once_leaves_no_place_taken(strict: LiveServer) -> None:
    ann = strict.add_user()

    async def knock() -> None:
        async with dial(strict.url, token=ann.token()) as client:
            client.socket.transport.abort()

    await asyncio.gather(*(knock() for _ in range(10)))
    async with connected_again(strict, ann) as first, connected_again(strict, ann) as second:
        await first.ping()
        await second.ping()


async def test_a_socket_is_greeted_as_late_as_the_setting_allows(start_server: Start, asgi_server: ServerName) -> None:
    """daphne's own limit is five seconds; who has waited longer was dropped without a word."""
    # Nobody but the handshake waits for the table.
    server = start_server(asgi_server=asgi_server, ws_connect_timeout=10, sweep_seconds=3600.0)
    account = server.add_user()
    with server.database() as connection:
        connection.autocommit = False
        connection.execute("LOCK TABLE chat_run IN ACCESS EXCLUSIVE MODE")

        async def greeted() -> str:
            async with server.connect(account) as client:
                return str(client.frames[0]["type"])

        greeting = asyncio.create_task(greeted())
        await asyncio.sleep(6)  # the time that it takes is what is tested
        assert not greeting.done()
        connection.rollback()
        assert await greeting == "connection_established"
