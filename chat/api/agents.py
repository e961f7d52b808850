"""`/api/agents`: who can be asked."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

from django.apps import apps
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.errors import service_unavailable

if TYPE_CHECKING:
    from agents.apps import AgentsConfig


class Agents(APIView):
    """`GET` → {agents}: each with its model, tools, limits and the agents that it may ask; the default one first."""

    def get(self, _request: Request) -> Response:
        supervisor = cast("AgentsConfig", apps.get_app_config("agents")).supervisor
        if supervisor is None:
            raise service_unavailable("agent_supervisor")
        return Response({"agents": [dataclasses.asdict(agent) for agent in supervisor.status().agents]})
