"""deploy/haproxy.cfg in a real HAProxy: before what docker-compose.yml starts, and before servers that misbehave."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

from netra.postgres import EmbeddedPostgres
from tests import deployment
from tests.certificates import write_certificate
from tests.clients import SECRET_KEY, Account, Client, add_users
from tests.e2e.conftest import new_data_dir
from tests.processes import HOST, PATIENCE_SECONDS, LiveProcess, free_port, until

NAME = "chat.example.org"


class Container(LiveProcess):
    """A service of docker-compose.yml, run from the image's files with its command and environment."""

    def __init__(self, service: str, image: Path, variables: Mapping[str, str], log_file: Path) -> None:
        super().__init__(service, log_file)
        self.port = free_port()
        self._image = image
        self._variables = variables

    def _command(self) -> list[str]:
        command = deployment.services(self._variables)[self.name]["command"]
        port = ["--port", str(self.port)] if command[0] == "serve" else []
        return [sys.executable, str(self._image / "manage.py"), *command, *port]

    def _environment(self) -> dict[str, str]:
        of_image = {name: value for name, value in deployment.image_environment().items() if name != "PATH"}
        return super()._environment() | of_image | deployment.environment(self.name, self._variables)

    def _is_ready(self) -> bool:
        if self.name != "web":
            return "worker_started" in self.log_since_launch()
        check = deployment.health_check()
        check[-1] = check[-1].replace("8000", str(self.port))
        return subprocess.run([sys.executable, *check[1:]], stderr=subprocess.DEVNULL, check=False).returncode == 0


