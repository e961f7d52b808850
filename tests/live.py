"""A real server as a process of its own, and clients that speak to it over the network.

with LiveServer(data_dir, max_connections=2) as server:
    async with server.connect(server.add_user()) as client:
        events = await client.ask("What is 6 * 7?")
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import psycopg

from chat.fold import ClientState
from netra.config import Config
from netra.postgres import EmbeddedPostgres
from tests.clients import SECRET_KEY, Account, Answer, Connecting, add_users, connected, request
from tests.processes import HOST, REPOSITORY, LiveProcess, free_port

Form = Literal["serve", "daphne", "uvicorn"]
# All that tests do comes from one address, and much of it from one person.
UNCOUNTED = dict.fromkeys(
    (
        "requests_per_minute",
        "requests_per_minute_per_address",
        "connects_per_minute",
        "connects_per_minute_per_address",
    ),
    1_000_000,
)


class NetraProcess(LiveProcess):
    """One of Netra's own. Further arguments are settings by their names in `netra.config.Config`.

    Requests and connects are counted, and there is room for all of them.
    """

    def __init__(self, name: str, data_dir: Path, **settings: object) -> None:
        super().__init__(name, data_dir / f"{name}.log")
        self.data_dir = data_dir
        self.inherited: Mapping[str, str] | None = None
        self._settings: dict[str, object] = {"secret_key": SECRET_KEY, "offline_tokens_per_second": 0, **UNCOUNTED}
        self.configure(**settings)

    def configure(self, **settings: object) -> None:
        """Change settings for the next start."""
        assert settings.keys() <= Config.model_fields.keys(), settings
        self._settings |= settings

    def manage(self, *command: str) -> None:
        """Run `manage.py` with the process's settings."""
        subprocess.run([sys.executable, "manage.py", *command], cwd=self.source, env=self._environment(), check=True)

    def _environment(self) -> dict[str, str]:
        """Compiled modules are kept, so that the next start is faster. Under pytest its settings are the server's."""
        settings = {_variable(name): str(value) for name, value in self._settings.items()}
        if self.source == REPOSITORY and (module := os.environ.get("DJANGO_SETTINGS_MODULE")):
            settings["DJANGO_SETTINGS_MODULE"] = module
        return dict(self.inherited or super()._environment()) | {"NETRA_DATA_DIR": str(self.data_dir)} | settings

    def traceback(self) -> str:
        """The first traceback in the log and what stands around it; empty when there is none.

        The log is lines for people, or JSON. The traceback of uvicorn for text that is no UTF-8 is its own.
        """
        text = re.sub(r"Invalid UTF-8 sequence.*?UnicodeDecodeError", "", self.log_text(), flags=re.DOTALL)
        # The pattern takes long for a long log without any.
        if "Traceback" not in text and '"exception":' not in text:
            return ""
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
        self.options = options
        super().__init__(name or f"{form}-{self.port}", data_dir, **settings)

    def _command(self) -> list[str]:
        port = str(self.port)
        if self.form == "serve":
            return [sys.executable, "manage.py", "serve", "--host", HOST, "--port", port, *self.options]
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


def _is_whole(answer: Answer) -> bool:
    return cast("bool", answer.body["status"] == "ready")
