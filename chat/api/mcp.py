"""`/api/mcp-servers`: the configured MCP servers, and what workers see of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.apps import apps
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.mcp_status import mcp_servers

if TYPE_CHECKING:
    from agents.apps import AgentsConfig


class McpServerList(APIView):
    """`GET` → {mcp_servers}: each with its state, its tools and the agents that have them; never how it is reached."""

    def get(self, _request: Request) -> Response:
        configured = cast("AgentsConfig", apps.get_app_config("agents")).mcp.status()
        return Response({"mcp_servers": mcp_servers(configured)})
