"""What a client asks for: its `RunAgentInput`, of which the history is not read but for the newest question."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core
from ag_ui.core import AssistantMessage, Message, ReasoningMessage, ResumeEntry, RunAgentInput, TextPart
from ag_ui.core import UserMessage as AgUiQuestion

from chat.ag_ui.names import interrupted_call
from chat.errors import ChatError, ErrorCode
from chat.protocol import ResolveApproval, UserMessage, body_of, command_of

MAX_NAME = 1000
DECISION = frozenset({"approved", "reason"})
_OF_A_PERSON = uuid.UUID("6b0d5e0c-8f0a-5b0e-9d43-0b6f2f3d1a57")


@dataclass(frozen=True, slots=True)
class Question:
    """The newest message of the person, by the id that the client gave it."""

    id: str
    content: str


@dataclass(frozen=True, slots=True)
class Answer:
    """To one interrupt. One that is `abandoned` allows nothing."""

    command: ResolveApproval
    abandoned: bool


@dataclass(frozen=True, slots=True)
class History:
    """What the client shows, up to its newest question: never read, only shown to it again.

    `messages` is a JSON array, without the oldest ones when there are too many. `is_outrun`: the client shows more
    behind the question, of which `outrun_reasons` tells whether reasoning is there. `calls` are the tool calls that it
    shows.
    """

    messages: bytes = b"[]"
    has_reasoning: bool = False
    is_outrun: bool = False
    outrun_reasons: bool = False
    calls: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked:
    """`thread` and `run` are the client's names. `unread` are the fields with something that nobody here uses."""

    thread: str
    run: str
    question: Question | None
    answers: tuple[Answer, ...]
    history: History
    unread: tuple[str, ...]

    def thread_id(self, user_id: Any) -> uuid.UUID:
        """The thread of this person's own that belongs to the name."""
        return _derived(user_id, self.thread)

    def command(self, user_id: Any, **fields: Any) -> UserMessage | None:
        """The question as a command. Raises ChatError with INVALID_MESSAGE."""
        if (question := self.question) is None:
            return None
        try:
            message_id = uuid.UUID(question.id)
        except ValueError:
            message_id = _derived(user_id, self.thread, question.id)
        return command_of(UserMessage, {}, content=question.content, message_id=message_id, **fields)


def parse_input(body: Any, *, kept_bytes: int) -> Asked:
    """`kept_bytes`: what of the history may be kept. Raises ChatError with INVALID_MESSAGE or APPROVAL_NOT_FOUND."""
    given = body_of(RunAgentInput, body)
    for field, name in (("threadId", given.thread_id), ("runId", given.run_id)):
        if not 0 < len(name) <= MAX_NAME:
            raise ChatError(ErrorCode.INVALID_MESSAGE, f"{field}: must have 1 to {MAX_NAME} characters")
    questions = [(place, message) for place, message in enumerate(given.messages) if isinstance(message, AgUiQuestion)]
    return Asked(
        thread=given.thread_id,
        run=given.run_id,
        question=_question(questions[-1][1]) if questions else None,
        answers=_answers(given.resume or []),
        history=_history(given.messages, questions[-1][0] + 1 if questions else 0, kept_bytes),
        unread=tuple(name for name in ("tools", "context", "state", "forwardedProps") if _has(given, name)),
    )


def _has(given: RunAgentInput, name: str) -> bool:
    value = given.forwarded_props if name == "forwardedProps" else getattr(given, name)
    return value not in (None, [], {})


def _question(message: AgUiQuestion) -> Question:
    if isinstance(message.content, str):
        return Question(message.id, message.content)
    texts = [part.text for part in message.content if isinstance(part, TextPart)]
    if len(texts) < len(message.content):
        refused = sorted({part.type for part in message.content} - {"text"})
        problem = f"messages: a question is text, and {' and '.join(refused)} cannot be taken"
        raise ChatError(ErrorCode.INVALID_MESSAGE, problem, details={"parts": refused})
    return Question(message.id, "\n".join(texts))


def _answers(entries: Sequence[ResumeEntry]) -> tuple[Answer, ...]:
    answers = tuple(_answer(entry) for entry in entries)
    if len({answer.command.run_id for answer in answers}) > 1:
        raise ChatError(ErrorCode.INVALID_MESSAGE, "resume: the interrupts are not all of one run")
    return answers


def _answer(entry: ResumeEntry) -> Answer:
    named = interrupted_call(entry.interrupt_id)
    if named is None:
        raise ChatError(ErrorCode.APPROVAL_NOT_FOUND, "There is no such request for approval")
    run_id, tool_call_id = named
    abandoned = entry.status == "cancelled"
    payload = {"approved": False} if abandoned else entry.payload
    if not (isinstance(payload, Mapping) and payload.keys() <= DECISION):
        # What else a person may have meant to change is not changed: the call is as it was asked for, or it is not.
        raise ChatError(ErrorCode.INVALID_MESSAGE, "resume: a payload is {approved, reason?}, and nothing else")
    return Answer(command_of(ResolveApproval, payload, run_id=run_id, tool_call_id=tool_call_id), abandoned)


def _history(messages: Sequence[Message], end: int, kept_bytes: int) -> History:
    """`end`: how many messages there are up to the newest question."""
    shown, kept = messages[:end], list[bytes]()
    for message in reversed(shown):
        text = message.model_dump_json(by_alias=True).encode()
        kept_bytes -= len(text)
        if kept_bytes < 0:
            break
        kept.append(text)
    newest = shown[len(shown) - len(kept) :]
    return History(
        messages=b"[" + b",".join(reversed(kept)) + b"]",
        has_reasoning=any(isinstance(message, ReasoningMessage) for message in newest),
        is_outrun=end < len(messages),
        outrun_reasons=any(isinstance(message, ReasoningMessage) for message in messages[end:]),
        calls=frozenset(_calls(messages)),
    )


def _calls(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        if isinstance(message, AssistantMessage):
            yield from (call.id for call in message.tool_calls or ())


def _derived(user_id: Any, *names: str) -> uuid.UUID:
    return uuid.uuid5(_OF_A_PERSON, pydantic_core.to_json([str(user_id), *names]).decode())
