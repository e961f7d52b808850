"""Requests that are written to be misunderstood: paths, methods, hosts, headers, bodies, redirects."""

from __future__ import annotations

import gzip
import json
import time
import uuid
import zlib
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from chat.models import Thread
from chat.run_event import now
from netra.testing import rebuild
from tests.chat.files import FORM, form
from tests.security.asking import ask
from tests.security.conftest import PASSWORD

EVIL = "evil.example"

# Paths

PATHS = [
    "/static/../netra/settings.py",
    "/static/..%2f..%2fnetra%2fsettings.py",
    "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/static/%252e%252e/%252e%252e/etc/passwd",
    "/static/....//....//....//etc/passwd",
    "/static/..\\..\\..\\etc\\passwd",
    "/static/..%5c..%5cetc%5cpasswd",
    "/static/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",
    "/static//etc/passwd",
    "/static/chat/../../../../etc/passwd",
    "/static/chat/../../templates/chat/index.html",
    "/static/chat/app.js%00.png",
    "/static/%00",
    "/static/",
    "/static/chat/",
    "/static/admin",
    "//etc/passwd",
    "/../../../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/t/../../etc/passwd",
    "/reset/../../../etc/passwd/x",
    "/settings/..%2f..%2fetc%2fpasswd",
    "/.env",
    "/.git/config",
    "/manage.py",
    "/netra/settings.py",
    "/data/secret_key",
    "/secret_key",
    "/media/",
    "/attachments/",
    "/docker-compose.yml",
    "/requirements.txt",
    "/server-status",
    "/debug",
    "/__debug__/",
    "/console",
    "/actuator/env",
    "/phpinfo.php",
    "/wp-login.php",
    "/file:///etc/passwd",
    "/http://169.254.169.254/latest/meta-data/",
]


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_leads_to_a_file_that_is_not_to_be_served(application: Any, path: str) -> None:
    answer = await ask(application, "GET", path)
    assert answer.status in (301, 400, 403, 404), answer.text[:200]
    for content in ("root:", "SECRET_KEY", "INSTALLED_APPS", "POSTGRES_PASSWORD", "{% load", "[core]"):
        assert content not in answer.text


PROTECTED = [
    "/api//me",
    "//api/me",
    "/api/./me",
    "/api/x/../me",
    "/api/%2e/me",
    "/api/me/",
    "/api/me//",
    "/api/me%00",
    "/api/me%20",
    "/api/me%2f",
    "/api/me;a=b",
    "/api/me.json",
    "/API/ME",
    "/health/../api/me",
    "/health/..;/api/me",
    "/static/../api/me",
    "/api/docs/../me",
    "/api/auth/..%2fme",
    "/ws/../api/me",
    "/api/../admin/",
    "/api/..%2fadmin%2f",
    "/api/%2e%2e/admin/",
    "/static/../admin/",
    "/admin;/",
    "/admin/..;/",
    "/admin%2f",
    "//admin/",
    "/%61dmin/",
    "/admin/%2e%2e/admin/chat/thread/",
    "/admin/chat/thread/%2e%2e/run/",
]


@pytest.mark.parametrize("path", PROTECTED)
async def test_no_writing_of_a_path_leads_around_the_sign_in(application: Any, path: str) -> None:
    answer = await ask(application, "GET", path)
    assert answer.status in (301, 302, 400, 401, 404), answer.text[:200]
    assert "username" not in answer.text
    assert "Site administration" not in answer.text
    place = answer.header("location") or "/"
    assert place.startswith("/")
    assert not place.startswith(("//", "/\\"))


@pytest.mark.parametrize("root", ["/x", "/health", f"//{EVIL}", "/x/", "/%2e%2e"])
async def test_no_path_is_another_by_what_a_client_says_of_the_root(application: Any, root: str) -> None:
    """daphne takes the root from a header: a path that a proxy keeps to itself would be had under another name."""
    for path in ("/health", "/metrics", "/api/auth/options", "/admin/"):
        answer = await ask(application, "GET", f"{root}{path}", root_path=root)
        assert answer.status == 404, f"{root}{path}"
    answer = await ask(application, "GET", "/admin/", root_path=root)
    assert (answer.header("location") or "").startswith("/admin/login/")


# Methods


@pytest.fixture
def thread(ann: Any) -> Thread:
    rebuild()
    return Thread.objects.create(user=ann, title="Mine", created_at=now(), updated_at=now())


@pytest.fixture
def browser(tokens: dict[str, str]) -> Client:
    return Client(headers={"Authorization": f"Bearer {tokens['access']}"})


@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_header_does_not_change_the_method(browser: Client, thread: Thread, header: str, method: str) -> None:
    browser.generic(method, f"/api/threads/{thread.id}", headers={header: "DELETE"})
    thread.refresh_from_db()
    assert thread.deleted_at is None


