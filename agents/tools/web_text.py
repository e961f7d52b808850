"""The text of a document from the web: a program that reads the document and writes JSON.

Converting what strangers wrote can take any time and memory, and holds the interpreter meanwhile. So this runs in a
process of its own, under limits of the kernel. Nothing of Netra can be imported here.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sys
import warnings
from typing import NoReturn

MEMORY_BYTES = 1 << 30
LONGEST_TITLE = 200
# Of markup. Parsing takes a second or two of the processor's time for a megabyte.
MOST_BYTES = 500_000

_NOT_TEXT = ("script", "style", "noscript", "template", "svg", "title")
_PROGRAM = re.compile(rb"<(script|style|noscript)[\s>/]")
_LINE_ENDS = re.compile(r"[ \t]{0,200}\n")
_BLANK_LINES = re.compile(r"\n{3,}")


class OutOfTime(Exception):
    """The time of the processor that Markdown may take is over."""


def limit_resources(seconds: int) -> None:
    """After `seconds` of the processor's time OutOfTime is raised, after twice as many the kernel ends the process.

    So it does when too much memory is wanted. Not every system knows each of the limits.
    """
    import resource

    def stop(*_: object) -> NoReturn:
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        raise OutOfTime

    signal.signal(signal.SIGXCPU, stop)
    limits = ((resource.RLIMIT_CPU, seconds, 2 * seconds), (resource.RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES))
    for kind, soft, hard in limits:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (soft, hard))


def html_text(document: bytes, charset: str | None) -> tuple[str, str, bool]:
    """Title and Markdown of a page, and whether the page goes on. Without a charset the page's own word counts."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    whole = without_programs(document)
    markup = whole if len(whole) <= MOST_BYTES else before_unfinished_tag(whole[:MOST_BYTES])
    soup = BeautifulSoup(markup, "html.parser", from_encoding=charset)
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup(_NOT_TEXT):
        tag.decompose()
    try:
        text = MarkdownConverter(strip=["img"], heading_style="ATX").convert_soup(soup)
    except (RecursionError, OutOfTime):
        # Nested more deeply, or more of it, than Markdown can be made of. The words alone are found at once.
        text = soup.get_text("\n")
    return title, text, len(whole) > MOST_BYTES


def without_programs(document: bytes) -> bytes:
    """The page without scripts and styles, of which most pages have more than of anything else. In one pass."""
    lower = document.lower()
    kept, position = [], 0
    while opening := _PROGRAM.search(lower, position):
        kept.append(document[position : opening.start()])
        closing = lower.find(b"</" + opening[1], opening.end())
        end = lower.find(b">", closing) if closing >= 0 else -1
        if end < 0:
            return b"".join(kept)
        position = end + 1
    return b"".join([*kept, document[position:]])


def before_unfinished_tag(markup: bytes) -> bytes:
    before, _, tag = markup.rpartition(b"<")
    return markup if b">" in tag else before


def plain(document: bytes, charset: str | None) -> str:
    try:
        return document.decode(charset or "utf-8", "replace")
    except LookupError:
        return document.decode("utf-8", "replace")


def main(kind: str, charset: str, limit: str, seconds: str) -> None:
    limit_resources(int(seconds))
    warnings.simplefilter("ignore")
    document = sys.stdin.buffer.read()
    if kind == "html":
        title, text, goes_on = html_text(document, charset or None)
    else:
        title, text, goes_on = "", plain(document, charset or None), False
    text = _BLANK_LINES.sub("\n\n", _LINE_ENDS.sub("\n", text.replace("\r\n", "\n"))).strip()
    part = text[: int(limit)]
    json.dump({"title": title[:LONGEST_TITLE], "text": part, "goes_on": goes_on or part != text}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
