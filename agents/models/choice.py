"""Which model each agent asks. Construction only: no request is made, no network is touched."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx2
from pydantic_ai.models import Model, create_async_httpx2_client, infer_model

from agents.errors import ModelUnusable
from agents.models.cost import Pricing
from agents.models.limits import ModelLimits
from agents.models.metering import MeteredModel
from agents.models.retries import ModelWithFallback, RepeatingModel
from agents.offline.model import OfflineModel
from agents.redaction import redact

OFFLINE = "offline"
OFFLINE_CONTEXT_TOKENS = 8_000
UNKNOWN_CONTEXT_TOKENS = 32_000
# Of a model's context a quarter, and no more than this, is left for its answer and for what describes the tools.
LARGEST_ROOM = 16_000
# Of a client that nothing else bounds; each request has limits of its own.
TRANSPORT_SECONDS = 600.0

_OPENAI = ("openai", "openai-chat", "openai-responses")
_VARIABLE = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`")
_EXTRA = re.compile(r"pydantic-ai-slim\[([\w-]+)\]")

Builder = Callable[[], Model]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenModel:
    """An agent's model. `name` is what people see; `context_tokens` is what one request may hold at most.

    `takes_images` is False only where that is known: of most models nobody has looked.
    """

    name: str
    model: Model
    context_tokens: int
    takes_images: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class _Built:
    """A model that is there once, however many agents ask it."""

    name: str
    model: RepeatingModel
    context_tokens: int
    takes_images: bool


class Models:
    """The models of the agents, as configuration names them.

    `by_agent` has names of models by the names of agents in capitals. `builders` make the models that run inside
    Netra, by the names that stand for them; the offline model is always one of them. `text_only` are names of models
    that read no images.
    """

    def __init__(
        self,
        *,
        default: str | None = None,
        by_agent: Mapping[str, str] | None = None,
        fallback: str | None = None,
        limits: ModelLimits | None = None,
        tokens_per_second: float = 0.0,
        builders: Mapping[str, Builder] | None = None,
        text_only: Collection[str] = (),
    ) -> None:
        self.text_only = frozenset(text_only)
        self.default = default
        self.by_agent = dict(by_agent or {})
        self.fallback = fallback
        self.limits = limits or ModelLimits()
        self._builders = {OFFLINE: lambda: OfflineModel(tokens_per_second=tokens_per_second), **(builders or {})}
        self._built: dict[str, _Built] = {}

    def choose(self, agent: str, preferred: str | None = None) -> ChosenModel:
        """The model of an agent: what configuration says for it, else `preferred`, else the default.

        Raises ModelUnusable.
        """
        if named := self.by_agent.get(agent.upper()):
            chosen = self._build(named, f"NETRA_MODEL_{agent.upper()}")
        elif preferred:
            chosen = self._build(preferred, f"AgentDefinition({agent!r}).model")
        else:
            chosen = self._build(self.default or OFFLINE, "NETRA_MODEL")
        model: Model = chosen.model
        context_tokens = chosen.context_tokens
        if self.fallback and (fallback := self._build(self.fallback, "NETRA_MODEL_FALLBACK")) is not chosen:
            model = ModelWithFallback(chosen.model, fallback.model)
            # Whichever of the two is asked, what it is asked with fits.
            context_tokens = min(context_tokens, fallback.context_tokens)
        return ChosenModel(
            name=chosen.name, model=model, context_tokens=context_tokens, takes_images=chosen.takes_images
        )

    def check_agents(self, names: Iterable[str]) -> None:
        """Every NETRA_MODEL_<AGENT> is about one of these agents. Raises ModelUnusable."""
        known = {name.upper(): name for name in names}
        for name in self.by_agent:
            if name not in known:
                raise ModelUnusable(f"NETRA_MODEL_{name} names no agent; the agents are {', '.join(known.values())}.")

    def _build(self, name: str, source: str) -> _Built:
        name = name.strip() or OFFLINE
        if name not in self._built:
            model, pricing = build_model(name, source=source, builders=self._builders)
            connect_within(model, self.limits.connect_seconds)
            metered = MeteredModel(model, name=name, limits=self.limits, pricing=pricing)
            self._built[name] = _Built(
                name=name,
                model=RepeatingModel(metered, limits=self.limits),
                context_tokens=self.limits.context_tokens or _context_tokens(name, model),
                takes_images=name not in self.text_only and bool(model.profile.get("supports_image_input", True)),
            )
        return self._built[name]


def build_model(
    name: str, *, source: str = "NETRA_MODEL", builders: Mapping[str, Builder] | None = None
) -> tuple[Model, Pricing]:
    """The model of this name, and how it is paid for. `source` is the variable that has the name.

    Besides the names of `builders`, any `provider:model` of pydantic-ai is accepted. With OPENAI_BASE_URL set,
    `openai:` speaks the Chat Completions API to that server, which every compatible server has; `openai-responses:`
    asks for the other. Raises ModelUnusable.
    """
    if builders and name in builders:
        return _tried(name, source, builders[name]), "free"
    provider, separator, model = name.partition(":")
    if not separator or not provider or not model:
        others = " or ".join(builders or ())
        hint = f", or be {others}" if others else ""
        raise _unusable(source, name, f"must look like provider:model, for example openai:gpt-5{hint}")
    _check_key(source, name, f"{provider.partition('-')[0].upper()}_API_KEY")
    if provider == "google-cloud":
        _require(source, name, "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_API_KEY")
    if provider in _OPENAI and (base_url := _openai_base_url(source, name)):
        if provider == "openai":
            return _tried(name, source, lambda: _compatible_model(model, base_url)), "by_address"
        return _tried(name, source, lambda: infer_model(name)), "by_address"
    return _tried(name, source, lambda: infer_model(name)), "by_provider"


def _tried(name: str, source: str, build: Builder) -> Model:
    provider = name.partition(":")[0]
    try:
        return build()
    except ModelUnusable:
        raise
    except ImportError as error:
        extra = _EXTRA.search(str(error))
        package = f" (pydantic-ai-slim[{extra[1]}])" if extra else ""
        raise _unusable(source, name, f"{provider!r} needs a package that is not installed{package}") from error
    except Exception as error:
        # Each provider's library complains in classes of its own.
        raise _unusable(source, name, _reason(str(error) or type(error).__name__)) from error


def _context_tokens(name: str, model: Model) -> int:
    """What one request may hold, with room left for the answer."""
    if name == OFFLINE:
        return OFFLINE_CONTEXT_TOKENS
    window = model.context_window
    return UNKNOWN_CONTEXT_TOKENS if window is None else window - min(window // 4, LARGEST_ROOM)


def connect_within(model: Model, seconds: float) -> None:
    """Bound the time to connect, of the HTTP client that the model's provider made and of each that it makes later.

    No request can say it for every provider: where it can, it is one number for all that a request waits for.
    """
    provider = model.provider
    if provider is None or provider._own_http_client is None:
        return
    make: Callable[[], Any]
    if isinstance(provider._own_http_client, httpx2.AsyncClient):
        make = functools.partial(create_async_httpx2_client, timeout=httpx2.Timeout(TRANSPORT_SECONDS, connect=seconds))
    else:
        # The library of this provider knows httpx's elder version only.
        make = functools.partial(_elder_client, seconds)
    client = make()
    provider._http_client_factory = make
    provider._own_http_client = client
    provider._set_http_client(client)


def _elder_client(connect_seconds: float) -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=httpx.Timeout(TRANSPORT_SECONDS, connect=connect_seconds))


def _openai_base_url(source: str, name: str) -> str | None:
    """OPENAI_BASE_URL, if set. A server of one's own needs no key; OpenAI's does."""
    base_url = os.environ.get("OPENAI_BASE_URL", "").strip()
    if not base_url:
        _require(source, name, "OPENAI_API_KEY")
        return None
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _unusable(source, name, "OPENAI_BASE_URL must look like http://host:port/v1")
    return base_url


def _compatible_model(model: str, base_url: str) -> Model:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    api_key = os.environ.get("OPENAI_API_KEY", "").strip() or None
    # A server that goes away in the middle must not pass for one that has ended its answer.
    profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
    provider = OpenAICompatibleProvider("openai-compatible", base_url=base_url, api_key=api_key, profile=profile)
    return OpenAIChatModel(model, provider=provider)


def _require(source: str, name: str, *variables: str) -> None:
    """One of the variables is set. Looking further would ask the network, or send no key."""
    if not any(os.environ.get(variable, "").strip() for variable in variables):
        raise _unusable(source, name, f"{' or '.join(variables)} is not set")


def _check_key(source: str, name: str, variable: str) -> None:
    """A key goes into a header, which takes plain characters only; what else it has was pasted along."""
    if not all("!" <= character <= "~" for character in os.environ.get(variable, "")):
        raise _unusable(source, name, f"{variable} has characters that no key has")


def _reason(message: str) -> str:
    """A library's complaint in one clause: the variable it misses, else its first sentence."""
    if variable := _VARIABLE.search(message):
        return f"{variable[1]} is not set"
    if message.startswith("Unknown model"):
        return "there is no such provider"
    return " ".join(redact(message).split()).partition(". ")[0].rstrip(".")[:200]


def _unusable(source: str, name: str, reason: str) -> ModelUnusable:
    return ModelUnusable(f"{source}={redact(name)} cannot be used: {reason}.")
