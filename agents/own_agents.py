"""Agents of other Django applications and packages: found by their names, and checked before anything is built of them.

They are named by the setting NETRA_AGENTS, or by entry points of the group `netra.agents`, as `package.module:object`.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

import structlog
from pydantic_ai.toolsets import FunctionToolset

from agents.definition import AgentDefinition
from agents.errors import AgentsUnusable
from agents.redaction import redact
from agents.registry import Agent

GROUP = "netra.agents"
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
# In the account of model requests it stands for what titles cost.
TAKEN_NAMES = ("title",)
LONGEST_REASON = 200

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OwnAgent:
    """An agent and the setting or entry point that named it: what errors are told with."""

    source: str
    agent: AgentDefinition | Agent


def find_own_agents(places: Sequence[str]) -> list[OwnAgent]:
    """The agents of the entry points, then those at `places` (NETRA_AGENTS). Raises AgentsUnusable."""
    found: list[OwnAgent] = []
    for entry_point in sorted(metadata.entry_points(group=GROUP), key=lambda each: each.name):
        package = f" of {entry_point.dist.name}" if entry_point.dist else ""
        found += _load(f"The entry point {entry_point.name!r} of the group {GROUP}{package}", entry_point.value)
    for place in places:
        found += _load(f"NETRA_AGENTS={place}", place)
    return found


def with_own_agents(
    roster: Sequence[AgentDefinition], own: Sequence[OwnAgent], *, default: str | None
) -> list[AgentDefinition | Agent]:
    """The roster, each of its agents replaced by an own one of the same name, and then the other own agents.

    The agent named `default` (NETRA_DEFAULT_AGENT) comes first. Raises AgentsUnusable.
    """
    agents: dict[str, AgentDefinition | Agent] = {agent.name: agent for agent in roster}
    sources: dict[str, str] = {}
    for each in own:
        name = each.agent.name
        if name in sources:
            raise _unusable(each.source, f"{sources[name]} has an agent named {name!r}, too")
        sources[name] = each.source
        agents[name] = each.agent
    for name, agent in agents.items():
        for delegate in agent.delegates if isinstance(agent, AgentDefinition) else ():
            if delegate not in agents or delegate == name:
                who = "there is no such agent" if delegate != name else "that is its own name"
                raise _unusable(sources.get(name, f"The agent {name!r}"), f"it delegates to {delegate!r}: {who}")
    if default is not None:
        if default not in agents:
            raise _unusable(f"NETRA_DEFAULT_AGENT={default}", f"the agents are {', '.join(agents)}")
        agents = {default: agents.pop(default), **agents}
    return list(agents.values())


def _load(source: str, place: str) -> Iterator[OwnAgent]:
    module_name, _, path = place.partition(":")
    if not re.fullmatch(r"[\w.]+:[\w.]+", place):
        raise _unusable(source, "must look like package.module:object")
    try:
        found: Any = import_module(module_name)
    except Exception as error:
        raise _unusable(source, f"{module_name} cannot be imported ({_logged(source, error)})") from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise _unusable(source, f"{module_name} has no {path!r}")
        found = getattr(found, part)
    for candidate in found if isinstance(found, list | tuple) else [found]:
        try:
            flaw = _flaw(candidate)
        except Exception as error:
            raise _unusable(source, _logged(source, error)) from error
        if flaw is not None:
            raise _unusable(source, flaw)
        yield OwnAgent(source, candidate)


def _flaw(candidate: Any) -> str | None:
    """Why this is no agent, or None. What the candidate's own code raises passes through."""
    what = type(candidate).__name__
    if isinstance(candidate, type):
        return f"{candidate.__name__} is a class, and an agent is an object"
    if not isinstance(candidate, AgentDefinition):
        if not callable(getattr(candidate, "run", None)):
            hint = ": decorate it with @agent(name=…, description=…)" if callable(candidate) else ""
            return f"it is a {what}, not an agent{hint}"
        attributes = ("name", "description", "model_name")
    else:
        attributes = ("name", "description", "instructions")
        tools = FunctionToolset(candidate.tools).tools
        if twice := [f"ask_{name}" for name in candidate.delegates if f"ask_{name}" in tools]:
            return f"it has a tool named {twice[0]!r}, as is the one that asks its delegate"
    if flaw := _flaw_of_words(candidate, attributes):
        return flaw
    if not NAME.fullmatch(candidate.name):
        return (
            f"{candidate.name!r} is no agent's name: that has up to 32 small letters, digits and underscores, "
            "and begins with a letter"
        )
    return f"the name {candidate.name!r} is taken" if candidate.name in TAKEN_NAMES else None


def _flaw_of_words(candidate: Any, attributes: Sequence[str]) -> str | None:
    what = type(candidate).__name__
    for attribute in attributes:
        if not isinstance(value := getattr(candidate, attribute, None), str) or not value:
            return f"the {attribute} of this {what} is no text"
    examples = getattr(candidate, "examples", ())
    if not isinstance(examples, list | tuple) or not all(isinstance(each, str) and each.strip() for each in examples):
        return f"the examples of this {what} are no list of questions"
    return None


def _logged(source: str, error: Exception) -> str:
    """The error in one clause; its traceback goes to the log."""
    trace = redact("".join(traceback.format_exception(error)))
    logger.error("own_agent_failed", source=source, cause=type(error).__name__, exception=trace)
    text = " ".join(redact(str(error)).split())[:LONGEST_REASON].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _unusable(source: str, reason: str) -> AgentsUnusable:
    return AgentsUnusable(f"{source} cannot be used: {reason}.")