@pytest.mark.parametrize(
    "query", ["_method=DELETE", "method=DELETE", "http_method=DELETE", "X-HTTP-Method-Override=DELETE"]
)
def test_a_query_does_not_change_the_method(browser: Client, thread: Thread, query: str) -> None:
    for method in ("GET", "POST"):
        browser.generic(method, f"/api/threads/{thread.id}?{query}", b'{"_method": "DELETE"}', "application/json")
    thread.refresh_from_db()
    assert thread.deleted_at is None


@pytest.mark.parametrize(
    "method", ["HEAD", "OPTIONS", "TRACE", "TRACK", "CONNECT", "PROPFIND", "get", "Get", "G E T", "DEBUG"]
)
async def test_a_method_that_there_is_not_opens_nothing(application: Any, method: str) -> None:
    for path in ("/api/me", "/api/threads", "/admin/", "/api/usage?everyone=true"):
        answer = await ask(application, method, path, headers={"Cookie": "a secret of the client"})
        # The administration asks for the form's token first: a method that is none of the safe ones may do something.
        assert answer.status in (302, 401, 403, 404, 405), (path, answer.text[:200])
        assert "a secret of the client" not in answer.text, "nothing is echoed"


# Hosts, and what is said of them elsewhere


@pytest.mark.parametrize(
    "host",
    [
        EVIL,
        f"testserver.{EVIL}",
        f"testserver@{EVIL}",
        f"{EVIL}#testserver",
        f"testserver, {EVIL}",
        f"testserver:{EVIL}",
        "testserver:80@evil.example",
        "test_server",
        "testserver\\.evil.example",
        "testserver/../evil.example",
        "127.0.0.1.evil.example",
        "[::1].evil.example",
        "*",
        ".",
        " ",
        "",
        "a" * 3000,
    ],
)
@pytest.mark.parametrize("path", ["/api/auth/options", "/", "/admin/login/"])
async def test_another_host_is_not_served(application: Any, host: str, path: str) -> None:
    answer = await ask(application, "GET", path, host=host)
    assert answer.status == 400
    if path.startswith("/api/"):
        assert answer.json()["error_code"] == "INVALID_MESSAGE"
    if len(host) > 3:
        assert host not in answer.text, "no page says it again"


SAID_OF_THE_HOST = {
    "X-Forwarded-Host": EVIL,
    "X-Host": EVIL,
    "X-Forwarded-Server": EVIL,
    "X-HTTP-Host-Override": EVIL,
    "Forwarded": f"host={EVIL};proto=https",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Scheme": "nothttps",
    "X-Forwarded-Port": "1337",
    "X-Forwarded-Prefix": "/evil",
    "X-Script-Name": "/evil",
    "X-Original-URL": "/admin/",
    "X-Rewrite-URL": "/admin/",
    "X-Wap-Profile": f"http://{EVIL}",
    "Referer": f"https://{EVIL}",
}


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")  # as WhiteNoise has them
@pytest.mark.parametrize("header", SAID_OF_THE_HOST)
async def test_a_header_that_no_cache_knows_changes_no_answer(application: Any, header: str) -> None:
    """So that a shared cache cannot be given somebody's answer for everybody."""
    for path in ("/", "/api/docs", "/api/openapi.json", "/api/auth/options", "/static/chat/app.css", "/admin", "/none"):
        plain = await ask(application, "GET", path)
        with_header = await ask(application, "GET", path, headers={header: SAID_OF_THE_HOST[header]})
        assert with_header.status == plain.status, path
        assert EVIL not in with_header.text, path
        different = {"x-correlation-id", "set-cookie", "ratelimit"}
        assert [each for each in with_header.headers if each[0] not in different] == [
            each for each in plain.headers if each[0] not in different
        ]


async def test_an_id_for_the_log_is_ours_and_not_the_client_s(application: Any) -> None:
    for header in ("X-Correlation-Id", "X-Request-Id", "traceparent"):
        answer = await ask(application, "GET", "/api/auth/options", headers={header: "chosen by the client"})
        assert "chosen" not in (answer.header("x-correlation-id") or "")


# Redirects


