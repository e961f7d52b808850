"""Chainlit as a subject: its current release, in an environment of its own, as its command runs it.

Headless, without login and without a data layer, so nothing is kept of an answer. What it requires is installed, and
nothing else: its sockets are wsproto's. With `websockets` in its environment a token takes 4 % less processor time.

Its clients speak Engine.IO 4 and Socket.IO 5 over a WebSocket: `0` opens, `40` connects, `42` is an event, `2` a ping
that `3` answers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from bench.load import Client, connect
from bench.peers.process import PeerProcess, Served
from bench.subjects import Hear, Kind
from tests.processes import HOST, REPOSITORY

PATH = "/ws/socket.io/?EIO=4&transport=websocket"
HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "chainlit-requirements.txt"
ENVIRONMENT = REPOSITORY / ".venv-chainlit"


class Chainlit(Served):
    name = "chainlit"
    frames = "a token"

    def __enter__(self) -> Self:
        prepare()
        return super().__enter__()

    async def open(self, user: int, hear: Hear) -> Client:  # noqa: ARG002 - without login all are the same
        client = await connect(self.process.url + PATH)
        await _expect(client, b"0")
        client.send("40" + json.dumps({"sessionId": str(uuid.uuid4()), "clientType": "webapp", "userEnv": "{}"}))
        await _expect(client, b"40")
        client.send('42["connection_successful"]')
        await _expect(client, b'42["clear_call_fn"')

        def on_text(payload: bytes, arrived: int) -> None:
            if payload == b"2":
                client.send("3")
            else:
                hear(kind_of(payload), payload, arrived)

        client.listen(on_text)
        return client

    def ask(self, client: Client, question: str) -> None:
        message = {
            "id": str(uuid.uuid4()),
            "name": "user",
            "type": "user_message",
            "output": question,
            "createdAt": "2026-01-01T00:00:00Z",
        }
        client.send("42" + json.dumps(["client_message", {"message": message, "fileReferences": None}]))

    def text_of(self, payload: bytes) -> str:
        event, data = json.loads(payload[2:])
        return str(data["output"] if event == "stream_start" else data["token"])

    def check(self, payloads: Sequence[bytes], text: str) -> None:
        """Its frames have no numbers. When it is done it sends the whole answer once more."""
        said = [json.loads(payload[2:])[1] for payload in payloads if payload.startswith(b'42["new_message"')]
        assert said, "there is no final message"
        assert said[-1]["output"] == text, "the final message is not what was streamed"

    def _process(self, folder: Path) -> PeerProcess:
        for source in (HERE / "chainlit_app.py", HERE.parent / "tokens.py"):
            shutil.copy(source, folder)
        command = [ENVIRONMENT / "bin" / "chainlit", "run", "chainlit_app.py", "--headless"]
        return PeerProcess(
            self.name,
            folder,
            [*map(str, command), "--host", HOST, "--port", "{port}"],
            environment={"CHAINLIT_APP_ROOT": str(folder)},
            source=folder,
        )


def kind_of(payload: bytes) -> Kind:
    """The first token comes in `stream_start`."""
    if payload.startswith((b'42["stream_token"', b'42["stream_start"')):
        return Kind.TEXT
    if payload.startswith(b'42["task_end"'):
        return Kind.ENDED
    return Kind.STARTED if payload.startswith(b'42["task_start"') else Kind.OTHER


def prepare() -> None:
    """Install it, unless the environment has what is pinned."""
    installed = ENVIRONMENT / REQUIREMENTS.name
    if installed.exists() and installed.read_text() == REQUIREMENTS.read_text():
        return
    print(f"Installing Chainlit into {ENVIRONMENT} (once, a minute) ...", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
    shutil.copy(REQUIREMENTS, installed)


async def _expect(client: Client, beginning: bytes) -> None:
    while not (await client.receive()).startswith(beginning):
        pass
