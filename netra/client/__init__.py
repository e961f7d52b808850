"""A client of Netra for programs: docs/client.md.

async with Client("https://chat.example.org", username="ann", password="…") as netra:
    run = await netra.ask("What is 6 * 7?")
    print(run["text"])

It needs no settings and no database. `Session` is HTTP with tokens, `Socket` one connection, `Client` a lasting one.
"""

from __future__ import annotations

from netra.client.client import Client, EventsLost
from netra.client.session import ApiError, Session, SignedOut
from netra.client.socket import Frame, Socket, dial
from netra.client.streams import EventStream, ServerEvent

__all__ = [
    "ApiError",
    "Client",
    "EventStream",
    "EventsLost",
    "Frame",
    "ServerEvent",
    "Session",
    "SignedOut",
    "Socket",
    "dial",
]
