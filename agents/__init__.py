"""What agents are made of. Everything that an agent of one's own needs is imported from here (docs/agents.md).

The names are looked up when they are asked for: Django imports this package at its start, and needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_ai import RunContext, Tool

    from agents.definition import AgentDefinition, AgentLimits
    from agents.errors import ModelError, ToolError
    from agents.events import (
        AgentCompleted,
        AgentError,
        AgentEvent,
        AgentResponseChunk,
        AgentThinking,
        ToolCompleted,
        ToolExecuting,
        Usage,
    )
    from agents.registry import Agent, FunctionAgent, agent
    from agents.request import RunRequest
    from agents.tools.context import ToolContext
    from agents.toolset import REPEATABLE, UNREPEATABLE

__all__ = [
    "REPEATABLE",
    "UNREPEATABLE",
    "Agent",
    "AgentCompleted",
    "AgentDefinition",
    "AgentError",
    "AgentEvent",
    "AgentLimits",
    "AgentResponseChunk",
    "AgentThinking",
    "FunctionAgent",
    "ModelError",
    "RunContext",
    "RunRequest",
    "Tool",
    "ToolCompleted",
    "ToolContext",
    "ToolError",
    "ToolExecuting",
    "Usage",
    "agent",
]

_MODULES = {
    "agents.definition": ("AgentDefinition", "AgentLimits"),
    "agents.errors": ("ModelError", "ToolError"),
    "agents.events": (
        "AgentCompleted",
        "AgentError",
        "AgentEvent",
        "AgentResponseChunk",
        "AgentThinking",
        "ToolCompleted",
        "ToolExecuting",
        "Usage",
    ),
    "agents.registry": ("Agent", "FunctionAgent", "agent"),
    "agents.request": ("RunRequest",),
    "agents.tools.context": ("ToolContext",),
    "agents.toolset": ("REPEATABLE", "UNREPEATABLE"),
    "pydantic_ai": ("RunContext", "Tool"),
}

if not TYPE_CHECKING:  # or every name would pass for one of this package

    def __getattr__(name: str) -> object:
        from importlib import import_module

        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(module), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
