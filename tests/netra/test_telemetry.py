"""The log: lines that machines read outside development and people in it, with ids and without credentials."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from netra.config import PROJECT_ROOT
from tests.clients import SECRET_KEY, Account, connected, dial, refusal
from tests.live import LiveServer
from tests.processes import HOST, until

WRONG = "wrong-hunter2-password"


# One line at a time


def logged(script: str, *, human: bool) -> list[str]:
    """The lines that a process writes which logs this."""
    begin = f"from netra.telemetry import configure_logging; configure_logging(human={human})\n"
    ended = subprocess.run(
        [sys.executable, "-c", begin + textwrap.dedent(script)],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == ""
    return ended.stderr.splitlines()


BOUND = """
    import logging, structlog
    with structlog.contextvars.bound_contextvars(correlation_id="c-1", run_id="r-1"):
        structlog.get_logger("chat.part").bind(connection_id="k-1").info("connected", seconds=0.5)
        logging.getLogger("some.library").warning("%s is %d", "answer", 42)
    structlog.get_logger("chat.part").warning("later")
    logging.getLogger("some.library").debug("not shown")
"""


def test_outside_development_each_line_is_json_with_the_bound_ids() -> None:
    ours, theirs, later = [json.loads(line) for line in logged(BOUND, human=False)]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", ours.pop("timestamp"))
    assert ours == {
        "event": "connected",
        "level": "info",
        "logger": "chat.part",
        "seconds": 0.5,
        "correlation_id": "c-1",
        "run_id": "r-1",
        "connection_id": "k-1",
    }
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("answer is 42", "warning", "some.library")
    assert (theirs["correlation_id"], theirs["run_id"]) == ("c-1", "r-1")
    assert later.keys() == {"event", "level", "logger", "timestamp"}


def test_in_development_each_line_is_for_people() -> None:
    ours, theirs, later = logged(BOUND, human=True)
    assert re.search(r"\[info +\] connected +\[chat\.part\] connection_id=k-1 correlation_id=c-1 run_id=r-1", ours)
    assert "answer is 42" in theirs
    assert "correlation_id=c-1" in theirs
    assert "later" in later
    assert "correlation_id" not in later


@pytest.mark.parametrize("human", [True, False])
def test_no_value_forges_a_line(human: bool) -> None:
    lines = logged(
        r"""
        import structlog
        structlog.get_logger("x").info("refused", cause="a\n2026-01-01T00:00:00Z [info] forged\r\x1b[31m\u2028", ü="ß")
        """,
        human=human,
    )
    assert len(lines) == 1
    assert "\x1b" not in lines[0]
    if not human:
        assert json.loads(lines[0])["cause"].startswith("a\n2026")


FAILING = """
    import structlog
    def sign_in(password):
        token = "token-hunter2"
        raise ValueError("it broke")
    try:
        sign_in("password-hunter2")
    except ValueError:
        structlog.get_logger("x").exception("handler_failed")
"""


@pytest.mark.parametrize("human", [True, False])
def test_a_traceback_is_whole_and_without_local_variables(human: bool) -> None:
    lines = logged(FAILING, human=human)
    text = "\n".join(lines)
    assert "it broke" in text
    assert "sign_in" in text
    assert "token-hunter2" not in text, "what a frame's variables hold is nobody's to read"
    if human:
        assert "Traceback (most recent call last)" in text
    else:
        [line] = lines
        [exception] = json.loads(line)["exception"]
        assert (exception["exc_type"], exception["exc_value"]) == ("ValueError", "it broke")
        assert [frame["name"] for frame in exception["frames"]] == ["<module>", "sign_in"]


def test_what_is_no_json_is_logged_as_text() -> None:
    [line] = logged(
        """
        import structlog, uuid, datetime
        structlog.get_logger("x").info("odd", id=uuid.UUID(int=7), at=datetime.date(2026, 1, 2), what={1, 2} - {2})
        """,
        human=False,
    )
    found = json.loads(line)
    assert (found["id"], found["at"], found["what"]) == ("00000000-0000-0000-0000-000000000007", "2026-01-02", "{1}")


# A server's whole log


@dataclass
class Told:
    """What a server was told that is nobody else's, and what it wrote into its log."""

    credentials: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    account: Account | None = None
    run_id: str = ""
    connection_id: str = ""

    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]


