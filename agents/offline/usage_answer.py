"""How the offline model words what the account's tools return: tables of their figures, and the arithmetic of plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from agents.offline.usage import Metric, UsageWish

PLACES = Decimal("0.0001")
ROUNDED = "Amounts are rounded to 4 places."
ROUNDED_TABLES = "In tables, amounts are rounded to 4 places."
CHEAPER_IS_DIFFERENT = (
    "A cheaper model may answer less well: try it on questions of your own. Whoever runs the server makes a move with"
)
MOST_COMPARED = 8

_COLUMNS: Sequence[tuple[str, str]] = (
    ("requests", "requests"),
    ("failed_requests", "failed"),
    ("input_tokens", "input tokens"),
    ("output_tokens", "output tokens"),
    ("cost_usd", "cost"),
)
_SPEED = ("average_seconds", "seconds per request")
_MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|~#"})


def usage_text(result: Mapping[str, Any], wish: UsageWish, *, brief: bool) -> str:
    """One period's usage: a sentence with the total, and, unless it is to be brief, a table when it is split."""
    total = result["total"]
    if not total["requests"]:
        return f"{_span(result)}, the account has no requests to language models{_of(result)}."
    lines = [f"{_span(result)}, {_total(result)}."]
    if brief:
        return lines[0]
    rows = result["rows"]
    if rows:
        lines += [_found(result, wish)] if wish.models or wish.agents else _most(result, wish)
        lines.append(_usage_table(result, wish))
    if unpriced := total["unpriced_requests"]:
        lines.append(f"No price is known for {_counted(unpriced, 'request')}: what is unknown is not in the cost.")
    if _is_rounded([total["cost_usd"], *(row["cost_usd"] for row in rows)]):
        lines.append(ROUNDED)
    return "\n\n".join(line for line in lines if line)


def _total(result: Mapping[str, Any]) -> str:
    total = result["total"]
    who = "all users together" if result["everyone"] else "you"
    runs = f" in {_counted(total['runs'], 'run')}" if total["runs"] else ""
    return (
        f"{who} spent **{money(total['cost_usd'])}**: {_counted(total['requests'], 'request')} "
        f"({total['failed_requests']:,} failed){runs}, "
        f"{total['input_tokens']:,} input and {total['output_tokens']:,} output tokens, "
        f"{total['average_seconds']} seconds per request"
    )


def _most(result: Mapping[str, Any], wish: UsageWish) -> list[str]:
    """The first by what was asked for, when there are several."""
    first = _sorted(result["rows"], wish.metric)[0]
    if len(result["rows"]) < 2 or not _amount(first, wish.metric):
        return []
    match wish.metric:
        case "tokens":
            how = f"{first['input_tokens']:,} input and {first['output_tokens']:,} output tokens"
        case "requests":
            how = _counted(first["requests"], "request")
        case "failed_requests":
            how = _counted(first["failed_requests"], "failed request")
        case "average_seconds":
            how = f"{first['average_seconds']} seconds per request"
        case "cost":
            how = money(first["cost_usd"])
    word = "Slowest" if wish.metric == "average_seconds" else "Most"
    return [f"{word}: **{_name(first)}** with {how}."]


def _found(result: Mapping[str, Any], wish: UsageWish) -> str:
    """The rows that were asked for by name."""
    lines = []
    for name in (*wish.models, *wish.agents):
        found = [row for row in result["rows"] if _is_called(row, name)]
        lines += [
            f"**{_name(row)}**: {money(row['cost_usd'])}, {_counted(row['requests'], 'request')}." for row in found
        ]
        if not found:
            lines.append(f"Nothing of it is {escaped(name)}'s.")
    return "\n".join(f"- {line}" for line in lines) if len(lines) > 1 else lines[0]


def _is_called(row: Mapping[str, Any], name: str) -> bool:
    names = [value.lower() for value in row["group"].values()]
    return any(value == name or value.partition(":")[2] == name for value in names)


