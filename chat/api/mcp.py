"""`/api/mcp-servers`: the configured MCP servers, and what workers see of them."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.api import schemas
from chat.api.documented import documented
from chat.api.serving import agents_config
from chat.mcp_status import mcp_servers


class McpServerList(APIView):
    """`GET` → {mcp_servers}: each with its state, its tools and the agents that have them; never how it is reached."""

    @documented(
        "list_mcp_servers",
        "The configured MCP servers, each with its state and its tools.",
        answer=schemas.McpServers,
        tag="agents",
    )
    def get(self, _request: Request) -> Response:
        configured = agents_config().mcp.status()
        return Response({"mcp_servers": mcp_servers(configured)})
