"""The language model named by NETRA_MODEL. Construction only: no request is made, no network is touched."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic_ai.models import Model, infer_model

from agents.errors import ModelUnusable
from agents.offline import OfflineModel
from agents.redaction import redact

OFFLINE = "offline"

_OPENAI = ("openai", "openai-chat", "openai-responses")
_VARIABLE = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`")
_EXTRA = re.compile(r"pydantic-ai-slim\[([\w-]+)\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenModel:
    """An agent's model. `name` is what people see; `context_tokens` is what one request may hold at most."""

    name: str
    model: Model
    context_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelLimits:
    """What bounds one model request, in seconds and tokens.

    `silence_seconds` is how long a connection may send nothing.
    """

    silence_seconds: float = 300.0
    context_tokens: int = 128_000


class Models:
    """The models of the agents, as configuration names them."""

    def __init__(
        self,
        *,
        default: str | None = None,
        by_agent: Mapping[str, str] | None = None,
        limits: ModelLimits | None = None,
        tokens_per_second: float = 0.0,
    ) -> None:
        self.default = default
        self.by_agent = dict(by_agent or {})
        self.limits = limits or ModelLimits()
        self.tokens_per_second = tokens_per_second

    def choose(self, agent: str, preferred: str | None = None) -> ChosenModel:
        """The model of an agent: what configuration says for it, else `preferred`, else the default.

        Raises ModelUnusable.
        """
        named = self.by_agent.get(agent) or preferred or self.default
        name, model = build_model(named, tokens_per_second=self.tokens_per_second)
        return ChosenModel(name=name, model=model, context_tokens=self.limits.context_tokens)


def build_model(name: str | None, *, tokens_per_second: float) -> tuple[str, Model]:
    """The model and the name it goes by; without a name the offline model.

    Any `provider:model` of pydantic-ai is accepted. With OPENAI_BASE_URL set, `openai:` speaks the Chat
    Completions API to that server, which every compatible server has; `openai-responses:` asks for the other.
    Raises ModelUnusable.
    """
    name = (name or "").strip()
    if not name:
        return OFFLINE, OfflineModel(tokens_per_second=tokens_per_second)
    provider, separator, model = name.partition(":")
    if not separator or not provider or not model:
        raise _unusable(name, "must look like provider:model, for example openai:gpt-5")
    try:
        if provider == "google-cloud":
            _require(name, "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_API_KEY")
        if provider in _OPENAI:
            base_url = _openai_base_url(name)
            if base_url and provider == "openai":
                return name, _compatible_model(model, base_url)
        return name, infer_model(name)
    except ModelUnusable:
        raise
    except ImportError as error:
        extra = _EXTRA.search(str(error))
        package = f" (pydantic-ai-slim[{extra[1]}])" if extra else ""
        raise _unusable(name, f"{provider!r} needs a package that is not installed{package}") from error
    except Exception as error:
        # Each provider's library complains in classes of its own.
        raise _unusable(name, _reason(str(error) or type(error).__name__)) from error


def _openai_base_url(name: str) -> str | None:
    """OPENAI_BASE_URL, if set. A server of one's own needs no key; OpenAI's does."""
    base_url = os.environ.get("OPENAI_BASE_URL", "").strip()
    if not base_url:
        _require(name, "OPENAI_API_KEY")
        return None
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _unusable(name, "OPENAI_BASE_URL must look like http://host:port/v1")
    return base_url


def _compatible_model(model: str, base_url: str) -> Model:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    api_key = os.environ.get("OPENAI_API_KEY", "").strip() or None
    return OpenAIChatModel(
        model, provider=OpenAICompatibleProvider("openai-compatible", base_url=base_url, api_key=api_key)
    )


def _require(name: str, *variables: str) -> None:
    """One of the variables is set. Looking further would ask the network, or send no key."""
    if not any(os.environ.get(variable, "").strip() for variable in variables):
        raise _unusable(name, f"{' or '.join(variables)} is not set")


def _reason(message: str) -> str:
    """A library's complaint in one clause: the variable it misses, else its first sentence."""
    if variable := _VARIABLE.search(message):
        return f"{variable[1]} is not set"
    if message.startswith("Unknown model"):
        return "there is no such provider"
    return " ".join(redact(message).split()).partition(". ")[0].rstrip(".")[:200]


def _unusable(name: str, reason: str) -> ModelUnusable:
    return ModelUnusable(f"NETRA_MODEL={redact(name)} cannot be used: {reason}.")
