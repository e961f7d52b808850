"""A real server as a process of its own, and clients that speak to it over the network.

with LiveServer(data_dir, max_connections=2) as server:
    async with server.connect(server.add_user()) as client:
        events = await client.ask("What is 6 * 7?")
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, cast
from urllib.parse import urlsplit

import jwt
import psycopg
from django.contrib.auth.hashers import make_password
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from chat.fold import ClientState
from netra.config import Config
from netra.postgres import EmbeddedPostgres

Form = Literal["serve", "daphne", "uvicorn"]
Frame = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
TERMINAL = ("agent_completed", "agent_error", "agent_cancelled")
START_SECONDS = 90.0
PATIENCE_SECONDS = 30.0
ACK_EVERY = 64
SECRET_KEY = "the secret key of every server that a test starts"
PASSWORD = "a password of tests"


class LiveProcess:
    """A program, started, paused, stopped and killed as often as wanted."""

    running: ClassVar[list[LiveProcess]] = []

    def __init__(self, name: str, log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self._launched_at = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    @property
    def is_launched(self) -> bool:
        """Whether it was started and its end was not waited for."""
        return self._process is not None

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Return when it is ready."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Begin to start."""
        assert self._process is None, f"{self.name} runs already"
        with self.log_file.open("ab") as log:
            self._launched_at = log.tell()
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env=self._environment(),
                start_new_session=True,
            )
        self.running.append(self)

    def wait_until_ready(self) -> None:
        try:
            until(self._is_ready_or_ended, START_SECONDS, what=f"{self.name} to be ready")
        except BaseException:
            self.kill()
            sys.stderr.write(self.log_text()[-4000:])
            raise

    def stop(self) -> int:
        """End it with SIGTERM, and return its exit status."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait for its end, and return its exit status."""
        try:
            status = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._process = None
        self.running.remove(self)
        return status

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        """Nothing of the caller's settings."""
        return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}

    def _is_ready_or_ended(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with status {self.process.returncode}")
        return self._is_ready()

    def log_text(self) -> str:
        return self.log_file.read_text(errors="replace")

    def log_since_launch(self) -> str:
        return self.log_file.read_bytes()[self._launched_at :].decode(errors="replace")


class NetraProcess(LiveProcess):
    """One of Netra's own. Further arguments are settings by their names in `netra.config.Config`."""

    def __init__(self, name: str, data_dir: Path, **settings: object) -> None:
        super().__init__(name, data_dir / f"{name}.log")
        self.data_dir = data_dir
        self.inherited: Mapping[str, str] | None = None
        self._settings: dict[str, object] = {"secret_key": SECRET_KEY, "offline_tokens_per_second": 0}
        self.configure(**settings)

    def configure(self, **settings: object) -> None:
        """Change settings for the next start."""
        assert settings.keys() <= Config.model_fields.keys(), settings
        self._settings |= settings

    def manage(self, *command: str) -> None:
        """Run `manage.py` with the process's settings."""
        subprocess.run([sys.executable, "manage.py", *command], cwd=REPOSITORY, env=self._environment(), check=True)

    def _environment(self) -> dict[str, str]:
        """Compiled modules are kept, so that the next start is faster."""
        settings = {_variable(name): str(value) for name, value in self._settings.items()}
        return dict(self.inherited or super()._environment()) | {"NETRA_DATA_DIR": str(self.data_dir)} | settings

    def traceback(self) -> str:
        """The first traceback in the log and what stands around it; empty when there is none.

        The log is lines for people, or JSON. The traceback of uvicorn for text that is no UTF-8 is its own.
        """
        text = re.sub(r"Invalid UTF-8 sequence.*?UnicodeDecodeError", "", self.log_text(), flags=re.DOTALL)
        found = re.search(r'(.*\n){0,3}.*(Traceback|"exception":)(.*\n?){0,60}', text)
        return found[0] if found else ""


class LiveWorker(NetraProcess):
    """`manage.py worker`."""

    def _command(self) -> list[str]:
        return [sys.executable, "manage.py", "worker"]

    def _is_ready(self) -> bool:
        return "worker_started" in self.log_since_launch()


class LiveServer(NetraProcess):
    """One server on a port and a data folder of its own, started and stopped as often as wanted."""

    def __init__(
        self,
        data_dir: Path,
        *,
        name: str = "",
        form: Form = "serve",
        application: str = "netra.asgi:application",
        ready: bool = True,
        options: Sequence[str] = (),
        **settings: object,
    ) -> None:
        self.form = form
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._application = application
        self._ready = ready
        self._options = options
        super().__init__(name or f"{form}-{self.port}", data_dir, **settings)

    def _command(self) -> list[str]:
        port = str(self.port)
        if self.form == "serve":
            return [sys.executable, "manage.py", "serve", "--host", HOST, "--port", port, *self._options]
        if self.form == "daphne":
            return [sys.executable, "-m", "daphne", "-b", HOST, "-p", port, self._application]
        return [sys.executable, "-m", "uvicorn", "--host", HOST, "--port", port, self._application]

    def _is_ready(self) -> bool:
        """Where the server is never to be ready, whether it answers. Workers elsewhere are not waited for."""
        try:
            if not self._ready:
                return self.http("GET", "/health").status == 200
            answer = self.http("GET", "/health/ready")
            return answer.status == 200 and (self._settings.get("worker") == "external" or _is_whole(answer))
        except OSError:
            return False

    # Users

    def database(self) -> psycopg.Connection[Any]:
        given = self._settings.get("database_url")
        parameters: dict[str, Any] = dict(EmbeddedPostgres(self.data_dir).connection_params)
        return psycopg.connect(str(given) if given else "", autocommit=True, **({} if given else parameters))

    def add_user(self, name: str = "user", *, is_active: bool = True) -> Account:
        return self.add_users(1, name, is_active=is_active)[0]

    def add_users(self, number: int, name: str = "user", *, is_active: bool = True) -> list[Account]:
        with self.database() as connection:
            return add_users(connection, number, name, is_active=is_active)

    # Talking to it

    def http(self, method: str, path: str, *, token: str | None = None, body: object = None) -> Answer:
        return request(self.url, method, path, token=token, body=body)

    def connect(self, account: Account, *, state: ClientState | None = None) -> Connecting:
        """A socket of this user that has received `connection_established`. With a `state`, it has resumed from it."""
        return connected(self.url, account.token(), state=state)


def _variable(setting: str) -> str:
    alias = Config.model_fields[setting].validation_alias
    return str(alias) if alias else f"NETRA_{setting.upper()}"


@functools.cache
def _password_hash() -> str:
    return make_password(PASSWORD)


def until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS, *, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.02)


