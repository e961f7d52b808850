"""What an agent is, before it has a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic_ai import Tool

from agents.tools.context import ToolContext


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentLimits:
    """What bounds one run besides the supervisor's time-out."""

    model_requests: int = 25
    tool_seconds: float = 30.0
    tool_result_characters: int = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentDefinition:
    """An agent of instructions and tools, whose loop pydantic-ai runs.

    `name` is lower-case letters, digits and `_`. `delegates` are the names of agents that it may ask: it has a tool
    `ask_<name>` for each. `examples` are questions that it answers well: a page offers them. `model` is the
    `provider:model` that it uses unless the environment says otherwise.
    """

    name: str
    description: str
    instructions: str
    tools: Sequence[Tool[ToolContext]] = ()
    delegates: Sequence[str] = ()
    examples: Sequence[str] = ()
    model: str | None = None
    limits: AgentLimits = field(default_factory=AgentLimits)
