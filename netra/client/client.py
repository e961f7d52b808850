"""A lasting connection: it reconnects, resumes, renews its token, and sends again what has no answer."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, aclosing
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakValueDictionary

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from chat.backoff import delays
from chat.fold import ENDED, ClientState, ProtocolViolation
from chat.run_state import RunState
from netra.client.end import BAD_TOKEN, UNAUTHENTICATED, End
from netra.client.kept import KeptEvents
from netra.client.session import ApiError, Session, SignedOut
from netra.client.socket import TERMINAL, Frame, Socket, dial, frame_text

T = TypeVar("T")
GONE = (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, httpx.TransportError, EOFError)
REPLY_SECONDS = 15.0
# A connection that lasted so long says nothing of the next one: pauses begin anew.
STEADY_SECONDS = 5.0
# Another token is asked for, so many times in a row.
MAX_TOKENS = 3


class EventsLost(Exception):
    """The server keeps a run's events no more, or its thread was deleted: what is left of it is shown by REST."""


class Run(RunState):
    """A run as it stood, with its id."""

    id: str


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
        self._kept = KeptEvents(self.state)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._news = asyncio.Condition()
        self._running: asyncio.Task[None] | None = None
        self._draining_seconds = 0.0

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
        """Send a message; returns its acceptance. It is sent again after a lost connection, and taken once.

        Messages of one thread are sent one after the other, in the order of these calls.
        """
        fields.setdefault("message_id", str(uuid.uuid4()))
        async with self._turn(fields.get("thread_id")):
            return await self.command(type="user_message", content=content, **fields)

    async def stream(self, content: str, **fields: Any) -> AsyncGenerator[Frame, None]:
        """The events of the run that answers a message, each once, in order, the terminal one last."""
        accepted = await self.post(content, **fields)
        async with aclosing(self._events(accepted["run_id"], accepted["run_number"])) as events:
            async for event in events:
                yield event

    async def ask(self, content: str, **fields: Any) -> Run:
        """The run that answered a message, when it has ended or waits for a person: its `text`, `status`, `steps` …"""
        accepted = await self.post(content, **fields)
        return await self._run_in(ENDED | {"awaiting_approval"}, accepted["run_id"], accepted["run_number"])

    async def ended(self, run_id: str, *, waiting_too: bool = False) -> Run:
        """Any run of the person, once it has ended; with `waiting_too`, also when it waits for a person.

        Raises EventsLost.
        """
        return await self._run_in(ENDED | {"awaiting_approval"} if waiting_too else ENDED, run_id)

    async def events(self, run_id: str) -> AsyncGenerator[Frame, None]:
        """The events of any run of the person, from the first one to the last. Raises EventsLost."""
        async with aclosing(self._events(run_id)) as events:
            async for event in events:
                yield event

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
            if not error.passes:
                raise error
            await asyncio.sleep(error.retry_after or delay)
        raise AssertionError("delays() never ends")

    # Runs

    async def _run_in(self, statuses: Collection[str], run_id: str, number: int | None = None) -> Run:
        """A run once it is in one of these states."""
        async with self._following(run_id, number), self._news:
            while True:
                run = self.state.runs.get(run_id)
                if run is None:
                    raise EventsLost(run_id)
                if run["status"] in statuses:
                    return Run(**copy.deepcopy(run), id=run_id)
                await self._or_end(self._news.wait())

    async def _events(self, run_id: str, number: int | None = None) -> AsyncGenerator[Frame, None]:
        async with self._following(run_id, number):
            events, told = self._kept.events(run_id), 0
            while True:
                async with self._news:
                    while len(events) <= told:
                        if self._kept.events(run_id) is not events:
                            raise EventsLost(run_id)
                        await self._or_end(self._news.wait())
                for event in events[told:]:
                    told += 1
                    yield event
                    if event["type"] in TERMINAL:
                        return

    @contextlib.asynccontextmanager
    async def _following(self, run_id: str, number: int | None = None) -> AsyncIterator[None]:
        """Inside, the run is known from its first event on. With its number, it may be one that comes by itself.

        Raises EventsLost.
        """
        with self._kept.held(run_id):
            while run_id not in self.state.runs:
                async with self._news:
                    # Runs begin in the order of their numbers: docs/protocol.md, section 5.1.
                    if number is not None and number > (self.state.last_run_number or 0):
                        await self._or_end(self._news.wait())
                        continue
                resumed = await self.command(type="resume", cursors={run_id: 0})
                if run_id not in resumed["runs"]:
                    raise EventsLost(run_id)
            yield

    def _turn(self, thread_id: str | None) -> AbstractAsyncContextManager[Any]:
        """Whoever writes in a thread waits for who did so before. A message without a thread begins one."""
        if thread_id is None:
            return contextlib.nullcontext()
        turn = self._turns.get(thread_id)
        if turn is None:
            turn = self._turns[thread_id] = asyncio.Lock()
        return turn

    # Replies

    async def _request(self, frame: Frame) -> Frame:
        socket, ref = self._socket, uuid.uuid4().hex
        if socket is None or self.established is None:
            raise EOFError
        limit = self.established["limits"]["max_message_bytes"]
        if len(frame_text({**frame, "ref": ref}).encode()) > limit:
            # What is larger still than the server reads to the end would only cost the connection, again and again.
            raise ApiError("MESSAGE_TOO_LARGE", f"A frame may have at most {limit} bytes")
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
                if not self._running.cancelled():
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
        pauses, tokens = _pauses(), 0
        while True:
            began = time.monotonic()
            end = await self._connection()
            pause = end.pause(next(pauses), draining_seconds=self._draining_seconds)
            if time.monotonic() - began > STEADY_SECONDS:
                pauses, tokens = _pauses(), 0
            if end.for_the_token:
                tokens += 1
                if end.error is not None and tokens > MAX_TOKENS:
                    raise end.error
                await self._renew(end.token)
            await asyncio.sleep(pause)

    async def _connection(self) -> End:
        """One connection, from beginning to end. Raises ApiError when another one is of no use, and SignedOut."""
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
            return End(token, UNAUTHENTICATED if refused else None)
        except ConnectionClosed as error:
            return End(token, error.rcvd.code if error.rcvd is not None else None)
        except (ProtocolViolation, *GONE):
            return End(token)
        except ApiError as error:
            if not (error.passes or error.code in BAD_TOKEN):
                raise
            return End(token, error=error)
        raise AssertionError("a connection is read until it ends")

    async def _renew(self, token: str | None) -> None:
        """What passes is no matter yet: it shows again when the next connection asks for a token."""
        try:
            await self.session.renew(token)
        except GONE:
            pass
        except ApiError as error:
            if not error.passes:
                raise

    async def _follow(self, socket: Socket) -> None:
        """Read a connection to its end, which is an exception."""
        first = await socket.receive()
        if first["type"] != "connection_established":
            raise ApiError.of_frame(first)
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
                    refreshing = asyncio.create_task(self._refresh(socket, float(frame["expires_in"])))
                    background.add(refreshing)
                    refreshing.add_done_callback(background.discard)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    async def _take(self, frame: Frame) -> None:
        ref = frame.get("ref")
        if ref in self._replies and not self._replies[ref].done():
            self._replies[ref].set_result(frame)
        if frame["type"] == "server_draining":
            self._draining_seconds = float(frame["reconnect_after_ms"]) / 1000
        async with self._news:
            self._kept.keep(frame)
            self._news.notify_all()

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


def _pauses() -> Iterator[float]:
    return delays(first=0.2, longest=30.0)
