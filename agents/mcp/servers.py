"""MCP servers: whose tools agents have beside their own, and what is known of each.

pydantic-ai's own toolset for MCP connects within the run and asks for the tools at each step, so that a server that is
dead or slow is the run's failure. Here the sessions are the process's (`agents/mcp/connection.py`); a run gets what is
there when it begins, and a server that is not costs it a tool error at most.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pydantic_core
import structlog
from pydantic_ai import RunContext
from pydantic_ai.messages import ModelResponse
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool

from agents.errors import ToolError
from agents.mcp.config import McpServerConfig, Timing, read_mcp_servers
from agents.tools.context import ToolContext

if TYPE_CHECKING:
    from mcp_types import Tool

    from agents.mcp.connection import McpConnection, State

logger = structlog.get_logger(__name__)

_ANY_OBJECT = pydantic_core.SchemaValidator(
    pydantic_core.core_schema.dict_schema(
        pydantic_core.core_schema.str_schema(), pydantic_core.core_schema.any_schema()
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class McpToolSummary:
    """A tool as people see it listed; `name` is what agents call it."""

    name: str
    description: str
    needs_approval: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class McpServerStatus:
    """What this process knows of a server: its tools while it is ready, and why it is not."""

    name: str
    state: State
    agents: tuple[str, ...]
    since: datetime
    tools: tuple[McpToolSummary, ...] = ()
    error: str | None = None


Observer = Callable[[McpServerStatus], None]


class McpServers:
    """The configured servers. Nothing is started before a run needs it, and nothing is left when `close` returns."""

    def __init__(
        self, configs: Sequence[McpServerConfig] = (), *, agents: Sequence[str] = (), timing: Timing | None = None
    ) -> None:
        self._agents = tuple(agents)
        self._observers: list[Observer] = []
        self._connections: dict[str, McpConnection] = {}
        if not configs:
            return
        # The SDK takes half a second to import.
        from agents.mcp.connection import McpConnection
        from agents.mcp.tools import MAX_TOOLS

        for config in configs:
            connection = McpConnection(config, timing or Timing(), max_tools=MAX_TOOLS)
            connection.seen = functools.partial(self._tell, connection)
            self._connections[config.name] = connection

    @classmethod
    def from_config(cls, given: str | None, *, agents: Sequence[str]) -> McpServers:
        """The servers of NETRA_MCP_SERVERS for the agents of these names, of which the first is the default one.

        Raises AgentsUnusable.
        """
        return cls(read_mcp_servers(given, agents=agents), agents=agents)

    def toolsets_for(self, agent: str, *, taken: Collection[str] = ()) -> list[AbstractToolset[ToolContext]]:
        """What an agent whose own tools have the names `taken` gets of the servers. No I/O."""
        chosen = [each for each in self._connections.values() if agent in self._agents_of(each.config)]
        chosen = [each for each in chosen if not each.config.disabled]
        return [McpToolset(chosen, taken=frozenset(taken), servers=tuple(self._connections))] if chosen else []

    def status(self) -> tuple[McpServerStatus, ...]:
        """A snapshot; touches nothing but memory."""
        return tuple(self._status(connection) for connection in self._connections.values())

    def observe(self, observer: Observer) -> None:
        """Be told each time that a server's state changed or was confirmed. The observer must not block."""
        self._observers.append(observer)

    async def close(self) -> None:
        """End all sessions and the processes of stdio servers, in a few seconds at most."""
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))

    def _agents_of(self, config: McpServerConfig) -> tuple[str, ...]:
        default = self._agents[0] if self._agents else ""
        return tuple(agent for agent in self._agents if config.serves(agent, default))

    def _status(self, connection: McpConnection) -> McpServerStatus:
        from agents.mcp.tools import description_of, tool_name

        config = connection.config
        return McpServerStatus(
            name=config.name,
            state=connection.state,
            agents=self._agents_of(config),
            since=connection.since,
            error=connection.error,
            tools=tuple(
                McpToolSummary(
                    name=tool_name(config.name, tool.name, servers=self._connections),
                    description=description_of(tool),
                    needs_approval=config.needs_approval(tool.name),
                )
                for tool in connection.tools
            ),
        )

    def _tell(self, connection: McpConnection) -> None:
        status = self._status(connection)
        for observer in self._observers:
            observer(status)


class McpToolset(AbstractToolset[ToolContext]):
    """The tools of several servers. Each run has its own (`for_run`), which keeps what it has once offered."""

    def __init__(
        self, connections: Sequence[McpConnection], *, taken: frozenset[str], servers: Collection[str]
    ) -> None:
        self._connections = connections
        self._taken = taken
        self._servers = servers
        self._offered: dict[str, tuple[Tool, ...]] = {}
        self._calls: dict[str, tuple[McpConnection, str]] = {}

    @property
    def id(self) -> str | None:
        return None

    async def for_run(self, ctx: RunContext[ToolContext]) -> McpToolset:
        called = _unanswered_calls(ctx)
        await asyncio.gather(
            *(
                connection.prepare(patient=any(name.startswith(f"{connection.name}_") for name in called))
                for connection in self._connections
            )
        )
        return McpToolset(self._connections, taken=self._taken, servers=self._servers)

    async def get_tools(self, ctx: RunContext[ToolContext]) -> dict[str, ToolsetTool[ToolContext]]:
        """What is offered now; of a server that was lost meanwhile, what it offered before."""
        from agents.mcp.tools import definition, tool_name

        tools: dict[str, ToolsetTool[ToolContext]] = {}
        for connection in self._connections:
            if connection.state == "ready":
                self._offered[connection.name] = connection.tools
            for tool in self._offered.get(connection.name, ()):
                name = tool_name(connection.name, tool.name, servers=self._servers, taken=self._taken)
                defined = definition(name, tool, connection.config)
                if defined is None or name in tools:
                    continue
                self._calls[name] = (connection, tool.name)
                tools[name] = ToolsetTool(
                    toolset=self, tool_def=defined, max_retries=ctx.max_retries, args_validator=_ANY_OBJECT
                )
        return tools

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[ToolContext],  # noqa: ARG002 - pydantic-ai's signature
        tool: ToolsetTool[ToolContext],  # noqa: ARG002
    ) -> Any:
        from agents.mcp.tools import error_text, result_value

        connection, tool_at_server = self._calls[name]
        result = await connection.call(tool_at_server, tool_args)
        if result.is_error:
            raise ToolError(connection.safe(error_text(result)))
        return result_value(result)


def _unanswered_calls(ctx: RunContext[ToolContext]) -> list[str]:
    """The tools whose calls a paused run goes on with."""
    last = ctx.messages[-1] if ctx.messages else None
    return [call.tool_name for call in last.tool_calls] if isinstance(last, ModelResponse) else []
