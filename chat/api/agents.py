"""`/api/agents`: who can be asked."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

from django.apps import apps
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat import posting
from chat.api.execute import execute_command
from chat.api.messages import accepted_response
from chat.api.serving import chat_config
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


class Agent(APIView):
    """`POST` {message, thread_id?, …} → 202: ask this agent, as `Execute` does."""

    def post(self, request: Request, name: str) -> Response:
        return accepted_response(
            posting.post_message(chat_config(), request.user.pk, execute_command(request.data, name))
        )
