"""What an answer must fulfil. Figures are compared with `tests.evals.ledger`, never with the code that made them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from agents.events import AgentCompleted, SubagentCompleted, SubagentStarted, ToolCompleted
from chat.models import Note
from tests.evals.ledger import Days, Ledger, Sum, price
from tests.evals.runner import Asked, Check

Figure = Literal["cost", "requests", "failed", "input_tokens", "output_tokens"]
FEWEST_PLACES = 2
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def completes(asked: Asked) -> str | None:
    """Every question ends well, whatever its tools say."""
    last = asked.events[-1] if asked.events else None
    return None if isinstance(last, AgentCompleted) else f"the run ended with {last}"


def calls(tool: str, *, agent: str | None = None, **arguments: Any) -> Check:
    """The tool was called, with these among its arguments (lists in any order), by this agent."""

    def check(asked: Asked) -> str | None:
        for call in asked.calls:
            if call.tool == tool and agent in (None, call.agent) and _has(call.arguments, arguments):
                return None
        made = ", ".join(f"{call.agent}: {call.tool}({call.arguments})" for call in asked.calls)
        return f"{tool}({arguments}) was not called; called were: {made or 'none'}"

    return check


def _has(given: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    return all(_comparable(given.get(name)) == _comparable(value) for name, value in expected.items())


def _comparable(value: Any) -> Any:
    return sorted(value) if isinstance(value, list | tuple) else value


def asks_for(tool: str, *, agent: str, **arguments: Any) -> Check:
    """The run waited for the person's approval of this call, and made it only if that was given."""

    def check(asked: Asked) -> str | None:
        waiting = [(each.agent, each.tool, each.arguments) for each in asked.approvals]
        if waiting != [(agent, tool, arguments)]:
            return f"these waited for approval: {waiting}"
        begun = [call for call in asked.calls if call.tool == tool]
        return None if bool(begun) == asked.question.approve else f"{len(begun)} calls of {tool} began"

    return check


def uses_only(*tools: str) -> Check:
    """No other tool was called, and each of these was."""

    def check(asked: Asked) -> str | None:
        used = {call.tool for call in asked.calls}
        return None if used == set(tools) else f"used were {sorted(used) or 'none'}"

    return check


def delegates_to(*agents: str) -> Check:
    """These agents were asked, in this order, and no others; each ended without an error."""

    def check(asked: Asked) -> str | None:
        started = [event.subagent for event in asked.events if isinstance(event, SubagentStarted)]
        failed = [event.subagent for event in asked.events if isinstance(event, SubagentCompleted) and event.error]
        if started != list(agents):
            return f"asked were {started}"
        return f"{failed} failed" if failed else None

    return check


def says(*texts: str) -> Check:
    def check(asked: Asked) -> str | None:
        missing = [text for text in texts if text.lower() not in asked.answer.lower()]
        return f"the answer lacks {missing}" if missing else None

    return check


def says_not(*texts: str) -> Check:
    def check(asked: Asked) -> str | None:
        found = [text for text in texts if text.lower() in asked.answer.lower()]
        return f"the answer has {found}" if found else None

    return check


def words_it(*texts: str) -> Check:
    """The offline model says it so; a language model may use other words."""
    exact = says(*texts)
    return lambda asked: exact(asked) if asked.offline else None


def tool_refuses(tool: str, text: str) -> Check:
    def check(asked: Asked) -> str | None:
        errors = [event.error or "" for event in asked.results(tool)]
        return None if errors and all(text in error for error in errors) else f"{tool} gave the errors {errors}"

    return check


def ledger_of(asked: Asked, *, everyone: bool) -> Ledger:
    return Ledger(asked.history, None if everyone else asked.question.user)


def sums_up(days: Days, *by: str, everyone: bool = False) -> Check:
    """A `usage_summary` of these days has the ledger's total, and, split so, its groups."""

    def check(asked: Asked) -> str | None:
        ledger = ledger_of(asked, everyone=everyone)
        span = (days.first.isoformat(), days.last.isoformat())
        found = [event.result for event in asked.results("usage_summary") if isinstance(event.result, dict)]
        found = [result for result in found if (result["first_day"], result["last_day"]) == span]
        found = [result for result in found if set(result["by"]) == set(by)]
        if not found:
            return f"there is no summary of {span} by {by}"
        result = found[0]
        if _figures(result["total"]) != _expected(ledger.total(days)):
            return f"the total is {result['total']}, not {ledger.total(days)}"
        return _compare_rows(result, ledger.by(days, *result["by"]) if by else {})

    return check


def _compare_rows(result: Mapping[str, Any], expected: Mapping[tuple[str, ...], Sum]) -> str | None:
    rows = sorted((_names(row["group"].values()), _figures(row)) for row in result["rows"])
    right = sorted(
        (_names(name.partition("#")[0] for name in names), _expected(sums)) for names, sums in expected.items()
    )
    if result["not_listed"] is not None:
        # The dearest are listed; what is not completes the total.
        left = len(right) - len(rows)
        return None if left > 0 and all(row in right for row in rows) else f"the rows are {rows}"
    return None if rows == right else f"the rows are {rows}, not {right}"


def _names(names: Any) -> tuple[str, ...]:
    return tuple(str(name)[:80] for name in names)


def _figures(sums: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        Decimal(sums["cost_usd"]),
        sums["requests"],
        sums["failed_requests"],
        sums["input_tokens"],
        sums["cached_input_tokens"],
        sums["output_tokens"],
    )


def _expected(sums: Sum) -> tuple[Any, ...]:
    cached = sums.cache_read_tokens
    return (sums.cost, sums.requests, sums.failed, sums.input_tokens, cached, sums.output_tokens)


