"""What the views share: the services behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.apps import apps

from chat import health
from chat.apps import ChatConfig
from chat.errors import service_unavailable
from chat.threads import ThreadService

if TYPE_CHECKING:
    from agents.apps import AgentsConfig
    from agents.supervisor import AgentSupervisor


def chat_config() -> ChatConfig:
    return cast("ChatConfig", apps.get_app_config("chat"))


def agents_config() -> AgentsConfig:
    return cast("AgentsConfig", apps.get_app_config("agents"))


def thread_service() -> ThreadService:
    """Raises ConnectionRefused with SERVICE_UNAVAILABLE, naming what is missing."""
    return health.require_services(chat_config())


def agent_supervisor() -> AgentSupervisor:
    """Raises ConnectionRefused with SERVICE_UNAVAILABLE."""
    supervisor = agents_config().supervisor
    if supervisor is None:
        raise service_unavailable("agent_supervisor")
    return supervisor
