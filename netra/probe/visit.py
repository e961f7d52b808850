"""One visit to a deployment: what its stages share, and what it leaves behind, which is nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from chat.fold import ClientState
from netra.client.session import ApiError, Session, SignedOut
from netra.client.socket import Frame, Socket
from netra.probe.target import Target

LABEL_HEADER = "X-E2E-Test"
THREAD_TITLE = "netra probe"
# What an answer that is not Netra's makes of reading it.
STRANGE = (ValueError, KeyError, TypeError, AttributeError)


class NotProtocol(Exception):
    """A frame that is not as docs/protocol.md has it."""


class Visit:
    """`label` is in Netra's log lines of this visit's connections. Use it as a context manager: at the end the thread
    is deleted and what is open is closed.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.label = f"probe-{uuid.uuid4().hex[:8]}"
        self.session = Session(
            target.url,
            username=target.username,
            password=target.password,
            token=target.token,
            tls=target.tls,
            timeout=target.timeout,
        )
        self.addresses: list[str] = []
        self.token: str | None = target.token
        self.state = ClientState()
        self.open = contextlib.AsyncExitStack()
        self.socket: Socket | None = None
        self.established: Frame = {}
        self.frames: list[Frame] = []
        self.arrived: list[float] = []
        self.agent: dict[str, Any] = {}
        self.degraded: list[str] = []
        self.thread_id: str | None = None
        self.run_id: str = ""
        self.close_codes: list[int] = []
        self.thread = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._delete_thread()
        finally:
            await self.open.aclose()
            await self.session.aclose()

    @property
    def headers(self) -> dict[str, str]:
        return {LABEL_HEADER: self.label}

    @property
    def secrets(self) -> frozenset[str]:
        """What must not be shown, in each form in which a server may send it back; `hide` knows JWTs by their look."""
        token = self.token or ""
        encoded = base64.urlsafe_b64encode(token.encode()).decode()
        parts = {token, encoded, encoded.rstrip("="), token.rpartition(".")[2]}
        return frozenset({self.target.password or "", *parts})

    @property
    def connection(self) -> Socket:
        assert self.socket is not None, "the stage `established` opens it"  # noqa: S101
        return self.socket

    async def receive(self) -> Frame:
        """The next frame of the open socket, kept with the time of its arrival (time.time).

        Raises websockets.exceptions.ConnectionClosed, chat.fold.ProtocolViolation for a gap, and NotProtocol.
        """
        try:
            frame = await self.connection.receive()
        except STRANGE as error:
            raise NotProtocol(f"{type(error).__name__}: {error}") from None
        self.frames.append(frame)
        self.arrived.append(time.time())
        return frame

    async def reply(self, ref: str) -> Frame:
        """The frame that answers a command. Others that come before it are kept."""
        while (frame := await self.receive()).get("ref") != ref:
            pass
        return frame

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """An answer to nobody in particular, whole within the time of one answer. Raises httpx.RequestError."""
        try:
            async with asyncio.timeout(self.target.timeout):
                return await self.session.http.get(path, headers=headers)
        except TimeoutError:
            raise httpx.ReadTimeout("The answer has no end") from None

    async def rest(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """A request as the person. Raises ApiError, SignedOut, httpx.RequestError and NotProtocol."""
        try:
            found = await self.session.request(method, path, json=body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NotProtocol(f"{method} {path} was not answered with an object of JSON")
        return found

    async def _delete_thread(self) -> None:
        """With it, its open run is cancelled."""
        if self.thread_id is None:
            return
        try:
            await self.session.request("DELETE", f"/api/threads/{self.thread_id}")
        except (ApiError, SignedOut, httpx.RequestError, *STRANGE) as error:
            self.thread = f"The thread {self.thread_id} could not be deleted ({error}): delete it in the chat"
        else:
            self.thread = "The thread of the probe was deleted"