def _usage_table(result: Mapping[str, Any], wish: UsageWish) -> str:
    by = result["by"]
    columns = [*_COLUMNS, _SPEED] if wish.metric == "average_seconds" else list(_COLUMNS)
    rows = result["rows"] if by == ["day"] else _sorted(result["rows"], wish.metric)
    body = [[*(escaped(row["group"][name]) for name in by), *_cells(row, columns)] for row in rows]
    if (rest := result["not_listed"]) is not None:
        body.append(["others", *[""] * (len(by) - 1), *_cells(rest, columns)])
    body.append(["**total**", *[""] * (len(by) - 1), *_cells(result["total"], columns)])
    return table([*by, *(title for _, title in columns)], body, words=len(by))


def _sorted(rows: Sequence[Mapping[str, Any]], metric: Metric) -> list[Mapping[str, Any]]:
    """The rows in the order of what was asked for, the highest first."""
    return sorted(rows, key=lambda row: -_amount(row, metric))


def _amount(row: Mapping[str, Any], metric: Metric) -> Decimal:
    match metric:
        case "tokens":
            return Decimal(row["input_tokens"] + row["output_tokens"])
        case "cost":
            return Decimal(row["cost_usd"])
        case _:
            return Decimal(row[metric])


def _cells(sums: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> list[str]:
    if sums.get("unpriced_requests") and sums["unpriced_requests"] == sums["requests"]:
        sums = {**sums, "cost_usd": None}
    return [_cell(column, sums.get(column)) for column, _ in columns]


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "unknown" if column == "cost_usd" else ""
    if column == "cost_usd":
        return money(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def savings_text(result: Mapping[str, Any]) -> str:
    """The plan: what to move, what that saves, the sum against the target, and the arithmetic."""
    measures = result["measures"]
    share = f"{result['target_percent']} % of **{money(result['cost_usd'])}**"
    lines = [f"The target is to save {share}: **{money(result['target_usd'])}**."]
    if measures:
        body = [
            [
                f"`{measure['agent']}`",
                escaped(", ".join(measure["from_models"])),
                escaped(measure["to_model"]),
                *(money(measure[column]) for column in ("before_usd", "after_usd", "saves_usd")),
            ]
            for measure in measures
        ]
        body.append(["**together**", "", "", "", "", f"**{money(result['saves_usd'])}**"])
        lines.append(table(["agent", "now on", "move to", "costs", "would cost", "saves"], body, words=3))
    reached = "reaches" if result["target_reached"] else "does not reach"
    lines.append(
        f"That saves {result['saves_percent']} % and {reached} the target: **{money(result['remaining_usd'])}** remain."
        if measures
        else "No move to another model of the price list would save anything."
    )
    if measures:
        settings = ", ".join(f"`{measure['setting']}`" for measure in measures)
        lines.append(f"{CHEAPER_IS_DIFFERENT} {settings}.")
        lines.append(
            "**The arithmetic**\n\n"
            + "\n".join(f"- `{measure['agent']}`: {escaped(measure['arithmetic'])}" for measure in measures)
        )
    if result["further"]:
        listed = "\n".join(
            f"- {more['measure']}: {money(more['saves_usd'])} ({more['arithmetic']})" for more in result["further"]
        )
        lines.append(f"**On top of that**, each for itself and not in the sum:\n\n{listed}")
    if result["unpriced_requests"]:
        lines.append(
            f"For {result['unpriced_requests']:,} requests no price is known: no plan is made for their agents."
        )
    lines.append(f"Assumed: {result['assumptions']}. In the text, amounts of tables are rounded to 4 places.")
    return "\n\n".join(lines)


def comparison_text(result: Mapping[str, Any], *, brief: bool) -> str:
    """The same tokens on other models; `brief`, beside a plan, leaves out what that says, too."""
    rows = result["altogether"]
    body = [
        [escaped(row["model"]), money(row["cost_usd"]), money(row["saves_usd"]), f"{row['saves_percent']} %"]
        for row in rows[:MOST_COMPARED]
    ]
    compared = table(["all of it on", "would cost", "saves", "saves"], body, words=1)
    left = f"{len(rows) - MOST_COMPARED} dearer models are left out." if len(rows) > MOST_COMPARED else ""
    if brief:
        return "\n\n".join(filter(None, ["**Instead, everything on one model**", compared, left]))
    lines = [f"{_span(result)}, requests with a price cost **{money(result['cost_usd'])}**. The same tokens:", compared]
    lines.append(left)
    for model in result["models"]:
        steps = "\n".join(
            f"- {escaped(other['model'])}: {escaped(other['arithmetic'])}"
            for other in model["alternatives"][:MOST_COMPARED]
        )
        lines.append(f"**The arithmetic** for what {escaped(model['model'])} did:\n\n{steps}" if steps else "")
    lines.append(f"Assumed: {result['assumptions']}. {ROUNDED_TABLES}")
    if result["without_price"]:
        lines.append(f"No price is known for {escaped(', '.join(result['without_price']))}.")
    return "\n\n".join(filter(None, lines))


def speed_text(result: Mapping[str, Any]) -> str:
    """How fast the models were, and what moving to the fastest would save."""
    body = [
        [
            escaped(model["model"]),
            f"{model['requests']:,}",
            f"{model['output_tokens']:,}",
            model["seconds"],
            model["output_tokens_per_second"],
        ]
        for model in result["models"]
    ]
    titles = ["model", "requests", "output tokens", "seconds", "output tokens a second"]
    lines = [f"{_span(result)}, models wrote at this pace:", table(titles, body, words=1)]
    if result["measures"]:
        steps = "\n".join(
            f"- `{measure['agent']}` from {escaped(measure['from_model'])} to {escaped(measure['to_model'])} "
            f"(`{measure['setting']}`): {measure['arithmetic']}"
            for measure in result["measures"]
        )
        lines.append(f"Moving to the fastest would have saved:\n\n{steps}")
    else:
        lines.append("Everything ran on the fastest of these models already.")
    lines.append(f"Assumed: {result['assumptions']}.")
    return "\n\n".join(lines)


def table(titles: Sequence[str], body: Sequence[Sequence[str]], *, words: int) -> str:
    """A Markdown table whose first columns are words and the others numbers."""
    ruler = ["---"] * words + ["---:"] * (len(titles) - words)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, ruler, *body))


