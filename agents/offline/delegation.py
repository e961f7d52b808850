"""How the offline model hands parts of a question to other agents, and their findings on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agents.offline.call import Call, Plan
from agents.offline.usage import DEFAULT_PERIOD, UsageWish, words_of
from agents.offline.usage_calls import specialist

# What stands after this in a question is information for language models; the rules read what stands before it.
FINDINGS = "\n\nFindings of the agent data:\n\n"


def hand_over(plan: Plan, wishes: Sequence[tuple[str, UsageWish, UsageWish]], tools: Collection[str]) -> None:
    """Asks specialists for what this agent cannot do itself, or refers the person to them.

    `wishes` are clauses, what they say, and what they mean with the period of the whole question. `data` is asked
    before `optimization`, whose question then has the findings. Everything else is for `assistant`.
    """
    for agent in ("data", "optimization"):
        mine = [each for each in wishes if specialist(each[2]) == agent]
        if not mine:
            continue
        if f"ask_{agent}" not in tools:
            plan.referred |= {clause: agent for clause, _, _ in mine}
            continue
        after_data = any(call.tool == "ask_data" for call in plan.calls)
        (plan.afterwards if after_data else plan.calls).append(_ask(agent, [_whole(*each) for each in mine]))
    if plan.unanswered and "ask_assistant" in tools:
        plan.calls.append(_ask("assistant", plan.unanswered))
        plan.unanswered = []


def _ask(agent: str, clauses: Sequence[str]) -> Call:
    question = " ".join(f"{clause[:1].upper()}{clause[1:]}?" for clause in clauses)
    return Call.of(f"ask_{agent}", question=question)


def _whole(clause: str, wish: UsageWish, complete: UsageWish) -> str:
    """The clause as it can be understood without the rest of the question: with the period that it means."""
    if wish.periods or complete.periods == (DEFAULT_PERIOD,):
        return clause
    return f"{clause} {' and '.join(map(words_of, complete.periods))}"


def with_findings(call: Call, findings: str | None) -> Call:
    """The question to a specialist with what was found before."""
    return Call.of(call.tool, question=f"{call.value}{FINDINGS}{findings}") if findings else call
