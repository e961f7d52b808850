"""What others may know of an agent: no secret is in it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from pydantic_ai import Tool

from agents.definition import AgentDefinition, AgentLimits
from agents.registry import Agent


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolSummary:
    """`repeatable`: a run may be repeated after the tool has begun in it. `parameters` is a JSON Schema.

    `timeout_seconds` is None where a tool has no time limit of its own; `result_limit` is in characters, of which the
    model gets no more.
    """

    name: str
    description: str
    needs_approval: bool
    repeatable: bool
    timeout_seconds: float | None
    result_limit: int
    parameters: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSummary:
    """`limits` are None and `tools` empty where an agent does not tell them."""

    name: str
    description: str
    model: str
    tools: tuple[ToolSummary, ...] = ()
    delegates: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    limits: dict[str, Any] | None = None


def summarise(agent: Agent) -> AgentSummary:
    definition = getattr(agent, "definition", None)
    if not isinstance(definition, AgentDefinition):
        examples = tuple(getattr(agent, "examples", ()))
        return AgentSummary(name=agent.name, description=agent.description, model=agent.model_name, examples=examples)
    return AgentSummary(
        name=agent.name,
        description=agent.description,
        model=agent.model_name,
        tools=tuple(_tool(tool, definition.limits) for tool in definition.tools),
        delegates=tuple(definition.delegates),
        examples=tuple(definition.examples),
        limits=dataclasses.asdict(definition.limits),
    )


def _tool(tool: Tool[Any], limits: AgentLimits) -> ToolSummary:
    metadata = tool.metadata or {}
    needs_approval = tool.requires_approval or bool(metadata.get("needs_approval"))
    return ToolSummary(
        name=tool.name,
        description=(tool.description or "").strip(),
        needs_approval=needs_approval,
        repeatable=metadata.get("repeatable", not needs_approval) is not False,
        timeout_seconds=metadata.get("timeout", limits.tool_seconds),
        result_limit=metadata.get("result_limit", limits.tool_result_characters),
        parameters=tool.tool_def.parameters_json_schema,
    )
