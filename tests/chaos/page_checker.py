"""The verdict on pages: what their pages, consoles and growing answers have shown against REST and the log."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.page_record import POLICY, PageRecord, StoredThread, contents, letters
from tests.chaos.record import LoggedRun


@dataclass(slots=True)
class PageVerdict:
    """All counts must be 0. `examples` shows the first few of each kind."""

    different: int = 0  # from what REST has, in text, number, order or state
    broken_growth: int = 0  # an answer, while it grew, said something that is not the beginning of what is stored
    lost: int = 0  # sent through a page, and not stored
    posted_twice: int = 0
    console: int = 0
    policy: int = 0
    page_errors: int = 0
    not_decided: int = 0  # a request was answered in the page, and the log says something else
    examples: list[str] = field(default_factory=list)

    def count(self, kind: str, example: str, number: int = 1) -> None:
        setattr(self, kind, getattr(self, kind) + number)
        if sum(shown.startswith(f"{kind}:") for shown in self.examples) < 5:
            self.examples.append(f"{kind}: {example}")

    @property
    def counts(self) -> dict[str, int]:
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "examples"}

    @property
    def is_clean(self) -> bool:
        return not any(self.counts.values())


def check_pages(
    pages: Sequence[PageRecord],
    threads: Mapping[int, Sequence[StoredThread]],
    log: Mapping[str, LoggedRun],
    textual: Callable[[str], str],
) -> PageVerdict:
    """`threads` are those of each person, by user id, all branches; `textual` is the text of rendered Markdown."""
    verdict = PageVerdict()
    for page in pages:
        for told in page.faulty:
            verdict.count("different", f"{page.name}: {told}")
        for text in page.console:
            verdict.count("policy" if POLICY in text else "console", f"{page.name}: {text}")
        for text in page.page_errors:
            verdict.count("page_errors", f"{page.name}: {text}")
        _check_growth(page, log, textual, verdict)
    for user_id, own in threads.items():
        _check_sent([page for page in pages if page.user_id == user_id], own, verdict)
        _check_decisions([page for page in pages if page.user_id == user_id], own, log, verdict)
    return verdict


def _check_growth(
    page: PageRecord, log: Mapping[str, LoggedRun], textual: Callable[[str], str], verdict: PageVerdict
) -> None:
    """Of runs that were begun once: what a lost worker said is void."""
    for run_id, seen in page.growing.items():
        run = log.get(run_id)
        if run is None or any(event.type == "agent_restarted" for event in run.events):
            continue
        whole = letters(textual(run.answer or ""))
        for text in seen:
            if not whole.startswith(text):
                verdict.count("broken_growth", f"{page.name}, run {run_id}: {text[-60:]!r} is not in {whole!r}")
                break


def _check_sent(pages: Sequence[PageRecord], threads: Sequence[StoredThread], verdict: PageVerdict) -> None:
    sent: Counter[str] = sum((page.sent for page in pages), Counter())
    stored = contents(threads)
    for content in sent.keys() | stored.keys():
        number = stored[content] - sent[content]
        if number:
            kind = "posted_twice" if number > 0 else "lost"
            verdict.count(kind, f"{content!r} was sent {sent[content]} times and is there {stored[content]} times")


def _check_decisions(
    pages: Sequence[PageRecord],
    threads: Sequence[StoredThread],
    log: Mapping[str, LoggedRun],
    verdict: PageVerdict,
) -> None:
    """Where one page alone has answered, its answer holds, unless the run was ended before."""
    asked = {message["id"]: message["content"] for each in threads for message in each.messages}
    runs = {asked[run.message_id]: run for run in log.values() if run.message_id in asked}
    for page in pages:
        for content, approved in page.decided.items():
            run = runs.get(content)
            others = {other.decided.get(content, approved) for other in pages}
            if run is None or others != {approved}:
                continue
            first = next((event.data for event in run.events if event.type == "approval_resolved"), {"by": "cancelled"})
            if first["by"] == "user" and first["approved"] is not approved:
                verdict.count("not_decided", f"{page.name}: {content!r} was answered {approved}, and is {first}")
