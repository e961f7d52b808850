"""What the offline model says of attached files: what anybody sees who opens them."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_ai.messages import ModelMessage, TextContent, UserPromptPart

from agents.attached import is_whole, referred, shown_text
from agents.offline.usage_answer import escaped
from agents.request import AttachedFile

FIRST_LINES = 5
LONGEST_BEGINNING = 1200
MORE = "That is all I can do with files: what they mean, a language model has to say, and none is connected here."


def files_answer(messages: Sequence[ModelMessage]) -> str:
    """About the files of the last question; empty when it has none."""
    prompts = [part for message in messages for part in message.parts if isinstance(part, UserPromptPart)]
    if not prompts or isinstance(prompts[-1].content, str):
        return ""
    items = [(file, item) for item in prompts[-1].content if (file := referred(item)) is not None]
    told = [_told(file, item) for file, item in items if isinstance(item, TextContent)]
    return "\n\n".join([*told, MORE]) if told else ""


def _told(file: AttachedFile, item: TextContent) -> str:
    if file.is_image:
        return f"**{escaped(file.name)}** is an image of {file.bytes:,} bytes. I cannot see images."
    text = shown_text(item)
    if text is None:
        return f"**{escaped(file.name)}** is text of {file.bytes:,} bytes. I could not read it here."
    lines = text.splitlines()
    number = f"{len(lines):,} {'line' if len(lines) == 1 else 'lines'}"
    counted = number if is_whole(item) else f"of which I read {number}"
    about = f"**{escaped(file.name)}** is text of {file.bytes:,} bytes, {counted}."
    beginning = "\n".join(lines[:FIRST_LINES])[:LONGEST_BEGINNING].replace("`", "'").rstrip()
    if not beginning:
        return about
    return f"{about} It begins:\n\n```text\n{beginning}\n```"