def ask(server: LiveServer, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
    with closing(http.client.HTTPConnection(HOST, server.port, timeout=20)) as connection:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else body if isinstance(body, str) else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json", **given})
        answer = connection.getresponse()
        answer.text = answer.read().decode()  # type: ignore[attr-defined]
        return answer


def sign_in_refresh_and_out(server: LiveServer, told: Told) -> str:
    """Every way in which credentials go over HTTP, right and wrong. Returns an access token."""
    account = told.account
    assert account is not None
    told.credentials |= {account.password, WRONG, SECRET_KEY}
    form = {"username": account.username, "password": account.password}
    tokens = json.loads(ask(server, "POST", "/api/auth/token", form).text)  # type: ignore[attr-defined]
    told.credentials |= {tokens["access"], tokens["refresh"]}
    page = ask(server, "POST", "/api/auth/token", {**form, "session": "cookie"})
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    told.credentials.add(cookie.partition("=")[2])

    ask(server, "POST", "/api/auth/token", {**form, "password": WRONG})
    ask(server, "POST", "/api/auth/token", json.dumps(form)[:-3])
    ask(server, "POST", "/api/auth/token", {"username": WRONG, "password": [WRONG]})
    ask(server, "POST", "/api/auth/token", f"username=x&password={WRONG}", Content_Type="text/plain")
    ask(server, "POST", "/api/auth/token/refresh", {"refresh": tokens["refresh"]})
    ask(server, "POST", "/api/auth/token/refresh", {"refresh": tokens["refresh"] + "x"})
    ask(server, "POST", "/api/auth/token/refresh", {}, Cookie=cookie)
    ask(server, "POST", "/api/auth/token/refresh", {}, Cookie=cookie, Origin="https://evil.example")
    ask(server, "POST", "/api/auth/logout", {}, Cookie=cookie)
    basic = base64.b64encode(f"ann:{WRONG}".encode()).decode()
    told.credentials.add(basic)
    for authorization in (f"Bearer {tokens['access']}", f"Bearer {tokens['access']}x", f"Basic {basic}"):
        ask(server, "GET", "/api/me", Authorization=authorization)
        ask(server, "GET", f"/api/nothing?token={tokens['access']}", Authorization=authorization)
    ask(server, "GET", f"/nothing?token={tokens['access']}&password={WRONG}")
    ask(
        server,
        "POST",
        "/admin/login/",
        f"username=x&password={WRONG}",
        Content_Type="application/x-www-form-urlencoded",
    )
    return str(tokens["access"])


async def connect_and_be_refused(server: LiveServer, told: Told, token: str) -> None:
    """Every way in which credentials come over a socket, right and wrong."""
    encoded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    told.credentials.add(encoded)
    async with connected(server.url, token) as client:
        told.connection_id = client.established["connection_id"]
        told.run_id = (await client.post("What is 6 * 7?"))["run_id"]
        await client.events(told.run_id)
        await client.request(type="refresh_token", token=token)
        await client.request(type="user_message", content="", token=token)
        await client.socket.send(f'{{"type": "ping", "token": "{token}"')
        await client.receive("error_message")
    async with dial(server.url, subprotocols=["netra.v1", f"jwt.{encoded}"]) as client:
        await client.receive("connection_established")
    for options in (
        {},
        {"token": f"{token}x"},
        {"subprotocols": ["netra.v1", f"jwt.{encoded}x"]},
        {"path": f"/ws?token={token}"},
        {"token": token, "origin": "https://evil.example"},
        {"headers": {"Authorization": f"Basic {WRONG}", "X-E2E-Test": "a label"}},
    ):
        await refusal(server.url, **options)


@pytest.fixture(scope="module", params=["staging", "development"])
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    data_dir = Path(tempfile.mkdtemp(prefix="netra-telemetry-")).resolve()
    data_dir.chmod(0o755)
    told = Told()
    with LiveServer(data_dir, environment=request.param, allowed_hosts=HOST) as server:
        told.account = server.add_user("ann")
        token = sign_in_refresh_and_out(server, told)
        asyncio.run(connect_and_be_refused(server, told, token))
        until(lambda: told.run_id in server.log_text().rpartition("run_ended")[2], what="the run's last line")
    told.lines = [line for line in server.log_text().splitlines() if line]
    yield told
    shutil.rmtree(data_dir)


def test_no_credential_is_ever_in_the_log(told: Told) -> None:
    text = "\n".join(told.lines)
    assert len(told.credentials) == 8
    for credential in told.credentials:
        assert credential not in text
        for part in credential.split("."):
            assert len(part) < 12 or part not in text, "nor is a part of a token"
    assert "eyJ" not in text


def test_the_log_shows_what_was_refused_where_and_why(told: Told) -> None:
    text = "\n".join(told.lines)
    codes = ("INVALID_CREDENTIALS", "INVALID_JSON", "INVALID_MESSAGE", "UNSUPPORTED_MEDIA_TYPE", "INVALID_TOKEN")
    for code in (*codes, "NO_TOKEN", "ORIGIN_NOT_ALLOWED", "NOT_FOUND"):
        assert code in text, code
    assert "a label" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("told", ["staging"], indirect=True)
def test_outside_development_every_line_of_a_server_is_json(told: Told) -> None:
    others = [line for line in told.lines if not line.startswith("{")]
    assert [line.split()[0] for line in others] == ["Netra", "Ctrl-C"], "but for its greeting on standard output"
    lines = told.json()
    assert all(line.keys() >= {"event", "level", "logger", "timestamp"} for line in lines)
    assert {line["level"] for line in lines} <= {"info", "warning"}

    def of(event: str, **values: Any) -> list[dict[str, Any]]:
        return [line for line in lines if line["event"] == event and values.items() <= line.items()]

    assert told.account is not None
    who = {"user_id": str(told.account.id)}
    assert of("connected", connection_id=told.connection_id, **who)
    assert of("message_accepted", connection_id=told.connection_id, run_id=told.run_id, **who)
    for event in ("run_started", "run_ended"):
        [line] = of(event, run_id=told.run_id, **who)
        assert line["thread_id"]
    assert len(of("signed_in", **who)) == 2
    assert "django.request" not in {line["logger"] for line in lines}, "a refusal is one line"
    for line in of("refused"):
        assert line.keys() >= {"code", "stage"}
        if line["stage"] == "request":
            assert line.keys() >= {"view", "cause", "correlation_id"}
        else:
            assert "connection_id" in line
    assert of("refused", stage="connect", code="NO_TOKEN", test_label="a label")


@pytest.mark.parametrize("told", ["development"], indirect=True)
def test_in_development_every_line_of_a_server_is_for_people(told: Told) -> None:
    assert told.json() == []
    lines = [line for line in told.lines if re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[(info|warning) +\] ", line)]
    others = [line for line in told.lines if line not in lines]
    assert [line.split()[0] for line in others] == ["Netra", "Sign", "Ctrl-C"], "but for its greeting"
    assert any(f"run_id={told.run_id}" in line for line in lines)
