"""What every answer tells browsers: each address that there is, streams, files, redirects, errors and refusals."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern

from chat import health
from chat.pages import API_CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY
from chat.security_headers import NOTHING, completed
from chat.streams.routes import ROUTES
from netra.testing import Netra
from tests.chat.files import FORM, form, image
from tests.security.asking import Answer, ask

# WhiteNoise gives Django files as iterators that are not asynchronous.
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")

SAMPLES = {"uuid": str(uuid.UUID(int=7)), "int": "7", "slug": "usage", "path": "7", "str": "data"}
EVENTS = {"Accept": "text/event-stream"}


def addresses(resolver: URLResolver, before: str = "/") -> Iterator[str]:
    """Every pattern of the project as an address, with something in each place."""
    for pattern in resolver.url_patterns:
        route = re.sub(r"\(\?P<\w+>[^)]*\)", "7", str(pattern.pattern)).strip("^$")
        route = re.sub(r"<(?:(\w+):)?\w+>", lambda match: SAMPLES[match[1] or "str"], route)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern, before + route)
        else:
            assert isinstance(pattern, URLPattern)
            everything_else = isinstance(pattern.pattern, RegexPattern) and not route
            yield before + ("nothing/here" if everything_else else route)


ADDRESSES = sorted(set(addresses(get_resolver())))
PLACES = re.compile(r"/(t/[^/]+|settings|settings/[^/]+|register|forgot|reset|reset/[^/]+/[^/]+)?")


def policy(answer: Answer) -> dict[str, list[str]]:
    text = answer.header("content-security-policy")
    assert text, "there is none"
    return {name: values for name, *values in (part.split() for part in text.split(";"))}


def assert_protected(answer: Answer, asked: str) -> None:
    """What holds for every answer."""
    told = f"{asked} → {answer.status} {answer.headers}"
    assert answer.header("x-content-type-options") == "nosniff", told
    assert answer.header("referrer-policy") in ("same-origin", "no-referrer"), told
    assert answer.header("x-frame-options") == "DENY", told
    assert answer.header("cross-origin-opener-policy") == "same-origin", told
    assert answer.header("cross-origin-resource-policy") == "same-origin", told
    assert "camera=()" in (answer.header("permissions-policy") or ""), told
    found = policy(answer)
    assert found["default-src"] in (["'none'"], ["'self'"]), told
    assert found["frame-ancestors"] == found["base-uri"] == ["'none'"], told
    assert found["form-action"] in (["'none'"], ["'self'"]), told
    for values in found.values():
        assert not {"*", "http:", "https:", "'unsafe-eval'"} & set(values), told
    assert "'unsafe-inline'" not in found.get("script-src", []), told
    assert answer.header("access-control-allow-origin") is None, told


@pytest.fixture
async def ann(netra: Netra) -> str:
    """Somebody's access token."""
    return netra.token(await netra.user("ann"))


@pytest.fixture
async def root(netra: Netra) -> str:
    """The cookie of an administrator."""

    def signed_in() -> str:
        client = Client()
        client.force_login(get_user_model().objects.create_superuser("root"))
        return client.cookies["sessionid"].value

    return f"sessionid={await sync_to_async(signed_in)()}"


def test_the_walk_knows_every_kind_of_address() -> None:
    for expected in ("/", "/reset/data/data", "/health/ready", "/api/me", "/api/nothing/here", "/admin/chat/thread/"):
        assert expected in ADDRESSES
    assert len(ADDRESSES) > 80


async def test_of_every_address_every_answer_is_protected(netra: Netra, ann: str, root: str) -> None:
    for address in ADDRESSES:
        if address.startswith("/admin/"):
            for cookie in ({}, {"Cookie": root}):
                assert_protected(await ask(netra.application, "GET", address, headers=cookie), address)
            continue
        for token in (None, ann):
            answer = await ask(netra.application, "GET", address, token=token)
            assert_protected(answer, address)
            if address == "/api/docs":
                assert answer.header("content-security-policy") == API_CONTENT_SECURITY_POLICY
            elif PLACES.fullmatch(address):
                assert answer.header("content-security-policy") == CONTENT_SECURITY_POLICY
            else:
                assert answer.header("content-security-policy") == NOTHING
            if address.startswith(("/api", "/health")) and address != "/api/docs":
                assert answer.header("cache-control") == "no-store"


async def test_pages_of_the_administration_are_kept_by_nobody(netra: Netra, root: str) -> None:
    for address in ("/admin/", "/admin/chat/thread/", "/admin/auth/user/add/"):
        answer = await ask(netra.application, "GET", address, headers={"Cookie": root})
        assert answer.status == 200
        assert "no-store" in (answer.header("cache-control") or "")
        assert policy(answer)["script-src"] == ["'self'"]


async def test_a_link_that_is_a_secret_is_told_to_nobody(netra: Netra) -> None:
    answer = await ask(netra.application, "GET", "/reset/NA/a-token")
    assert (answer.header("referrer-policy"), answer.header("cache-control")) == ("no-referrer", "no-store")


async def test_so_is_every_answer_to_another_method(netra: Netra) -> None:
    for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE", "NONSENSE"):
        for path in ("/", "/api/me", "/health", "/admin/", "/static/chat/app.js", "/ws", "/elsewhere"):
            answer = await ask(netra.application, method, path, body=b"x" if method == "POST" else None)
            assert_protected(answer, f"{method} {path}")


