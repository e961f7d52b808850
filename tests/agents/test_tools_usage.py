from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

import pytest

from agents.account import Dimension, UsageQuery, UsageRow
from agents.errors import ToolError
from agents.events import ToolCompleted
from agents.tools.price_comparison import price_tools
from agents.tools.saving_plan import saving_tools
from agents.tools.speed import speed_tools
from agents.tools.usage import MOST_ROWS, READINGS, usage_tools
from tests.agents.fakes import FakeServices, call, collect, make_request, model_agent, scripted, supervise

SUMMED = ("requests", "failed", "unpriced", "runs", "input_tokens", "output_tokens", "cache_read_tokens")
TOOLS = [*usage_tools(), *price_tools(), *saving_tools(), *speed_tools()]


def spent(cost: str, *, requests: int = 10, tokens: int = 1_000_000, **group: Any) -> UsageRow:
    return UsageRow(
        group=cast("dict[Dimension, str]", group),
        requests=requests,
        failed=1,
        unpriced=0,
        runs=5,
        input_tokens=tokens,
        output_tokens=tokens // 10,
        cache_read_tokens=0,
        cost_usd=Decimal(cost),
        duration_ms=2500 * requests,
    )


class Account(FakeServices):
    """An account of these rows, whatever the period. `total` may say otherwise for a while."""

    def __init__(self, rows: Sequence[UsageRow], *, totals: Sequence[int] = ()) -> None:
        super().__init__()
        self.rows = list(rows)
        self.totals = list(totals)

    async def usage(self, query: UsageQuery) -> list[UsageRow]:
        self.usage_queries.append(query)
        if query.everyone:
            raise ToolError("only staff may ask for the usage of others")
        if query.by:
            return self.rows[: query.limit]
        whole = spent("0", requests=0, tokens=0)
        sums = {name: sum(getattr(row, name) for row in self.rows) for name in SUMMED}
        if self.totals:
            sums["requests"] = self.totals.pop(0)
        cost = sum((row.cost_usd for row in self.rows), Decimal(0))
        duration = sum(row.duration_ms for row in self.rows)
        return [dataclasses.replace(whole, cost_usd=cost, duration_ms=duration, **sums)]


async def use(tool: str, services: FakeServices, **arguments: Any) -> ToolCompleted:
    agent = model_agent(scripted([call(tool, json.dumps(arguments), "c1")], ["done"]), tools=TOOLS)
    events = await collect(supervise(agent), make_request(services=services))
    [completed] = [event for event in events if isinstance(event, ToolCompleted)]
    return completed


def test_every_tool_is_documented_and_bounded() -> None:
    for tool in TOOLS:
        assert tool.description
        assert tool.metadata is not None
        assert tool.metadata.keys() >= {"timeout", "result_limit"}
        properties = tool.tool_def.parameters_json_schema["properties"]
        assert all(schema["description"] for schema in properties.values())


async def test_a_summary_names_days_total_and_rows() -> None:
    services = Account([spent("1.25", agent="data"), spent("0.00000001", agent="triage")])
    result = (await use("usage_summary", services, period="this_week", by=["agent"])).result
    assert (result["first_day"], result["last_day"], result["everyone"]) == ("2026-03-02", "2026-03-04", False)
    assert result["total"]["cost_usd"] == "1.25000001"
    assert [(row["group"], row["cost_usd"]) for row in result["rows"]] == [
        ({"agent": "data"}, "1.25"),
        ({"agent": "triage"}, "0.00000001"),
    ]
    assert result["total"]["average_seconds"] == "2.50"
    assert result["not_listed"] is None
    assert [(query.since.isoformat(), query.until.isoformat()) for query in services.usage_queries] == [
        ("2026-03-02T00:00:00+00:00", "2026-03-05T00:00:00+00:00")
    ] * 2


async def test_without_a_split_there_is_only_the_total() -> None:
    services = Account([spent("1")])
    result = (await use("usage_summary", services, period="all")).result
    assert (result["by"], result["rows"], result["total"]["requests"]) == ([], [], 10)
    assert len(services.usage_queries) == 1


