"""What the events of a run say: whole, in order, with a tool, in time. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netra.probe.observation import Observation, Symptom

Event = Mapping[str, Any]

# It needs a tool that the agents of the roster have, and a figure that nobody guesses.
QUESTION = "What is 17.5 % of 2480?"
TOOL = "calculate"
FIVE = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")
OFFLINE = "offline"
ENDED = frozenset({"completed", "failed", "cancelled"})
# A wake-up takes milliseconds; the position check comes every second or two.
LATE_SECONDS = 1.0


def facts_of(events: Sequence[Event]) -> dict[str, Any]:
    """`types` are those of the last attempt."""
    started = [event for event in events if event["type"] == "agent_started"]
    kinds = [event["type"] for event in events if event["seq"] > _restarted(events)]
    return {"types": kinds, "model": started[-1]["data"].get("model") if started else None}


def five_events(
    events: Sequence[Event], *, agent: Mapping[str, Any], late_seconds: float, layer_ready: bool
) -> Observation:
    """Of a run that has ended, asked QUESTION of this agent, as REST describes it."""
    facts = facts_of(events) | {"agent": agent.get("name"), "late_seconds": late_seconds}
    if (failure := _failure(events, facts)) is not None:
        return failure
    tools = [tool.get("name") for tool in agent.get("tools") or () if isinstance(tool, Mapping)]
    kinds = [kind for kind in facts["types"] if kind in FIVE]
    with_tool = "tool_executing" in kinds
    if not _in_order(kinds, with_tool=with_tool):
        return Observation(summary=", ".join(kinds), facts=facts, symptom=Symptom.WRONG_ORDER)
    if not with_tool and facts["model"] == OFFLINE and TOOL in tools:
        return Observation(summary="the offline model called no tool", facts=facts, symptom=Symptom.NO_TOOL)
    late = late_seconds > LATE_SECONDS
    notes = () if with_tool else (_without_tool(facts, has_tool=TOOL in tools),)
    return Observation(
        summary=f"{'the five' if with_tool else 'three of the five'} events in order, by {facts['model']}",
        facts=facts,
        degraded=late and not layer_ready,
        notes=(*notes, *((_late(late_seconds, layer_ready=layer_ready),) if late else ())),
    )


def _in_order(kinds: Sequence[str], *, with_tool: bool) -> bool:
    """The first of each kind as in FIVE, and the end once, at the end. A tool may be called often."""
    wanted = [kind for kind in FIVE if with_tool or not kind.startswith("tool_")]
    return list(dict.fromkeys(kinds)) == wanted and kinds.count(FIVE[-1]) == 1 and kinds[-1] == FIVE[-1]


def _without_tool(facts: Mapping[str, Any], *, has_tool: bool) -> str:
    why = (
        f"The model {facts['model']} answered without a tool"
        if has_tool
        else f"The agent {facts['agent']} has no tool {TOOL}"
    )
    return f"{why}: tool_executing and tool_completed were not seen, the other three events came in order"


def _late(seconds: float, *, layer_ready: bool) -> str:
    came = f"Events came up to {seconds:g} s after they were written"
    if not layer_ready:
        return f"{came}: without Redis only the position check finds them, every second or two"
    return (
        f"{came}, as when only the position check finds them: no wake-up came from the worker over the channel layer. "
        "Web processes and workers need the same REDIS_URL; if they have it, the worker's clock is behind, or the "
        "machines are very busy"
    )


def resumed_run(events: Sequence[Event], *, before: int, resumed: Mapping[str, Any]) -> Observation:
    """Of a run that has ended, whose first `before` events came on an earlier connection.

    `resumed` is what the server said of it to `resume`.
    """
    facts = facts_of(events) | {"before": before, "after": len(events) - before, "resumed": dict(resumed)}
    if (failure := _failure(events, facts)) is not None:
        return failure
    ended = resumed.get("status") in ENDED
    return Observation(
        summary=f"{before} events before the drop, {facts['after']} after it, none lost, none twice",
        facts=facts,
        notes=("The run had ended before the new connection was there: the rest came from the log",) if ended else (),
    )


def _failure(events: Sequence[Event], facts: dict[str, Any]) -> Observation | None:
    last = events[-1]
    if problem := _not_whole(events):
        return Observation(summary=problem, facts=facts, symptom=Symptom.NOT_WHOLE)
    if last["type"] == "agent_completed":
        return None
    named = {name: last["data"].get(name) for name in ("error_code", "error_message", "correlation_id", "tool")}
    words = " ".join(filter(None, (last["type"], named["error_code"], named["error_message"])))
    return Observation(
        summary=f"the run ended with {words}", facts=facts | named | {"end": last["type"]}, symptom=Symptom.RUN_FAILED
    )


def _not_whole(events: Sequence[Event]) -> str | None:
    """What is lost or repeated, in numbers and in text. Text of a sub-agent is no part of the answer."""
    numbers = [event["seq"] for event in events]
    if numbers != list(range(1, len(numbers) + 1)):
        return f"The events have the numbers {', '.join(map(str, numbers))}"
    last = events[-1]
    said = "".join(
        event["data"].get("text", "")
        for event in events
        if event["type"] == "agent_response_chunk"
        and event["seq"] > _restarted(events)
        and event.get("agent") == last.get("agent")
    )
    answer = (last["data"].get("message") or {}).get("content")
    if last["type"] == "agent_completed" and answer is not None and answer != said:
        return f"The answer has {len(answer)} characters, and its pieces have {len(said)} or others"
    return None


def _restarted(events: Sequence[Event]) -> int:
    """The number of the last restart, which voids what came before it; 0 without one."""
    return max((event["seq"] for event in events if event["type"] == "agent_restarted"), default=0)
