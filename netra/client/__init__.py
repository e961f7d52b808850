"""A client of Netra for programs: docs/client.md.

async with Client("https://chat.example.org", username="ann", password="…") as netra:
    run = await netra.ask("What is 6 * 7?")
    print(run["text"])

It needs no settings and no database. `Client` is a lasting connection, `Session` HTTP with tokens, `Socket` one
WebSocket, `EventStream` one stream of server-sent events.
"""

from __future__ import annotations

from netra.client.client import Client, EventsLost, Run
from netra.client.session import ApiError, Session, SignedOut
from netra.client.socket import Frame, Socket, dial
from netra.client.streams import EventStream, ServerEvent, open_stream, run_events

__all__ = [
    "ApiError",
    "Client",
    "EventStream",
    "EventsLost",
    "Frame",
    "Run",
    "ServerEvent",
    "Session",
    "SignedOut",
    "Socket",
    "dial",
    "open_stream",
    "run_events",
]
