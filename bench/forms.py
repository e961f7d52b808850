"""Netra in its forms, as subjects of scenarios, with settings that do not limit.

- embedded: `manage.py serve` with its worker inside, on the server's core; the embedded PostgreSQL on the other.
- cluster: a web process and a worker process, both on the server's core; PostgreSQL and Redis on the other. Clients
  connect to the web process: no proxy is between.

PostgreSQL is as it is delivered (each commit is on the disk), and its data folder is new in each turn.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from bench import cores
from bench.load import Client, Lost, connect
from bench.subjects import Hear, Kind
from netra.client.socket import ACK_FRAMES, ACK_SECONDS
from netra.config import ServerName

if TYPE_CHECKING:
    from tests.clients import Account
    from tests.cluster import Cluster
    from tests.live import LiveServer, NetraProcess

Form = Literal["embedded", "cluster"]
AGENTS = "bench.agents:agents"
_MANY = 1_000_000
SETTINGS: dict[str, Any] = {
    "agents": AGENTS,
    "user_messages_per_minute": _MANY,
    "commands_per_minute": _MANY,
    "max_open_runs": _MANY,
    "max_connections": _MANY,
    "worker_concurrency": 10_000,
    "ws_connect_timeout": 10,
}
# What the first bytes of a frame say of it.
_KINDS = {
    b'{"type":"agent_response_chunk"': Kind.TEXT,
    b'{"type":"agent_started"': Kind.STARTED,
    b'{"type":"agent_completed"': Kind.ENDED,
    b'{"type":"agent_error"': Kind.ENDED,
    b'{"type":"agent_cancelled"': Kind.ENDED,
    b'{"type":"error_message"': Kind.REFUSED,
}
_HEAD = len(b'{"type":"')


def kind_of(payload: bytes) -> Kind:
    return _KINDS.get(payload[: payload.find(b'"', _HEAD) + 1], Kind.OTHER)


class Netra:
    """`agent` is who answers; `what` what is particular about it, if anything. Further settings are by their names in
    `netra.config.Config`.
    """

    def __init__(
        self, form: Form, asgi_server: ServerName, *, agent: str = "plain", what: str = "", **settings: Any
    ) -> None:
        self.name = ", ".join(filter(None, ("netra", form, asgi_server, what)))
        self.frames = "the tokens of 40 ms"
        self.agent = agent
        self._form = form
        self._asgi_server = asgi_server
        self._settings = {**SETTINGS, **settings}
        self._stack = ExitStack()
        self._accounts: list[Account] = []
        self.web: LiveServer
        self.cluster: Cluster  # of the form of that name
        self._processes: Sequence[NetraProcess] = ()

    def __enter__(self) -> Self:
        _settings_of_this_process()
        with ExitStack() as stack:
            folder = stack.enter_context(data_folder())
            if self._form == "embedded":
                self._start_embedded(stack, folder)
            else:
                self._start_cluster(stack, folder)
            self._stack = stack.pop_all()
        self._accounts = []
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start_embedded(self, stack: ExitStack, folder: Path) -> None:
        from netra.postgres import EmbeddedPostgres
        from tests.live import LiveServer

        # Held by this process, it stays on the core of this process.
        stack.enter_context(EmbeddedPostgres(folder))
        self.web = LiveServer(folder, asgi_server=self._asgi_server, **self._settings)
        self._place([self.web])
        stack.enter_context(self.web)

    def _start_cluster(self, stack: ExitStack, folder: Path) -> None:
        from tests.cluster import Cluster

        self.cluster = Cluster(folder, web=1, workers=1, servers=[self._asgi_server], **self._settings)
        self._place(self.cluster.netra)
        [self.web] = self.cluster.web
        stack.enter_context(self.cluster)

    def _place(self, processes: Sequence[NetraProcess]) -> None:
        for process in processes:
            process.configure(environment="production", allowed_hosts="127.0.0.1")
            process.cores = cores.SERVER
        self._processes = processes

    @property
    def url(self) -> str:
        return self.web.url

    def pids(self) -> Collection[int]:
        return [process.process.pid for process in self._processes]

    def add_users(self, number: int) -> None:
        if (missing := number - len(self._accounts)) > 0:
            self._accounts += self.web.add_users(missing)

    def account(self, user: int) -> Account:
        return self._accounts[user]

    async def open(self, user: int, hear: Hear) -> Client:
        client = await connect(f"{self.url}/ws", {"Authorization": f"Bearer {self.account(user).token()}"})
        greeting = await client.receive()
        if not greeting.startswith(b'{"type":"connection_established"'):
            client.close()
            raise Lost(f"not greeted: {greeting.decode()}")
        client.listen(_Listener(client, hear).heard)
        return client

    def ask(self, client: Client, question: str) -> None:
        client.send(json.dumps({"type": "user_message", "content": question, "agent": self.agent}))

    def text_of(self, payload: bytes) -> str:
        text: str = json.loads(payload)["data"]["text"]
        return text

    def check(self, payloads: Sequence[bytes], text: str) -> None:
        """Every event of the run is there, once, in order, and the answer is the text that was streamed."""
        events = [frame for frame in map(json.loads, payloads) if "seq" in frame]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), "an event is missing or repeated"
        assert events[-1]["type"] == "agent_completed", events[-1]
        message = events[-1]["data"]["message"]
        if "truncated" in message:
            assert message["truncated"]["bytes"] == len(text.encode()), message
        else:
            assert message["content"] == text, "the answer is not what was streamed"


class _Listener:
    """Hands on the frames of one connection, and acknowledges them as a client does (docs/protocol.md, 5.6)."""

    def __init__(self, client: Client, hear: Hear) -> None:
        self._client = client
        self._hear = hear
        self._acknowledged = client.frames
        self._acknowledged_ns = time.perf_counter_ns()

    def heard(self, payload: bytes, arrived: int) -> None:
        kind = kind_of(payload)
        self._hear(kind, payload, arrived)
        due = arrived - self._acknowledged_ns >= ACK_SECONDS * 1e9
        if kind is Kind.ENDED or due or self._client.frames - self._acknowledged >= ACK_FRAMES:
            self._acknowledged, self._acknowledged_ns = self._client.frames, arrived
            if self._client.is_open:
                self._client.send(f'{{"type":"ack","received":{self._acknowledged}}}')


# Data folders -------------------------------------------------------------------------------------------------


@contextmanager
def data_folder() -> Iterator[Path]:
    """A new one, whose database has all tables and no rows of people: a copy, since to make one takes seconds."""
    with tempfile.TemporaryDirectory(prefix="turn-", dir=_folder()) as name:
        folder = Path(name)
        folder.chmod(0o755)
        subprocess.run(["cp", "-pR", _template() / "postgres", folder], check=True)
        yield folder


@functools.cache
def _template() -> Path:
    from netra.postgres import EmbeddedPostgres
    from tests.live import NetraProcess

    template = _folder() / "template"
    template.mkdir(mode=0o755)
    with EmbeddedPostgres(template):
        NetraProcess("template", template).manage("migrate", "--verbosity", "0")
    return template


def _folder() -> Path:
    """Where this process has its folders. It goes with the process."""
    return Path(_temporary_directory().name)


@functools.cache
def _temporary_directory() -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="netra-bench-")
    Path(made.name).chmod(0o755)
    return made


@functools.cache
def _settings_of_this_process() -> None:
    """The tests' own modules, which are imported here, hash passwords by Django's settings."""
    os.environ |= {"NETRA_DATA_DIR": str(_folder()), "DJANGO_SETTINGS_MODULE": "netra.settings"}
    from tests.clients import SECRET_KEY

    os.environ["NETRA_SECRET_KEY"] = SECRET_KEY
