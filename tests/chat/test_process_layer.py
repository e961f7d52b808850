"""The channel layer of one process."""

from __future__ import annotations

from typing import Any

from chat.delivery import Frame
from chat.process_layer import ProcessLayer
from chat.wake_ups import wake_up

MESSAGE = {"type": "x", "frames": ["a"]}


async def joined(layer: ProcessLayer, group: str) -> list[Any]:
    heard: list[Any] = []
    await layer.listen(group, heard.append)
    return heard


async def test_all_of_a_group_are_told_the_same_message_in_order() -> None:
    layer = ProcessLayer()
    one, two, other = await joined(layer, "a"), await joined(layer, "a"), await joined(layer, "b")
    await layer.group_send("a", MESSAGE)
    await layer.group_send("a", {"type": "y"})
    assert one == two == [MESSAGE, {"type": "y"}]
    assert one[0] is two[0] is MESSAGE
    assert other == []


async def test_frames_are_made_once_for_all_of_a_group() -> None:
    layer = ProcessLayer()
    one, two = await joined(layer, "a"), await joined(layer, "a")
    frame = Frame(1, "text", terminal=False)
    await layer.group_send("a", wake_up("run", 1, [frame]))
    assert one[0]["frames"] == [frame]
    assert one[0]["frames"][0] is two[0]["frames"][0]


async def test_who_leaves_hears_nothing_more_and_leaves_nothing_behind() -> None:
    layer = ProcessLayer()
    one, two = await joined(layer, "a"), await joined(layer, "a")
    await layer.leave("a", one.append)
    await layer.leave("a", one.append)
    await layer.group_send("a", MESSAGE)
    assert (one, two) == ([], [MESSAGE])
    await layer.leave("a", two.append)
    assert layer.groups == {}
    await layer.group_send("a", MESSAGE)


async def test_who_leaves_while_a_message_is_told_takes_nobody_along() -> None:
    layer = ProcessLayer()
    heard: list[str] = []

    def leaving(message: dict[str, Any]) -> None:
        heard.append("first")
        layer.groups["a"].pop(leaving)

    await layer.listen("a", leaving)
    await layer.listen("a", lambda _: heard.append("second"))
    await layer.group_send("a", MESSAGE)
    await layer.group_send("a", MESSAGE)
    assert heard == ["first", "second", "second"]


async def test_flushing_forgets_everybody() -> None:
    layer = ProcessLayer()
    await joined(layer, "a")
    await layer.flush()
    assert layer.groups == {}
