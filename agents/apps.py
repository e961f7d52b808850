"""The Django application of the agents: builds the supervisor and checks that it is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core import checks

from agents.errors import ModelUnusable
from agents.model import Models
from agents.roster import ROSTER, build_registry
from agents.supervisor import AgentSupervisor


class AgentsConfig(AppConfig):
    """`supervisor` is None when it could not be built; `problem` then says why in one sentence."""

    name = "agents"
    verbose_name = "Agents"

    supervisor: AgentSupervisor | None = None
    problem: str | None = None

    def ready(self) -> None:
        """Construct only: no I/O, no tasks, since this also runs for `migrate`."""
        config = settings.NETRA
        try:
            models = Models(default=config.model, tokens_per_second=config.offline_tokens_per_second)
            registry = build_registry(ROSTER, models)
        except ModelUnusable as error:
            self.supervisor, self.problem = None, str(error)
        else:
            self.supervisor, self.problem = AgentSupervisor(registry, run_timeout=config.run_timeout), None
        checks.register(check_supervisor, "netra")


def check_supervisor(
    app_configs: Sequence[AppConfig] | None,  # noqa: ARG001 - a check's signature
    **_: Any,
) -> list[checks.CheckMessage]:
    """agents.E001: a server without a supervisor answers nothing."""
    config = apps.get_app_config("agents")
    if getattr(config, "supervisor", None) is not None:
        return []
    problem = getattr(config, "problem", None) or "The agent supervisor was not built."
    hint = "Correct NETRA_MODEL or what it needs, or leave it empty for the offline model."
    return [checks.Error(problem, hint=hint, id="agents.E001")]