async def test_rows_by_day_are_in_the_order_of_the_days() -> None:
    services = Account([spent("3", day="2026-03-03"), spent("2", day="2026-03-02"), spent("1", day="2026-03-04")])
    result = (await use("usage_summary", services, period="this_week", by=["day", "day"])).result
    assert [row["group"]["day"] for row in result["rows"]] == ["2026-03-02", "2026-03-03", "2026-03-04"]
    assert result["by"] == ["day"]


async def test_what_is_not_listed_completes_the_total() -> None:
    services = Account([spent("0.01", thread=f"Thread {number}" * 30) for number in range(MOST_ROWS + 5)])
    completed = await use("usage_summary", services, period="all", by=["thread"])
    assert len(completed.result["rows"]) == MOST_ROWS
    assert completed.result["not_listed"] == {
        "requests": 50,
        "input_tokens": 5_000_000,
        "output_tokens": 500_000,
        "cost_usd": "0.05",
    }


async def test_a_request_that_ends_between_the_queries_is_asked_for_again() -> None:
    services = Account([spent("1", agent="data")], totals=[9])
    result = (await use("usage_summary", services, period="today", by=["agent"])).result
    assert (result["total"]["requests"], len(services.usage_queries)) == (10, 4)
    many = Account([spent("1", thread=str(number)) for number in range(MOST_ROWS + 1)], totals=[300])
    result = (await use("usage_summary", many, period="today", by=["thread"])).result
    assert (result["total"]["requests"], result["not_listed"]["requests"]) == (310, 10)
    busy = Account([spent("1", agent="data")], totals=range(READINGS + 1))
    assert (await use("usage_summary", busy, period="today", by=["agent"])).error == (
        "the account changes too fast to be read now; try again"
    )


@pytest.mark.parametrize("arguments", [{"everyone": True}, {"by": ["user"]}])
async def test_others_usage_is_asked_for_as_such(arguments: dict[str, Any]) -> None:
    services = Account([spent("1", user="ada")])
    completed = await use("usage_summary", services, period="today", **arguments)
    assert completed.error == "only staff may ask for the usage of others"
    assert services.usage_queries[0].everyone


@pytest.mark.parametrize("tool", ["usage_summary", "compare_models", "savings", "speedup"])
async def test_an_unknown_period_is_an_error_that_names_the_others(tool: str) -> None:
    completed = await use(tool, Account([]), period="next_week")
    assert (completed.error or "").startswith("'next_week' is not a period; periods are: today")


async def test_dimensions_are_checked() -> None:
    assert "by" in ((await use("usage_summary", Account([]), period="today", by=["planet"])).error or "")


async def test_the_same_tokens_on_other_models() -> None:
    services = Account([spent("3", model="openai:gpt-5"), spent("1", model="house:model", requests=1)])
    services.rows[1] = dataclasses.replace(services.rows[1], unpriced=1)
    result = (
        await use("compare_models", services, period="today", models=["gpt-5-mini", "gpt-99", "openai:gpt-5"])
    ).result
    assert result["cost_usd"] == "3.00"
    # A million of input and a hundred thousand of output.
    assert result["altogether"] == [
        {"model": "openai:gpt-5-mini", "cost_usd": "0.45", "saves_usd": "2.55", "saves_percent": "85.0"},
        {"model": "openai:gpt-5", "cost_usd": "2.25", "saves_usd": "0.75", "saves_percent": "25.0"},
    ]
    assert result["models"][0]["alternatives"] == [
        {
            "model": "openai:gpt-5-mini",
            "cost_usd": "0.45",
            "saves_usd": "2.55",
            "arithmetic": "(1,000,000 input × $0.25 + 100,000 output × $2) / 1,000,000 = $0.45",  # noqa: RUF001
        }
    ]
    assert result["without_price"] == ["gpt-99", "house:model"]


