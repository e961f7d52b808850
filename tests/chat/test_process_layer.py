"""The channel layer of one process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels.exceptions import ChannelFull

from chat.process_layer import ProcessLayer

MESSAGE = {"type": "x", "frames": ["a"]}


async def joined(layer: ProcessLayer, group: str) -> str:
    channel = await layer.new_channel()
    await layer.group_add(group, channel)
    return channel


def waiting(layer: ProcessLayer, channel: str) -> list[Any]:
    queue = layer.channels[channel]
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def test_all_of_a_group_are_given_the_same_message_in_order() -> None:
    layer = ProcessLayer()
    one, two, other = await joined(layer, "a"), await joined(layer, "a"), await joined(layer, "b")
    await layer.group_send("a", MESSAGE)
    await layer.group_send("a", {"type": "y"})
    assert await layer.receive(one) is MESSAGE
    assert waiting(layer, one) == [{"type": "y"}]
    assert waiting(layer, two) == [MESSAGE, {"type": "y"}]
    assert waiting(layer, other) == []


async def test_a_reader_waits_for_what_comes() -> None:
    layer = ProcessLayer()
    channel = await joined(layer, "a")
    reading = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)
    assert not reading.done()
    await layer.group_send("a", MESSAGE)
    assert await reading is MESSAGE


async def test_who_does_not_read_loses_what_is_too_much_and_nobody_else() -> None:
    layer = ProcessLayer(capacity=2)
    idle, reader = await joined(layer, "a"), await joined(layer, "a")
    for number in range(4):
        await layer.group_send("a", {"type": str(number)})
        assert (await layer.receive(reader))["type"] == str(number)
    assert [message["type"] for message in waiting(layer, idle)] == ["0", "1"]
    await layer.send(idle, MESSAGE)
    await layer.send(idle, MESSAGE)
    with pytest.raises(ChannelFull):
        await layer.send(idle, MESSAGE)


async def test_who_leaves_leaves_nothing_behind() -> None:
    layer = ProcessLayer()
    one, two = await joined(layer, "a"), await joined(layer, "a")
    await layer.group_discard("a", one)
    await layer.group_discard("a", one)
    await layer.group_send("a", MESSAGE)
    await layer.send(one, MESSAGE)
    assert waiting(layer, two) == [MESSAGE]
    await layer.group_discard("a", two)
    assert (layer.channels, layer.groups) == ({}, {})
    await layer.group_send("a", MESSAGE)


async def test_flushing_forgets_everybody() -> None:
    layer = ProcessLayer()
    await joined(layer, "a")
    await layer.flush()
    assert (layer.channels, layer.groups) == ({}, {})
