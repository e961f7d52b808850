"""Which requests are answered by streams. All others are Django's."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from chat.handshake import header
from chat.streams import ag_ui, person, runs
from chat.streams.exchange import Events, Exchange
from chat.streams.sse import accepts_events

if TYPE_CHECKING:
    from chat.apps import ChatConfig

logger = structlog.get_logger(__name__)

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
Handler = Callable[..., Events]
# Method, path, handler.
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = [
    ("GET", re.compile(r"/api/events"), person.events_of_person),
    ("GET", re.compile(rf"/api/runs/(?P<run_id>{UUID})/events"), runs.run_events),
    ("POST", re.compile(r"/api/agents/execute"), runs.execute),
    ("POST", re.compile(r"/api/agents/(?P<agent>[^/]+)"), runs.execute),
    ("POST", re.compile(r"/api/agents/(?P<agent>[^/]+)/ag-ui"), ag_ui.run_agent),
]


def handler_of(scope: dict[str, Any]) -> Callable[[Exchange], Events] | None:
    """What streams the answer to a request, if the request asks for a stream."""
    if not accepts_events(header(scope, b"accept")):
        return None
    for method, pattern, handler in ROUTES:
        if scope["method"] == method and (match := pattern.fullmatch(scope["path"])):
            fields = match.groupdict()
            return lambda exchange: handler(exchange, **fields)
    return None


async def answer(
    handler: Callable[[Exchange], Events],
    chat: ChatConfig,
    scope: dict[str, Any],
    receive: Any,
    send: Any,
    *,
    correlation_id: str,
) -> None:
    """Stream what the handler yields. Raises nothing but CancelledError."""
    exchange = Exchange(chat, scope, receive, send, correlation_id=correlation_id)
    began = time.monotonic()
    with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
        await exchange.answer(handler(exchange))
        if exchange.streamed:
            exchange.log.info("stream_closed", seconds=round(time.monotonic() - began, 3))
