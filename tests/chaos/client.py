"""A client of the protocol that behaves badly in every way in which networks and people do, and never loses count."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from chat.fold import ENDED, ClientState, ProtocolViolation
from netra.client.socket import ACK_FRAMES, ACK_SECONDS, opened
from tests.chaos.record import ClientRecord, ConnectionRecord, ReceivedEvent, digest
from tests.clients import Account
from tests.conformance import assert_conforms

QUESTIONS = (
    "help",
    "help",
    "What is 17.5 % of 2480, and what time is it in Tokyo?",
    "Search for Tokyo, and what is 2 ** 64?",
    "hello",
)
# The agent of tests/scripted_agent.py asks whether it may write the message's own id, once, and then read.
ASKING = "One moment. & write {id}; Then. & read {id}; outcomes"
SILENCE_SECONDS = 15.0
REPLY_SECONDS = 12.0
GONE = (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, EOFError)
AGAIN = frozenset({"SERVICE_UNAVAILABLE", "TOO_MANY_RUNS", "RATE_LIMITED"})


@dataclass(frozen=True, slots=True)
class Habits:
    """How restless a client is. All are means of random times in seconds, or shares of 1."""

    between_messages: float
    stays: float = 20.0
    sleeps: float = 3.0
    reads_slowly: float = 0.15
    drops_in_replay: float = 0.3
    stops: float = 0.05
    asks: float = 0.15
    answers: float = 2.0


class ChaosClient:
    """One client of a user. `calm` makes it stay connected and write no more; `leave` ends it."""

    def __init__(self, account: Account, urls: Sequence[str], *, seed: str, habits: Habits) -> None:
        self.record = ClientRecord(account.id)
        self.state = ClientState()
        self.drains = 0
        self._account = account
        self._urls = urls
        self._random = random.Random(seed)
        self._habits = habits
        self._calm = asyncio.Event()
        self._leaving = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._connected = asyncio.Event()
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._threads: list[str] = []

    def calm(self) -> None:
        self._calm.set()

    def leave(self) -> None:
        self._leaving.set()
        self._connected.set()  # for whoever waits for another connection

    async def live(self) -> None:
        """Returns after `leave`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._connect_again_and_again())
            tasks.create_task(self._write())
            tasks.create_task(self._answer())
        self.record.state = self.state.to_json()

    def has_caught_up(self, log: Mapping[str, tuple[int, int]]) -> bool:
        """Whether it knows the end of every run of its user in `log`: run number and last seq by run id."""
        return all(
            number <= (self.record.baseline or 0) or self._knows(run_id, last) for run_id, (number, last) in log.items()
        )

    def _knows(self, run_id: str, last_seq: int) -> bool:
        run = self.state.runs.get(run_id)
        return run is not None and run["last_seq"] == last_seq and run["status"] in ENDED

    # Connections

    async def _connect_again_and_again(self) -> None:
        while not self._leaving.is_set():
            with contextlib.suppress(*GONE):
                await self._connect(self._random.choice(self._urls))
            # Several times in a row, at once; or after a while; or after a sleep.
            seconds = self._random.choice((0.0, 0.1, self._random.expovariate(1 / self._habits.sleeps)))
            await self._sleep(0.2 + self._random.random() if self._calm.is_set() else seconds)

    async def _connect(self, url: str) -> None:
        connection = ConnectionRecord()
        options: dict[str, Any] = {"open_timeout": 10, "close_timeout": 2, "ping_interval": None, "max_queue": 4}
        async with opened(url, token=self._account.token(), **options) as socket:
            self.record.connections.append(connection)
            try:
                await self._follow(socket, connection)
            finally:
                self._disconnected()
                connection.close_code = socket.close_code
                socket.transport.abort()

    def _disconnected(self) -> None:
        self._socket = None
        self._connected.clear()
        for reply in self._replies.values():
            if not reply.done():
                reply.cancel()
        self._replies.clear()

    async def _follow(self, socket: ClientConnection, connection: ConnectionRecord) -> None:
        """Read until the socket ends, or until this client drops it."""
        now = asyncio.get_running_loop().time
        ends = now() + self._random.expovariate(1 / self._habits.stays)
        in_replay = self._random.random() < self._habits.drops_in_replay
        frames = self._random.randrange(1, 60) if in_replay else 1 << 60
        slow = self._random.random() < self._habits.reads_slowly
        heard = acked = now()
        while self._calm.is_set() or (now() < ends and len(connection.events) < frames):
            if self._leaving.is_set():
                await socket.close()
                return
            try:
                async with asyncio.timeout(ACK_SECONDS):
                    text = await socket.recv()
            except TimeoutError:
                if now() - heard > SILENCE_SECONDS:
                    return
                await self._send(socket, type="ping")
            else:
                heard = now()
                await self._take(socket, connection, json.loads(text))
            if now() - acked > ACK_SECONDS or self.state.received % ACK_FRAMES == 0:
                acked = now()
                if (ack := self.state.ack()) is not None:
                    await self._send(socket, **ack)
            if slow and not self._calm.is_set() and self._random.random() < 0.02:
                await self._sleep(self._random.uniform(0.5, 4.0))

    async def _take(self, socket: ClientConnection, connection: ConnectionRecord, frame: dict[str, Any]) -> None:
        assert_conforms(frame)
        if "seq" in frame:
            connection.events.append(ReceivedEvent(frame["run_id"], frame["seq"], digest(frame)))
        try:
            self.state.fold(frame)
        except ProtocolViolation as gap:
            connection.errors.append(f"gap: {gap}")
            raise EOFError from gap
        match frame["type"]:
            case "connection_established":
                if self.record.baseline is None:
                    self.record.baseline = frame["last_run_number"]
                    self.record.open_at_first = {run["run_id"] for run in frame["open_runs"]}
                if (resume := self.state.resume("resume")) is not None:
                    connection.resumed_from = dict(resume["cursors"])
                    await self._send(socket, **resume)
                self._socket = socket
                self._connected.set()
            case "error_message":
                connection.errors.append(frame["error_code"])
            case "server_draining":
                self.drains += 1
        reply = self._replies.pop(frame.get("ref", ""), None)
        if reply is not None and not reply.done():
            reply.set_result(frame)

    async def _send(self, socket: ClientConnection, **frame: Any) -> None:
        async with asyncio.timeout(REPLY_SECONDS):
            await socket.send(json.dumps(frame))

    # Messages

    async def _write(self) -> None:
        while True:
            await self._sleep(self._random.expovariate(1 / self._habits.between_messages))
            if self._calm.is_set():
                return
            run_id = await self._post()
            if run_id is not None and self._random.random() < self._habits.stops:
                await self._sleep(self._random.uniform(0, 5))
                await self._stop(run_id)

    async def _post(self) -> str | None:
        """Send one message until it is answered, whatever becomes of the connections. The run's id, if it has one."""
        message_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        message: dict[str, Any] = {"content": self._random.choice(QUESTIONS), "message_id": message_id}
        if self._random.random() < self._habits.asks:
            message |= {"content": ASKING.format(id=message_id), "agent": "scripted"}
        if len(self._threads) > 2 or (self._threads and self._random.random() < 0.7):
            busy = self._random.choices(("enqueue", "interrupt", "reject"), (18, 1, 1))[0]
            message |= {"thread_id": self._random.choice(self._threads), "when_busy": busy}
        self.record.unanswered.add(message_id)
        reply = await self._ask(type="user_message", **message)
        self.record.unanswered.discard(message_id)
        if reply["type"] != "message_accepted":
            return None
        self.record.accepted[message_id] = reply["run_id"]
        if reply["thread_id"] not in self._threads:
            self._threads.append(reply["thread_id"])
        return str(reply["run_id"])

    async def _stop(self, run_id: str) -> None:
        """Twice, which is harmless."""
        for _ in range(2):
            reply = await self._ask(type="stop_run", run_id=run_id)
            if reply["type"] == "run_stopped" and reply["status"] == "cancelled":
                self.record.stopped.add(run_id)

    async def _answer(self) -> None:
        """Answer what runs wait for. The user's other client does so, too, and may say the opposite."""
        while not self._leaving.is_set():
            await self._sleep(self._random.expovariate(1 / self._habits.answers))
            waiting = [
                (run_id, call)
                for run_id, run in self.state.runs.items()
                if run["status"] == "awaiting_approval"
                for call, approval in run["approvals"].items()
                if approval["approved"] is None
            ]
            if waiting and self._connected.is_set():
                run_id, call = self._random.choice(waiting)
                approved = self._random.random() < 0.8
                reply = await self._ask(
                    type="resolve_approval", run_id=run_id, tool_call_id=call, approved=approved, reason="chance"
                )
                if reply["type"] == "approval_accepted":
                    self.record.decided[run_id, call] = approved

    async def _ask(self, **command: Any) -> dict[str, Any]:
        """The reply to a command, which is repeated over as many connections as it takes."""
        while True:
            await self._connected.wait()
            if self._leaving.is_set():
                return {"type": "left"}
            if (socket := self._socket) is None:
                continue  # it was there for a moment
            ref = uuid.uuid4().hex
            reply = self._replies[ref] = asyncio.get_running_loop().create_future()
            try:
                await self._send(socket, **command, ref=ref)
                async with asyncio.timeout(REPLY_SECONDS):
                    frame: dict[str, Any] = await reply
            except (*GONE, asyncio.CancelledError):
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                await self._sleep(0.1)
                continue
            if frame["type"] != "error_message" or frame["error_code"] not in AGAIN:
                return frame
            await asyncio.sleep(0.5 + self._random.random())

    async def _sleep(self, seconds: float) -> None:
        """Less when it is time to be calm."""
        if self._calm.is_set():
            await asyncio.sleep(min(seconds, 1.0))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._calm.wait()