ELSEWHERE = [
    f"https://{EVIL}",
    f"//{EVIL}",
    f"///{EVIL}",
    f"/\\{EVIL}",
    f"\\\\{EVIL}",
    f"https:{EVIL}",
    f"https:/{EVIL}",
    f"http://testserver@{EVIL}",
    f"http://{EVIL}#testserver",
    "javascript:alert(1)",
    "data:text/html,x",
    f"\thttps://{EVIL}",
    f"https://{EVIL}\\@testserver",
    f"/%0d%0aLocation:%20https://{EVIL}",
    f"\r\nLocation: https://{EVIL}",
]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_a_sign_in_leads_nowhere_else(ann: Any, place: str) -> None:
    get_user_model().objects.filter(pk=ann.pk).update(is_staff=True)
    given = {"username": "ann", "password": PASSWORD, "next": place}
    answer = Client().post("/admin/login/", given, query_params={"next": place})
    assert answer.status_code in (200, 302)
    leads_to = answer.get("Location", "/")
    assert leads_to.startswith("/")
    assert not leads_to.startswith(("//", "/\\"))
    assert "\r" not in leads_to
    assert "\n" not in leads_to


@pytest.mark.parametrize(
    "path",
    [
        f"//{EVIL}/admin",
        f"//{EVIL}/%2f..",
        f"/\\{EVIL}/admin",
        "//admin",
        f"/admin//{EVIL}",
        f"/{EVIL}/..",
        "/admin/\\evil.example",
    ],
)
async def test_an_added_slash_leads_nowhere_else(application: Any, path: str) -> None:
    answer = await ask(application, "GET", path)
    place = answer.header("location") or "/"
    assert place.startswith("/"), place
    assert not place.startswith(("//", "/\\")), place


# What is written into headers


@pytest.mark.parametrize(
    "name",
    [
        "a\r\nSet-Cookie: a=b",
        "a\nX: y",
        "a\r\n\r\n<script>",
        'a"; filename="evil.html',
        "a\0.html",
        "a\u2028b",
        "\ud800",
        "../../x",
    ],
)
def test_a_title_is_no_header_of_its_export(browser: Client, thread: Thread, name: str) -> None:
    answer = browser.patch(f"/api/threads/{thread.id}", json.dumps({"title": name}), "application/json")
    assert answer.status_code in (200, 400)
    for ending in ("md", "json"):
        given = browser.get(f"/api/threads/{thread.id}/export.{ending}")["Content-Disposition"]
        head, _, file_name = given.partition("filename=")
        assert head == "attachment; "
        assert file_name.strip('"').rpartition(".")[2] == ending
        assert not set(file_name.strip('"')) & set('\r\n\0"\\/;')


@pytest.mark.parametrize(
    "path", ["/admin%0d%0aSet-Cookie:%20a=b", "/admin/%0d%0aX:%20y", "/api/me%0d%0aX:y", "/%0d%0aX:y"]
)
async def test_a_line_s_end_in_a_path_is_none_of_a_header(application: Any, path: str) -> None:
    answer = await ask(application, "GET", path)
    for name, value in answer.headers:
        assert not set("\r\n") & set(name + value)
    assert answer.header("x") is None


# Bodies

TEXTS: dict[str, bytes] = {
    "deep lists": b'{"title": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep and never closed": b"[" * 200_000,
    "a name twice": b'{"title": "a", "title": ["b"]}',
    "a number of many digits": b'{"title": ' + b"9" * 100_000 + b"}",
    "a number out of range": b'{"title": 1e99999}',
    "no number": b'{"title": NaN}',
    "infinity": b'{"title": -Infinity}',
    "half a character": b'{"title": "\\ud800"}',
    "a NUL": b'{"title": "\\u0000"}',
    "a raw NUL": b'{"title": "\0"}',
    "an overlong slash": b'{"title": "\xc0\xaf"}',
    "no UTF-8": b'{"title": "\xff"}',
    "UTF-16": '{"title": "a"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"title": "a"}',
    "a comment": b'{"title": "a"} // b',
    "two documents": b'{"title": "a"}{"title": "b"}',
    "single quotes": b"{'title': 'a'}",
    "a trailing comma": b'{"title": "a",}',
    "a long text": b'{"title": "' + b"a" * 1_000_000 + b'"}',
    "many fields": json.dumps({"title": 0} | {f"f{number}": 0 for number in range(50_000)}).encode(),
    "names that are alike": json.dumps({"title": 0} | {chr(0x400 + number) * 3: 0 for number in range(5_000)}).encode(),
    "pickled": b"\x80\x04\x95.",
    "a template": b'{"title": {"$where": "sleep(1000)"}}',
    "XML with an entity": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "YAML": b"title: !!python/object/apply:os.system ['id']",
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("path", ["/api/threads", "/api/auth/token"])
def test_a_body_is_read_strictly_and_in_bounded_time(browser: Client, kind: str, path: str) -> None:
    rebuild()
    began = time.process_time()
    answer = browser.post(path, TEXTS[kind], content_type="application/json")
    assert time.process_time() - began < 5, "of this process's own time"
    assert 400 <= answer.status_code < 500
    assert answer.json()["error_code"] in ("INVALID_JSON", "INVALID_MESSAGE", "MESSAGE_TOO_LARGE")
    assert not Thread.objects.exists()
    assert "root:" not in answer.content.decode()


BOMB = b'{"title": "' + b"a" * 50_000_000 + b'"}'
PACKED = gzip.compress(BOMB, 9, mtime=0)  # the time would make the test another one in each process


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", PACKED),
        ("x-gzip", PACKED),
        ("deflate", zlib.compress(BOMB, 9)),
        ("br", b"\x5b\xff\xff\x0f\x00"),
        ("gzip, gzip", gzip.compress(PACKED, mtime=0)),
        ("identity", gzip.compress(b'{"title": "a"}', mtime=0)),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_a_packed_body_is_not_unpacked(browser: Client, encoding: str, packed: bytes) -> None:
    rebuild()
    answer = browser.post(
        "/api/threads", packed, content_type="application/json", headers={"Content-Encoding": encoding}
    )
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_JSON")


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "text/json",
        "",
    ],
)
def test_a_body_of_another_kind_is_refused_as_what_a_form_can_send(browser: Client, kind: str) -> None:
    rebuild()
    for path in ("/api/threads", "/api/auth/logout", "/api/auth/token/refresh"):
        answer = browser.generic("POST", path, b'{"title": "a"}', kind)
        assert answer.status_code in (400, 415), path
    assert not Thread.objects.exists()


