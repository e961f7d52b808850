"""What a model is asked with, cut to the tokens that it can read. Pure functions; docs/models.md states the policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

# How many turns before the question stay whole for as long as older ones can give way.
RECENT_TURNS = 3
# Of a shortened tool result, how many characters of its start and of its end are kept.
KEPT_START, KEPT_END = 600, 200
LEFT_OUT = "left_out"

_BYTES_PER_TOKEN = 3
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_ATTACHMENT = 1500


@dataclass(frozen=True, kw_only=True, slots=True)
class Reduction:
    """What was done to make the messages fit. `dropped_messages` were left out, `kept_messages` were not.

    `shortened_results` counts attached files that were shortened, too.
    """

    kept_messages: int
    dropped_messages: int
    shortened_results: int
    estimated_tokens: int


def estimate_text(text: str) -> int:
    """A third of its UTF-8 bytes: more than English and most code take, about what Chinese or Cyrillic takes."""
    size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)


def estimate_messages(messages: Iterable[ModelMessage]) -> int:
    """With the instructions, which are sent once, whatever message carries them."""
    total, instructions = 0, ""
    for message in messages:
        total += estimate_message(message)
        if isinstance(message, ModelRequest) and message.instructions:
            instructions = message.instructions
    return total + estimate_text(instructions)


def estimate_message(message: ModelMessage) -> int:
    """Without the instructions."""
    return _TOKENS_PER_MESSAGE + sum([_estimate_part(part) for part in message.parts])


def _estimate_part(part: Any) -> int:
    match part:
        case UserPromptPart(content=str(text)) | TextPart(content=text) | SystemPromptPart(content=text):
            return estimate_text(text)
        case UserPromptPart(content=items):
            return sum(map(_estimate_item, items))
        case ToolCallPart():
            return estimate_text(part.tool_name) + estimate_text(part.args_as_json_str()) + _TOKENS_PER_MESSAGE
        case ToolReturnPart():
            return estimate_text(part.tool_name) + estimate_text(_result_text(part)) + _TOKENS_PER_MESSAGE
        case ThinkingPart():
            return estimate_text(part.content or "") + estimate_text(part.signature or "")
        case _:
            content = getattr(part, "content", "")
            return estimate_text(content) if isinstance(content, str) else _TOKENS_PER_ATTACHMENT


def _estimate_item(item: Any) -> int:
    match item:
        case str(text) | TextContent(content=text):
            return estimate_text(text)
        case _:
            return _TOKENS_PER_ATTACHMENT


def _result_text(part: ToolReturnPart) -> str:
    return part.content if isinstance(part.content, str) else part.model_response_str()


def fit(messages: list[ModelMessage], limit_tokens: int) -> tuple[list[ModelMessage], Reduction | None]:
    """The messages as they are and None, or a shorter list and what became of them. Changes none of those given.

    One step after the other is taken until it is enough: shorten the tool results of older turns, then those of
    earlier steps of the question; drop older turns; shorten the results of recent turns, drop recent turns; shorten
    the results of the latest step, drop earlier steps. Instructions, the question and the latest step stay, even when
    they alone are too long: then the model's server says so.
    """
    tokens = estimate_messages(messages)
    if tokens <= limit_tokens:
        return messages, None
    conversation = _Conversation(messages, tokens, limit_tokens)
    conversation.reduce()
    return conversation.result()


@dataclass(slots=True)
class _Group:
    """Messages that stay or go together: a turn before the question, or a step of it, with calls and their returns."""

    messages: list[ModelMessage] = field(default_factory=list)
    dropped: bool = False


class _Conversation:
    """The turns before the question, the question, and the steps that the model has taken since."""

    def __init__(self, messages: Sequence[ModelMessage], tokens: int, limit: int) -> None:
        self._limit = limit
        self._shortened = 0
        self._dropped = 0
        start = max((index for index, message in enumerate(messages) if _asks(message)), default=0)
        self._turns = _grouped(messages[:start], _asks)
        question, *steps = _grouped(messages[start:], lambda message: isinstance(message, ModelResponse)) or [_Group()]
        self._question = question
        self._steps = steps
        note = _note(len(messages))
        # The note is counted from the start, since nearly every reduction needs one.
        self._tokens = tokens + estimate_message(note)

    @property
    def _fits(self) -> bool:
        return self._tokens <= self._limit

    def reduce(self) -> None:
        older, recent = self._turns[:-RECENT_TURNS], self._turns[-RECENT_TURNS:]
        earlier, latest = self._steps[:-1], self._steps[-1:]
        self._shorten(older)
        self._shorten(earlier)
        self._drop(older)
        self._shorten(recent)
        self._drop(recent)
        self._shorten(latest)
        # A person's word in the middle of the steps is a part of the question.
        self._drop([step for step in earlier if not any(_asks(message, alone=False) for message in step.messages)])

    def _shorten(self, groups: Iterable[_Group]) -> None:
        for group in groups:
            for index, message in enumerate(group.messages):
                if self._fits:
                    return
                if isinstance(message, ModelRequest):
                    group.messages[index] = self._shorten_results(message)

    def _shorten_results(self, message: ModelRequest) -> ModelRequest:
        parts = [_shortened(part) for part in message.parts]
        count = sum(after is not before for after, before in zip(parts, message.parts, strict=True))
        if not count:
            return message
        shorter = dataclasses.replace(message, parts=parts)
        self._shortened += count
        self._tokens -= estimate_message(message) - estimate_message(shorter)
        return shorter

    def _drop(self, groups: Iterable[_Group]) -> None:
        for group in groups:
            if self._fits:
                return
            kept = [system for message in group.messages if (system := _system_prompts(message)) is not None]
            self._tokens -= sum(map(estimate_message, group.messages)) - sum(map(estimate_message, kept))
            # A note about what was left out before stands for as many messages as it says.
            self._dropped += sum(_left_out(message) or 1 for message in group.messages) - len(kept)
            group.messages, group.dropped = list[ModelMessage](kept), True

    def result(self) -> tuple[list[ModelMessage], Reduction | None]:
        groups = [*self._turns, self._question, *self._steps]
        if not self._dropped and not self._shortened:
            return [message for group in groups for message in group.messages], None
        messages = [message for group in groups if group.dropped for message in group.messages]
        kept = [message for group in groups if not group.dropped for message in group.messages]
        tokens = self._tokens
        if self._dropped:
            messages.append(_note(self._dropped))
        else:
            tokens -= estimate_message(_note(0))
        messages += kept
        return messages, Reduction(
            kept_messages=len(messages) - bool(self._dropped),
            dropped_messages=self._dropped,
            shortened_results=self._shortened,
            estimated_tokens=tokens,
        )


def _grouped(messages: Sequence[ModelMessage], begins: Callable[[ModelMessage], bool]) -> list[_Group]:
    groups: list[_Group] = []
    for message in messages:
        if not groups or begins(message):
            groups.append(_Group())
        groups[-1].messages.append(message)
    return groups


def _asks(message: ModelMessage, *, alone: bool = True) -> bool:
    """Whether a person speaks in it; `alone`: and nothing answers a tool call, whose place is after the call."""
    if not isinstance(message, ModelRequest) or _left_out(message):
        return False
    asks = False
    for part in message.parts:
        if isinstance(part, UserPromptPart):
            asks = True
        elif alone and not isinstance(part, SystemPromptPart):
            return False
    return asks


def _shortened(part: ModelRequestPart) -> ModelRequestPart:
    if not isinstance(part, ToolReturnPart):
        return part
    text = _result_text(part)
    missing = len(text) - KEPT_START - KEPT_END
    # The mark takes room as well.
    if missing <= KEPT_END:
        return part
    short = f"{text[:KEPT_START]}\n[… {missing} characters were left out …]\n{text[-KEPT_END:]}"
    shorter: ModelRequestPart = dataclasses.replace(part, content=short)  # type: ignore[arg-type]
    return shorter


def _system_prompts(message: ModelMessage) -> ModelRequest | None:
    """What of a dropped message stays."""
    if not isinstance(message, ModelRequest):
        return None
    parts = [part for part in message.parts if isinstance(part, SystemPromptPart)]
    return dataclasses.replace(message, parts=parts) if parts else None


def _note(left_out: int) -> ModelRequest:
    text = f"[{left_out} earlier messages were left out: the conversation is longer than the model can read at once.]"
    return ModelRequest(parts=[UserPromptPart(content=text)], metadata={LEFT_OUT: left_out})


def _left_out(message: ModelMessage) -> int:
    """Of how many messages this is the note."""
    return (message.metadata or {}).get(LEFT_OUT, 0) if isinstance(message, ModelRequest) else 0
