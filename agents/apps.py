"""The Django application of the agents: builds the supervisor and checks that it is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks
from pydantic_ai.models import Model

from agents.errors import AgentsUnusable, ModelUnusable
from agents.mcp.servers import McpServers
from agents.models.choice import Models
from agents.models.limits import ModelLimits
from agents.own_agents import find_own_agents, with_own_agents
from agents.roster import ROSTER, build_registry
from agents.supervisor import AgentSupervisor


class AgentsConfig(AppConfig):
    """`supervisor` is None when it could not be built; `problem` then says why in one sentence."""

    name = "agents"
    verbose_name = "Agents"

    supervisor: AgentSupervisor | None = None
    mcp: McpServers = McpServers()
    problem: str | None = None

    def ready(self) -> None:
        """Construct only: no I/O, no tasks, since this also runs for `migrate`."""
        config = settings.NETRA
        self.mcp = McpServers()
        try:
            models = build_models(config)
            agents = with_own_agents(ROSTER, find_own_agents(config.agents), default=config.default_agent)
            given = config.mcp_servers.get_secret_value() if config.mcp_servers else None
            self.mcp = McpServers.from_config(given, agents=[agent.name for agent in agents])
            registry = build_registry(agents, models, self.mcp)
            models.check_agents(registry.names)
        except (AgentsUnusable, ModelUnusable) as error:
            self.supervisor, self.problem = None, str(error)
        else:
            self.supervisor = AgentSupervisor(registry, run_timeout=config.run_timeout, mcp=self.mcp)
            self.problem = None
        checks.register(check_supervisor, "netra")


def build_models(config: Any) -> Models:
    """The models that `netra.config.Config` names."""
    limits = ModelLimits(
        connect_seconds=config.model_connect_seconds,
        first_token_seconds=config.model_first_token_seconds,
        silence_seconds=config.model_silence_seconds,
        attempts=config.model_attempts,
        context_tokens=config.model_context_tokens,
    )
    return Models(
        default=config.model,
        by_agent=config.model_by_agent,
        fallback=config.model_fallback,
        limits=limits,
        tokens_per_second=config.offline_tokens_per_second,
        builders={"local": local_model},
        text_only=config.text_only_models,
    )


def local_model() -> Model:
    """The small local model. It brings a provider's library, which is loaded only where it is wanted."""
    from agents.models.local_model import LocalModel, shared_server

    return LocalModel(shared_server())


def check_supervisor(
    app_configs: Sequence[AppConfig] | None,  # noqa: ARG001 - a check's signature
    **_: Any,
) -> list[checks.CheckMessage]:
    """agents.E001: a server without a supervisor answers nothing."""
    config = apps.get_app_config("agents")
    if getattr(config, "supervisor", None) is not None:
        return []
    problem = getattr(config, "problem", None) or "The agent supervisor was not built."
    hint = "Correct the setting that is named, or what it needs; without NETRA_MODEL the offline model answers."
    return [checks.Error(problem, hint=hint, id="agents.E001")]
