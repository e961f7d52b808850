"""Requests to a real server that speaks OpenAI's protocol, and what can become of them: each is in the account
once, takes no longer than it may, is repeated when that may help, and is made elsewhere when it does not.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from pydantic_ai.messages import ModelResponse
from pydantic_ai.usage import RequestUsage
from structlog.testing import capture_logs

from agents.account import ModelRequestRecord
from agents.events import AgentCompleted, AgentError, AgentEvent, AgentResponseChunk
from agents.models.choice import Models
from agents.models.cost import request_cost
from agents.models.limits import ModelLimits
from agents.pydantic_agent import PydanticAgent
from agents.roster.assistant import ASSISTANT
from tests.agents.fakes import FakeServices, answer, collect, make_request, supervise
from tests.agents.test_openai_server import (
    KEY,
    PATIENCE,
    Provider,
    Send,
    begin,
    refuse,
    serving,
    stream,
)

QUICK = ModelLimits(
    connect_seconds=2.0,
    first_token_seconds=0.5,
    silence_seconds=0.5,
    attempts=3,
    first_pause_seconds=0.01,
    longest_pause_seconds=0.02,
    longest_retry_after_seconds=2.0,
)


class Troubled(Provider):
    """Models of this provider fail in ways of their own; those named `then_…` only at first."""

    async def cached(self, _receive: Any, send: Send) -> None:
        await begin(send)
        await stream(send, {"content": "Hello."})
        usage = {
            "prompt_tokens": 1000,
            "completion_tokens": 20,
            "total_tokens": 1020,
            "prompt_tokens_details": {"cached_tokens": 600},
        }
        await stream(send, {}, "stop", usage=usage)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    async def then_words(self, receive: Any, send: Send) -> None:
        if len(self.requests) > 1:
            await self.words(receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"retry-after", b"1"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        body = json.dumps({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}).encode()
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def patient(self, _receive: Any, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"retry-after", b"3600"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}", "more_body": False})

    async def rejecting(self, _receive: Any, send: Send) -> None:
        await refuse(send, 400, {"error": {"message": "no such parameter", "code": "invalid_request_error"}})

    async def echoing(self, _receive: Any, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"x-debug", KEY.encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        body = json.dumps({"error": {"message": f"key {KEY} failed", "param": KEY}}).encode()
        await send({"type": "http.response.body", "body": body, "more_body": False})


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Troubled]:
    async with serving(Troubled(), monkeypatch) as provider:
        yield provider


class Asked:
    """What became of one question."""

    def __init__(self, events: list[AgentEvent], records: list[ModelRequestRecord]) -> None:
        self.events, self.records = events, records
        self.outcomes = [(record.model, record.outcome, record.error) for record in records]

    @property
    def error(self) -> AgentError:
        assert isinstance(self.events[-1], AgentError), self.events[-1]
        return self.events[-1]


async def ask(name: str, *, fallback: str | None = None, limits: ModelLimits = QUICK) -> Asked:
    services = FakeServices()
    chosen = Models(default=f"openai:{name}", fallback=fallback, limits=limits).choose("assistant")
    async with chosen.model:
        supervisor = supervise(PydanticAgent(ASSISTANT, chosen))
        events = await collect(supervisor, make_request("A question", agent="assistant", services=services))
    return Asked(events, services.recorded)


# The account


async def test_a_request_that_succeeds_is_one_record(provider: Troubled) -> None:
    asked = await ask("words")
    [record] = asked.records
    assert (record.agent, record.model, record.outcome, record.error) == ("assistant", "openai:words", "completed", "")
    assert (record.input_tokens, record.output_tokens, record.estimated) == (11, 7, False)
    assert record.cost_usd is None, "nobody knows the prices of a server of one's own"
    assert record.first_token_ms is not None
    assert 0 <= record.first_token_ms <= record.duration_ms


async def test_cached_tokens_are_told_and_are_among_the_input(provider: Troubled) -> None:
    [record] = (await ask("cached")).records
    assert (record.input_tokens, record.cache_read_tokens, record.output_tokens) == (1000, 600, 20)


async def test_each_request_of_a_run_is_a_record(provider: Troubled) -> None:
    asked = await ask("tool")
    assert [record.outcome for record in asked.records] == ["completed", "completed"]
    completed = asked.events[-1]
    assert isinstance(completed, AgentCompleted)
    assert completed.usage.input_tokens == sum(record.input_tokens for record in asked.records)


def test_a_cost_is_that_of_the_price_list() -> None:
    usage = RequestUsage(input_tokens=120_000, output_tokens=3_000, cache_read_tokens=50_000)
    response = ModelResponse(parts=[], usage=usage, model_name="gpt-5", provider_name="openai")
    expected = calc_price(
        Usage(input_tokens=120_000, output_tokens=3_000, cache_read_tokens=50_000), "gpt-5", provider_id="openai"
    ).total_price
    assert request_cost(response, model="gpt-5", pricing="by_provider") == expected > 0
    assert request_cost(response, model="gpt-5", pricing="free") == Decimal(0)
    assert request_cost(response, model="gpt-5", pricing="by_address") is None
    unknown = ModelResponse(parts=[], usage=usage, model_name="no-such-model", provider_name="openai")
    assert request_cost(unknown, model="no-such-model", pricing="by_provider") is None


async def test_a_run_that_is_cancelled_in_mid_token_ends_the_request_and_accounts_for_it(provider: Troubled) -> None:
    services = FakeServices()
    chosen = Models(default="openai:hang", limits=ModelLimits()).choose("assistant")
    supervisor = supervise(PydanticAgent(ASSISTANT, chosen))
    said = asyncio.Event()

    async def follow() -> None:
        request = make_request("A question", agent="assistant", services=services)
        async with aclosing(supervisor.execute(request)) as events:
            async for event in events:
                if isinstance(event, AgentResponseChunk):
                    said.set()

    async with chosen.model:
        following = asyncio.create_task(follow())
        async with asyncio.timeout(PATIENCE):
            await said.wait()
            following.cancel()
            await provider.disconnected.wait()
            with pytest.raises(asyncio.CancelledError):
                await following
    [record] = services.recorded
    assert (record.outcome, record.estimated) == ("cancelled", True)
    assert record.input_tokens > 100, "the instructions and tools, at least"
    assert record.output_tokens > 0


async def test_a_record_that_cannot_be_written_changes_nothing_for_the_run(provider: Troubled) -> None:
    class Full(FakeServices):
        async def record_model_request(self, record: ModelRequestRecord) -> None:  # noqa: ARG002 - as in RunServices
            raise RuntimeError("the account is full")

    chosen = Models(default="openai:words", limits=QUICK).choose("assistant")
    async with chosen.model:
        supervisor = supervise(PydanticAgent(ASSISTANT, chosen))
        with capture_logs() as logs:
            events = await collect(supervisor, make_request(agent="assistant", services=Full()))
    assert answer(events) == "Hello from a server."
    assert "model_request_not_recorded" in [line["event"] for line in logs]


async def test_no_request_is_made_that_the_person_may_not_make(provider: Troubled) -> None:
    chosen = Models(default="openai:words", fallback="openai:words", limits=QUICK).choose("assistant")
    services = FakeServices()
    services.used_up = "Your tokens are used up."
    async with chosen.model:
        events = await collect(
            supervise(PydanticAgent(ASSISTANT, chosen)), make_request(agent="assistant", services=services)
        )
    error = events[-1]
    assert isinstance(error, AgentError)
    assert (error.error_code, error.error_message) == ("ALLOWANCE_USED", "Your tokens are used up.")
    assert provider.requests == []
    assert services.recorded == []


# Time


async def test_a_server_that_says_nothing_is_asked_again_and_then_told_as_such(provider: Troubled) -> None:
    asked = await ask("mute")
    assert asked.outcomes == [("openai:mute", "failed", "first_token_timeout")] * 3
    assert (asked.error.error_code, asked.error.retryable) == ("MODEL_ERROR", True)
    assert "0.5 seconds" in asked.error.error_message


async def test_silence_in_mid_answer_is_an_error_and_nothing_is_asked_again(provider: Troubled) -> None:
    asked = await ask("hang")
    assert answer(asked.events) == "One moment"
    [record] = asked.records
    assert (record.outcome, record.error, record.estimated) == ("failed", "silence_timeout", True)
    assert (asked.error.error_code, asked.error.retryable) == ("MODEL_ERROR", True)
    assert len(provider.requests) == 1


async def test_a_connection_that_breaks_in_mid_answer_is_an_error_and_nothing_is_asked_again(
    provider: Troubled,
) -> None:
    asked = await ask("dropped")
    assert answer(asked.events) == "Half an"
    [record] = asked.records
    assert (record.outcome, record.error, record.estimated) == ("failed", "connection", True)
    assert asked.error.retryable


# Again, and elsewhere


async def test_a_limit_is_waited_for_as_long_as_the_provider_asks(provider: Troubled) -> None:
    with capture_logs() as logs:
        asked = await ask("then_words")
    assert answer(asked.events) == "Hello from a server."
    assert asked.outcomes == [
        ("openai:then_words", "failed", "rate_limit"),
        ("openai:then_words", "completed", ""),
    ]
    [repeated] = [line for line in logs if line["event"] == "model_request_repeated"]
    assert (repeated["attempt"], repeated["error"]) == (1, "rate_limit")
    assert 1.0 <= repeated["pause_seconds"] < 2.0


async def test_nobody_waits_an_hour(provider: Troubled) -> None:
    asked = await ask("patient")
    assert asked.outcomes == [("openai:patient", "failed", "rate_limit")]
    assert asked.error.retryable


async def test_the_fallback_answers_when_the_attempts_are_used_up(provider: Troubled) -> None:
    asked = await ask("failing", fallback="openai:words")
    assert answer(asked.events) == "Hello from a server."
    assert asked.outcomes == [
        *[("openai:failing", "failed", "server_error")] * 3,
        ("openai:words", "completed", ""),
    ]


async def test_a_fallback_that_fails_too_is_one_clear_error(provider: Troubled) -> None:
    asked = await ask("failing", fallback="openai:limited")
    assert [model for model, _, _ in asked.outcomes] == ["openai:failing"] * 3 + ["openai:limited"] * 3
    assert (asked.error.error_code, asked.error.retryable) == ("MODEL_ERROR", True)
    assert KEY not in repr(asked.events)


async def test_what_is_wrong_with_the_request_is_neither_repeated_nor_made_elsewhere(provider: Troubled) -> None:
    asked = await ask("rejecting", fallback="openai:words")
    assert asked.outcomes == [("openai:rejecting", "failed", "rejected")]
    assert (asked.error.error_code, asked.error.retryable) == ("MODEL_ERROR", False)


async def test_a_key_that_is_refused_is_not_tried_again_but_the_fallback_answers(provider: Troubled) -> None:
    asked = await ask("unauthorized", fallback="openai:words")
    assert [model for model, _, _ in asked.outcomes] == ["openai:unauthorized", "openai:words"]
    assert answer(asked.events) == "Hello from a server."


async def test_a_server_that_is_not_there_is_tried_again_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    asked = await ask("words")
    assert asked.outcomes == [("openai:words", "failed", "connection")] * 3
    assert [(record.input_tokens, record.cost_usd) for record in asked.records] == [(0, Decimal(0))] * 3
    assert (asked.error.error_code, asked.error.retryable) == ("MODEL_ERROR", True)


async def test_a_key_that_a_provider_echoes_reaches_no_event_no_record_and_no_log(provider: Troubled) -> None:
    with capture_logs() as logs:
        asked = await ask("echoing")
    assert KEY not in repr((asked.events, asked.records, logs))


@pytest.mark.parametrize(("name", "retryable"), [("unauthorized", False), ("unknown", False), ("limited", True)])
async def test_a_refusal_costs_nothing_and_is_named(provider: Troubled, name: str, retryable: bool) -> None:
    asked = await ask(name)
    assert {record.outcome for record in asked.records} == {"failed"}
    assert {(record.input_tokens, record.cost_usd) for record in asked.records} == {(0, Decimal(0))}
    assert asked.error.retryable is retryable
