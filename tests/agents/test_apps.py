from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest
from pydantic import SecretStr

if not os.environ.get("DJANGO_SETTINGS_MODULE"):
    pytest.skip("needs Django's settings: run with the project's configuration", allow_module_level=True)

from django.apps import apps
from django.core import checks

from agents import RunRequest, agent
from agents.apps import AgentsConfig, build_models, check_supervisor
from agents.supervisor import AgentSupervisor


@agent(name="echo", description="Says what it hears.")
async def echo(request: RunRequest) -> AsyncIterator[str]:
    yield request.prompt


@dataclass
class Configured:
    """The fields of netra.config.Config that the application reads."""

    agents: tuple[str, ...] = ()
    default_agent: str | None = None
    mcp_servers: SecretStr | None = None
    model: str | None = None
    model_by_agent: dict[str, str] = field(default_factory=dict)
    model_fallback: str | None = None
    model_attempts: int = 3
    model_connect_seconds: float = 5.0
    model_first_token_seconds: float = 60.0
    model_silence_seconds: float = 60.0
    model_context_tokens: int | None = None
    text_only_models: tuple[str, ...] = ()
    offline_tokens_per_second: float = 0.0
    run_timeout: float = 600.0


@pytest.fixture
def application() -> Iterator[AgentsConfig]:
    """The application's own object, put back as it was."""
    config = cast("AgentsConfig", apps.get_app_config("agents"))
    supervisor, mcp, problem = config.supervisor, config.mcp, config.problem
    yield config
    config.supervisor, config.mcp, config.problem = supervisor, mcp, problem


def test_django_starts_with_a_supervisor(application: AgentsConfig) -> None:
    assert isinstance(application.supervisor, AgentSupervisor)
    assert application.supervisor.agent_names[0] == "assistant"
    assert application.problem is None


def test_ready_builds_from_the_settings(application: AgentsConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.conf.settings.NETRA", Configured(run_timeout=7.0))
    application.ready()
    assert application.supervisor is not None
    assert application.supervisor.run_timeout == 7.0
    assert application.supervisor.status().agents[0].model == "offline"
    assert check_supervisor(None) == []


async def test_ready_starts_nothing(application: AgentsConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.conf.settings.NETRA", Configured())
    threads = set(threading.enumerate())
    application.ready()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert set(threading.enumerate()) <= threads


def test_a_model_that_cannot_be_used_is_a_check_error(
    application: AgentsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setattr("django.conf.settings.NETRA", Configured(model="openai:gpt-5"))
    application.ready()
    assert application.supervisor is None
    sentence = "NETRA_MODEL=openai:gpt-5 cannot be used: OPENAI_API_KEY is not set."
    assert application.problem == sentence
    assert checks.run_checks(tags=["netra"], databases=[])[:1] == [
        checks.Error(
            sentence,
            hint="Correct the setting that is named, or what it needs; without NETRA_MODEL the offline model answers.",
            id="agents.E001",
        )
    ]


def test_the_settings_reach_the_models(application: AgentsConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "django.conf.settings.NETRA",
        Configured(model_by_agent={"ASSISTANT": "offline"}, model_fallback="offline", model_context_tokens=5000),
    )
    models = build_models(Configured(model_first_token_seconds=7.0, model_attempts=2, model_connect_seconds=1.5))
    assert (models.limits.first_token_seconds, models.limits.attempts, models.limits.connect_seconds) == (7.0, 2, 1.5)
    application.ready()
    assert application.problem is None


def test_a_model_for_an_agent_that_is_not_there_ends_the_start(
    application: AgentsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.conf.settings.NETRA", Configured(model_by_agent={"TRIAGEE": "offline"}))
    application.ready()
    assert application.supervisor is None
    assert application.problem is not None
    assert application.problem.startswith("NETRA_MODEL_TRIAGEE names no agent; the agents are assistant")


def test_own_agents_of_the_settings_are_among_the_agents(
    application: AgentsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{__name__}:echo"
    monkeypatch.setattr("django.conf.settings.NETRA", Configured(agents=(place,), default_agent="echo"))
    application.ready()
    assert application.supervisor is not None
    assert application.supervisor.agent_names[:2] == ("echo", "assistant")


def test_an_own_agent_that_cannot_be_used_is_a_check_error(
    application: AgentsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.conf.settings.NETRA", Configured(agents=("nowhere",)))
    application.ready()
    assert application.supervisor is None
    [error] = check_supervisor(None)
    sentence = "NETRA_AGENTS=nowhere cannot be used: must look like package.module:object."
    assert (error.id, error.msg) == ("agents.E001", sentence)


def test_a_missing_supervisor_is_a_check_error(application: AgentsConfig) -> None:
    application.supervisor = None
    [error] = check_supervisor(None)
    assert (error.id, error.msg) == ("agents.E001", "The agent supervisor was not built.")