def money(amount: str) -> str:
    """The amount for reading, to 4 places."""
    value = Decimal(amount)
    sign = "-" if value < 0 else ""
    return f"{sign}${abs(value.quantize(PLACES, ROUND_HALF_UP)):,f}"


def escaped(text: str) -> str:
    """Someone's words as words: on one line, without a meaning in Markdown."""
    return " ".join(text.split()).translate(_MARKDOWN)


def _is_rounded(amounts: Sequence[str]) -> bool:
    return any(Decimal(amount) != Decimal(amount).quantize(PLACES, ROUND_HALF_UP) for amount in amounts)


def _name(row: Mapping[str, Any]) -> str:
    return escaped(", ".join(row["group"].values()))


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _of(result: Mapping[str, Any]) -> str:
    return "" if result["everyone"] else " of yours"


def _span(result: Mapping[str, Any]) -> str:
    """The period in words, with its days."""
    name, first, last = result["period"], _day(result["first_day"]), _day(result["last_day"])
    if name == "all":
        return f"From the beginning to {last} (UTC)"
    days = first if first == last else f"{first} to {last}"
    if not name[0].isalpha():
        return f"On {days} (UTC)" if first == last else f"From {days} (UTC)"
    words = name.replace("_", " ")
    if words.startswith("last ") and words[5].isdigit():
        words = f"in the {words}"
    return f"{words[:1].upper()}{words[1:]} ({days}, UTC)"


def _day(text: str) -> str:
    day = date.fromisoformat(text)
    return f"{day.day} {day:%B %Y}"
