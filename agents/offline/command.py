"""A tool called by its name, offline: `/rain_today Paris`, `/book city=Paris days=2` or `/book {"city": "Paris"}`.

So tools that no rule of the offline model knows can be tried without a model: those of own agents, and of MCP servers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core
from pydantic_ai.messages import ModelResponsePart, TextPart, ToolCallPart
from pydantic_ai.tools import ToolDefinition

from agents.offline.answer import Outcome

CALL_ID = "offline-command"

_COMMAND = re.compile(r"\s*/([A-Za-z_][\w-]*)(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    tool: str
    arguments: dict[str, Any]


def read_command(question: str, tools: Sequence[ToolDefinition]) -> Command | None:
    """The command that a question is, if one of the tools has its name."""
    if (found := _COMMAND.fullmatch(question)) is None:
        return None
    tool = next((tool for tool in tools if tool.name == found[1]), None)
    if tool is None:
        return None
    return Command(tool=tool.name, arguments=_arguments((found[2] or "").strip(), tool.parameters_json_schema))


def respond_to_command(command: Command, outcomes: Mapping[str, Outcome]) -> list[ModelResponsePart]:
    """The call, or, when it has been answered, what it gave."""
    outcome = outcomes.get(CALL_ID)
    if outcome is None:
        return [ToolCallPart(command.tool, command.arguments, tool_call_id=CALL_ID)]
    if outcome.error is not None:
        return [TextPart(f"`{command.tool}` did not do that: {outcome.error}")]
    return [TextPart(f"`{command.tool}` answers:\n\n{_worded(outcome.result)}")]


def _arguments(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """What stands after the name. What does not fit the tool, the tool will say."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    if text.startswith("{"):
        try:
            given = pydantic_core.from_json(text)
        except ValueError:
            given = None
        if isinstance(given, dict):
            return given
    if properties:
        names = "|".join(re.escape(name) for name in properties)
        pieces = re.split(rf"(?:^|[\s,]+)({names})=", text)
        if len(pieces) > 1 and not pieces[0].strip():
            pairs = zip(pieces[1::2], pieces[2::2], strict=True)
            return {name: _value(value, properties[name]) for name, value in pairs}
        if text:
            first = next(iter(schema.get("required") or properties))
            return {first: _value(text, properties[first])}
    return {}


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    text = text.strip().rstrip(",")
    if schema.get("type") != "string":
        try:
            return pydantic_core.from_json(text)
        except ValueError:
            pass
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _worded(result: Any) -> str:
    if isinstance(result, dict) and result and not any(isinstance(value, dict | list) for value in result.values()):
        return "\n".join(f"- {name}: {value}" for name, value in result.items())
    if isinstance(result, dict | list):
        return f"```json\n{json.dumps(result, indent=2, ensure_ascii=False)}\n```"
    return str(result)
