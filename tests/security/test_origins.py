"""Cross-site WebSocket hijacking: which pages may open a socket, or use the cookie, by their Origin and our Host.

One function decides, for sockets and for what the cookie of a sign-in reaches (`chat.handshake.check_origin`). That
servers ask it is shown in tests/e2e/test_handshake.py, and below.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from chat.errors import ConnectionRefused
from chat.handshake import check_origin, find_token
from netra.testing import Netra, receive

OURS, PARTNER = "chat.example.org", "https://partner.example"


@pytest.fixture(autouse=True)
def _hosts(settings: Any) -> None:
    settings.ALLOWED_HOSTS = [OURS, "localhost"]
    settings.NETRA = settings.NETRA.model_copy(update={"allowed_origins": (PARTNER,)})


def is_refused(origin: str | None, host: str | None = OURS, **headers: str) -> bool:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    given |= {"origin": origin} if origin is not None else {}
    given |= {"host": host} if host is not None else {}
    try:
        check_origin({"headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()]})
    except ConnectionRefused as error:
        return error.code == "ORIGIN_NOT_ALLOWED"
    return False


@pytest.mark.parametrize("origin", [f"https://{OURS}", f"https://{OURS.upper()}", PARTNER, None])
def test_our_own_page_an_allowed_one_and_a_program_may(origin: str | None) -> None:
    assert not is_refused(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "*",
        f"https://{OURS}.evil.example",
        f"https://evil{OURS}",
        f"https://evil-{OURS}",
        f"https://evil.{OURS}",
        f"https://{OURS}.",
        f"https://{OURS}:8443",
        f"https://{OURS}:443",
        f"https://{OURS}@evil.example",
        f"https://{OURS}:443@evil.example",
        f"https://evil.example@{OURS}",
        f"https://evil.example/{OURS}",
        f"https://evil.example?{OURS}",
        f"https://evil.example#{OURS}",
        f"https://evil.example\\.{OURS}",
        f"https://{OURS}%00.evil.example",
        f"https://{OURS}%2eevil.example",
        f"https://{OURS} https://evil.example",
        f"https://evil.example, https://{OURS}",
        f"https://evil.example\thttps://{OURS}",
        f" https://{OURS}.evil.example",
        f"//{OURS}",
        OURS,
        f"file://{OURS}",
        f"ftp://{OURS}",
        f"ws://{OURS}",
        f"javascript://{OURS}",
        f"data:{OURS}",
        f"chrome-extension://{OURS}",
        "https://chat。example。org",
        "https://ch\xe0t.example.org",
        "https://[::1]",
        "http://127.0.0.1",
        "http://localhost",
        "http://partner.example",
        f"{PARTNER}:444",
        f"{PARTNER}.evil.example",
        f"{PARTNER}/",
        "https://evil.partner.example",
        "https://PARTNER.example.evil",
        "http://[",
        "http://" + "a" * 10_000,
    ],
)
def test_a_page_of_another_origin_may_not(origin: str) -> None:
    try:
        assert is_refused(origin)
    except UnicodeEncodeError:
        assert is_refused(origin.encode().decode("latin-1"))


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", "https://evil.example"),  # a name of the attacker's that leads here
        ("evil.example:443", "https://evil.example:443"),
        (f"{OURS}.evil.example", f"https://{OURS}.evil.example"),
        (f"{OURS}@evil.example", f"https://{OURS}@evil.example"),
        (f"evil.example/{OURS}", f"https://evil.example/{OURS}"),
        (f"evil.example#{OURS}", f"https://evil.example#{OURS}"),
        (f"evil.example,{OURS}", f"https://evil.example,{OURS}"),
        (f"evil.example\\{OURS}", f"https://evil.example\\{OURS}"),
        ("", "https://"),
        ("[::1", "https://[::1"),
        ("*", "https://*"),
    ],
)
def test_a_host_that_is_none_of_ours_makes_no_origin_ours(host: str, origin: str) -> None:
    assert is_refused(origin, host)


def test_what_a_client_says_of_the_host_elsewhere_counts_for_nothing() -> None:
    said = {"x_forwarded_host": "evil.example", "forwarded": "host=evil.example", "x_host": "evil.example"}
    assert is_refused("https://evil.example", **said)
    assert is_refused("https://evil.example", host=None, **said)


def test_of_two_origins_and_of_two_hosts_the_first_counts() -> None:
    """No browser sends two. Servers that join them with a comma give neither."""
    twice = [(b"origin", b"https://evil.example"), (b"origin", f"https://{OURS}".encode()), (b"host", OURS.encode())]
    with pytest.raises(ConnectionRefused):
        check_origin({"headers": twice})
    twice = [(b"origin", b"https://evil.example"), (b"host", OURS.encode()), (b"host", b"evil.example")]
    with pytest.raises(ConnectionRefused):
        check_origin({"headers": twice})


@pytest.mark.parametrize("query", ["token", "access_token", "jwt", "authorization", "bearer", "auth"])
def test_a_token_in_the_address_of_a_socket_is_not_looked_for(query: str) -> None:
    with pytest.raises(ConnectionRefused) as refused:
        find_token({"headers": [], "query_string": f"{query}=eyJhbGciOiJIUzI1NiJ9.e30.x".encode(), "subprotocols": []})
    assert refused.value.code == "NO_TOKEN"


@pytest.mark.parametrize("header", ["cookie", "proxy-authorization", "x-access-token", "x-authorization", "x-api-key"])
def test_a_token_in_another_header_is_not_looked_for(header: str) -> None:
    """So no page of another site makes a browser send one by itself."""
    value = b"netra_refresh=eyJhbGciOiJIUzI1NiJ9.e30.x; access=eyJhbGciOiJIUzI1NiJ9.e30.x"
    with pytest.raises(ConnectionRefused) as refused:
        find_token({"headers": [(header.encode(), value)], "subprotocols": []})
    assert refused.value.code == "NO_TOKEN"


async def test_a_socket_of_a_foreign_page_is_refused_though_its_token_is_good(netra: Netra) -> None:
    user = await netra.user("ann")
    for origin in (b"https://evil.example", b"null", f"https://{OURS}.evil.example".encode()):
        headers = [*netra.headers(user), (b"origin", origin), (b"host", OURS.encode())]
        socket = netra.communicator(headers=headers)
        await socket.connect()
        frame = await receive(socket)
        assert frame["error_code"] == "ORIGIN_NOT_ALLOWED"
        assert (await socket.receive_output())["code"] == 4403


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/auth/token/refresh", "/api/auth/logout", "/api/auth/token"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"https://{OURS}.evil.example"])
def test_the_cookie_is_of_no_use_to_a_foreign_page(path: str, origin: str) -> None:
    client = Client(headers={"Host": OURS, "Origin": origin})
    client.cookies["netra_refresh"] = "a token that is never looked at"
    answer = client.post(path, {"username": "ann", "password": "x"}, content_type="application/json")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "ORIGIN_NOT_ALLOWED")
