from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage, calc_price

from agents.account import UsageRow
from agents.tools.prices import CANDIDATES, Rates, Tokens, find_rates, percent, tokens_of, usd
from agents.tools.savings import Move, plan_moves, remaining, uses_by_agent

NOW = datetime(2026, 3, 4, tzinfo=UTC)


def usage_row(agent: str, model: str, cost: str, *, tokens: int = 1_000_000, **more: Any) -> UsageRow:
    row = UsageRow(
        group={"agent": agent, "model": model},
        requests=10,
        failed=0,
        unpriced=0,
        runs=5,
        input_tokens=tokens,
        output_tokens=tokens // 10,
        cache_read_tokens=0,
        cost_usd=Decimal(cost),
        duration_ms=1000,
    )
    return dataclasses.replace(row, **more)


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_candidate_has_a_price(name: str) -> None:
    rates = find_rates(name, at=NOW, input_per_request=1000)
    assert rates is not None
    assert rates.model == name
    assert 0 < rates.cache_read <= rates.input < rates.output


@pytest.mark.parametrize(
    "name", [*CANDIDATES, "openai:gpt-5", "anthropic:claude-sonnet-4-5", "google-gla:gemini-2.5-pro"]
)
@pytest.mark.parametrize("input_tokens", [50_000, 150_000, 250_000, 900_000])
def test_one_request_costs_what_the_library_says(name: str, input_tokens: int) -> None:
    """Also where long requests cost more."""
    tokens = Tokens(requests=1, input=input_tokens, cache_read=10_000, cache_write=0, output=3_000)
    rates = find_rates(name, at=NOW, input_per_request=tokens.input_per_request)
    assert rates is not None
    provider, _, model = name.partition(":")
    usage = Usage(input_tokens=input_tokens, cache_read_tokens=10_000, output_tokens=3_000)
    library = calc_price(usage, model, provider_id=provider, genai_request_timestamp=NOW).total_price
    assert rates.cost(tokens) == library.quantize(Decimal("0.00000001"))


def test_writing_to_a_cache_has_its_own_price() -> None:
    tokens = Tokens(requests=1, input=1_000_000, cache_read=200_000, cache_write=300_000, output=0)
    rates = Rates(
        model="a:b", input=Decimal(2), cache_read=Decimal("0.2"), cache_write=Decimal("2.5"), output=Decimal(9)
    )
    assert rates.cost(tokens) == Decimal("1.79")
    assert rates.arithmetic(tokens) == (
        "(500,000 input × $2 + 200,000 input from cache × $0.2 + 300,000 input to cache × $2.5) "  # noqa: RUF001
        "/ 1,000,000 = $1.79"
    )


def test_a_bare_name_finds_its_provider() -> None:
    rates = find_rates(" gpt-5-mini ", at=NOW, input_per_request=0)
    assert rates is not None
    assert rates.model == "openai:gpt-5-mini"


@pytest.mark.parametrize(
    "name", ["", ":", "offline", "openai:", "openai:gpt-99", "nobody:gpt-5", "openai:whisper-1", "a:b:c", "moderation"]
)
def test_what_has_no_price_by_token_has_no_rates(name: str) -> None:
    assert find_rates(name, at=NOW, input_per_request=0) is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0.00"),
        ("0E-8", "0.00"),
        ("1.5", "1.50"),
        ("100", "100.00"),
        ("0.12345678", "0.12345678"),
        ("-2", "-2.00"),
    ],
)
def test_amounts_are_whole(amount: str, text: str) -> None:
    assert usd(Decimal(amount)) == text


def test_shares_are_of_the_whole() -> None:
    assert percent(Decimal(1), Decimal(3)) == "33.3"
    assert percent(Decimal(1), Decimal(0)) == "0.0"


def rates_by_price(model: str, input_per_request: int) -> Rates | None:
    """`provider:3` costs 3 dollars for a million tokens of input, and nothing else."""
    price = model.partition(":")[2]
    if not price.isdigit():
        return None
    zero = Decimal(0)
    return Rates(model=model, input=Decimal(price), cache_read=zero, cache_write=zero, output=zero)


