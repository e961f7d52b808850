"""`/api/agents` and `/api/tools`: who can be asked, with what, and asking one."""

from __future__ import annotations

import dataclasses
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agents.summary import AgentSummary, ToolSummary
from chat import posting
from chat.allowances import limits_of
from chat.api import bodies, schemas
from chat.api.documented import BEGINS, BEGUN_STREAM, OF_ASKING, documented
from chat.api.execute import execute_command
from chat.api.messages import accepted_response
from chat.api.serving import agent_supervisor, agents_config, chat_config
from chat.errors import ChatError, ErrorCode
from chat.mcp_status import mcp_servers


class Agents(APIView):
    """`GET` → {agents}: each with its model, tools, limits and the agents that it may ask; the default one first."""

    @documented("list_agents", "Who can be asked, the default agent first.", answer=schemas.Agents, tag="agents")
    def get(self, _request: Request) -> Response:
        return Response({"agents": [agent_json(agent) for agent in agent_supervisor().status().agents]})


class Agent(APIView):
    """`GET`: one agent. `POST` {message, thread_id?, …} → 202: ask it, as `Execute` does."""

    @documented(
        "get_agent",
        "One agent, with its model, tools, limits and the agents that it may ask.",
        answer=schemas.Agent,
        errors=[ErrorCode.AGENT_NOT_FOUND],
        tag="agents",
    )
    def get(self, _request: Request, name: str) -> Response:
        agents = agent_supervisor().status().agents
        found = next((agent for agent in agents if agent.name == name), None)
        if found is None:
            details = {"agents": [agent.name for agent in agents]}
            raise ChatError(ErrorCode.AGENT_NOT_FOUND, "There is no such agent", details=details)
        return Response(agent_json(found))

    @documented(
        "ask_agent",
        "Ask this agent, in a new thread or in one that there is.",
        description=BEGINS,
        body=bodies.AskBody,
        answer=schemas.Accepted,
        code=202,
        errors=OF_ASKING,
        streamed=BEGUN_STREAM,
        headers=["Location"],
        tag="agents",
    )
    def post(self, request: Request, name: str) -> Response:
        command = execute_command(request.data, name)
        return accepted_response(
            posting.post_message(chat_config(), request.user.pk, command, limits=limits_of(request.user))
        )


class Tools(APIView):
    """`GET` → {tools}: every tool that an agent or an MCP server has, with its parameters as JSON Schema."""

    @documented("list_tools", "Every tool that an agent or an MCP server has.", answer=schemas.Tools, tag="agents")
    def get(self, _request: Request) -> Response:
        tools: dict[str, dict[str, Any]] = {}
        for agent in agent_supervisor().status().agents:
            for tool in agent.tools:
                tools.setdefault(tool.name, tool_json(tool) | {"agents": [], "mcp_server": None})["agents"] += [
                    agent.name
                ]
        for server in mcp_servers(agents_config().mcp.status()):
            for tool in server["tools"]:
                tools[tool["name"]] = {**_UNKNOWN, **tool, "agents": server["agents"], "mcp_server": server["name"]}
        return Response({"tools": [tools[name] for name in sorted(tools)]})


# What a tool of an MCP server does not tell.
_UNKNOWN: dict[str, Any] = {
    "description": "",
    "repeatable": False,
    "timeout_seconds": None,
    "result_limit": None,
    "parameters": None,
}


def agent_json(agent: AgentSummary) -> dict[str, Any]:
    return {**dataclasses.asdict(agent), "tools": [tool_json(tool) for tool in agent.tools]}


def tool_json(tool: ToolSummary) -> dict[str, Any]:
    return dataclasses.asdict(tool)
