from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import pytest

if not os.environ.get("DJANGO_SETTINGS_MODULE"):
    pytest.skip("needs Django's settings: run with the project's configuration", allow_module_level=True)

from django.apps import apps
from django.core import checks

from agents.apps import AgentsConfig, check_supervisor
from agents.supervisor import AgentSupervisor


@dataclass
class Configured:
    """The fields of netra.config.Config that the application reads."""

    model: str | None = None
    offline_tokens_per_second: float = 0.0
    run_timeout: float = 600.0


@pytest.fixture
def application() -> Iterator[AgentsConfig]:
    """The application's own object, put back as it was."""
    config = cast("AgentsConfig", apps.get_app_config("agents"))
    supervisor, problem = config.supervisor, config.problem
    yield config
    config.supervisor, config.problem = supervisor, problem


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
    threads = threading.active_count()
    application.ready()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert threading.active_count() == threads


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
            hint="Correct NETRA_MODEL or what it needs, or leave it empty for the offline model.",
            id="agents.E001",
        )
    ]


def test_a_missing_supervisor_is_a_check_error(application: AgentsConfig) -> None:
    application.supervisor = None
    [error] = check_supervisor(None)
    assert (error.id, error.msg) == ("agents.E001", "The agent supervisor was not built.")
