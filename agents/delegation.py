"""What the agents of one run share, and how far they may ask each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.usage import RunUsage

MAX_DEPTH = 2
MAX_DELEGATIONS = 12

_USAGE = TypeAdapter(RunUsage)


@dataclass(slots=True)
class SharedRun:
    """What all agents of one run have in common. Not shared with any other run."""

    usage: RunUsage = field(default_factory=RunUsage)
    call_ids: set[str] = field(default_factory=set)
    delegations: int = 0

    def unique_call_id(self, wanted: str) -> str:
        """Some servers number the calls of each response from zero; here an id is unique within the run."""
        identity, number = wanted, 2
        while identity in self.call_ids:
            identity, number = f"{wanted}.{number}", number + 1
        self.call_ids.add(identity)
        return identity

    def to_json(self) -> dict[str, Any]:
        return {
            "usage": _USAGE.dump_python(self.usage, mode="json"),
            "call_ids": sorted(self.call_ids),
            "delegations": self.delegations,
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> SharedRun:
        return cls(
            usage=_USAGE.validate_python(state["usage"]),
            call_ids=set(state["call_ids"]),
            delegations=state["delegations"],
        )


@dataclass(frozen=True, slots=True)
class Delegation:
    """Where in a run an agent stands: `depth` 0 is the agent that the person asked."""

    depth: int = 0
    shared: SharedRun = field(default_factory=SharedRun)

    def deeper(self) -> Delegation:
        return dataclasses.replace(self, depth=self.depth + 1)

    def refusal(self) -> str | None:
        """Why no further agent may be asked; None when one may, which then counts."""
        if self.depth >= MAX_DEPTH:
            return f"no agent may be asked from here: agents ask each other over at most {MAX_DEPTH} levels"
        if self.shared.delegations >= MAX_DELEGATIONS:
            return f"no further agent may be asked: a run may ask at most {MAX_DELEGATIONS} times"
        self.shared.delegations += 1
        return None
