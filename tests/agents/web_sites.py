"""Web servers on loopback for the tests of page fetching: one that may be read, and one that nothing may reach."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Self

import pytest

from agents.errors import ToolError
from agents.tools import web_address
from agents.tools.web_page import PageFetcher, PageLimits, resolve

FORBIDDEN_HOSTS = ("127.0.0.1", "::1")
PUBLIC_HOST = "127.0.0.2"
PUBLIC_NAME = "public.example"
PATIENCE = 10.0
TLS_HANDSHAKE = b"\x16"  # RFC 8446, 5.1

PATIENT = PageLimits(seconds=60, convert_seconds=60)

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


class Site:
    """A server that counts its connections, remembers what it was sent, and answers by path."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.abandoned = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer), name="site")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            if sys.exc_info()[0] is None:
                writer.close()
            else:
                writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            first = await reader.readexactly(1)
            if first == TLS_HANDSHAKE:
                writer.write(reply("", status="400 Bad Request"))
                return
            head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            answer = self.answers.get(head.split()[1], reply("<title>Home</title><p>Welcome</p>"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                try:
                    await answer(writer)
                except OSError:
                    self.abandoned.set()


def reply(body: str | bytes = b"", *headers: str, content_type: str = "text/html", status: str = "200 OK") -> bytes:
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", *headers]
    if not any(line.lower().startswith("content-length") for line in lines):
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + content


def redirect(location: str, status: str = "302 Found") -> bytes:
    return reply("", f"Location: {location}", status=status)


async def endless(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send until the other side goes: then this raises."""
    while True:
        writer.write(piece)
        await writer.drain()


class Sites:
    """One port. At 127.0.0.2 is `public`, which the fetchers of these tests take for public, as `public.example`.

    At 127.0.0.1 and ::1 is `forbidden`, so that a mistake about the address, and no other, would lead there.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.public = Site()
        self.forbidden = Site()
        self.names: dict[str, Sequence[str]] = {
            PUBLIC_NAME: [PUBLIC_HOST],
            "private.example": ["127.0.0.1"],
            "private6.example": ["::1"],
            "mapped.example": ["::ffff:127.0.0.1"],
            "mixed.example": [PUBLIC_HOST, "127.0.0.1"],
            "mixed6.example": [PUBLIC_HOST, "::1"],
            "zoned.example": ["fe80::1%lo"],
        }
        self.lookups: list[str] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        listeners = listen_everywhere()
        sites = cls(listeners[0].getsockname()[1])
        owners = [sites.public, *[sites.forbidden] * (len(listeners) - 1)]
        async with contextlib.AsyncExitStack() as stack:
            for site, listener in zip(owners, listeners, strict=True):
                await stack.enter_async_context(await asyncio.start_server(site.accept, sock=listener, ssl=tls))
                stack.push_async_callback(site.close)
            yield sites

    def url(self, path: str = "/", host: str = PUBLIC_NAME, scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def fetcher(self, limits: PageLimits | None = None, **arguments: Any) -> PageFetcher:
        usual: dict[str, Any] = {"resolve": self.resolve, "is_public": is_public, "ports": {self.port}}
        return PageFetcher(limits=limits or PATIENT, **usual | arguments)

    async def resolve(self, host: str) -> list[str]:
        self.lookups.append(host)
        return list(self.names[host]) if host in self.names else await resolve(host)


async def refusal(sites: Sites, url: str, limits: PageLimits | None = None) -> str:
    """The error of a page that cannot be read; whatever it is, nothing forbidden was reached."""
    with pytest.raises(ToolError) as refused:
        await sites.fetcher(limits).fetch(url)
    assert sites.forbidden.connections == 0
    return str(refused.value)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    return str(address) == PUBLIC_HOST or web_address.is_public(address)


def listen_everywhere() -> list[socket.socket]:
    """Sockets on one port: at the public host, then at the forbidden ones (IPv6 where there is any)."""
    while True:
        listeners = [socket.create_server((PUBLIC_HOST, 0))]
        port = listeners[0].getsockname()[1]
        try:
            for host in FORBIDDEN_HOSTS:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                if family is socket.AF_INET or has_ipv6():
                    listeners.append(socket.create_server((host, port), family=family))
        except OSError:
            for listener in listeners:
                listener.close()
        else:
            return listeners


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