def tells(days: Days, *figures: Figure, everyone: bool = False, **group: str) -> Check:
    """The answer has these figures of the ledger; amounts rounded to two places or more."""

    def check(asked: Asked) -> str | None:
        sums = _sums(ledger_of(asked, everyone=everyone), days, group)
        missing = [f"{figure} {getattr(sums, figure)}" for figure in figures if not _is_told(asked, sums, figure)]
        return f"the answer lacks {missing}" if missing else None

    return check


def _sums(ledger: Ledger, days: Days, group: Mapping[str, str]) -> Sum:
    return ledger.by(days, *group)[tuple(group.values())] if group else ledger.total(days)


def _is_told(asked: Asked, sums: Sum, figure: Figure) -> bool:
    value = getattr(sums, figure)
    return _tells_amount(asked.answer, value) if figure == "cost" else value in list(_numbers(asked.answer))


def _tells_amount(answer: str, amount: Decimal) -> bool:
    return any(
        -int(number.as_tuple().exponent) >= FEWEST_PLACES and number == amount.quantize(number, ROUND_HALF_UP)
        for number in _numbers(answer)
    )


def _numbers(text: str) -> Iterator[Decimal]:
    return (Decimal(found.replace(",", "").rstrip(".")) for found in _NUMBER.findall(text))


def names_the_most(days: Days, dimension: str, key: Callable[[Sum], Any]) -> Check:
    """The answer names the group for which `key` is highest."""

    def check(asked: Asked) -> str | None:
        groups = ledger_of(asked, everyone=False).by(days, dimension)
        [name] = max(groups, key=lambda names: key(groups[names]))
        title = name.partition("#")[0]
        bold = [part.replace("\\", "") for part in re.findall(r"\*\*(.+?)\*\*", asked.answer)]
        named = title in bold if asked.offline else title in asked.answer
        return None if named else f"the answer does not name {title!r}"

    return check


def plans(days: Days, percent: int, *, everyone: bool = False) -> Check:
    """The savings plan is right: its basis, each measure by the price list, the sum, and the answer tells them."""

    def check(asked: Asked) -> str | None:
        ledger = ledger_of(asked, everyone=everyone)
        results = [event.result for event in asked.results("savings") if isinstance(event.result, dict)]
        if not results:
            return "there is no plan"
        plan, total = results[0], ledger.total(days).cost
        target = (total * percent / 100).quantize(Decimal("0.00000001"), ROUND_HALF_UP)
        if (Decimal(plan["cost_usd"]), Decimal(plan["target_usd"])) != (total, target):
            return f"the plan saves {plan['target_usd']} of {plan['cost_usd']}, not {target} of {total}"
        saved = sum((Decimal(measure["saves_usd"]) for measure in plan["measures"]), Decimal(0))
        if (Decimal(plan["saves_usd"]), plan["target_reached"]) != (saved, saved >= target):
            return f"the measures save {saved}, not {plan['saves_usd']}"
        wrong = [problem for measure in plan["measures"] if (problem := _wrong(measure, ledger, days))]
        untold = [amount for amount in (total, target, saved) if not _tells_amount(asked.answer, amount)]
        return "; ".join(wrong) or (f"the answer lacks {untold}" if untold else None)

    return check


def _wrong(measure: Mapping[str, Any], ledger: Ledger, days: Days) -> str | None:
    """What is wrong with a measure: before, after and difference, from the ledger and the price list."""
    agent, model = measure["agent"], measure["to_model"]
    used = {names[1]: sums for names, sums in ledger.by(days, "agent", "model").items() if names[0] == agent}
    before = sum((sums.cost for sums in used.values()), Decimal(0))
    after = sum((sums.cost if name == model else price(model, sums) for name, sums in used.items()), Decimal(0))
    stated = tuple(Decimal(measure[column]) for column in ("before_usd", "after_usd", "saves_usd"))
    return None if stated == (before, after, before - after) else f"{agent}: {stated}, not {before} and {after}"


def prices(days: Days, *models: str) -> Check:
    """The comparison has for each of these models what the same tokens cost there by the price list."""

    def check(asked: Asked) -> str | None:
        results = [event.result for event in asked.results("compare_models") if isinstance(event.result, dict)]
        if not results:
            return "there is no comparison"
        used = [
            (names[0], sums) for names, sums in ledger_of(asked, everyone=False).by(days, "model").items() if sums.cost
        ]
        stated = {row["model"]: Decimal(row["cost_usd"]) for row in results[0]["altogether"]}
        for model in models or stated:
            right = sum((price(model, sums) for _, sums in used), Decimal(0))
            if stated.get(model) != right:
                return f"{model} would have cost {right}, not {stated.get(model)}"
            if models and not _tells_amount(asked.answer, right):
                return f"the answer lacks {right} for {model}"
        return None

    return check


def keeps_notes(*names: str, of: str) -> Check:
    """These notes of a person, and no others of the history, are there."""

    def check(asked: Asked) -> str | None:
        stored = set(Note.objects.filter(user=asked.history.user(of)).values_list("id", flat=True))
        expected = {asked.history.notes[name] for name in names}
        known = set(asked.history.notes.values())
        return None if stored & known == expected else f"{of} has the notes {sorted(stored)}"

    return check


def has_note(content: str, *, times: int = 1) -> Check:
    def check(asked: Asked) -> str | None:
        number = Note.objects.filter(user=asked.history.user(asked.question.user), content=content).count()
        return None if number == times else f"there are {number} notes {content!r}"

    return check


def gets_results(tool: str, see: Callable[[Any], bool]) -> Check:
    """What a tool returned is as expected."""

    def check(asked: Asked) -> str | None:
        results: Sequence[ToolCompleted] = asked.results(tool)
        return None if any(see(event.result) for event in results) else f"{tool} gave {[r.result for r in results]}"

    return check