@pytest.mark.parametrize(
    "content",
    [
        zlib.compress(b"\0" * 10_000_000),
        gzip.compress(b"\0" * 10_000_000),
        b"PK\x03\x04" + b"\0" * 1000,
        b"PK\x05\x06" + b"\0" * 18,
        b"%PDF-1.4\n%\xe2\xe3\xcf\xd3 /JavaScript",
        b"\x7fELF\x02\x01\x01",
        b"MZ\x90\0",
        b"GIF89a\xff\xff\xff\xff",
        b"\xff\xd8\xff\xe0/*<script>alert(1)</script>*/",
        b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    ],
    ids=["zlib", "gzip", "zip", "empty zip", "pdf", "elf", "exe", "gif head", "jpeg and script", "webp head"],
)
def test_a_file_that_is_none_of_those_that_are_taken_is_not_kept(browser: Client, content: bytes) -> None:
    rebuild()
    answer = browser.generic("POST", "/api/attachments", form(content, "a.png", "image/png"), FORM)
    assert (answer.status_code, answer.json()["error_code"]) == (415, "ATTACHMENT_TYPE_NOT_SUPPORTED")


# Addresses of clients


@pytest.mark.parametrize("trusted", [False, True])
def test_claiming_other_addresses_gives_no_more_guesses(ann: Any, settings: Any, trusted: bool) -> None:
    """What a proxy adds is the last one; what stands before it is the client's own."""
    settings.NETRA = settings.NETRA.model_copy(update={"trusted_proxy": trusted})
    rebuild()
    codes = []
    for number in range(8):
        claimed = f"203.0.113.{number}"
        headers = {
            "X-Forwarded-For": f"{claimed}, 192.0.2.1" if trusted else claimed,
            **dict.fromkeys(("X-Real-IP", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP", "Client-IP"), claimed),
            "Forwarded": f"for={claimed}",
        }
        given = {"username": "ann", "password": "wrong"}
        answer = Client(headers=headers).post("/api/auth/token", given, content_type="application/json")
        codes.append(answer.json()["error_code"])
    assert codes == ["INVALID_CREDENTIALS"] * 5 + ["RATE_LIMITED"] * 3


# Names that look like others'


@pytest.mark.parametrize(
    "name",
    [
        "ANN",
        "Ann",
        "\uff41\uff4e\uff4e",
        "a\u200bnn",
        "ann\u200d",
        "\u202eann",
        "ann\0",
        " ann",
        "ann ",
        "\u00aann",
        "\u0430nn",
    ],
)
def test_a_name_that_looks_like_another_s_is_not_given_away(ann: Any, settings: Any, name: str) -> None:
    settings.NETRA = settings.NETRA.model_copy(update={"registration": "open"})
    rebuild()
    given = {"username": name, "password": f"{PASSWORD} 2"}
    answer = Client().post("/api/auth/register", json.dumps(given), content_type="application/json")
    assert answer.status_code in (400, 409), answer.content
    assert answer.json()["error_code"] in ("NAME_TAKEN", "INVALID_MESSAGE")
    assert get_user_model().objects.count() == 1


def test_ids_are_too_many_to_guess(browser: Client) -> None:
    rebuild()
    made = [browser.post("/api/threads", {}, content_type="application/json").json()["id"] for _ in range(3)]
    assert all(uuid.UUID(each).version == 4 for each in made)
