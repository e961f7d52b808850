"""The agents that Netra comes with."""

from __future__ import annotations

from agents.model import build_model
from agents.registry import AgentRegistry
from agents.roster.assistant import build_assistant


def build_registry(model: str | None, *, tokens_per_second: float) -> AgentRegistry:
    """Every agent, on the configured model. Raises ModelUnusable."""
    model_name, language_model = build_model(model, tokens_per_second=tokens_per_second)
    return AgentRegistry([build_assistant(language_model, model_name)])