async def eventually(condition: Callable[[], object], *, what: str) -> None:
    """The same while clients go on. The condition is looked at in a thread."""
    await asyncio.to_thread(until, condition, what=what)


def processes_of(folder: Path) -> list[int]:
    """The processes that name the folder in their command line or work in it: those of its PostgreSQL."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                named = os.fsencode(folder) in (entry / "cmdline").read_bytes()
                if named or (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
    return found


# Tokens -----------------------------------------------------------------------------------------------------


def signing_key(secret_key: str = SECRET_KEY) -> str:
    """The key with which a server of this secret key signs its tokens."""
    return hmac.new(secret_key.encode(), b"netra.jwt", hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Account:
    """A user in the database."""

    id: int
    username: str
    password: str
    password_hash: str

    def claims(self, **changes: object) -> dict[str, Any]:
        """What an access token of this user says, as the sign-in makes it. A change to None leaves a claim out."""
        now = int(time.time())
        claims = {
            "token_type": "access",
            "iat": now,
            "exp": now + 600,
            "jti": uuid.uuid4().hex,
            "user_id": str(self.id),
            "hash_password": hashlib.md5(self.password_hash.encode(), usedforsecurity=False).hexdigest().upper(),
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, **changes: object) -> str:
        return jwt.encode(self.claims(**changes), signing_key(), "HS256")


def add_users(
    connection: psycopg.Connection[Any], number: int, name: str = "user", *, is_active: bool = True
) -> list[Account]:
    """Users who can sign in. Their names begin with `name` and are their own."""
    hashed = _password_hash()
    query = """INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff,
                                      is_active, date_joined)
               VALUES (%s, false, %s, '', '', '', false, %s, now()) RETURNING id"""
    accounts = []
    for _ in range(number):
        username = f"{name}-{uuid.uuid4().hex[:12]}"
        row = connection.execute(query, (hashed, username, is_active)).fetchone()
        assert row is not None
        accounts.append(Account(row[0], username, PASSWORD, hashed))
    return accounts


# HTTP -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: Any


def request(base_url: str, method: str, path: str, *, token: str | None = None, body: object = None) -> Answer:
    """One HTTP request. JSON in `body` and in the answer; an answer that is no JSON has its text."""
    parts = urlsplit(base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=PATIENCE_SECONDS)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    encoded = None
    if body is not None:
        headers["Content-Type"] = "application/json"
        encoded = json.dumps(body)
    with contextlib.closing(connection):
        connection.request(method, parts.path.rstrip("/") + path, encoded, headers)
        response = connection.getresponse()
        text = response.read().decode()
        is_json = "json" in response.headers.get("Content-Type", "")
        return Answer(response.status, response.headers, json.loads(text) if is_json else text)


def _is_whole(answer: Answer) -> bool:
    return cast("bool", answer.body["status"] == "ready")


def sign_in(base_url: str, username: str, password: str) -> dict[str, Any]:
    """The tokens of a user: `access`, `expires_in` and `refresh`."""
    answer = request(base_url, "POST", "/api/auth/token", body={"username": username, "password": password})
    assert answer.status == 200, f"{username} cannot sign in: {answer.status} {answer.body}"
    return cast("dict[str, Any]", answer.body)


# Sockets ----------------------------------------------------------------------------------------------------


class Client:
    """One socket. Every frame received is kept in `frames`, and folded into `state`, which finds gaps."""

    established: Frame

    def __init__(self, socket: ClientConnection, *, state: ClientState | None = None, acks: bool = True) -> None:
        self.socket = socket
        self.state = state or ClientState()
        self.frames: list[Frame] = []
        self._acks = acks

    async def send(self, **frame: object) -> None:
        await self.socket.send(json.dumps(frame))

    async def receive(self, *types: str) -> Frame:
        """The next frame, or, with `types`, the next of these types. Raises ConnectionClosed and TimeoutError."""
        while True:
            async with asyncio.timeout(PATIENCE_SECONDS):
                text = await self.socket.recv()
            frame: Frame = json.loads(text)
            self.frames.append(frame)
            self.state.fold(frame)
            if self._acks and (frame["type"] in TERMINAL or len(self.frames) % ACK_EVERY == 0):
                await self.ack()
            if not types or frame["type"] in types:
                return frame

    async def ack(self) -> None:
        if (ack := self.state.ack()) is not None:
            with contextlib.suppress(ConnectionClosed):
                await self.send(**ack)

    async def request(self, **frame: object) -> Frame:
        """Send a command, and return its reply or the error that answers it."""
        ref = uuid.uuid4().hex
        seen = len(self.frames)
        await self.send(**frame, ref=ref)
        while True:
            reply = next((frame for frame in self.frames[seen:] if frame.get("ref") == ref), None)
            if reply is not None:
                return reply
            await self.receive()

    async def ping(self) -> None:
        assert (await self.request(type="ping"))["type"] == "pong"

    async def post(self, content: str, **fields: object) -> Frame:
        """Send a message, and return its acceptance."""
        reply = await self.request(type="user_message", content=content, **fields)
        assert reply["type"] == "message_accepted", reply
        return reply

    async def events(self, run_id: str, *, to: Sequence[str] = TERMINAL) -> list[Frame]:
        """The events of a run from those that this socket received first to one of the types in `to`."""
        while not any(event["type"] in to for event in self.events_of(run_id)):
            await self.receive()
        return self.events_of(run_id)

    def events_of(self, run_id: str) -> list[Frame]:
        return [frame for frame in self.frames if frame.get("run_id") == run_id and "seq" in frame]

    async def ask(self, content: str, **fields: object) -> list[Frame]:
        """Send a message, and return all events of its run."""
        return await self.events((await self.post(content, **fields))["run_id"])

    async def closed(self) -> int:
        """Read to the end, and return the close code: 1006 when there was no close frame."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.receive()
        code = self.socket.close_code
        assert code is not None
        return code


