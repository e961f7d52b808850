from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.models.wrapper import WrapperModel

from agents.errors import ModelUnusable
from agents.models.choice import Models, build_model
from agents.models.limits import ModelLimits
from agents.offline.model import OfflineModel
from agents.roster import ROSTER, build_registry


@pytest.fixture(autouse=True)
def no_network_and_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may reach out, and nothing of this machine's environment counts."""

    def refuse(*_args: Any, **_options: Any) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL", "_CREDENTIALS", "_TOKEN")):
            monkeypatch.delenv(name)


def innermost(model: Model) -> Model:
    """The provider's model within what measures, repeats and bounds its requests."""
    while isinstance(model, WrapperModel):
        model = model.wrapped
    return model


@pytest.mark.parametrize("name", [None, "", "  ", "offline"])
def test_without_a_name_the_model_is_offline(name: str | None) -> None:
    chosen = Models(default=name, tokens_per_second=12.5).choose("assistant")
    assert chosen.name == "offline"
    model = innermost(chosen.model)
    assert isinstance(model, OfflineModel)
    assert model.tokens_per_second == 12.5


@pytest.mark.parametrize(
    ("name", "variable", "kind"),
    [
        ("openai:gpt-5", "OPENAI_API_KEY", "OpenAIResponsesModel"),
        ("openai-chat:gpt-5", "OPENAI_API_KEY", "OpenAIChatModel"),
        ("openai-responses:gpt-5", "OPENAI_API_KEY", "OpenAIResponsesModel"),
        ("anthropic:claude-sonnet-4-5", "ANTHROPIC_API_KEY", "AnthropicModel"),
        ("google:gemini-2.5-pro", "GOOGLE_API_KEY", "GoogleModel"),
        ("groq:llama-3.3-70b-versatile", "GROQ_API_KEY", "GroqModel"),
        ("mistral:mistral-large-latest", "MISTRAL_API_KEY", "MistralModel"),
        ("deepseek:deepseek-chat", "DEEPSEEK_API_KEY", "OpenAIChatModel"),
    ],
)
def test_a_provider_needs_its_key(name: str, variable: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for blank in (None, ""):
        if blank is not None:
            monkeypatch.setenv(variable, blank)
        with pytest.raises(ModelUnusable) as unusable:
            Models(default=name).choose("assistant")
        assert str(unusable.value) == f"NETRA_MODEL={name} cannot be used: {variable} is not set."
    monkeypatch.setenv(variable, "a-key-of-the-tests")
    chosen = Models(default=f" {name} ").choose("assistant")
    assert chosen.name == name
    assert type(innermost(chosen.model)).__name__ == kind


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gpt-5", "must look like provider:model, for example openai:gpt-5"),
        ("openai:", "must look like provider:model, for example openai:gpt-5"),
        (":gpt-5", "must look like provider:model, for example openai:gpt-5"),
        ("opnai:gpt-5", "there is no such provider"),
        ("cohere:command-r", "'cohere' needs a package that is not installed (pydantic-ai-slim[cohere])"),
        ("ollama:llama3", "OLLAMA_BASE_URL is not set"),
        ("google-cloud:gemini", "GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_API_KEY is not set"),
    ],
)
def test_a_name_that_cannot_work_is_one_sentence(name: str, reason: str) -> None:
    with pytest.raises(ModelUnusable) as unusable:
        build_model(name)
    assert str(unusable.value) == f"NETRA_MODEL={name} cannot be used: {reason}."


@pytest.mark.parametrize("key", ["schlüssel-0123456789", "sk-0123456789\n", "sk-01234 56789"])
@pytest.mark.parametrize("provider", ["openai", "openai-chat", "anthropic"])
def test_a_key_that_no_header_takes_is_one_sentence_without_it(
    provider: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"{provider.partition('-')[0].upper()}_API_KEY"
    monkeypatch.setenv(variable, key)
    with pytest.raises(ModelUnusable) as unusable:
        build_model(f"{provider}:model")
    sentence = f"NETRA_MODEL={provider}:model cannot be used: {variable} has characters that no key has."
    assert str(unusable.value) == sentence


def test_a_key_pasted_as_the_name_is_not_repeated() -> None:
    with pytest.raises(ModelUnusable) as unusable:
        build_model("sk-proj-1234567890")
    assert "1234567890" not in str(unusable.value)


def test_a_base_url_makes_openai_speak_chat_completions_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    model, _ = build_model("openai:local")
    assert isinstance(model, OpenAIChatModel)
    assert model.model_name == "local"
    assert model.base_url.rstrip("/") == "http://127.0.0.1:9/v1"
    model, _ = build_model("openai-responses:local")
    assert isinstance(model, OpenAIResponsesModel)
    assert model.base_url.rstrip("/") == "http://127.0.0.1:9/v1"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://", "/v1"])
def test_a_base_url_that_is_none_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ModelUnusable, match="OPENAI_BASE_URL must look like http://host:port/v1"):
        build_model("openai:local")


def test_the_registry_holds_the_assistant_on_the_configured_model() -> None:
    registry = build_registry(ROSTER, Models())
    assert registry.names == ("assistant", "triage", "data", "optimization")
    assistant = registry.get("assistant")
    assert assistant.model_name == "offline"
    assert assistant.description


# By agent


def test_an_agent_has_the_model_that_is_named_for_it_else_its_own_else_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-the-tests")
    models = Models(default="openai:gpt-5", by_agent={"TRIAGE": "openai:gpt-5-mini"})
    assert models.choose("assistant").name == "openai:gpt-5"
    assert models.choose("triage").name == "openai:gpt-5-mini"
    assert models.choose("triage", "offline").name == "openai:gpt-5-mini"
    assert models.choose("weather", "offline").name == "offline"
    assert models.choose("assistant").model is models.choose("data").model, "a model is there once"


def test_what_is_wrong_is_told_with_the_variable_that_says_it() -> None:
    models = Models(by_agent={"TRIAGE": "nonsense"}, fallback="openai:gpt-5")
    with pytest.raises(ModelUnusable, match=r"^NETRA_MODEL_TRIAGE=nonsense cannot be used"):
        models.choose("triage")
    with pytest.raises(ModelUnusable, match=r"^NETRA_MODEL_FALLBACK=openai:gpt-5 cannot be used: OPENAI_API_KEY"):
        models.choose("assistant")


def test_a_variable_for_an_agent_that_there_is_not_is_one_sentence() -> None:
    models = Models(by_agent={"TRAIGE": "offline"})
    models_for = ("assistant", "triage")
    with pytest.raises(ModelUnusable) as unusable:
        models.check_agents(models_for)
    assert str(unusable.value) == "NETRA_MODEL_TRAIGE names no agent; the agents are assistant, triage."
    Models(by_agent={"TRIAGE": "offline"}).check_agents(models_for)


@pytest.mark.parametrize(
    ("name", "tokens"), [("offline", 8_000), ("openai:gpt-4o", 112_000), ("openai:no-such-model", 32_000)]
)
def test_the_context_is_what_is_known_of_the_model_with_room_for_an_answer(
    name: str, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-the-tests")
    assert Models(default=name).choose("assistant").context_tokens == tokens
    stated = Models(default=name, limits=ModelLimits(context_tokens=5_000))
    assert stated.choose("assistant").context_tokens == 5_000


def test_with_a_fallback_what_is_asked_fits_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-the-tests")
    assert Models(default="openai:gpt-4o", fallback="offline").choose("assistant").context_tokens == 8_000