async def test_a_comparison_needs_something_to_compare() -> None:
    nothing = await use("compare_models", Account([]), period="today")
    assert nothing.error == "no requests with a price were made in this period, so there is nothing to compare"
    unknown = await use(
        "compare_models", Account([spent("1", model="openai:gpt-5")]), period="today", models=["gpt-99"]
    )
    assert unknown.error == "the price list has no such model: gpt-99"
    assert (await use("compare_models", Account([]), period="today", models=["m"] * 13)).error


async def test_a_comparison_of_many_models_is_not_cut() -> None:
    rows = [spent("3", model=f"openai:{'long' * 40}-{number}") for number in range(40)]
    completed = await use("compare_models", Account(rows), period="today")
    assert isinstance(completed.result, dict)
    assert len(json.dumps(completed.result)) < 20_000


async def test_a_plan_adds_up() -> None:
    rows = [spent("2.25", agent="data", model="openai:gpt-5"), spent("0.45", agent="triage", model="openai:gpt-5-mini")]
    result = (await use("savings", Account(rows), period="today")).result
    assert (result["cost_usd"], result["target_percent"], result["target_usd"]) == ("2.70", 50, "1.35")
    assert result["measures"] == [
        {
            "agent": "data",
            "from_models": ["openai:gpt-5"],
            "to_model": "openai:gpt-5-mini",
            "setting": "NETRA_MODEL_DATA=openai:gpt-5-mini",
            "requests": 10,
            "before_usd": "2.25",
            "after_usd": "0.45",
            "saves_usd": "1.80",
            "arithmetic": "openai:gpt-5: (1,000,000 input × $0.25 + 100,000 output × $2) / 1,000,000 = $0.45; "  # noqa: RUF001
            "saves $2.25 - $0.45 = $1.80",
        }
    ]
    assert (result["saves_usd"], result["saves_percent"], result["remaining_usd"]) == ("1.80", "66.7", "0.90")
    assert result["target_reached"] is True
    further = {each["measure"].partition(":")[0]: (each["saves_usd"], each["arithmetic"]) for each in result["further"]}
    assert further == {
        "10 % less input": ("0.05", "10 % of $0.50 for 2,000,000 uncached input tokens = $0.05"),
        "10 % of the uncached input read from the provider's cache": (
            "0.045",
            "10 % of ($0.50 uncached - $0.05 from cache) = $0.045",
        ),
        "10 % less output": ("0.04", "10 % of $0.40 for 200,000 output tokens = $0.04"),
    }


async def test_a_plan_needs_a_cost_and_a_share() -> None:
    free = Account([spent("0", agent="data", model="offline")])
    assert (await use("savings", free, period="today")).error == (
        "nothing was spent in this period, so there is nothing to save"
    )
    for percent in (0, 100):
        assert (await use("savings", free, period="today", target_percent=percent)).error


async def test_moving_to_the_fastest_model_saves_time() -> None:
    slow = dataclasses.replace(spent("1", agent="data", model="a:slow"), output_tokens=1000, duration_ms=100_000)
    fast = dataclasses.replace(spent("1", agent="triage", model="b:fast"), output_tokens=2000, duration_ms=20_000)
    once = spent("1", agent="triage", model="c:once", requests=1, tokens=10_000_000)
    offline = spent("0", agent="data", model="offline")
    result = (await use("speedup", Account([slow, fast, once, offline]), period="today")).result
    assert [(model["model"], model["output_tokens_per_second"]) for model in result["models"]] == [
        ("b:fast", "100.00"),
        ("a:slow", "10.00"),
    ]
    assert result["measures"] == [
        {
            "agent": "data",
            "from_model": "a:slow",
            "to_model": "b:fast",
            "setting": "NETRA_MODEL_DATA=b:fast",
            "seconds": "100.00",
            "would_take_seconds": "10.00",
            "saves_seconds": "90.00",
            "arithmetic": "100.00 s - 1,000 output tokens / 100.00 a second = 90.00 s",
        }
    ]


async def test_speed_needs_answers() -> None:
    completed = await use("speedup", Account([spent("0", agent="data", model="offline")]), period="today")
    assert completed.error == "no model answered 3 requests in this period, so there is nothing to compare"