async def test_streams_and_their_refusals_are_protected(netra: Netra, ann: str) -> None:
    asked = 0
    for method, pattern, _ in ROUTES:
        path = re.sub(
            r"\(\?P<(\w+)>.*?\](?:\{\d+\}[^)]*|\+)\)",
            lambda m: {"run_id": SAMPLES["uuid"]}.get(m[1], "data"),
            pattern.pattern,
        )
        for token in (None, "nonsense", ann):
            body = None if method == "GET" else {"type": "data", "message": "What is 6 * 7?"}
            answer = await ask(netra.application, method, path, token=token, headers=EVENTS, body=body)
            assert_protected(answer, path)
            assert answer.header("content-security-policy") == NOTHING
            assert answer.header("cache-control") == "no-store"
            asked += answer.status == 200
    assert asked >= 3, "streams were among them"


async def test_files_are_protected_whoever_wrote_them(netra: Netra, ann: str) -> None:
    sent = await ask(
        netra.application,
        "POST",
        "/api/attachments",
        token=ann,
        body=form(image(), "a.png"),
        headers={"Content-Type": FORM},
    )
    assert_protected(sent, "an upload")
    given = await ask(netra.application, "GET", sent.json()["href"], token=ann)
    assert (given.status, given.header("content-security-policy")) == (200, NOTHING)
    assert_protected(given, "a file")
    etag = given.header("etag")
    assert etag
    again = await ask(netra.application, "GET", sent.json()["href"], token=ann, headers={"If-None-Match": etag})
    assert again.status == 304
    assert_protected(again, "the same file")
    thread = (await ask(netra.application, "POST", "/api/threads", token=ann, body={"title": "x"})).json()["id"]
    for path in (f"/api/threads/{thread}/export.md", f"/api/threads/{thread}/export.json", "/api/me/export"):
        download = await ask(netra.application, "GET", path, token=ann)
        assert download.status == 200
        assert_protected(download, path)
        assert (download.header("content-disposition") or "").startswith("attachment; filename=")
        assert download.header("cache-control") == "no-store"


async def test_static_files_are_protected(netra: Netra) -> None:
    for name in ("chat/app.js", "chat/app.css", "chat/icon.svg", "none.js"):
        answer = await ask(netra.application, "GET", f"/static/{name}")
        assert_protected(answer, name)
        assert answer.header("content-security-policy") == NOTHING, "an image opened by itself runs nothing"


async def test_redirects_are_protected(netra: Netra) -> None:
    for path in ("/admin", "/admin/", "/admin/chat/thread"):
        answer = await ask(netra.application, "GET", path)
        assert answer.status in (301, 302)
        assert_protected(answer, path)


async def test_errors_are_protected(netra: Netra, ann: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("a fault of a test")

    monkeypatch.setattr(health, "missing_services", broken)
    five_megabytes = b"[" + b"1," * 2_700_000 + b"1]"
    for status, method, path, options in (
        (400, "GET", "/", {"host": "evil.example"}),
        (400, "GET", "/api/me", {"host": "evil.example"}),
        (400, "GET", "/api/events", {"host": "evil.example", "headers": EVENTS, "token": ann}),
        (401, "GET", "/api/me", {}),
        (404, "GET", "/elsewhere", {}),
        (404, "GET", "/api/elsewhere", {}),
        (405, "PUT", "/api/me", {"token": ann, "body": {}}),
        (413, "POST", "/api/threads", {"token": ann, "body": five_megabytes}),
        (415, "POST", "/api/auth/token", {"body": b"a=b", "headers": {"Content-Type": "text/plain"}}),
        (500, "GET", "/health/ready", {}),
    ):
        answer = await ask(netra.application, method, path, **options)
        assert answer.status == status, path
        assert_protected(answer, path)
        assert answer.header("cache-control") == "no-store", path


async def test_what_is_https_is_told_to_stay_so(netra: Netra, configure: Any, settings: Any) -> None:
    settings.SECURE_HSTS_SECONDS = 31_536_000
    from django.core.asgi import get_asgi_application

    application = get_asgi_application()  # Django reads it when it is built
    secure = await ask(application, "GET", "/health", scheme="https")
    plain = await ask(application, "GET", "/health")
    assert secure.header("strict-transport-security") == "max-age=31536000"
    assert plain.header("strict-transport-security") is None


def test_an_answer_s_own_header_stays_and_is_there_once() -> None:
    own = [
        (b"Content-Security-Policy", b"default-src 'self'"),
        (b"Cache-Control", b"private"),
        (b"X", b"1"),
        (b"X", b"2"),
    ]
    found = completed("/api/me", 200, own)
    names = [name for name, _ in found]
    assert names.count(b"content-security-policy") == names.count(b"cache-control") == 1
    assert [value for name, value in found if name == b"x"] == [b"1", b"2"]


def test_only_in_debug_errors_may_have_django_s_pages() -> None:
    for status, debug, expected in ((500, True, False), (500, False, True), (200, True, True)):
        names = {name for name, _ in completed("/", status, [], debug=debug)}
        assert (b"content-security-policy" in names) == expected
