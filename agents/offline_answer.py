"""What the offline model says: Markdown made of tool results, which it only words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.offline_plan import Call, Plan

LONGEST_QUOTE = 80

ABILITIES = """\
- **Calculate**, exactly: *What is 17.5 % of 2480?*
- **Tell the time** anywhere: *What time is it in Tokyo and New York?*
- **Search your messages**: *What did I write about the budget?*"""

CONNECTING = """\
To connect a language model, set `NETRA_MODEL` and its key in the server's environment, and restart it:

```sh
NETRA_MODEL=openai:gpt-5 OPENAI_API_KEY=…
NETRA_MODEL=anthropic:claude-sonnet-4-5 ANTHROPIC_API_KEY=…
# any OpenAI-compatible server (vLLM, Ollama, llama.cpp, LM Studio, …):
NETRA_MODEL=openai:model-name OPENAI_BASE_URL=http://localhost:8000/v1
```"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool call gave: a result, or the text of its failure."""

    result: Any = None
    error: str | None = None


def greeting() -> str:
    return (
        "Hello! I am Netra's offline assistant. No language model is connected to this server, but "
        f"this works without one:\n\n{ABILITIES}\n\nAsk for *help* to see how to connect a language model."
    )


def explanation() -> str:
    return (
        "I am Netra's offline assistant. No language model is connected to this server; I follow fixed rules "
        f"and use the same tools that a model would. I can:\n\n{ABILITIES}\n\n{CONNECTING}"
    )


def refusal() -> str:
    return (
        "I cannot answer that: no language model is connected to this server, and offline I follow a few "
        f"fixed rules. I can:\n\n{ABILITIES}\n\n{CONNECTING}"
    )


def write_answer(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    """The answer to a plan whose calls gave these outcomes, in the order of the calls."""
    if not plan.calls:
        if plan.unanswered:
            return refusal()
        if plan.help:
            return explanation()
        if plan.greeting:
            return greeting()
        return "You are welcome." if plan.thanks else explanation()
    lines = [_line(call, outcome) for call, outcome in zip(plan.calls, outcomes, strict=True)]
    answer = lines[0] if len(lines) == 1 else "\n".join(f"- {_indented(line)}" for line in lines)
    if plan.greeting:
        answer = f"Hello! {answer}" if len(lines) == 1 else f"Hello!\n\n{answer}"
    if plan.unanswered:
        quoted = ", ".join(f"“{_cut(part)}”" for part in plan.unanswered[:5])
        answer += f"\n\nI left out {quoted}: that needs a language model, and none is connected here."
    if plan.help:
        answer += f"\n\n{explanation()}"
    return answer


def _line(call: Call, outcome: Outcome) -> str:
    if outcome.error is not None:
        doing = {
            "calculate": f"I could not calculate `{_code(call.value)}`",
            "current_time": f"I could not tell the time in “{_cut(call.value)}”",
            "search_threads": f"I could not search for “{_cut(call.value)}”",
        }
        return f"{doing[call.tool]}: {outcome.error}."
    if not isinstance(outcome.result, Mapping):
        return str(outcome.result)
    match call.tool:
        case "calculate":
            return _calculated(outcome.result)
        case "current_time":
            return _told(outcome.result)
        case _:
            return _found(outcome.result)


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
