"""The agents that Netra comes with. The first is the default one."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_ai.toolsets import AbstractToolset

from agents.definition import AgentDefinition
from agents.mcp.servers import McpServers
from agents.models.choice import Models
from agents.pydantic_agent import PydanticAgent
from agents.registry import Agent, AgentRegistry
from agents.roster.assistant import ASSISTANT
from agents.roster.data import DATA
from agents.roster.optimization import OPTIMIZATION
from agents.roster.triage import TRIAGE
from agents.tools.context import ToolContext

ROSTER: tuple[AgentDefinition, ...] = (ASSISTANT, TRIAGE, DATA, OPTIMIZATION)


def build_registry(
    given: Sequence[AgentDefinition | Agent], models: Models, mcp: McpServers | None = None
) -> AgentRegistry:
    """These agents; those of definitions each on its model, with the tools of its MCP servers. Raises ModelUnusable."""
    servers = mcp or McpServers()
    registry = AgentRegistry(
        PydanticAgent(each, models.choose(each.name, each.model), toolsets=_mcp_tools(each, servers))
        if isinstance(each, AgentDefinition)
        else each
        for each in given
    )
    for agent in registry:
        if isinstance(agent, PydanticAgent):
            agent.introduce(registry)
    return registry


def _mcp_tools(definition: AgentDefinition, servers: McpServers) -> Sequence[AbstractToolset[ToolContext]]:
    own = [tool.name for tool in definition.tools]
    return servers.toolsets_for(definition.name, taken=[*own, *(f"ask_{name}" for name in definition.delegates)])
