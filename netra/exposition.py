"""`/metrics`: what this process has counted, or all processes of its folder, and what the database knows of the whole.

Web processes have it beside the page, workers on a server of its own. Nobody is asked who they are: there is one token.
"""

from __future__ import annotations

import enum
import hmac
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import WSGIRequestHandler, make_server

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, ThreadingWSGIServer, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from chat import metrics
from chat.async_middleware import AsyncMiddleware
from chat.figures import FiguresCollector
from netra import listen_address, metrics_folder

if TYPE_CHECKING:
    from chat.apps import ChatConfig

PATH = "/metrics"
METHODS = ("GET", "HEAD")
READ_SECONDS = 10.0
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="metrics"'}
# A process that begins makes its files while they are read.
ATTEMPTS = 3

figures = FiguresCollector()
_figures_registry = CollectorRegistry()
_figures_registry.register(figures)


class Access(enum.Enum):
    GRANTED = enum.auto()
    REFUSED = enum.auto()
    # Nobody has said who may read: there is nothing here.
    NONE = enum.auto()


def access(authorization: str | None) -> Access:
    """What a request with this Authorization header may do."""
    token = settings.NETRA.metrics_token
    if token is None:
        return Access.GRANTED if settings.NETRA.environment == "development" else Access.NONE
    scheme, _, given = (authorization or "").partition(" ")
    is_token = hmac.compare_digest(given.strip().encode(), token.get_secret_value().encode())
    return Access.GRANTED if is_token and scheme.lower() == "bearer" else Access.REFUSED


def render() -> bytes:
    """In Prometheus' text format. It may wait for the database, and so is for threads."""
    return _counted() + generate_latest(_figures_registry)


def _counted() -> bytes:
    folder = settings.NETRA.metrics_dir
    if folder is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    with metrics_folder.settled(folder):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return generate_latest(registry)
            except struct.error:  # a file without its head
                if attempt == ATTEMPTS:
                    raise
    raise AssertionError("the last attempt returns or raises")


class MetricsMiddleware(AsyncMiddleware):
    """Answers `/metrics` before anything is asked of a request: Prometheus asks a process by its own address, which is
    no host of ours.
    """

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path != PATH:
            return await self.get_response(request)
        granted = access(request.headers.get("Authorization"))
        if granted is Access.NONE:
            return await self.get_response(request)
        if granted is Access.REFUSED:
            return HttpResponse("Who may read this has a token.\n", "text/plain", status=401, headers=CHALLENGE)
        if request.method not in METHODS:
            return HttpResponseNotAllowed(METHODS)
        metrics.flush()
        cast("ChatConfig", apps.get_app_config("chat")).monitor.sample()
        body = await sync_to_async(render, thread_sensitive=False)()
        return HttpResponse(body, CONTENT_TYPE_PLAIN_0_0_4)


class _Server(ThreadingWSGIServer):
    address_family = socket.AF_INET


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = READ_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Requests are no lines of the log."""


def listen(address: str) -> Callable[[], None]:
    """Serve `/metrics` on an address (`netra.listen_address`), on threads. Returns what ends it. Raises OSError."""
    host, port = listen_address.parse(address)
    server = make_server(host, port, _answer, _Server6 if ":" in host else _Server, handler_class=_Handler)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()

    return end


def _answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    granted = access(environ.get("HTTP_AUTHORIZATION"))
    if environ["PATH_INFO"] != PATH or granted is Access.NONE:
        return _say(start, "404 Not Found", b"There is nothing here.\n")
    if granted is Access.REFUSED:
        return _say(start, "401 Unauthorized", b"Who may read this has a token.\n", CHALLENGE)
    if environ["REQUEST_METHOD"] not in METHODS:
        return _say(start, "405 Method Not Allowed", b"", {"Allow": ", ".join(METHODS)})
    return _say(start, "200 OK", render(), {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _say(start: Callable[..., Any], status: str, body: bytes, headers: dict[str, str] | None = None) -> Iterable[bytes]:
    sent = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body)), **(headers or {})}
    start(status, list(sent.items()))
    return [body]
