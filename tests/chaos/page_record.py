"""What is compared of a page: what it shows at a moment, and what REST has of the same thread. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

OPEN = frozenset({"queued", "running", "awaiting_approval"})
# How Chromium tells on the console of a request or socket that a fault has cut, or that found a service missing.
NETWORK_ERROR = re.compile(
    r"Failed to load resource: (net::ERR_[A-Z0-9_]+|the server responded with a status of (502|503|504) \([\w ]*\))"
    r"|WebSocket connection to 'wss?://[^']+/ws' failed: .*",
    re.DOTALL,
)
NOT_FOUND = re.compile(r"Failed to load resource: the server responded with a status of 404 \([\w ]*\)")
POLICY = "Content Security Policy"


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """One message of the page. The status of a question is that of its sending, of an answer that of its run."""

    role: str
    id: str | None
    run_id: str | None
    status: str
    text: str
    unread: bool = False  # its Markdown is still to be made


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message that waits for the answer before it."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class PageView:
    """What stands in the page at one moment."""

    screen: str  # chat, sign-in, or blank: whatever else
    thread_id: str | None = None
    loaded: bool = False
    connection: str = ""
    messages: tuple[ShownMessage, ...] = ()
    queued: tuple[QueuedMessage, ...] = ()
    moving: tuple[str, ...] = ()  # whatever says that something goes on: spinners, the stop button, busy rows
    approvals: int = 0
    sideways: int = 0  # pixels that it can be scrolled to the side
    composer: bool = False

    def question(self, message_id: str) -> ShownMessage | None:
        return next((shown for shown in self.messages if shown.role == "user" and shown.id == message_id), None)

    def answers_to(self, message_id: str) -> list[ShownMessage]:
        """Those that stand between this question and the next."""
        found: list[ShownMessage] = []
        asked = False
        for shown in self.messages:
            if shown.role == "user":
                asked = shown.id == message_id
            elif asked:
                found.append(shown)
        return found


@dataclass(frozen=True, slots=True)
class StoredThread:
    """A thread by `GET /api/threads/<id>/messages`, all its pages."""

    thread_id: str
    messages: tuple[Mapping[str, Any], ...]
    runs: tuple[Mapping[str, Any], ...]

    @property
    def has_ended(self) -> bool:
        return all(run["status"] not in OPEN for run in self.runs)

    def shown(self, textual: Callable[[str], str]) -> list[ShownMessage]:
        """As a page must show it, each question with its answers; `textual` is the text of rendered Markdown."""
        content = {message["id"]: message["content"] for message in self.messages}
        listed: list[ShownMessage] = []
        for message in self.messages:
            if message["role"] != "user":
                continue
            listed.append(ShownMessage("user", message["id"], None, "sent", message["content"]))
            listed += [
                ShownMessage(
                    "assistant",
                    run["output_message_id"],
                    run["id"],
                    run["status"],
                    textual(content.get(run["output_message_id"], "")),
                )
                for run in sorted(self.runs, key=lambda run: int(run["run_number"]))
                if run["input_message_id"] == message["id"]
                and (run["output_message_id"] is None or run["output_message_id"] in content)
            ]
        return listed


def differences(view: PageView, stored: StoredThread, textual: Callable[[str], str]) -> list[str]:
    """In what the page is not what REST has, once all runs have ended: nothing may be missing, twice or moving."""
    wanted = stored.shown(textual)
    told = [] if view.thread_id == stored.thread_id else [f"it shows thread {view.thread_id}"]
    if [one_of(shown) for shown in view.messages] != [one_of(shown) for shown in wanted]:
        told.append(f"shown {[brief(shown) for shown in view.messages]} instead of {[brief(each) for each in wanted]}")
    else:
        told += [
            f"{brief(shown)} says {shown.text!r} instead of {each.text!r}"
            for shown, each in zip(view.messages, wanted, strict=True)
            if shown.text != each.text
        ]
    told += [f"{what} is left" for what in view.moving]
    if view.approvals:
        told.append(f"{view.approvals} requests for approval are left")
    return told + unfit(view)


def unfit(view: PageView) -> list[str]:
    """What is wrong with a page whatever it shows."""
    told = []
    if view.screen != "chat":
        return [f"it shows no chat but {view.screen}"]
    if not view.composer:
        told.append("the composer cannot be used")
    if view.sideways > 0:
        told.append(f"it scrolls {view.sideways} pixels to the side")
    ids = Counter(shown.id for shown in view.messages if shown.role == "user")
    ids.update(shown.run_id for shown in view.messages if shown.role != "user")
    told += [f"{name} is shown {number} times" for name, number in ids.items() if number > 1]
    return told


def one_of(shown: ShownMessage) -> tuple[str, str | None, str | None, str]:
    return shown.role, shown.id, shown.run_id, shown.status


def brief(shown: ShownMessage) -> str:
    name = shown.id if shown.role == "user" else shown.run_id
    return f"{shown.role} {(name or '?')[:8]} {shown.status}"


def letters(text: str) -> str:
    return re.sub(r"\W", "", text)


def even(text: str) -> str:
    """Text whose white space is one space each: what stands between the elements of a table or list is no text."""
    return re.sub(r"\s+", " ", text).strip()


def text_of(html: str) -> str:
    """The text of HTML as `Element.textContent` has it, even."""
    parts: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            parts.append(data)

    reader = Reader(convert_charrefs=True)
    reader.feed(html)
    reader.close()
    return even("".join(parts))


@dataclass(slots=True)
class PageRecord:
    """One page over its whole life."""

    name: str
    user_id: int
    sent: Counter[str] = field(default_factory=Counter)  # contents, by how often they were sent
    deeds: Counter[str] = field(default_factory=Counter)
    decided: dict[str, bool] = field(default_factory=dict)  # what was pressed first, by the question's content
    growing: dict[str, list[str]] = field(default_factory=dict)  # letters of answers while they grew, by run
    network_errors: int = 0
    console: list[str] = field(default_factory=list)  # anything else that the console was told
    page_errors: list[str] = field(default_factory=list)
    faulty: list[str] = field(default_factory=list)  # differences, where and in what
    sockets: int = 0
    answers_compared: int = 0
    threads_compared: int = 0
    opened_again: int = 0  # by the person, since a fault left no page

    def told(self, kind: str, text: str, url: str) -> None:
        """A message of the console, about this address. The proxy's error page names no icon: Chromium asks for one."""
        if kind not in ("error", "warning"):
            return
        if NETWORK_ERROR.fullmatch(text) or (NOT_FOUND.fullmatch(text) and urlsplit(url).path == "/favicon.ico"):
            self.network_errors += 1
        else:
            self.console.append(f"{text} ({url})")

    def saw(self, view: PageView) -> None:
        """Remember what answers say while they grow."""
        for shown in view.messages:
            if shown.role == "assistant" and shown.status in OPEN and shown.run_id and shown.text:
                seen = self.growing.setdefault(shown.run_id, [])
                if not seen or seen[-1] != letters(shown.text):
                    seen.append(letters(shown.text))


def contents(threads: Sequence[StoredThread]) -> Counter[str]:
    """What a person has said, by how often."""
    return Counter(message["content"] for each in threads for message in each.messages if message["role"] == "user")
