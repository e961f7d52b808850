"""A lasting connection: it reconnects, resumes, renews its token, and sends again what has no answer."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from chat.backoff import delays
from chat.fold import ENDED, ClientState, ProtocolViolation
from chat.run_state import RunState
from netra.client.session import ApiError, Session, SignedOut
from netra.client.socket import TERMINAL, Frame, Socket, dial

T = TypeVar("T")
GONE = (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, httpx.TransportError, EOFError)
REPLY_SECONDS = 15.0
# What the server says that it will do again for whoever asks later.
LATER = frozenset({"SERVICE_UNAVAILABLE", "HTTP_ERROR", "TOO_MANY_CONNECTIONS"})
KEPT_ENDED_RUNS = 50
CLOSE_UNAUTHENTICATED, CLOSE_FORBIDDEN, CLOSE_DRAINING = 4401, 4403, 4412


class EventsLost(Exception):
    """The server keeps a run's events no more, or its thread was deleted: what is left of it is shown by REST."""


class Client:
    """A person's connection to a server: use it as a context manager.

    `state` is all that it knows, as chat.fold defines it. Methods raise ApiError with the code of what the server
    refuses, and SignedOut when it does not let the person in any more.
    """

    def __init__(self, base_url: str, **options: Any) -> None:
        """`options` are those of Session: user name and password, or a token."""
        self.session = Session(base_url, **options)
        self.state = ClientState()
        self.established: Frame | None = None
        self._socket: Socket | None = None
        self._connected = asyncio.Event()
        self._replies: dict[str, asyncio.Future[Frame]] = {}
        self._events: dict[str, list[Frame]] = {}
        self._ended: deque[str] = deque()
        self._news = asyncio.Condition()
        self._running: asyncio.Task[None] | None = None
        self._draining_ms = 0.0

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name="netra client")
        try:
            await self._or_end(self._connected.wait())
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        await self.session.aclose()

    # What people do

    async def post(self, content: str, **fields: Any) -> Frame:
        """Send a message; returns its acceptance. It is sent again after a lost connection, and taken once."""
        fields.setdefault("message_id", str(uuid.uuid4()))
        return await self.command(type="user_message", content=content, **fields)

    async def stream(self, content: str, **fields: Any) -> AsyncGenerator[Frame, None]:
        """The events of the run that answers a message, each once, in order, the terminal one last."""
        accepted = await self.post(content, **fields)
        async with aclosing(self.events(accepted["run_id"])) as events:
            async for event in events:
                yield event

    async def ask(self, content: str, **fields: Any) -> RunState:
        """The run that answered a message, when it has ended or waits for a person: its `text`, `status`, `steps` …"""
        accepted = await self.post(content, **fields)
        return await self.ended(accepted["run_id"], waiting_too=True)

    async def ended(self, run_id: str, *, waiting_too: bool = False) -> RunState:
        """A run once it has ended; with `waiting_too`, also when it waits for a person. Raises EventsLost."""
        statuses = ENDED | {"awaiting_approval"} if waiting_too else ENDED
        async with self._news:
            while True:
                run = self.state.runs.get(run_id)
                if run is not None and run["status"] in statuses:
                    return run
                if run is None and self._events.get(run_id):
                    raise EventsLost(run_id)
                await self._or_end(self._news.wait())

    async def events(self, run_id: str) -> AsyncGenerator[Frame, None]:
        """The events of a run that began while this client was there, from its first one. Raises EventsLost."""
        told = 0
        events = self._events.setdefault(run_id, [])
        while True:
            async with self._news:
                while len(events) <= told:
                    if told and run_id not in self.state.runs:
                        raise EventsLost(run_id)
                    await self._or_end(self._news.wait())
            for event in events[told:]:
                told += 1
                yield event
                if event["type"] in TERMINAL:
                    return

    async def stop(self, run_id: str) -> str:
        """End a run; returns how it has ended."""
        return str((await self.command(type="stop_run", run_id=run_id))["status"])

    async def resolve(self, run_id: str, tool_call_id: str, *, approved: bool, reason: str = "") -> None:
        """Answer a request for approval."""
        try:
            await self.command(
                type="resolve_approval", run_id=run_id, tool_call_id=tool_call_id, approved=approved, reason=reason
            )
        except ApiError as error:
            # The reply to the same answer was lost with its connection.
            if error.details.get("by") != "user" or error.details.get("approved") != approved:
                raise

    async def command(self, **frame: Any) -> Frame:
        """Send a command and return its reply, over as many connections as it takes. Raises ApiError."""
        for delay in delays(first=0.2, longest=5.0):
            await self._or_end(self._connected.wait())
            try:
                reply = await self._request(frame)
            except GONE:
                continue
            if reply["type"] != "error_message":
                return reply
            error = ApiError.of_frame(reply)
            if error.code not in LATER:
                raise error
            await asyncio.sleep(error.retry_after or delay)
        raise AssertionError("delays() never ends")

    async def _request(self, frame: Frame) -> Frame:
        socket, ref = self._socket, uuid.uuid4().hex
        if socket is None:
            raise EOFError
        self._replies[ref] = asyncio.get_running_loop().create_future()
        try:
            await socket.send(**frame, ref=ref)
            async with asyncio.timeout(REPLY_SECONDS):
                return await self._or_end(self._replies[ref])
        finally:
            del self._replies[ref]

    async def _or_end(self, awaitable: Awaitable[T]) -> T:
        """What is waited for, or what has ended this client."""
        waiting = asyncio.ensure_future(awaitable)
        assert self._running is not None, "use it as a context manager"  # noqa: S101
        try:
            await asyncio.wait({waiting, self._running}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                self._running.result()
                raise SignedOut("The client was closed")
            return waiting.result()
        finally:
            if not waiting.done():
                waiting.cancel()
                await asyncio.wait({waiting})

    # Connections

    async def _run(self) -> None:
        """Connect again and again. Ends with SignedOut, or with ApiError when the server refuses for good."""
        pauses = delays(first=0.2, longest=30.0)
        while True:
            token, code = await self._token_and_code(pauses)
            if self.established is not None and code is not None:
                pauses = delays(first=0.2, longest=30.0)
            if code == CLOSE_UNAUTHENTICATED:
                await self._renew(token)
            elif code == CLOSE_DRAINING:
                await asyncio.sleep(random.uniform(0, self._draining_ms) / 1000)  # noqa: S311 - spreads load
                continue
            await asyncio.sleep(next(pauses))

    async def _token_and_code(self, pauses: Any) -> tuple[str | None, int | None]:
        """One connection, from beginning to end: the token that it had, and its close code if there was one."""
        token: str | None = None
        try:
            token = await self.session.token()
            async with dial(self.session.base_url, token=token, state=self.state, tls=self.session.tls) as socket:
                try:
                    await self._follow(socket)
                finally:
                    await self._disconnected()
        except InvalidStatus as error:
            # A server that is configured to refuse in the handshake.
            refused = error.response.status_code in (401, 403)
            return token, CLOSE_UNAUTHENTICATED if refused else None
        except ConnectionClosed as error:
            return token, error.rcvd.code if error.rcvd is not None else None
        except (ProtocolViolation, *GONE):
            return token, None
        except ApiError as error:
            if error.code not in LATER:
                raise
            await asyncio.sleep(error.retry_after or next(pauses))
        return token, None

    async def _renew(self, token: str | None) -> None:
        with contextlib.suppress(*GONE):
            await self.session.renew(token)

    async def _follow(self, socket: Socket) -> None:
        """Read a connection to its end, which is an exception."""
        first = await socket.receive()
        if first["type"] != "connection_established":
            await self._refused(socket, first)
        self.established = first
        if (resume := self.state.resume("resume")) is not None:
            await socket.send(**resume)
        self._socket = socket
        self._connected.set()
        heard = asyncio.Event()
        interval = float(first["heartbeat"]["interval_seconds"])
        background = {asyncio.create_task(self._beat(socket, interval, heard))}
        try:
            while True:
                frame = await socket.receive()
                heard.set()
                await self._take(frame)
                if frame["type"] == "token_expiring":
                    background.add(asyncio.create_task(self._refresh(socket, float(frame["expires_in"]))))
        finally:
            for task in background:
                task.cancel()
            await asyncio.wait(background)

    async def _refused(self, socket: Socket, frame: Frame) -> None:
        """Wait for the close that follows a refusal. Raises ApiError when asking again is of no use."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.receive()
        if socket.close_code == CLOSE_FORBIDDEN:
            raise ApiError.of_frame(frame)
        if frame.get("retry_after"):
            await asyncio.sleep(float(frame["retry_after"]) * random.uniform(0.5, 1))  # noqa: S311
        await socket.receive()  # raises ConnectionClosed with its code

    async def _take(self, frame: Frame) -> None:
        ref = frame.get("ref")
        if ref in self._replies and not self._replies[ref].done():
            self._replies[ref].set_result(frame)
        if frame["type"] == "server_draining":
            self._draining_ms = float(frame["reconnect_after_ms"])
        async with self._news:
            if "seq" in frame and "run_id" in frame:
                self._keep(frame)
            self._news.notify_all()

    def _keep(self, event: Frame) -> None:
        """The events of runs from their first one on; of those that have ended, only of the last few runs."""
        events = self._events.setdefault(event["run_id"], [])
        if event["seq"] != len(events) + 1:
            return  # had already, or of a run that began before this client
        events.append(event)
        if event["type"] in TERMINAL:
            self._ended.append(event["run_id"])
            if len(self._ended) > KEPT_ENDED_RUNS:
                old = self._ended.popleft()
                self._events.pop(old, None)
                self.state.runs.pop(old, None)

    async def _refresh(self, socket: Socket, expires_in: float) -> None:
        """A failure is no matter yet: the connection ends with its token, and the next one gets another."""
        # A token whose whole life is short is announced to expire as soon as it is taken.
        await asyncio.sleep(expires_in / 3)
        with contextlib.suppress(ApiError, SignedOut, *GONE):
            await self.session.renew(await self.session.token())
            await socket.send(type="refresh_token", token=await self.session.token())

    async def _beat(self, socket: Socket, interval: float, heard: asyncio.Event) -> None:
        """Ask after a silence; a connection that does not answer then is dead."""
        while True:
            heard.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await heard.wait()
                continue
            with contextlib.suppress(ConnectionClosed):
                await socket.send(type="ping")
            try:
                async with asyncio.timeout(REPLY_SECONDS):
                    await heard.wait()
            except TimeoutError:
                socket.connection.transport.abort()

    async def _disconnected(self) -> None:
        self._socket = None
        self._connected.clear()
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(EOFError())
