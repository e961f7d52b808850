"""What the offline model says: Markdown made of tool results, which it only words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.offline.call import Call, Plan
from agents.offline.usage import UsageWish
from agents.offline.usage_answer import comparison_text, escaped, savings_text, speed_text, usage_text

LONGEST_QUOTE = 80
LONGEST_PAGE = 1200
BEGINNING = "That is the beginning: offline I can show a page, not summarise it."

# By tool: what an agent that has it can do.
ABILITIES: dict[str, str] = {
    "calculate": "- **Calculate**, exactly: *What is 17.5 % of 2480?*",
    "current_time": "- **Tell the time** anywhere: *What time is it in Tokyo and New York?*",
    "search_threads": "- **Search your messages**: *What did I write about the budget?*",
    "remember": "- **Keep notes**: *Remember that …*, *What do you know about …?*, *Forget note 3*",
    "usage_summary": "- **Account for your AI usage**: *What did I spend this week, on what?*",
    "savings": "- **Plan savings**, with the arithmetic: *How do I halve what I spent last month?*",
    "compare_models": "- **Compare prices**: *What would last month have cost on gpt-5-mini?*",
    "speedup": "- **Compare speed**: *How do I make it faster?*",
    "fetch_page": "- **Read a web page**, when you allow it: *Read https://example.org*",
    "ask_data": "- **Ask the agent data**: *What did I spend this week, on what?*",
    "ask_optimization": "- **Ask the agent optimization**: *How do I halve what I spent last month?*",
    "ask_assistant": "- **Ask the agent assistant** everything else: *What time is it in Tokyo?*",
}
NO_ABILITY = "- **Say how to connect a language model**: *help*"

CONNECTING = """\
To connect a language model, set `NETRA_MODEL` and its key in the server's environment, and restart it:

```sh
NETRA_MODEL=openai:gpt-5 OPENAI_API_KEY=…
NETRA_MODEL=anthropic:claude-sonnet-4-5 ANTHROPIC_API_KEY=…
# any OpenAI-compatible server (vLLM, Ollama, llama.cpp, LM Studio, …):
NETRA_MODEL=openai:model-name OPENAI_BASE_URL=http://localhost:8000/v1
```"""


_SECTIONS = {
    "ask_data": "What it cost",
    "ask_optimization": "What to change",
    "ask_assistant": "The rest",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool call gave: a result, or the text of its failure. `denied` by a person, it did not begin."""

    result: Any = None
    error: str | None = None
    denied: bool = False


def abilities(tools: Collection[str]) -> str:
    return "\n".join(line for tool, line in ABILITIES.items() if tool in tools) or NO_ABILITY


def greeting(tools: Collection[str]) -> str:
    return (
        "Hello! I am Netra's offline assistant. No language model is connected to this server, but "
        f"this works without one:\n\n{abilities(tools)}\n\nAsk for *help* to see how to connect a language model."
    )


def explanation(tools: Collection[str]) -> str:
    return (
        "I am Netra's offline assistant. No language model is connected to this server; I follow fixed rules "
        f"and use the same tools that a model would. I can:\n\n{abilities(tools)}\n\n{CONNECTING}"
    )


def refusal(tools: Collection[str]) -> str:
    return (
        "I cannot answer that: no language model is connected to this server, and offline I follow a few "
        f"fixed rules. I can:\n\n{abilities(tools)}\n\n{CONNECTING}"
    )


def write_answer(plan: Plan, outcomes: Sequence[Outcome], tools: Collection[str]) -> str:
    """The answer to a plan whose calls gave these outcomes, in the order of the calls."""
    calls = [*plan.calls, *plan.afterwards]
    if not calls:
        return _without_calls(plan, tools)
    answer = _answers(calls, outcomes)
    if plan.greeting:
        answer = f"Hello! {answer}" if _is_one_sentence(calls) else f"Hello!\n\n{answer}"
    if plan.referred:
        answer += f"\n\n{_referral(plan)}"
    if plan.unanswered:
        parts = ", ".join(f"“{_cut(part)}”" for part in plan.unanswered[:5])
        answer += f"\n\nI left out {parts}: that needs a language model, and none is connected here."
    if plan.help:
        answer += f"\n\n{explanation(tools)}"
    return answer


def _without_calls(plan: Plan, tools: Collection[str]) -> str:
    if plan.referred:
        return _referral(plan)
    if plan.unanswered:
        return refusal(tools)
    if plan.help:
        return explanation(tools)
    if plan.greeting:
        return greeting(tools)
    return "You are welcome." if plan.thanks else explanation(tools)


def _referral(plan: Plan) -> str:
    """Which agents answer what this one cannot."""
    lines = [
        f"“{_cut(clause)}” is a question for the agent `{agent}`: choose it, or `triage`, and ask there."
        for clause, agent in plan.referred.items()
    ]
    return "\n\n".join(lines)


def _answers(calls: Sequence[Call], outcomes: Sequence[Outcome]) -> str:
    """Short answers as a list, long ones after them."""
    lines = [(call, _line(call, outcome)) for call, outcome in zip(calls, outcomes, strict=True)]
    lines = [(call, line) for call, line in lines if line]
    if len(lines) == 1:
        return lines[0][1]
    short = [line for call, line in lines if not _is_long(call)]
    parts = ["\n".join(f"- {_indented(line)}" for line in short)] if len(short) > 1 else short
    parts += [_section(call, line) for call, line in lines if _is_long(call)]
    return "\n\n".join(parts)


