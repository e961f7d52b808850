"""The tutorial's project as a subject."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.load import Client, connect
from bench.peers.process import PeerProcess, Served
from bench.subjects import Hear, Kind
from netra.config import ServerName
from tests.processes import HOST, LiveRedis

APPLICATION = "bench.peers.tutorial.asgi:application"
# Longer than any queue of connections: what comes too late is measured, and not refused.
HANDSHAKE_SECONDS = 60


class Tutorial(Served):
    """Served as Channels' documentation has it: by daphne's or uvicorn's own command."""

    frames = "a token"

    def __init__(self, server: ServerName) -> None:
        self.name = f"tutorial, {server}"
        self._server = server

    async def open(self, user: int, hear: Hear) -> Client:
        client = await connect(f"{self.process.url}/ws/chat/user{user}/", {"Origin": self.process.url})
        await client.receive()
        client.listen(lambda payload, arrived: hear(kind_of(payload), payload, arrived))
        return client

    def ask(self, client: Client, question: str) -> None:
        client.send(json.dumps({"type": "message", "message": question}))

    def text_of(self, payload: bytes) -> str:
        return str(json.loads(payload)["token"])

    def check(self, payloads: Sequence[bytes], text: str) -> None:
        """It numbers nothing."""

    def _process(self, folder: Path) -> PeerProcess:
        redis = self._stack.enter_context(LiveRedis())
        return PeerProcess(
            self.name,
            folder,
            [sys.executable, "-m", *commands(self._server)],
            environment={"REDIS_URL": redis.url, "DJANGO_SETTINGS_MODULE": "bench.peers.tutorial.settings"},
        )


def commands(server: ServerName) -> list[str]:
    if server == "uvicorn":
        return ["uvicorn", "--host", HOST, "--port", "{port}", "--log-level", "warning", APPLICATION]
    patience = ["--websocket_connect_timeout", str(HANDSHAKE_SECONDS)]
    return ["daphne", "-b", HOST, "-p", "{port}", "-v", "0", *patience, APPLICATION]


def kind_of(payload: bytes) -> Kind:
    if payload.startswith(b'{"type": "token"'):
        return Kind.TEXT
    if payload.startswith(b'{"type": "ended"'):
        return Kind.ENDED
    return Kind.STARTED if payload.startswith(b'{"type": "started"') else Kind.OTHER