Connecting = contextlib.AbstractAsyncContextManager[Client]


@contextlib.asynccontextmanager
async def dial(
    base_url: str,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] | None = None,
    origin: str | None = None,
    path: str = "/ws",
    state: ClientState | None = None,
    acks: bool = True,
    max_queue: int | None = 16,
) -> AsyncIterator[Client]:
    """A socket whose handshake was accepted. `token` goes into the Authorization header.

    It is read while no more than `max_queue` frames wait for `receive`; a longer queue delays its end by ten seconds.
    """
    given = {**({"Authorization": f"Bearer {token}"} if token is not None else {}), **(headers or {})}
    async with open_socket(
        "ws" + base_url.removeprefix("http").rstrip("/") + path,
        additional_headers=given,
        subprotocols=[Subprotocol(name) for name in subprotocols] if subprotocols else None,
        origin=Origin(origin) if origin else None,
        open_timeout=PATIENCE_SECONDS,
        max_size=None,
        max_queue=max_queue,
        compression=None,
        proxy=None,
    ) as socket:
        yield Client(socket, state=state, acks=acks)
    assert socket.close_code != 1011, "no input and no fault closes a socket with 1011"


@contextlib.asynccontextmanager
async def connected(
    base_url: str, token: str, *, state: ClientState | None = None, acks: bool = True, max_queue: int | None = 16
) -> AsyncIterator[Client]:
    """A socket that has received `connection_established` before all else, and has resumed from `state`."""
    async with dial(base_url, token=token, state=state, acks=acks, max_queue=max_queue) as client:
        client.established = await client.receive()
        assert client.established["type"] == "connection_established", client.established
        if state is not None and (resume := state.resume("resume")) is not None:
            await client.send(**resume)
        yield client


