"""AG-UI's unmodified JavaScript client as a process: `web/tests/ag_ui_client.mjs`.

async with ag_ui_client() as client:
    await client.begin(url=…, token=…, threadId="a name")
    done = await client.ask("What is 6 * 7?")
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ag_ui_validate import create_validator

from tests.processes import PATIENCE_SECONDS, REPOSITORY

Json = dict[str, Any]
MAX_LINE = 16 * 1024 * 1024


class AgUiClient:
    """One client with one conversation. `events` are those of its last run."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.events: list[Json] = []

    async def begin(self, **fields: Any) -> None:
        """A client that shows nothing yet, or `messages`."""
        await self._send(do="agent", **fields)

    async def replies(self, *streams: str) -> None:
        """Its next requests are answered by these streams."""
        await self._send(do="replies", streams=streams)

    async def say(self, content: str, message_id: str | None = None) -> None:
        await self._send(do="ask", content=content, **({"id": message_id} if message_id else {}))

    async def ask(self, content: str, message_id: str | None = None) -> Json:
        await self.say(content, message_id)
        return await self.run()

    async def run(self, **fields: Any) -> Json:
        """Run the agent to the end of its stream: the conversation as the client shows it, and how the run ended."""
        await self.start(**fields)
        return await self.done()

    async def start(self, **fields: Any) -> None:
        self.events = []
        await self._send(do="run", **fields)

    async def abort(self) -> None:
        await self._send(do="abort")

    async def receive(self, *types: str) -> Json:
        """The next event of these types."""
        while True:
            report = await self._read()
            assert "event" in report, report
            if report["event"]["type"] in types:
                event: Json = report["event"]
                return event

    async def done(self) -> Json:
        while True:
            report = await self._read()
            if "done" in report:
                done: Json = report["done"]
                return done

    async def _send(self, **command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def _read(self) -> Json:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await self._process.stdout.readline()
        assert line, "the client has ended"
        report: Json = json.loads(line)
        if "event" in report:
            self.events.append(report["event"])
        return report


@asynccontextmanager
async def ag_ui_client() -> AsyncIterator[AgUiClient]:
    node = shutil.which("node")
    assert node is not None, "these tests need node"
    process = await asyncio.create_subprocess_exec(
        node,
        str(REPOSITORY / "web/tests/ag_ui_client.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=MAX_LINE,
    )
    try:
        yield AgUiClient(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def assert_valid(events: Sequence[Json]) -> None:
    """The validator finds nothing, not even what it would only mention."""
    validator = create_validator()
    for event in events:
        validator.feed(event)
    validator.finalize()
    report = validator.report()
    found = [f"{found.rule} at {found.event_index}: {found.message}" for found in report.diagnostics]
    assert not found, "\n".join(found)
    assert not report.internal_errors, report.internal_errors


def said(messages: Sequence[Json]) -> str:
    """The text of the assistant's messages behind the last question."""
    asked = max(place for place, message in enumerate(messages) if message["role"] == "user")
    return "".join(message.get("content") or "" for message in messages[asked:] if message["role"] == "assistant")
