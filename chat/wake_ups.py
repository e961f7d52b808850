"""The message that tells connections of the events of a run: as it goes over a channel layer, and as it is heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chat.delivery import Frame

WAKE_UP = "run.events"
# Larger wake-ups carry numbers only; the connections read such events from the log.
MAX_WAKE_UP_CHARACTERS = 256 * 1024


def wake_up(run_id: str, run_number: int, frames: Sequence[Frame]) -> dict[str, Any]:
    """The layer's message for events `frames[0].seq` to `frames[-1].seq` of a run: names, numbers and texts."""
    small = sum(len(frame.text) for frame in frames) <= MAX_WAKE_UP_CHARACTERS
    return {
        "type": WAKE_UP,
        "run_id": run_id,
        "run_number": run_number,
        "first_seq": frames[0].seq,
        "last_seq": frames[-1].seq,
        "terminal": frames[-1].terminal,
        "frames": [frame.text for frame in frames] if small else [],
    }


def heard(message: dict[str, Any]) -> dict[str, Any]:
    """A layer's message as all its listeners in this process are given it: the `frames` of a wake-up are Frames.

    They are made here, once, and not by each of a thousand connections.
    """
    if message["type"] != WAKE_UP:
        return message
    first, texts = message["first_seq"], message["frames"]
    last = first + len(texts) - 1
    frames = [
        Frame(seq=seq, text=text, terminal=message["terminal"] and seq == last) for seq, text in enumerate(texts, first)
    ]
    return {**message, "frames": frames}