class Proxy(LiveProcess):
    """HAProxy before these web processes, by name and port; with a folder of certificates it serves HTTPS, too."""

    def __init__(self, folder: Path, servers: Mapping[str, int], *, certificates: Path | None = None) -> None:
        super().__init__("proxy", folder / "proxy.log")
        self.port, self.tls_port = free_port(), free_port()
        self._certificates = certificates
        self._file = folder / "haproxy.cfg"
        self._file.write_text(deployment.proxy_configuration(servers))

    def _command(self) -> list[str]:
        return [deployment.haproxy(), "-db", "-f", str(self._file)]

    def _environment(self) -> dict[str, str]:
        ports = {"HTTP_PORT": str(self.port), "HTTPS_PORT": str(self.tls_port), "BIND_ADDRESS": HOST}
        tls = {"TLS_CERTIFICATES": str(self._certificates)} if self._certificates else {}
        return super()._environment() | ports | tls | {"MAX_CONNECTIONS": "500"}

    def _is_ready(self) -> bool:
        try:
            return self.ask("GET", "/proxy/health")[0] == 200
        except OSError:
            return False

    def ask(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request, as a browser makes it that knows this address by its name."""
        port = self.tls_port if context else self.port
        with closing(http.client.HTTPConnection(HOST, port, timeout=PATIENCE_SECONDS)) as connection:
            connection.connect()
            if context is not None:
                connection.sock = context.wrap_socket(connection.sock, server_hostname=NAME)
            connection.request(method, path, body, {"Host": NAME, **(headers or {})})
            with connection.getresponse() as response:
                return response.status, response.headers, response.read()


# Before Netra itself


class Deployment:
    """The containers of docker-compose.yml, two of them `web`: one under each server."""

    def __init__(self, folder: Path, image: Path, redis_url: str, postgres: EmbeddedPostgres) -> None:
        variables = {
            "NETRA_SECRET_KEY": SECRET_KEY,
            "NETRA_ALLOWED_HOSTS": NAME,
            "POSTGRES_PASSWORD": "asked for by no PostgreSQL of tests",
            "DATABASE_URL": postgres.dsn,
            "REDIS_URL": redis_url,
        }
        self.image = image
        self.postgres = postgres
        self.migrate = Container("migrate", image, variables, folder / "migrate.log")
        self.worker = Container("worker", image, variables, folder / "worker.log")
        self.web = [
            Container("web", image, {**variables, "ASGI_SERVER": server}, folder / f"{server}.log")
            for server in ("daphne", "uvicorn")
        ]
        certificates = folder / "certificates"
        certificates.mkdir()
        write_certificate(certificates / "site.pem", NAME)
        self.context = ssl.create_default_context(cafile=certificates / "site.pem")
        ports = {f"web{number}": container.port for number, container in enumerate(self.web, start=1)}
        self.proxy = Proxy(folder, ports, certificates=certificates)

    def add_user(self, *, administrator: bool = False) -> Account:
        with psycopg.connect(self.postgres.dsn, autocommit=True) as connection:
            account = add_users(connection, 1)[0]
            if administrator:
                query = "UPDATE auth_user SET is_staff = true, is_superuser = true WHERE id = %s"
                connection.execute(query, [account.id])
            return account

    def sign_in(self, account: Account) -> tuple[str, str]:
        """The access token, and the cookie that is set."""
        body = json.dumps({"username": account.username, "password": account.password, "session": "cookie"})
        status, headers, answer = self.proxy.ask(
            "POST", "/api/auth/token", body, headers={"Content-Type": "application/json"}, context=self.context
        )
        assert status == 200, answer
        return json.loads(answer)["access"], headers["Set-Cookie"]

    @asynccontextmanager
    async def socket(self, token: str) -> AsyncIterator[Client]:
        """As the page opens it: the token is offered among the subprotocols."""
        port = self.proxy.tls_port
        async with connect(
            f"wss://{NAME}:{port}/ws",
            host=HOST,
            port=port,
            ssl=self.context,
            subprotocols=[Subprotocol("netra.v1"), Subprotocol(f"jwt.{token}")],
            origin=Origin(f"https://{NAME}:{port}"),
            proxy=None,
            compression=None,
        ) as socket:
            client = Client(socket)
            client.established = await client.receive("connection_established")
            yield client


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Deployment]:
    image = tmp_path_factory.mktemp("image")
    deployment.lay_out(image)
    for folder in new_data_dir(is_empty=True):
        with ExitStack() as stack:
            postgres = stack.enter_context(EmbeddedPostgres(folder))
            netra = Deployment(folder, image, redis_url, postgres)
            netra.migrate.launch()
            assert netra.migrate.wait() == 0, netra.migrate.log_text()
            for process in (*netra.web, netra.worker):
                process.launch()
                stack.callback(process.stop)
            for process in (*netra.web, netra.worker):
                process.wait_until_ready()
            stack.enter_context(netra.proxy)
            yield netra


async def test_two_pages_of_a_person_on_different_processes_follow_one_answer_over_tls(deployed: Deployment) -> None:
    token, cookie = deployed.sign_in(deployed.add_user())
    assert "; Secure" in cookie
    async with deployed.socket(token) as one, deployed.socket(token) as other:
        assert one.established["environment"] == other.established["environment"] == "production"
        accepted = await one.post("What is 6 * 7?")
        events = await one.events(accepted["run_id"])
        assert events[-1]["type"] == "agent_completed"
        assert "42" in events[-1]["data"]["message"]["content"]
        assert await other.events(accepted["run_id"]) == events
    served = [container.log_text().count('"event": "connected"') for container in deployed.web]
    assert served == [1, 1]


def test_the_admin_takes_a_form_over_tls_and_no_client_can_pretend_to_it(deployed: Deployment, tmp_path: Path) -> None:
    account = deployed.add_user(administrator=True)
    _, answered, page = deployed.proxy.ask("GET", "/admin/login/", context=deployed.context)
    cookie = answered["Set-Cookie"]
    assert "; Secure" in cookie
    [field] = re.findall(rb'name="csrfmiddlewaretoken" value="(\w+)"', page)
    form = {"csrfmiddlewaretoken": field.decode(), "username": account.username, "password": account.password}
    headers = {
        "Cookie": cookie.partition(";")[0],
        "Origin": f"https://{NAME}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    posted = ("POST", "/admin/login/", urlencode(form))
    assert deployed.proxy.ask(*posted, headers=headers, context=deployed.context)[0] == 302
    with Proxy(tmp_path, {"web1": deployed.web[0].port}) as without_tls:
        assert without_tls.ask(*posted, headers={**headers, "X-Forwarded-Proto": "https"})[0] == 403


def test_plain_http_leads_to_https(deployed: Deployment) -> None:
    status, headers, _ = deployed.proxy.ask("GET", "/t/1?a=b")
    assert (status, headers["Location"]) == (308, f"https://{NAME}/t/1?a=b")


def test_a_name_that_is_not_ours_is_not_served(deployed: Deployment) -> None:
    assert deployed.proxy.ask("GET", "/", context=deployed.context)[0] == 200
    assert deployed.proxy.ask("GET", "/", context=deployed.context, headers={"Host": "chat.example.com"})[0] == 400


def test_the_page_and_its_files_are_served_and_nothing_is_written_beside_them(deployed: Deployment) -> None:
    for path in ("/", "/static/chat/app.js", "/static/admin/css/base.css"):
        status, _, body = deployed.proxy.ask("GET", path, context=deployed.context)
        assert (status, len(body) > 500) == (200, True), path
    assert {path.name for path in deployed.image.iterdir()} == {"manage.py", "netra", "agents", "chat"}
    assert not list(deployed.image.rglob("*.pyc"))


# Before servers that misbehave


class Upstream(ThreadingHTTPServer):
    """Answers with its name and the headers of the request, and keeps what it received."""

    daemon_threads = True

    def __init__(self, name: str, *, answers: bool = True) -> None:
        self.name = name
        self.answers = answers
        self.status = 200
        self.received: list[str] = []
        super().__init__((HOST, 0), _Handler)
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Upstream

    def do_GET(self) -> None:
        if self.path == "/health/ready":
            self.send_response(self.server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received.append(self.command)
        if not self.server.answers:
            return  # the connection is closed
        body = json.dumps([self.server.name, self.headers.items()]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def before(folder: Path, *upstreams: Upstream) -> Iterator[Callable[..., tuple[int, str]]]:
    """A proxy before these; the call it gives makes a request and returns the status and who answered."""
    with ExitStack() as stack:
        for upstream in upstreams:
            stack.enter_context(upstream)
        proxy = stack.enter_context(Proxy(folder, {upstream.name: upstream.port for upstream in upstreams}))

        def ask(
            method: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, path: str = "/"
        ) -> tuple[int, str]:
            status, _, answer = proxy.ask(method, path, body, headers=headers)
            return status, json.loads(answer)[0] if status == 200 else ""

        yield ask


def test_what_the_client_says_about_itself_is_replaced(tmp_path: Path) -> None:
    with Upstream("a") as upstream, Proxy(tmp_path, {"a": upstream.port}) as proxy:
        names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded")
        _, _, answer = proxy.ask("GET", "/", headers=dict.fromkeys(names, "https"))
    said = [(name.lower(), value) for name, value in json.loads(answer)[1] if "forwarded" in name.lower()]
    assert sorted(said) == [("x-forwarded-for", HOST), ("x-forwarded-proto", "http")]


def test_metrics_are_not_to_be_had_from_outside_however_they_are_asked_for(tmp_path: Path) -> None:
    upstream = Upstream("a")
    with before(tmp_path, upstream) as ask:
        token = {"Authorization": "Bearer whatever"}
        for path in ("/metrics", "/metrics?a=b", "/%6Detrics", "/metric%73", f"http://{NAME}/metrics"):
            assert ask("GET", headers=token, path=path) == (404, ""), path
            assert ask("POST", headers=token, path=path)[0] == 404, path
        assert ask("GET", path="/api/metrics") == (200, "a")
    assert len(upstream.received) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_finds_another_process_when_one_has_just_gone(tmp_path: Path, method: str) -> None:
    gone, there = Upstream("gone"), Upstream("there")
    with before(tmp_path, gone, there) as ask:
        assert {ask(method) for _ in range(4)} == {(200, "gone"), (200, "there")}
        gone.close()
        assert [ask(method) for _ in range(8)] == [(200, "there")] * 8


def test_a_question_that_a_dying_process_took_is_asked_again_but_nothing_that_may_happen_twice(tmp_path: Path) -> None:
    dying, there = Upstream("dying", answers=False), Upstream("there")
    with before(tmp_path, dying, there) as ask:
        assert [ask("GET") for _ in range(6)] == [(200, "there")] * 6
        assert "GET" in dying.received
        answers = [ask("POST")[0] for _ in range(6)]
        assert set(answers) == {200, 502}
        assert (dying.received + there.received).count("POST") == 6


def test_a_process_that_drains_is_left_alone_and_comes_back(tmp_path: Path) -> None:
    draining, there = Upstream("draining"), Upstream("there")
    with before(tmp_path, draining, there) as ask:
        draining.status = 503
        until(lambda: {ask("GET")[1] for _ in range(6)} == {"there"}, what="the draining process to be left alone")
        draining.status = 200
        until(lambda: ask("GET")[1] == "draining", what="the process to be used again")


def test_a_body_too_large_or_of_unknown_size_is_refused(tmp_path: Path) -> None:
    upstream = Upstream("a")
    with before(tmp_path, upstream) as ask:
        assert ask("POST", b"x" * 1_048_576)[0] == 200
        assert ask("POST", headers={"Content-Length": "1048577"})[0] == 413
        assert ask("POST", headers={"Content-Length": "1048577"}, path="/api/attachments/x")[0] == 413
        assert ask("POST", b"x" * 11_534_336, path="/api/attachments")[0] == 200
        assert ask("POST", headers={"Content-Length": "11534337"}, path="/api/attachments")[0] == 413
        assert ask("POST", b"1\r\nx\r\n0\r\n\r\n", {"Transfer-Encoding": "chunked"})[0] == 413
        assert upstream.received == ["POST", "POST"]
