"""Frames of a hostile or broken client: commands that are meant well, changed in one to four ways or spoiled as text;
JSON of any kind, texts, bytes.

Hypothesis draws bytes, and `Dice` reads from them what a frame is made of: a million frames in minutes, each of which
is found again, and made smaller, from its bytes.

`@run`, `@thread`, `@message`, `@file` and `@token` in a text are names: whoever sends it puts something real there.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from chat.protocol.commands import USER_MESSAGE_TYPES

T = TypeVar("T")
Json = Any
# Hypothesis draws 8,192 of them at most.
BYTES_OF_A_FRAME = 48
NAMES = ("@run", "@thread", "@message", "@file")
TYPES = ("ping", "regenerate", "stop_run", "resume", "resolve_approval", "ack", "refresh_token", *USER_MESSAGE_TYPES)
# Those of commands, of the server's frames, of earlier protocols, and of JavaScript's objects.
FIELDS = (
    *("type", "ref", "content", "thread_id", "agent", "message_id", "when_busy", "edits", "parent_id", "attachments"),
    *("run_id", "cursors", "after_run", "received", "tool_call_id", "approved", "reason", "token", "limit", "details"),
    *(
        "event",
        "data",
        "seq",
        "user_id",
        "id",
        "",
        "__proto__",
        "constructor",
        "toString",
        "ty\u0440e",
        "TYPE",
        "type ",
    ),
)
ODD_TEXTS = (
    *(
        "",
        " ",
        "\0",
        "\ufeff",
        "\u2028",
        "\u202e",
        "\ud7ff\ue000",
        "\uffff",
        "\U0010ffff",
        "e\u0301" * 40,
        "\n" * 20,
        "\x1b[2J",
    ),
    *(
        "null",
        "true",
        "NaN",
        "0",
        "-1",
        "[]",
        "{}",
        "'",
        '"',
        "\\",
        "%s",
        "{0}",
        "<script>",
        "../..",
        "${x}",
        "\x1b[2J",
    ),
    *("a" * 257, "a" * 1001, "a" * 5000, "\U0001f600" * 300, str(uuid.UUID(int=0)), "what is 6 * 7?", "/nothing"),
)
NUMBERS = (
    *(0, 1, 2, 3, 7, -1, True, 2**31 - 1, 2**31, 2**53, 2**62, 2**63, 2**64, 10**30, -(2**63), 10**400),
    *(0.0, -0.0, 0.5, 1.5, 1e300, 5e-324, float("inf"), float("-inf"), float("nan")),
)
LARGE = (
    '{"type": "user_message", "content": "' + "x" * 70_000 + '"}',
    '{"type": "ping", "ref": "' + "\U0001f600" * 20_000 + '"}',
    "[" * 60_000,
    '{"a":' * 12_000,
    '{"type": "resume", "cursors": {' + ",".join(f'"{number}": 1' for number in range(3_000)) + "}}",
    "9" * 60_000,
    '{"type": "ack", "cursors": ' + "[" * 40 + "]" * 40 + "}",
)
PIECES = (
    *("{", "}", "[", "]", '"', "\\", ",", ":", "\\u0000", "\\ud800", "\0", "\ufeff", "//", "NaN", "1e999", "\t"),
    *("\U0001f600", '"type": "ping", ', "null", "@run", "/**/", "'"),
)


class Dice:
    """Chances from bytes; when they are used up, nothing but the first of everything."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def below(self, number: int) -> int:
        """At most 65,536."""
        first = next(self._data, 0)
        return (first if number <= 256 else first << 8 | next(self._data, 0)) % number

    def one_in(self, number: int) -> bool:
        return self.below(number) == number - 1

    def pick(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def text(self) -> str:
        """Mostly what has broken something somewhere."""
        kind = self.below(8)
        if kind < 4:
            return self.pick(ODD_TEXTS)
        if kind < 6:
            return self.pick((*NAMES, *TYPES))
        letters = (self.below(0xD800) if self.one_in(3) else self.below(128) for _ in range(self.below(12)))
        return "".join(map(chr, letters))

    def id(self) -> str:
        return self.text() if self.one_in(6) else self.pick((*NAMES, *NAMES, str(uuid.UUID(int=self.below(1000)))))

    def anything(self, depth: int = 0) -> Json:
        kind = self.below(10 if depth < 4 else 6)
        if kind < 3:
            return self.text()
        if kind < 5:
            return self.pick(NUMBERS)
        if kind == 5:
            return self.pick((None, True, False))
        if kind < 8:
            return [self.anything(depth + 1) for _ in range(self.below(4))]
        return {self.field(): self.anything(depth + 1) for _ in range(self.below(4))}

    def field(self) -> str:
        return self.text() if self.one_in(5) else self.pick(FIELDS)

    def cursors(self) -> Json:
        return {self.id(): self.pick(NUMBERS) if self.one_in(3) else self.below(50) for _ in range(self.below(4))}


COMMANDS: dict[str, dict[str, Callable[[Dice], Json]]] = {
    "ping": {},
    "ack": {"cursors": Dice.cursors, "received": lambda dice: dice.below(1000)},
    "resume": {"cursors": Dice.cursors, "after_run": lambda dice: dice.below(1000)},
    "stop_run": {"run_id": Dice.id},
    "regenerate": {"message_id": Dice.id, "agent": Dice.text},
    "resolve_approval": {
        "run_id": Dice.id,
        "tool_call_id": Dice.text,
        "approved": lambda dice: dice.one_in(2),
        "reason": Dice.text,
    },
    "refresh_token": {"token": lambda dice: dice.text() if dice.one_in(3) else "@token"},
    "user_message": {
        "content": Dice.text,
        "thread_id": Dice.id,
        "agent": lambda dice: dice.text() if dice.one_in(3) else "assistant",
        "message_id": Dice.id,
        "when_busy": lambda dice: dice.pick(("enqueue", "interrupt", "reject")),
        "attachments": lambda dice: [dice.id() for _ in range(dice.below(3))],
    },
}
# Those that ask the database less often: there are to be many.
KINDS = [*COMMANDS, *("ping", "ack", "refresh_token") * 2]
REQUIRED = {"run_id", "message_id", "tool_call_id", "approved", "token", "content"}


def command(dice: Dice) -> dict[str, Json]:
    """As a client means it."""
    kind = dice.pick(KINDS)
    fields = COMMANDS[kind]
    wanted = REQUIRED - {"message_id"} if kind == "user_message" else REQUIRED
    frame = {name: value(dice) for name, value in fields.items() if name in wanted or dice.one_in(4)}
    kind = dice.pick(USER_MESSAGE_TYPES) if kind == "user_message" else kind
    return {"type": kind, "ref": dice.pick(("r", "@run", "x" * 256)), **frame}


def change(dice: Dice, frame: dict[str, Json]) -> None:
    """One thing about it is not as it was."""
    names = sorted(frame)
    match dice.below(5):
        case 0:
            frame.pop(dice.pick(names))
        case 1:
            frame[dice.pick(names)] = dice.anything()
        case 2:
            frame[dice.field()] = dice.anything()
        case 3:
            frame[dice.field()] = frame.pop(dice.pick(names))
        case _:
            frame["type"] = dice.anything() if dice.one_in(3) else dice.pick(TYPES)


def spoiled(dice: Dice, text: str) -> str:
    """The text is broken at one place."""
    at, piece = dice.below(min(65_536, len(text) + 1)), dice.pick(PIECES)
    match dice.below(6):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + text[at + dice.below(20) + 1 :]
        case 2:
            return text[:at] + piece + text[at:]
        case 3:
            return text + text[at:]
        case 4:
            return "[" * dice.below(60) + text + "]" * dice.below(60)
        case _:
            return text[:-1] + ', "type": ' + json.dumps(piece) + "}"


def frame(dice: Dice) -> str | bytes:
    """The next frame of a client. One in a hundred is as large as may be, or larger."""
    kind = dice.below(100)
    if kind == 99:
        return dice.pick(LARGE)
    if kind >= 95:
        return bytes(dice.below(256) for _ in range(dice.below(40)))
    if kind >= 88:
        return json.dumps(dice.anything())
    if kind >= 83:
        return dice.text()
    meant = command(dice)
    if kind >= 42:
        for _ in range(1 + dice.below(4)):
            if meant:
                change(dice, meant)
    text = json.dumps(meant, ensure_ascii=dice.one_in(2))
    return spoiled(dice, text) if 22 <= kind < 42 else text


def sequences(size: int) -> st.SearchStrategy[list[str | bytes]]:
    """So many frames as one client sends them, one after the other."""
    of_each = st.binary(min_size=BYTES_OF_A_FRAME * size, max_size=BYTES_OF_A_FRAME * size)
    places = range(0, BYTES_OF_A_FRAME * size, BYTES_OF_A_FRAME)
    return of_each.map(lambda data: [frame(Dice(data[at : at + BYTES_OF_A_FRAME])) for at in places])


def named(text: str, real: dict[str, str]) -> str:
    """The text with something real for each name."""
    for name, value in real.items():
        text = text.replace(name, value)
    return text