async def refusal(base_url: str, **options: Any) -> tuple[Frame, int]:
    """The one frame that a refused connection receives, and the close code after it."""
    async with dial(base_url, **options) as client:
        code = await client.closed()
    assert len(client.frames) == 1, client.frames
    return client.frames[0], code


def assert_whole(events: list[Frame]) -> None:
    """Every event once, in order, and the answer is what was said since the last restart."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "agent_completed"
    restarts = [event["seq"] for event in events if event["type"] == "agent_restarted"]
    said = "".join(
        event["data"]["text"]
        for event in events
        if event["type"] == "agent_response_chunk" and event["seq"] > max(restarts, default=0)
    )
    assert events[-1]["data"]["message"]["content"] == said


def assert_state_is_what_rest_shows(server: LiveServer, account: Account, state: ClientState) -> None:
    """The oracle: of each run, the client's state is what REST shows, its answer once and whole."""
    for run_id, run in state.runs.items():
        shown = server.http("GET", f"/api/threads/{run['thread_id']}/messages", token=account.token()).body
        [of_run] = [entry for entry in shown["runs"] if entry["id"] == run_id]
        assert (of_run["run_number"], of_run["status"]) == (run["run_number"], run["status"])
        assert (of_run["attempt"], of_run["last_seq"]) == (run["attempt"], run["last_seq"])
        said = [entry["content"] for entry in shown["messages"] if entry["run_id"] == run_id]
        told = [message["content"] for message in (run["question"], run["message"]) if message is not None]
        assert said == told
        assert run["question"] is not None
        assert told[1:] == ([run["text"]] if run["text"] or run["status"] == "completed" else [])


# Redis ------------------------------------------------------------------------------------------------------


class LiveRedis(LiveProcess):
    """A Redis of its own, on a port that it keeps when started again."""

    def __init__(self, log_file: Path = Path(os.devnull)) -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        super().__init__("redis", log_file)

    def _command(self) -> list[str]:
        nothing_on_disk = ["--save", "", "--appendonly", "no", "--repl-diskless-load", "swapdb"]
        return ["redis-server", "--port", str(self.port), "--bind", HOST, *nothing_on_disk]

    def _is_ready(self) -> bool:
        return accepts(self.port)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether something listens there."""
    try:
        with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=1)) as probe:
            probe.connect()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def live_redis() -> Iterator[LiveRedis]:
    with LiveRedis() as redis:
        yield redis
