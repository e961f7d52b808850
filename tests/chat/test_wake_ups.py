"""The message that tells of events: what is sent is what is heard."""

from __future__ import annotations

from chat.delivery import Frame
from chat.wake_ups import MAX_WAKE_UP_CHARACTERS, heard, wake_up

FRAMES = [Frame(4, "a", terminal=False), Frame(5, "é", terminal=False), Frame(6, "c", terminal=True)]


def test_what_is_told_is_heard() -> None:
    told = wake_up("run", 7, FRAMES)
    assert told["frames"] == ["a", "é", "c"], "a layer carries texts"
    assert heard(told) == {**told, "frames": FRAMES}
    assert told["frames"] == ["a", "é", "c"], "what was sent is not changed"


def test_only_the_last_frame_of_a_run_is_terminal() -> None:
    message = heard(wake_up("run", 7, FRAMES[:2]))
    assert [frame.terminal for frame in message["frames"]] == [False, False]


def test_large_events_are_read_from_the_log() -> None:
    large = [Frame(1, "x" * MAX_WAKE_UP_CHARACTERS, terminal=False), Frame(2, "x", terminal=True)]
    message = heard(wake_up("run", 7, large))
    assert message["frames"] == []
    assert (message["first_seq"], message["last_seq"]) == (1, 2)
    assert heard(wake_up("run", 7, large[:1]))["frames"] == large[:1]


def test_what_is_no_wake_up_is_heard_as_it_is() -> None:
    notice = {"type": "thread.notice", "frame": "a", "frames": ["b"]}
    assert heard(notice) is notice