def moves(rows: list[UsageRow], candidates: list[str], percent: int = 50) -> list[Move]:
    share = Decimal(percent) / 100
    target = sum((row.cost_usd for row in rows), Decimal(0)) * share
    return plan_moves(uses_by_agent(rows), target=target, share=share, candidates=candidates, find_rates=rates_by_price)


def planned(found: list[Move]) -> list[tuple[str, str, Decimal]]:
    return [(move.use.agent, move.option.model, move.saves) for move in found]


def test_the_mildest_step_of_the_same_provider_is_preferred() -> None:
    rows = [usage_row("data", "a:10", "10")]
    assert planned(moves(rows, ["a:1", "a:4", "a:6", "b:5"])) == [("data", "a:4", Decimal(6))]


def test_another_provider_is_taken_when_ones_own_does_not_reach_the_target() -> None:
    assert planned(moves([usage_row("data", "a:10", "10")], ["a:9", "b:5", "b:1"])) == [("data", "b:5", Decimal(5))]


def test_the_dearest_agents_are_moved_until_the_target_is_reached() -> None:
    rows = [usage_row("small", "a:3", "3"), usage_row("big", "a:10", "10"), usage_row("mid", "a:4", "4")]
    expected = [("big", "a:5", Decimal(5)), ("mid", "a:2", Decimal(2)), ("small", "a:1", Decimal(2))]
    assert planned(moves(rows, ["a:1", "a:2", "a:5"])) == expected
    assert planned(moves(rows, ["a:1", "a:2", "a:5"], 40)) == [("big", "a:5", Decimal(5)), ("mid", "a:2", Decimal(2))]


def test_the_last_step_is_no_wider_than_what_is_missing() -> None:
    rows = [usage_row("big", "a:10", "10"), usage_row("mid", "a:4", "4")]
    assert planned(moves(rows, ["a:1", "a:3", "a:4"])) == [("big", "a:4", Decimal(6)), ("mid", "a:3", Decimal(1))]


def test_when_mild_steps_do_not_do_the_cheapest_models_are_taken() -> None:
    rows = [usage_row("big", "a:10", "10"), usage_row("stuck", "a:1", "8", tokens=8_000_000)]
    assert planned(moves(rows, ["a:1", "a:5"])) == [("big", "a:1", Decimal(9))]


def test_what_cannot_be_reached_is_planned_as_far_as_it_goes() -> None:
    assert planned(moves([usage_row("data", "a:10", "10")], ["a:8"], 90)) == [("data", "a:8", Decimal(2))]
    assert moves([usage_row("data", "a:1", "1")], ["a:2", "b:x"]) == []


def test_all_models_of_an_agent_move_together_and_what_is_there_already_stays() -> None:
    rows = [usage_row("data", "a:10", "10"), usage_row("data", "a:5", "7", tokens=1_400_000)]
    [move] = moves(rows, ["a:5"], 25)
    assert move.option.costs == (Decimal(5), Decimal(7))
    assert move.option.rates[1] is None


def test_agents_with_requests_without_a_price_are_left_alone() -> None:
    rows = [
        usage_row("data", "a:10", "10", unpriced=1),
        usage_row("data", "a:9", "9"),
        usage_row("free", "offline", "0"),
    ]
    assert uses_by_agent(rows) == []


def test_what_remains_is_of_the_models_after_the_moves() -> None:
    rows = [usage_row("data", "a:10", "10", failed=2, failed_cost_usd=Decimal(2)), usage_row("x", "a:1", "1")]
    uses = uses_by_agent(rows)
    parts = remaining(uses, moves(rows, ["a:5"], 40), rates_by_price)
    assert (parts.plain_input, parts.failed, parts.failed_requests) == (Decimal(6), Decimal(1), 2)
    assert (parts.requests, parts.input_tokens, parts.output_tokens) == (20, 2_000_000, 200_000)
    assert parts.from_cache_instead == 0


def test_tokens_are_those_of_the_row() -> None:
    tokens = tokens_of(usage_row("a", "m", "1", cache_read_tokens=300_000, cache_write_tokens=100_000))
    assert (tokens.plain_input, tokens.input_per_request) == (600_000, 100_000)
    assert Tokens(requests=0, input=5, cache_read=9, cache_write=0, output=0).plain_input == 0
