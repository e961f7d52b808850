"""What did I spend, on what, and how do I halve it? Asked over a socket, without a language model, after a history."""

from __future__ import annotations

import datetime
import random
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from channels.db import database_sync_to_async
from django.db.models import Sum

from chat.models import ModelRequest
from chat.run_event import now
from netra.testing import Netra

QUESTION = "What did I spend this week, on what, and how do I halve it?"
MODELS = {"openai:gpt-5": Decimal("0.0123456"), "openai:gpt-5-mini": Decimal("0.00098765")}


def monday() -> datetime.datetime:
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    return today - datetime.timedelta(days=today.weekday())


@database_sync_to_async
def history(*users: Any) -> None:
    """Two weeks of requests for each, the earlier week being nobody's business here."""
    dice = random.Random(4)
    seconds = max(1, int((now() - monday()).total_seconds()))
    for user in users:
        for number in range(120):
            model, price = dice.choice(list(MODELS.items()))
            started = monday() + datetime.timedelta(seconds=dice.randrange(seconds))
            ModelRequest.objects.create(
                user=user,
                agent=dice.choice(["assistant", "data"]),
                model=model,
                provider="openai",
                outcome="completed",
                input_tokens=dice.randrange(500, 9000),
                output_tokens=dice.randrange(50, 2000),
                cost_usd=price * dice.randrange(1, 9),
                duration_ms=dice.randrange(300, 9000),
                started_at=started - datetime.timedelta(days=7 * (number % 2)),
            )


@database_sync_to_async
def spent(user: Any, **filters: Any) -> tuple[Decimal, int]:
    """Of this week, and what is asked about: not what the question itself costs, which is nothing."""
    mine = ModelRequest.objects.filter(user=user, started_at__gte=monday(), **filters)
    return mine.aggregate(sum=Sum("cost_usd"))["sum"] or Decimal(0), mine.exclude(model="offline").count()


async def test_the_figures_are_those_of_the_account_and_the_events_show_who_found_them(netra: Netra) -> None:
    ann, bob = await netra.user("ann"), await netra.user("bob")
    await history(ann, bob)
    socket = await netra.connect(ann)
    events = await netra.ask(socket, QUESTION, agent="triage")
    assert events[-1]["type"] == "agent_completed", events[-1]

    steps = [
        (event["agent"], event["type"], event["data"].get("subagent") or event["data"].get("tool"))
        for event in events
        if event["type"] in ("subagent_started", "subagent_completed", "tool_executing")
    ]
    asked = [step for step in steps if step[1] == "subagent_started"]
    assert asked == [("triage", "subagent_started", "data"), ("triage", "subagent_started", "optimization")]
    begin, end = steps.index(asked[0]), steps.index(("triage", "subagent_completed", "data"))
    assert ("data", "tool_executing", "usage_summary") in steps[begin:end]
    later = [step[2] for step in steps[steps.index(asked[1]) :] if step[0] == "optimization"]
    assert "savings" in later

    total, requests = await spent(ann)
    answer = events[-1]["data"]["message"]["content"]
    results = {
        event["data"]["tool"]: event["data"]["result"]
        for event in events
        if event["type"] == "tool_completed" and event["agent"] in ("data", "optimization")
    }
    summary = results["usage_summary"]
    assert Decimal(summary["total"]["cost_usd"]) == total
    assert sum(Decimal(row["cost_usd"]) for row in summary["rows"]) == total
    for row in summary["rows"]:
        group = {f"{dimension}": name for dimension, name in row["group"].items() if dimension in ("agent", "model")}
        if group:
            assert Decimal(row["cost_usd"]) == (await spent(ann, **group))[0]
    assert requests <= summary["total"]["requests"], "the offline model's own requests are in the account, too"
    assert f"${total.quantize(Decimal('0.0001'), ROUND_HALF_UP)}" in answer

    plan = results["savings"]
    assert Decimal(plan["cost_usd"]) == total
    assert sum(Decimal(measure["saves_usd"]) for measure in plan["measures"]) == Decimal(plan["saves_usd"])
    assert Decimal(plan["remaining_usd"]) == total - Decimal(plan["saves_usd"])
    for measure in plan["measures"]:
        assert Decimal(measure["before_usd"]) - Decimal(measure["after_usd"]) == Decimal(measure["saves_usd"])
        assert measure["to_model"] in answer


async def test_each_request_of_the_run_is_in_the_account_under_the_agent_that_made_it(netra: Netra) -> None:
    ann = await netra.user("ann")
    await history(ann)
    socket = await netra.connect(ann)
    events = await netra.ask(socket, QUESTION, agent="triage")
    run_id = events[-1]["run_id"]

    @database_sync_to_async
    def made() -> list[tuple[str, str, Decimal | None]]:
        rows = ModelRequest.objects.filter(run_id=run_id).order_by("started_at")
        return [(row.agent, row.outcome, row.cost_usd) for row in rows]

    rows = await made()
    assert {agent for agent, _, _ in rows} == {"triage", "data", "optimization"}
    assert {outcome for _, outcome, _ in rows} == {"completed"}
    assert {cost for _, _, cost in rows} == {Decimal(0)}
    usage = events[-1]["data"]["usage"]
    assert usage["requests"] == len(rows)
    assert (
        usage["input_tokens"]
        == await database_sync_to_async(
            lambda: ModelRequest.objects.filter(run_id=run_id).aggregate(sum=Sum("input_tokens"))["sum"]
        )()
    )
