"""Server-sent events as text."""

from __future__ import annotations

import json

from chat.streams.sse import ServerEvent


def test_an_event_is_whole_for_readers_that_take_more_for_the_end_of_a_line() -> None:
    content = "one\u2028two\u2029three\x85four\x1cfive\r\nsix"
    event = ServerEvent(json.dumps({"content": content}, ensure_ascii=False), id="7").encode().decode()
    place, data, end = event.splitlines()
    assert (place, end) == ("id: 7", "")
    assert json.loads(data.removeprefix("data: ")) == {"content": content}
