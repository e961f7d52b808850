"""The MCP servers that NETRA_MCP_SERVERS names: read, expanded and checked, before anything is started.

The form is the usual one, `{"mcpServers": {"name": {…}}}`, with fields of ours beside it (docs/mcp.md).
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    ValidationError,
    field_validator,
    model_validator,
)

from agents.errors import AgentsUnusable

VARIABLE = "NETRA_MCP_SERVERS"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
EVERY_AGENT = "*"

_REFERENCE = re.compile(r"\$\{([^}:]+)(?::-([^}]*))?\}")
_TYPES = {"stdio": "stdio", "http": "http", "streamable-http": "http", "streamableHttp": "http", "sse": "sse"}
_OF_STDIO = ("args", "env", "cwd")


def _kind(value: Any) -> Any:
    return _TYPES.get(value, value) if isinstance(value, str) else value


class McpServerConfig(BaseModel):
    """One server: a command to start, or a URL. Values that may be secret show in no representation of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(exclude=True)
    type: Annotated[Literal["stdio", "http", "sse"] | None, BeforeValidator(_kind)] = None
    command: str | None = Field(default=None, min_length=1)
    args: tuple[SecretStr, ...] = ()
    env: dict[str, SecretStr] = {}
    cwd: Path | None = None
    url: SecretStr | None = None
    headers: dict[str, SecretStr] = {}
    agents: tuple[str, ...] | None = None
    approval: StrictBool | tuple[str, ...] = True
    timeout: float | None = Field(default=None, gt=0, le=3600, allow_inf_nan=False, strict=True)
    disabled: StrictBool = False

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                parts = urlsplit(value.get_secret_value())
                usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            except ValueError:
                usable = False
            if not usable:
                raise ValueError("must be an address such as https://mcp.example.org/mcp")
        return value

    @model_validator(mode="after")
    def _one_way_to_reach_it(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("needs either a command or a url")
        needless = ("headers",) if self.command is not None else _OF_STDIO
        for field in needless:
            if getattr(self, field):
                raise ValueError(f"cannot have {field} beside {'command' if self.command else 'url'}")
        if self.type is not None and (self.type == "stdio") != (self.command is not None):
            raise ValueError(f"cannot be of type {self.type} with {'command' if self.command else 'url'}")
        return self

    @property
    def is_sse(self) -> bool:
        """Whether it speaks the older transport of two HTTP streams."""
        return self.type == "sse"

    def needs_approval(self, tool: str) -> bool:
        return self.approval if isinstance(self.approval, bool) else tool in self.approval

    def unknown_approvals(self, tools: Iterable[str]) -> list[str]:
        """The tools named for approval that are none of these."""
        return [] if isinstance(self.approval, bool) else sorted(set(self.approval) - set(tools))

    def serves(self, agent: str, default_agent: str) -> bool:
        """Whether an agent has its tools."""
        if self.agents is None:
            return agent == default_agent
        return agent in self.agents or EVERY_AGENT in self.agents

    def secrets(self) -> list[str]:
        """What must not be told, should the server or a library repeat it. Arguments are none: `ps` shows them."""
        values = [*self.env.values(), *self.headers.values()]
        if self.url is not None:
            values.append(self.url)
        return [value.get_secret_value() for value in values]


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """In seconds: how long a server may take to be ready, how long a run waits for that, how often a session is
    looked at, how long a look may take, and the pauses between attempts."""

    connect: float = 30.0
    patience: float = 2.0
    check: float = 30.0
    answer: float = 10.0
    first_pause: float = 0.5
    longest_pause: float = 60.0

    def pauses(self) -> Iterator[float]:
        """Each twice as long as the one before, and none quite as long as another worker's."""
        pause = self.first_pause
        while True:
            yield pause * random.uniform(0.8, 1.2)  # noqa: S311 - not for cryptography
            pause = min(pause * 2, self.longest_pause)


def read_mcp_servers(
    given: str | None, environment: Mapping[str, str] = os.environ, *, agents: Sequence[str] | None = None
) -> tuple[McpServerConfig, ...]:
    """The servers of a JSON text, or of the file at a path. `agents` are the names that there are, if they are known.

    Raises AgentsUnusable, whose sentence names the server and the field, and shows no value.
    """
    if given is None or not given.strip():
        return ()
    document = _parse(given)
    servers = document.get("mcpServers") if isinstance(document, dict) else None
    if not isinstance(servers, dict):
        raise _unusable('it must be an object {"mcpServers": {"name": {…}}}')
    if others := sorted(set(document) - {"mcpServers"}):
        raise _unusable(f"beside mcpServers there is the unknown field {others[0]!r}")
    return tuple(_server(name, entry, environment, agents) for name, entry in servers.items())


def _parse(given: str) -> Any:
    text = given.strip()
    if not text.startswith("{"):
        path = Path(text).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise _unusable(f"the file {path} cannot be read ({reason})") from None
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise _unusable(f"it is no JSON: {error.msg}, line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _unusable("it is no JSON: it is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        names = [name for name, _ in pairs]
        raise _unusable(f"{next(name for name in names if names.count(name) > 1)!r} stands twice in one object")
    return named


def _server(name: str, entry: Any, environment: Mapping[str, str], agents: Sequence[str] | None) -> McpServerConfig:
    if not NAME.fullmatch(name):
        raise _unusable(
            f"the server name {name!r} must begin with a letter or digit and have at most 40 letters, digits, _ and -"
        )
    if not isinstance(entry, dict):
        raise _unusable(f"server {name!r} must be an object")
    if "name" in entry:
        raise _unusable(f"server {name!r}, field name: unknown field")
    disabled = entry.get("disabled") is True
    fields = {
        key: _expanded(value, f"server {name!r}, field {key}", environment, disabled) for key, value in entry.items()
    }
    try:
        server = McpServerConfig.model_validate({"name": name, **fields})
    except ValidationError as error:
        raise _unusable(_told(name, error)) from None
    for agent in server.agents or ():
        if agents is not None and agent != EVERY_AGENT and agent not in agents:
            raise _unusable(f"server {name!r}, field agents: there is no agent {agent!r}; agents: {', '.join(agents)}")
    return server


def _expanded(value: Any, where: str, environment: Mapping[str, str], disabled: bool) -> Any:
    """The value with `${VARIABLE}` and `${VARIABLE:-otherwise}` replaced. A disabled server needs no variable."""

    def replace(match: re.Match[str]) -> str:
        variable, otherwise = match.group(1), match.group(2)
        found: str | None = environment.get(variable, otherwise)
        if found is None and not disabled:
            raise _unusable(f"{where}: the environment variable {variable} is not set")
        return found or ""

    if isinstance(value, str):
        return _REFERENCE.sub(replace, value)
    if isinstance(value, list):
        return [_expanded(item, f"{where}.{place}", environment, disabled) for place, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: _expanded(item, f"{where}.{key}", environment, disabled) for key, item in value.items()}
    return value


def _told(name: str, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = [str(part) for part in first["loc"] if str(part) not in ("bool", "tuple[str, ...]", "[key]")]
    reason = "unknown field" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    where = f"server {name!r}, field {'.'.join(path)}: " if path else f"server {name!r} "
    return f"{where}{reason[:1].lower()}{reason[1:]}"


def _unusable(reason: str) -> AgentsUnusable:
    return AgentsUnusable(f"{VARIABLE}: {reason}.")
