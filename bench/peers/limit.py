"""The limit as a subject: `bench/peers/bare.py`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.forms import kind_of
from bench.load import Client, connect
from bench.peers.process import PeerProcess, Served
from bench.subjects import Hear
from netra.config import ServerName

TOKENS_AT_ONCE = 100


class Bare(Served):
    """`tokens_at_once` is how many Netra puts into a frame when an agent is as fast as possible."""

    def __init__(self, server: ServerName, tokens_at_once: int = TOKENS_AT_ONCE) -> None:
        self.name = f"bare, {server}"
        self.frames = f"the tokens of 40 ms, or {tokens_at_once} tokens"
        self._server = server
        self._tokens_at_once = tokens_at_once

    async def open(self, user: int, hear: Hear) -> Client:
        client = await connect(f"{self.process.url}/{user}")
        await client.receive()
        client.listen(lambda payload, arrived: hear(kind_of(payload), payload, arrived))
        return client

    def ask(self, client: Client, question: str) -> None:
        client.send(json.dumps({"type": "user_message", "content": question}))

    def text_of(self, payload: bytes) -> str:
        return str(json.loads(payload)["data"]["text"])

    def check(self, payloads: Sequence[bytes], text: str) -> None:
        events = [event for event in map(json.loads, payloads) if "seq" in event]
        assert [event["seq"] for event in events] == list(range(2, len(events) + 2))
        assert events[-1]["data"]["message"]["content"] == text

    def _process(self, folder: Path) -> PeerProcess:
        words = ["bench.peers.bare", "--server", self._server, "--port", "{port}"]
        at_once = ["--tokens-at-once", str(self._tokens_at_once)]
        return PeerProcess(self.name, folder, [sys.executable, "-m", *words, *at_once])
