"""The calls that the offline model plans, and how its rules are written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from agents.offline.usage import UsageWish


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. `purpose` and `wish` say what its result is wanted for."""

    tool: str
    arguments: tuple[tuple[str, Any], ...]
    purpose: str = ""
    wish: UsageWish | None = None

    @classmethod
    def of(cls, tool: str, *, purpose: str = "", wish: UsageWish | None = None, **arguments: Any) -> Call:
        return cls(tool, tuple(arguments.items()), purpose, wish)

    @property
    def value(self) -> str:
        """What is asked for: the first argument."""
        return str(self.arguments[0][1])


@dataclass(slots=True)
class Plan:
    """What to do about a question: `calls` at once, then `afterwards`, which are told what the first found."""

    calls: list[Call] = field(default_factory=list)
    afterwards: list[Call] = field(default_factory=list)
    greeting: bool = False
    thanks: bool = False
    help: bool = False
    unanswered: list[str] = field(default_factory=list)
    referred: dict[str, str] = field(default_factory=dict)


def rule(pattern: str) -> re.Pattern[str]:
    """A rule for a clause, whose words are one space apart. A line break in the pattern means nothing."""
    return re.compile("".join(line.strip("\n") for line in re.split(r"\n *", pattern)), re.IGNORECASE)
