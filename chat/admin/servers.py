"""Who can be asked, with which tools, and how the MCP servers do."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from chat.admin.access import require
from chat.admin.rows import ReadOnlyAdmin, moment
from chat.admin_site import NetraSite
from chat.api.agents import agent_json
from chat.api.serving import agents_config
from chat.mcp_status import mcp_servers
from chat.models import McpServer


@admin.register(McpServer)
class McpServerAdmin(ReadOnlyAdmin):
    owner = ""
    list_display = ("name", "state", "tool_count", "error", "changed", "seen")
    ordering = ("name",)

    @admin.display(description="tools")
    def tool_count(self, server: McpServer) -> int:
        return len(server.tools)

    @admin.display(description="changed (UTC)")
    def changed(self, server: McpServer) -> str:
        return moment(server.changed_at)

    @admin.display(description="last seen by a worker (UTC)")
    def seen(self, server: McpServer) -> str:
        return moment(server.seen_at)

    def show(self, request: HttpRequest, server: Any) -> HttpResponse:
        return self.rendered(
            request,
            "administration/facts.html",
            title=server.name,
            facts=[
                ("state", server.state),
                ("error", server.error or "-"),
                ("changed (UTC)", moment(server.changed_at)),
                ("last seen by a worker (UTC)", moment(server.seen_at)),
                *((tool["name"], tool["description"] or "-") for tool in server.tools),
            ],
        )


def agents_page(request: HttpRequest) -> HttpResponse:
    """The agents as `GET /api/agents` tells them, which has no secrets, and the servers as `GET /api/mcp-servers`."""
    require(request, "chat.view_mcpserver")
    supervisor = agents_config().supervisor
    agents = [agent_json(agent) for agent in (supervisor.status().agents if supervisor is not None else ())]
    for agent in agents:
        limits = (agent["limits"] or {}).items()
        agent["shown_limits"] = [(name.replace("_", " "), value) for name, value in limits if value is not None]
    context = {
        **admin.site.each_context(request),
        "title": "Agents and tools",
        "subtitle": None,
        "agents": agents,
        "servers": mcp_servers(agents_config().mcp.status()),
        "is_missing": supervisor is None,
    }
    request.current_app = admin.site.name
    return TemplateResponse(request, "administration/agents.html", context)


cast("NetraSite", admin.site).add_page("agents/", agents_page, name="agents")