def _section(call: Call, text: str) -> str:
    title = _SECTIONS.get(call.tool)
    return f"### {title}\n\n{text}" if title else text


def _is_long(call: Call) -> bool:
    return call.wish is not None or call.tool.startswith("ask_") or call.tool in ("recall", "fetch_page")


def _is_one_sentence(calls: Sequence[Call]) -> bool:
    return len(calls) == 1 and not _is_long(calls[0])


def _line(call: Call, outcome: Outcome) -> str:
    if outcome.denied:
        return _denied(call)
    if outcome.error is not None:
        return _failed(call, outcome.error)
    result = outcome.result
    if not isinstance(result, Mapping):
        return str(result)
    return _WORDED[call.tool](call, result) if call.tool in _WORDED else str(result)


def _failed(call: Call, error: str) -> str:
    """Nothing for what a plan rests on: the plan says itself why it could not be made."""
    if call.purpose == "basis":
        return ""
    doing = {
        "calculate": f"I could not calculate `{_code(call.value)}`",
        "current_time": f"I could not tell the time in “{_cut(call.value)}”",
        "search_threads": f"I could not search for “{_cut(call.value)}”",
        "remember": f"I could not remember “{_cut(call.value)}”",
        "recall": "I could not look into the notes",
        "forget": f"I could not forget note {call.value}",
        "fetch_page": f"I could not read `{_code(call.value)}`",
        "usage_summary": "I could not read the account",
        "savings": "I could not make a plan",
        "compare_models": "I could not compare models",
        "speedup": "I could not compare models",
    }
    agent = call.tool.removeprefix("ask_")
    return f"{doing.get(call.tool) or f'The agent `{agent}` could not answer'}: {error.rstrip('.')}."


def _denied(call: Call) -> str:
    what = f"to read `{_code(call.value)}`" if call.tool == "fetch_page" else f"`{call.tool}`"
    return f"You did not allow me {what}, so I left it."


def _recalled(call: Call, result: Mapping[str, Any]) -> str:
    notes = result["notes"]
    about = f" about “{_cut(result['query'])}”" if result["query"] else ""
    if not notes:
        return f"I have no note{about}."
    listed = "\n".join(f"- note {note['note_id']} ({note['date']}): {escaped(note['content'])}" for note in notes)
    number = f"{'more than ' if result['more'] else ''}{len(notes)} {'note' if len(notes) == 1 else 'notes'}"
    asking = "\n\nSay which one: *Forget note …*" if call.purpose == "forget" else ""
    return f"I have {number}{about}:\n\n{listed}{asking}"


def _page(result: Mapping[str, Any]) -> str:
    """The beginning of the page as it is; as code, its text means nothing in Markdown."""
    text = result["untrusted_text"].replace("`", "'").strip()
    beginning = text[:LONGEST_PAGE].rstrip()
    cut = (
        "\n\nThat is the beginning: offline I can show a page, not summarise it." if len(text) > len(beginning) else ""
    )
    title = escaped(result["title"]) or "The page"
    return f"**{title}** (`{_code(result['url'])}`):\n\n```text\n{beginning}\n```{cut}"


def _calculated(result: Mapping[str, Any]) -> str:
    sign = "=" if result["exact"] else "≈"
    return f"`{_code(result['expression'])}` {sign} **{result['result']}**"


def _told(result: Mapping[str, Any]) -> str:
    moment = datetime.fromisoformat(result["time"])
    place = result["place"] if result["place"] == result["place"].upper() else _titled(result["place"])
    day = f"{result['weekday']}, {moment.day} {moment:%B %Y}"
    return f"It is **{moment:%H:%M}** in {place} ({day}, UTC{result['utc_offset']})."


def _titled(place: str) -> str:
    return place if place != place.lower() or "/" in place else place.title()


def _found(result: Mapping[str, Any]) -> str:
    messages = result["messages"]
    query = _cut(result["query"])
    if not messages:
        return f"I found no message about “{query}” in your threads."
    noun = "message" if len(messages) == 1 else "messages"
    listed = "\n".join(
        f"- **{_one_line(message['thread'])}** ({message['role']}, {message['date']}): {_one_line(message['excerpt'])}"
        for message in messages
    )
    return f"I found {len(messages)} {noun} about “{query}”:\n\n{listed}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> str:
    return _one_line(text).replace("`", "'")


def _cut(text: str) -> str:
    line = _one_line(text)
    return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE].rstrip()}…"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.split("\n")).removeprefix("  ")


def _usage(call: Call, result: Mapping[str, Any]) -> str:
    return usage_text(result, call.wish or UsageWish(kind="usage"), brief=call.purpose == "basis")


_WORDED: dict[str, Callable[[Call, Mapping[str, Any]], str]] = {
    "calculate": lambda _, result: _calculated(result),
    "current_time": lambda _, result: _told(result),
    "search_threads": lambda _, result: _found(result),
    "remember": lambda _, note: f"I will remember that, as note {note['note_id']}: {escaped(note['content'])}",
    "recall": _recalled,
    "forget": lambda _, note: f"I forgot note {note['note_id']}: {escaped(note['content'])}",
    "fetch_page": lambda _, result: _page(result),
    "usage_summary": _usage,
    "savings": lambda _, result: savings_text(result),
    "compare_models": lambda call, result: comparison_text(result, brief=call.purpose == "basis"),
    "speedup": lambda _, result: speed_text(result),
}
