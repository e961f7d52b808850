"""What workers see of the configured MCP servers, stored for all processes, and read together with the configuration.

Several workers may each have a session with one server: what was seen last stands.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import datetime
import functools
import json
from collections.abc import Sequence
from typing import Any, LiteralString

from agents.mcp.servers import McpServerStatus
from chat.models import McpServer
from chat.pool import DatabasePool
from chat.protocol import timestamp
from chat.run_event import now

# A worker that has a session, or tries to have one, says so at least every minute.
STALE_AFTER = datetime.timedelta(minutes=3)
CLOSING_SECONDS = 2.0

_UPSERT: LiteralString = """
    INSERT INTO chat_mcpserver AS stored (name, state, tools, error, changed_at, seen_at)
    VALUES (%(name)s, %(state)s, %(tools)s::jsonb, %(error)s, %(changed_at)s, %(seen_at)s)
    ON CONFLICT (name) DO UPDATE SET
        state = excluded.state, tools = excluded.tools, error = excluded.error, seen_at = excluded.seen_at,
        changed_at = CASE
            WHEN (stored.state, stored.error, stored.tools) = (excluded.state, excluded.error, excluded.tools)
            THEN stored.changed_at ELSE excluded.changed_at END
    WHERE stored.seen_at <= excluded.seen_at
"""


class McpStatus:
    """Stores what it is told, one write at a time; of what comes meanwhile, the last of each server."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool
        self._waiting: dict[str, dict[str, Any]] = {}
        self._writing: asyncio.Task[None] | None = None

    def seen(self, status: McpServerStatus) -> None:
        """Called on the loop of the worker; returns at once."""
        self._waiting[status.name] = {
            "name": status.name,
            "state": status.state,
            "tools": json.dumps([dataclasses.asdict(tool) for tool in status.tools]),
            "error": status.error or "",
            "changed_at": status.since,
            "seen_at": now(),
        }
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="store MCP status", context=contextvars.Context())
            self._writing.add_done_callback(self._written)

    async def settled(self) -> None:
        """What was seen is stored; while the database is away, it is given up."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=CLOSING_SECONDS)
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        while self._waiting:
            values = self._waiting.pop(next(iter(self._waiting)))
            await self._pool.until_reached(functools.partial(self._upsert, values))

    async def _upsert(self, values: dict[str, Any]) -> None:
        async with self._pool.connection() as pooled:
            await pooled.execute(_UPSERT, values)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing = None
        if not task.cancelled():
            task.result()


def mcp_servers(configured: Sequence[McpServerStatus]) -> list[dict[str, Any]]:
    """Each configured server as a worker last saw it. Nothing of how it is reached.

    What a worker has not confirmed for a while no worker has: the server is `idle`, until a run needs it.
    """
    stored = {server.name: server for server in McpServer.objects.filter(name__in=[each.name for each in configured])}
    return [_listed(status, stored.get(status.name)) for status in configured]


def _listed(status: McpServerStatus, stored: McpServer | None) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "name": status.name,
        "state": "disabled" if status.state == "disabled" else "idle",
        "agents": list(status.agents),
        "tools": [],
        "error": None,
        "changed_at": None,
        "seen_at": None,
    }
    if stored is None or status.state == "disabled":
        return listed
    fresh = now() - stored.seen_at < STALE_AFTER
    return listed | {
        "state": stored.state if fresh else "idle",
        "tools": stored.tools if fresh else [],
        "error": stored.error or None,
        "changed_at": timestamp(stored.changed_at),
        "seen_at": timestamp(stored.seen_at),
    }
