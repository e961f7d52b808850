"""The limit: an application that only sends Netra's frames from memory, on the server that Netra has.

`python -m bench.peers.bare --server uvicorn --port 8000` serves it by `netra.serving` as `manage.py serve` does: the
same classes, with the same limits and pings. A person's answer goes to all connections of that person.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from bench import tokens
from netra.config import SERVERS
from netra.serving import build

RUN = "3f0c8a52-9d1e-4a8e-9a53-6f0b1f6d2c11"
THREAD = "b9a1c2d3-1e2f-4a5b-8c6d-7e8f9a0b1c2d"
TIMESTAMP = "2026-11-23T19:00:00.000Z"
ENVELOPE = f'"thread_id":"{THREAD}","run_id":"{RUN}","run_number":1,"seq":%d,"timestamp":"{TIMESTAMP}"'
STARTED = '{"type":"agent_started",' + ENVELOPE + ',"agent":"assistant","data":{"model":"plain","attempt":1}}'
CHUNK = '{"type":"agent_response_chunk",' + ENVELOPE + f',"agent":"assistant","data":{{"message_id":"{RUN}","text":"'
COMPLETED = (
    '{"type":"agent_completed",' + ENVELOPE + f',"agent":"assistant","data":{{"message":{{"id":"{RUN}","role":'
    '"assistant","content":"%s"},"usage":{"model":"plain","input_tokens":0,"output_tokens":0,"requests":0},'
    '"duration_ms":1000}}'
)
ACCEPTED = f'{{"type":"message_accepted","thread_id":"{THREAD}","message_id":"{RUN}","run_id":"{RUN}","run_number":1}}'
PONG = f'{{"type":"pong","server_time":"{TIMESTAMP}","threads_version":1}}'
READY = '"%s":"ready"'
SERVICES = ("agent_supervisor", "thread_service", "database", "channel_layer", "worker")
GREETING = (
    '{"type":"connection_established","event":"connection_established","connection_ready":true,"protocol":"netra.v1",'
    f'"connection_id":"{RUN}","user":{{"id":"1","username":"user-0123456789ab"}},"environment":"development",'
    f'"server_time":"{TIMESTAMP}","services":{{{",".join(READY % name for name in SERVICES)}}},'
    '"agents":["assistant","triage","data","optimization"],"last_run_number":0,"threads_version":0,"open_runs":[],'
    f'"token":{{"expires_at":"{TIMESTAMP}","expires_in":600}},"heartbeat":{{"interval_seconds":25}},'
    '"limits":{"max_message_bytes":65536,"user_messages_per_minute":60,"max_open_runs":10,"max_connections":20,'
    '"window_bytes":1048576,"max_attachments":10,"max_attachment_bytes":10485760}}'
)
# How many tokens Netra puts into a frame: of a rate those of its window.
WINDOW_SECONDS = 0.04


class Application:
    """What netra.serving starts and stops."""

    max_body_bytes = 65_536

    def __init__(self, tokens_at_once: int) -> None:
        self._tokens_at_once = tokens_at_once
        self._sockets: dict[str, set[Any]] = defaultdict(set)
        self._answers: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """There is nothing to start."""

    async def stop(self) -> None:
        for answer in self._answers:
            answer.cancel()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        person = scope["path"]
        while (message := await receive())["type"] != "websocket.disconnect":
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.send", "text": GREETING})
                self._sockets[person].add(send)
            elif '"ping"' in message["text"]:
                await send({"type": "websocket.send", "text": PONG})
            elif '"user_message"' in message["text"]:
                await send({"type": "websocket.send", "text": ACCEPTED})
                question = json.loads(message["text"])["content"]
                task = asyncio.create_task(self._answer(person, question))
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)
        self._sockets[person].discard(send)
        if not self._sockets[person]:
            del self._sockets[person]

    async def _answer(self, person: str, question: str) -> None:
        said: list[str] = []
        await self._publish(person, STARTED % 2)
        seq = 3
        async for text in texts(question, self._tokens_at_once):
            said.append(text)
            await self._publish(person, f'{CHUNK % seq}{text}"}}}}')
            seq += 1
        await self._publish(person, COMPLETED % (seq, "".join(said)))

    async def _publish(self, person: str, frame: str) -> None:
        for send in tuple(self._sockets.get(person, ())):
            await send({"type": "websocket.send", "text": frame})


async def texts(question: str, tokens_at_once: int) -> AsyncIterator[str]:
    """The text of each frame. With a rate, of a window's tokens when the last of them is due."""
    number, per_second = tokens.parsed(question)
    step = tokens_at_once if per_second is None else max(round(per_second * WINDOW_SECONDS), 1)
    began = time.perf_counter_ns()
    for first in range(0, number, step):
        last = min(first + step, number)
        if per_second is None:
            await asyncio.sleep(0)
            made = [time.perf_counter_ns()] * (last - first)
        else:
            made = [began + round(index * 1e9 / per_second) for index in range(first, last)]
            await asyncio.sleep(max(made[-1] - time.perf_counter_ns(), 0) / 1e9)
        yield "".join(itertools.starmap(tokens.token, zip(range(first, last), made, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.bare", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--server", choices=SERVERS, required=True, help="what serves it")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tokens-at-once", type=int, required=True, help="tokens in a frame without a rate")
    arguments = parser.parse_args()
    application = Application(arguments.tokens_at_once)
    build(arguments.server, application, host=arguments.host, port=arguments.port).run_to_end(on_open=lambda: None)


if __name__ == "__main__":
    main()
