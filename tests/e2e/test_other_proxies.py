"""deploy/nginx.conf and deploy/Caddyfile in a real nginx and Caddy: TLS, sockets, streams, and quiet sockets.

Outside CI they are skipped where the programs are not installed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Origin

from netra.config import Config
from tests.certificates import write_certificate
from tests.clients import SECRET_KEY, Account, Client
from tests.deployment import ROOT
from tests.e2e.conftest import new_data_dir
from tests.e2e.test_proxy import NAME, Proxy, Upstream
from tests.live import LiveServer
from tests.processes import HOST, PATIENCE_SECONDS, LiveProcess, LiveRedis, free_port, until

# The client's ping comes this much more often than the proxy's patience ends, as 25 seconds to 60.
IDLE_SECONDS = 2
METRICS_TOKEN = "a token of tests and metrics"
HEARTBEAT_SECONDS = IDLE_SECONDS * 25 / 60


def program(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if found is None:
        assert not os.environ.get("CI"), f"{name} is not installed: `CI=true make system` installs it"
        pytest.skip(f"{name} is not installed")
    return found


class Nginx(Proxy):
    """deploy/nginx.conf before these ports. `idle`: seconds of silence that it bears, instead of its own."""

    name = "nginx"

    def __init__(self, folder: Path, ports: list[int], *, idle: int | None = None) -> None:
        LiveProcess.__init__(self, self.name, folder / f"{self.name}.log")
        self.port, self.tls_port = free_port(), free_port()
        self.program = program(self.name)
        self.folder = folder
        write_certificate(folder / "site.pem", NAME)
        self.context = ssl.create_default_context(cafile=folder / "site.pem")
        self._write(ports, idle)

    def _write(self, ports: list[int], idle: int | None) -> None:
        text = (ROOT / "deploy" / "nginx.conf").read_text()
        lines = "".join(f"    server {HOST}:{port} max_fails=1 fail_timeout=2s;\n" for port in ports)
        text = replaced(text, r"^ *# web servers: begin.*?# web servers: end\n", lines, flags=re.DOTALL | re.MULTILINE)
        text = replaced(text, r"listen 80;", f"listen {HOST}:{self.port};")
        text = replaced(text, r"listen 443 ssl;", f"listen {HOST}:{self.tls_port} ssl;")
        text = replaced(text, r"/etc/ssl/\S+?\.pem", str(self.folder / "site.pem"), times=2)
        if idle is not None:
            text = replaced(text, r"proxy_(read|send)_timeout 60s", rf"proxy_\1_timeout {idle}s", times=2)
        (self.folder / "netra.conf").write_text(text)
        temporary = "".join(
            f"{kind}_temp_path {self.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(
            f"{user}\ndaemon off;\npid {self.folder}/pid;\nerror_log stderr;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{temporary}include {self.folder}/netra.conf;\n}}\n"
        )

    def _command(self) -> list[str]:
        return [self.program, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "stderr"]

    def _environment(self) -> dict[str, str]:
        return LiveProcess._environment(self)

    def _is_ready(self) -> bool:
        try:
            return self.ask("GET", "/health/ready", context=self.context)[0] == 200
        except OSError:
            return False


class Caddy(Nginx):
    """deploy/Caddyfile before these ports, with certificates of its own making."""

    name = "caddy"

    def _write(self, ports: list[int], _idle: int | None) -> None:
        """It bears any silence: what it passes on has no time limit."""
        own = f"admin off\nlocal_certs\nskip_install_trust\nhttp_port {self.port}\nhttps_port {self.tls_port}"
        text = (ROOT / "deploy" / "Caddyfile").read_text()
        (self.folder / "Caddyfile").write_text(f"{{\n{own}\n}}\n{text}")
        self._web = " ".join(f"{HOST}:{port}" for port in ports)

    def _command(self) -> list[str]:
        return [self.program, "run", "--config", str(self.folder / "Caddyfile"), "--adapter", "caddyfile"]

    def _environment(self) -> dict[str, str]:
        places = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(self.folder))
        return super()._environment() | places | {"NETRA_NAME": NAME, "NETRA_WEB": self._web}

    def _is_ready(self) -> bool:
        root = self.folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        if not root.exists():
            return False
        self.context = ssl.create_default_context(cafile=root)
        return super()._is_ready()


def replaced(text: str, pattern: str, by: str, *, times: int = 1, flags: int = 0) -> str:
    text, number = re.subn(pattern, by, text, flags=flags)
    assert number == times, pattern
    return text


@pytest.fixture(scope="module", params=[Nginx, Caddy], ids=["nginx", "caddy"])
def kind(request: pytest.FixtureRequest) -> type[Nginx]:
    found: type[Nginx] = request.param
    program(found.name)
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    settings: dict[str, Any] = {
        "environment": "production",
        "allowed_hosts": f"{NAME},{HOST}",
        "trusted_proxy": "true",
        "worker": "embedded",
        "ws_heartbeat_seconds": HEARTBEAT_SECONDS,
        "offline_tokens_per_second": 20,
        "secret_key": SECRET_KEY,
        "metrics_token": METRICS_TOKEN,
    }
    for folder in new_data_dir():
        with LiveRedis(folder / "redis.log") as redis:
            with LiveServer(folder, redis_url=redis.url, **settings) as server:
                yield server
            assert not server.traceback(), server.traceback()


@pytest.fixture(scope="module")
def proxy(kind: type[Nginx], server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with kind(tmp_path_factory.mktemp(kind.name), [server.port], idle=IDLE_SECONDS) as proxy:
        yield proxy


@asynccontextmanager
async def socket(proxy: Nginx, account: Account) -> AsyncIterator[Client]:
    """Its library sends no pings: what goes over it is what the test and the server send."""
    async with connect(
        f"wss://{NAME}:{proxy.tls_port}/ws",
        host=HOST,
        port=proxy.tls_port,
        ssl=proxy.context,
        additional_headers={"Authorization": f"Bearer {account.token()}"},
        origin=Origin(f"https://{NAME}:{proxy.tls_port}"),
        proxy=None,
        compression=None,
        ping_interval=None,
    ) as opened:
        client = Client(opened)
        client.established = await client.receive("connection_established")
        yield client


# Before Netra


def test_metrics_are_not_to_be_had_from_outside(proxy: Nginx, server: LiveServer) -> None:
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    assert server.http("GET", "/metrics", token=METRICS_TOKEN).status == 200
    for path in ("/metrics", "/metrics?a=b", "/%6Detrics"):
        assert proxy.ask("GET", path, headers=headers, context=proxy.context)[0] == 404, path


async def test_a_question_is_answered_over_tls_and_the_cookie_is_secure(proxy: Nginx, server: LiveServer) -> None:
    account = server.add_user()
    body = json.dumps({"username": account.username, "password": account.password, "session": "cookie"})
    status, headers, answer = proxy.ask(
        "POST", "/api/auth/token", body, headers={"Content-Type": "application/json"}, context=proxy.context
    )
    assert status == 200, answer
    assert "; Secure" in headers["Set-Cookie"]
    async with socket(proxy, account) as client:
        events = await client.ask("What is 6 * 7?")
        assert events[-1]["type"] == "agent_completed"


async def test_a_quiet_socket_lives_longer_than_the_proxy_waits_because_of_its_heartbeat(
    proxy: Nginx, server: LiveServer
) -> None:
    async with socket(proxy, server.add_user()) as client:
        interval = client.established["heartbeat"]["interval_seconds"]
        assert interval == pytest.approx(HEARTBEAT_SECONDS, abs=0.01)
        loop = asyncio.get_running_loop()
        until_then = loop.time() + 2.5 * IDLE_SECONDS
        while loop.time() < until_then:
            await client.ping()
            await asyncio.sleep(interval)
        assert (await client.ask("Hello!"))[-1]["type"] == "agent_completed"


async def test_without_a_heartbeat_nginx_ends_a_quiet_socket(proxy: Nginx, server: LiveServer) -> None:
    """What the test above is worth. Caddy has no such limit."""
    async with socket(proxy, server.add_user()) as client:
        if proxy.name == "nginx":
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await client.closed() == 1006
        else:
            await client.ping()


def test_an_answer_streams_as_it_is_written(proxy: Nginx, server: LiveServer) -> None:
    headers = {"Host": NAME, "Accept": "text/event-stream", "Authorization": f"Bearer {server.add_user().token()}"}
    with closing(HTTPConnection(HOST, proxy.tls_port, timeout=PATIENCE_SECONDS)) as connection:
        connection.connect()
        connection.sock = proxy.context.wrap_socket(connection.sock, server_hostname=NAME)
        body = json.dumps({"type": "assistant", "message": "What is 6 * 7?"})
        connection.request("POST", "/api/agents/execute", body, headers | {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            assert answer.status == 200
            begun, run_id = b"", ""
            while b"agent_response_chunk" not in begun:
                begun += answer.readline()
            run_id = re.findall(rb'"run_id":"([^"]+)"', begun)[0].decode()
            run = server.http("GET", f"/api/runs/{run_id}", token=headers["Authorization"].removeprefix("Bearer "))
            assert run.body["status"] == "running", "the first pieces are here while others are still to be written"
            assert b"agent_completed" in answer.read()


def test_plain_http_leads_to_https(proxy: Nginx) -> None:
    status, headers, _ = proxy.ask("GET", "/t/1?a=b")
    assert (status, headers["Location"]) == (308, f"https://{NAME}/t/1?a=b")


# Before servers that misbehave


def test_what_the_client_says_about_itself_is_replaced(kind: type[Nginx], tmp_path: Path) -> None:
    with Upstream("a") as upstream, kind(tmp_path, [upstream.port]) as proxy:
        names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded")
        _, _, answer = proxy.ask("GET", "/", headers=dict.fromkeys(names, "spoofed"), context=proxy.context)
    said = {name.lower(): value for name, value in json.loads(answer)[1] if "forwarded" in name.lower()}
    assert (said.pop("x-forwarded-for"), said.pop("x-forwarded-proto")) == (HOST, "https")
    assert "spoofed" not in said.values()


def test_a_request_finds_another_process_when_one_has_just_gone(kind: type[Nginx], tmp_path: Path) -> None:
    gone, there = Upstream("gone"), Upstream("there")
    with ExitStack() as stack:
        stack.enter_context(there)
        proxy = stack.enter_context(kind(tmp_path, [gone.port, there.port]))

        def answered(method: str) -> tuple[int, str]:
            status, _, answer = proxy.ask(method, "/", context=proxy.context)
            return status, json.loads(answer)[0]

        until(lambda: {answered("GET")[1] for _ in range(6)} == {"gone", "there"}, what="both to be asked")
        gone.close()
        assert [answered(method) for method in ("GET", "POST") * 4] == [(200, "there")] * 8


def test_a_body_too_large_is_refused(kind: type[Nginx], tmp_path: Path) -> None:
    with Upstream("a") as upstream, kind(tmp_path, [upstream.port]) as proxy:

        def status(path: str, size: int) -> int:
            return proxy.ask("POST", path, b"x" * size, context=proxy.context)[0]

        assert status("/", 1_048_576) == 200
        assert status("/", 1_048_577) in (413, 502)
        assert status("/api/attachments", 11_534_336) == 200
        assert status("/api/attachments", 11_534_337) in (413, 502)


# The numbers


@pytest.mark.parametrize(
    ("file", "pattern"),
    [("nginx.conf", r"proxy_(?:read|send)_timeout (\d+)s"), ("haproxy.cfg", r"timeout tunnel (\d+)h")],
)
def test_no_proxy_waits_less_than_two_heartbeats(file: str, pattern: str) -> None:
    """The client's, every 25 seconds by default; of a load balancer with 60 seconds, too, two fit in."""
    heartbeat = float(Config.model_fields["ws_heartbeat_seconds"].default)
    found = re.findall(pattern, (ROOT / "deploy" / file).read_text())
    assert found
    for text in found:
        assert float(text) * (3600 if file == "haproxy.cfg" else 1) > 2 * heartbeat
    assert heartbeat * 2 < 60
