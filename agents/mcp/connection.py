"""One MCP server as a process of ours knows it: a session that is kept, and opened again when it is lost.

    idle ──first need──► connecting ──► ready ◄──┐
                              │           │      │
                              └► failed ◄─┘──────┘ after a pause, ever longer

A task of its own holds the session, so that no run's end, time-out or cancellation touches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime
from typing import Any, Literal

import structlog
from mcp import Client, MCPError
from mcp.client._transport import TransportStreams
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import (
    CONNECTION_CLOSED,
    METHOD_NOT_FOUND,
    CallToolResult,
    Implementation,
    Tool,
    ToolListChangedNotification,
)

from agents.errors import ToolError
from agents.mcp.config import McpServerConfig, Timing
from agents.mcp.losses import Losses, ServerEnded
from agents.mcp.stdio import stdio_transport
from agents.tools.context import utc_now

logger = structlog.get_logger(__name__)

State = Literal["disabled", "idle", "connecting", "ready", "failed"]

MAX_PAGES = 20
CLOSE_SECONDS = 6.0


class McpConnection:
    """Holds the session. `tools` is what the server offers now; `seen` is called when that changed or was confirmed."""

    def __init__(self, config: McpServerConfig, timing: Timing, *, max_tools: int) -> None:
        self.config = config
        self.name = config.name
        self.state: State = "disabled" if config.disabled else "idle"
        self.tools: tuple[Tool, ...] = ()
        self.error: str | None = None
        self.since: datetime = utc_now()
        self.seen: Callable[[], None] = lambda: None
        self._timing = timing
        self._max_tools = max_tools
        self._losses = Losses(config, timing)
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._began = 0.0
        self._settled = asyncio.Event()
        self._look = asyncio.Event()
        self._ended = False

    # What runs ask for

    async def prepare(self, *, patient: bool = False) -> None:
        """See to it that the session is open or being opened, and wait a moment for the first one.

        Who is `patient` waits as long as the attempt may take: for a call that a person has already allowed.
        """
        if self.config.disabled:
            return
        self._start()
        if self.state == "connecting":
            until = self._began + (self._timing.connect if patient else self._timing.patience)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._settled.wait()

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """What the tool gives. Raises ToolError, also when the server is not there or is lost meanwhile."""
        client = self._client
        if client is None:
            raise self.unavailable()
        try:
            return await client.call_tool(tool, arguments)
        except MCPError as error:
            if error.code != CONNECTION_CLOSED:
                raise ToolError(f"the MCP server {self.name!r} answered: {self.safe(error.message)}") from error
            self._look.set()
            raise self.unavailable() from error
        except Exception as error:
            # Of what a transport or an answer can be wrong with there is no list; the session is looked at.
            self._look.set()
            logger.warning("mcp_call_failed", mcp_server=self.name, tool=tool, cause=type(error).__name__)
            raise ToolError(f"the MCP server {self.name!r} gave no answer that could be used") from error

    def unavailable(self) -> ToolError:
        return ToolError(f"the MCP server {self.name!r} is not available")

    def safe(self, text: str) -> str:
        """What a server or library says, short and without the secrets of its configuration."""
        return self._losses.safe(text)

    async def close(self) -> None:
        """End the session, and the server's process with it. A later need opens it again."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            # A server that outlasts this gets SIGKILL when this process ends.
            await asyncio.wait([task], timeout=CLOSE_SECONDS)
        self._client, self.tools = None, ()
        if not self.config.disabled:
            self.state, self.error = "idle", None

    # The task that holds the session

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._task is not None and not self._task.done() and self._task.get_loop() is loop:
            return
        self._client, self._settled, self._look, self._began = None, asyncio.Event(), asyncio.Event(), loop.time()
        self._become("connecting")
        # The session outlives the run that needs it first, and must not log with its ids.
        self._task = loop.create_task(self._keep(), name=f"MCP server {self.name}", context=contextvars.Context())

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        pauses = self._timing.pauses()
        while True:
            began = loop.time()
            try:
                await self._hold()
            except (Exception, BaseExceptionGroup) as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    # Told to end, and something went wrong while it did.
                    raise asyncio.CancelledError from error
                self._failed(error)
            if loop.time() - began > self._timing.longest_pause:
                pauses = self._timing.pauses()
            await asyncio.sleep(next(pauses))

    async def _hold(self) -> None:
        """Open a session and keep it, until it is lost: then raise."""
        self._ended = False
        self._look.clear()
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._timing.connect):
                client = await stack.enter_async_context(
                    Client(
                        await stack.enter_async_context(self._http()) if self.config.url else self._stdio(),
                        client_info=Implementation(name="netra", version="1"),
                        message_handler=self._heard,
                        cache=None,
                    )
                )
                tools = await self._list(client)
            self._client = client
            listening = asyncio.create_task(self._listen(client), name=f"changes of MCP server {self.name}")
            try:
                self._become("ready", tools, self._mistaken(tools))
                await self._watch(client)
            finally:
                self._client = None
                listening.cancel()
                await asyncio.wait([listening])

    async def _watch(self, client: Client) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.check):
                    await self._look.wait()
            self._look.clear()
            if self._ended:
                raise ServerEnded
            async with asyncio.timeout(self._timing.answer):
                tools = await self._list(client)
            self._become("ready", tools, self._mistaken(tools))

    async def _list(self, client: Client) -> tuple[Tool, ...]:
        """The first so many tools."""
        if client.server_capabilities.tools is None:
            return ()
        tools: dict[str, Tool] = {}
        cursor = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools:
                tools.setdefault(tool.name, tool)
            cursor = page.next_cursor
            if cursor is None or len(tools) > self._max_tools:
                break
        if len(tools) > self._max_tools and len(self.tools) != self._max_tools:
            logger.warning("mcp_tools_left_out", mcp_server=self.name, limit=self._max_tools)
        return tuple(tools.values())[: self._max_tools]

    async def _listen(self, client: Client) -> None:
        """Protocols since 2026-07-28 tell changes to who asks for them; earlier ones send them unasked (`_heard`)."""
        while True:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self._look.set()
            except ListenNotSupportedError:
                return
            except MCPError as error:
                if error.code == METHOD_NOT_FOUND:
                    return
            except (SubscriptionLost, TimeoutError):
                self._look.set()
            await asyncio.sleep(self._timing.check)

    async def _heard(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._look.set()

    def _stdio(self) -> AbstractAsyncContextManager[TransportStreams]:
        return stdio_transport(self.config, redact=self.safe, on_end=self._server_ended)

    def _server_ended(self) -> None:
        self._ended = True
        self._look.set()
        if self.state == "ready":
            self._client = None
            self._failed(ServerEnded())

    @contextlib.asynccontextmanager
    async def _http(self) -> AsyncIterator[AbstractAsyncContextManager[TransportStreams]]:
        """The transport of a URL, its connections closed with it."""
        url = self.config.url.get_secret_value() if self.config.url else ""
        headers = {name: value.get_secret_value() for name, value in self.config.headers.items()}
        if self.config.is_sse:
            yield sse_client(url, headers=headers)
            return
        async with create_mcp_http_client(headers=headers) as http:
            yield streamable_http_client(url, http_client=http)

    # What is known

    def _become(self, state: State, tools: tuple[Tool, ...] = (), error: str | None = None) -> None:
        if (state, tools, error) != (self.state, self.tools, self.error):
            if state != self.state:
                level = "warning" if error else "info"
                getattr(logger, level)("mcp_server_" + state, mcp_server=self.name, tools=len(tools), reason=error)
            self.state, self.tools, self.error, self.since = state, tools, error, utc_now()
        if state != "connecting":
            self._settled.set()
        self.seen()

    def _mistaken(self, tools: tuple[Tool, ...]) -> str | None:
        """A tool that is named for approval and does not exist may be one that is misspelt, and called unasked."""
        unknown = self.config.unknown_approvals(tool.name for tool in tools)
        return f"approval names what the server does not have: {', '.join(unknown)}" if unknown else None

    def _failed(self, error: BaseException) -> None:
        was_ready = self.state == "ready"
        self._become("failed", error=self._losses.reason(error, was_ready=was_ready))
