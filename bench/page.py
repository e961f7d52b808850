"""The budgets of the web chat's page, measured in Chromium: `python -m bench.page [--check] [--write]`.

A real server and the real page. The answer is that of tests/e2e/applications/paced_agents.py, 11 KB of Markdown. The
server gathers text for 40 ms, so that it sends some 25 deltas a second: to have 2,000 of them, 250 a second, the page's
socket is fed through bench/page_probe.js, which divides them. `--write` puts the table into docs/page-budgets.md; with
`--check` the exit code is 1 when something is more than twice its budget.

What the machine does besides makes all times longer, so a time is the median of several. That of the main thread is
`ThreadTime`, which has what it computed and not what it waited for a processor.
"""

from __future__ import annotations

import gzip
import os
import statistics
import sys
import tempfile
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, expect

from tests.browser import WHOLE_CHROMIUM, answers, ask, choose_agent, chromium, sign_in
from tests.clients import SECRET_KEY, Account
from tests.e2e.applications.paced_agents import MARKDOWN, SECTION
from tests.live import LiveServer
from tests.processes import REPOSITORY

PROBE = REPOSITORY / "bench/page_probe.js"
DOCUMENT = REPOSITORY / "docs/page-budgets.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
ROUNDS = 5
PIECES, RATE = 2000, 250.0
MESSAGES = 1000
WIDE_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured. A budget of None is none; `least` says that more is better."""

    name: str
    measured: float
    unit: str
    budget: float | None = None
    least: bool = False

    def row(self) -> str:
        bound = "" if self.budget is None else f"{'at least ' if self.least else ''}{self._shown(self.budget)}"
        return f"| {self.name} | {bound} | {self._shown(self.measured)} |"

    def _shown(self, value: float) -> str:
        return f"{value:,.1f} {self.unit}" if self.unit in ("KB", "s", "MB") else f"{value:,.0f} {self.unit}"

    def is_far_beyond(self) -> bool:
        if self.budget is None:
            return False
        if self.least:
            return self.measured < self.budget / WIDE_MARGIN
        return self.measured > self.budget * WIDE_MARGIN


class Measured:
    """One person's page, and what the browser tells of it."""

    def __init__(self, context: BrowserContext, server: LiveServer, account: Account) -> None:
        context.add_init_script(path=PROBE)
        self.page: Page = context.new_page()
        self.cdp: CDPSession = context.new_cdp_session(self.page)
        self.cdp.send("Performance.enable")
        sign_in(self.page, server.url, account)
        choose_agent(self.page, "paced")

    def metric(self, name: str) -> float:
        metrics = self.cdp.send("Performance.getMetrics")["metrics"]
        return next(float(metric["value"]) for metric in metrics if metric["name"] == name)

    def throttle(self, rate: int) -> None:
        self.cdp.send("Emulation.setCPUThrottlingRate", {"rate": rate})

    def memory(self) -> float:
        """Megabytes that are in use after what is garbage was collected."""
        self.cdp.send("HeapProfiler.collectGarbage")
        return self.metric("JSHeapUsedSize") / 1e6

    def evaluate(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def new_chat(self) -> None:
        self.page.get_by_test_id("new-thread").click()
        expect(self.page.locator(".welcome")).to_be_visible()


def sizes(server: LiveServer) -> Iterator[Figure]:
    """Of the files that the page loads, compressed as a proxy or a CDN does."""
    files = {"app.js": 75.0, "app.css": 10.0, "theme.js": 1.0, "markdown.js": 35.0, "highlight.js": 35.0}
    files |= {"seldom.js": 10.0, "settings.js": 15.0, "settings.css": 5.0}
    for name, budget in files.items():
        with urllib.request.urlopen(f"{server.url}/static/chat/{name}") as answer:  # noqa: S310 - our own server
            yield Figure(f"`{name}`, gz", len(gzip.compress(answer.read(), 9)) / 1000, "KB", budget)


FIRST_DELTA = """async () => {
    probe.arrivals.length = 0;
    const count = document.querySelectorAll('[data-testid="answer"]').length;
    probe.shown = probe.painted(() => document.querySelectorAll('[data-testid="answer"]').length > count);
}"""
SENT = """() => {
    const count = document.querySelectorAll(".bubble").length;
    const entered = new Promise((done) => addEventListener("keydown", (event) => {
        if (event.key === "Enter") done(performance.now());
    }, { capture: true }));
    const shown = probe.painted(() => document.querySelectorAll(".bubble").length > count);
    probe.sent = Promise.all([entered, shown]).then(([from, to]) => to - from);
}"""


def first_delta(measured: Measured) -> float:
    """From the arrival of the frame to the paint that shows it."""

    def once() -> float:
        count = answers(measured.page).count()
        measured.evaluate(FIRST_DELTA)
        ask(measured.page, "short")
        taken = measured.evaluate("async () => (await probe.shown) - probe.arrivals[0]")
        expect(answers(measured.page)).to_have_count(count + 1)
        return float(taken)

    once()
    return statistics.median(once() for _ in range(ROUNDS))


def own_message(measured: Measured) -> float:
    def once() -> float:
        count = answers(measured.page).count()
        measured.evaluate(SENT)
        measured.page.get_by_test_id("composer").fill("short")
        measured.page.keyboard.press("Enter")
        taken = measured.evaluate("() => probe.sent")
        expect(answers(measured.page)).to_have_count(count + 1)
        return float(taken)

    return statistics.median(once() for _ in range(ROUNDS))


def stream(measured: Measured, above: str) -> Iterator[Figure]:
    """2,000 pieces at 250 a second."""
    count = answers(measured.page).count()
    measured.evaluate("() => { probe.arrivals.length = 0; probe.watchFrames(); }")
    measured.evaluate("(pace) => { probe.pace = pace; }", {"every": 1000 / RATE, "length": len(MARKDOWN) / PIECES})
    before = measured.metric("ThreadTime")
    ask(measured.page, "at length")
    expect(answers(measured.page)).to_have_count(count + 1, timeout=120_000)
    taken = measured.metric("ThreadTime") - before
    frames = measured.evaluate("() => probe.takeFrames()")
    arrivals = measured.evaluate("() => { probe.pace = null; return probe.arrivals; }")
    assert len(arrivals) >= PIECES * 0.9, f"only {len(arrivals)} frames came"
    rate = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]) * 1000
    name = f"{len(arrivals):,} deltas, {above}"
    yield Figure(f"main thread, {name}", taken, "s", 3.0)
    yield Figure(f"frames a second, {name}", 1000 * len(frames) / sum(frames), "fps")
    yield Figure(f"deltas a second, {name}", rate, "a second")


OPEN = """(id) => {
    const link = document.querySelector(`[data-thread-id="${id}"]`);
    const from = performance.now();
    const newest = () => [...document.querySelectorAll(".bubble")].at(-1)?.textContent;
    const shown = probe.painted(() => newest() === "the newest");
    link.click();
    return shown.then((to) => to - from);
}"""


def opening(measured: Measured, thread_id: str) -> float:
    """From the click to the paint that has its newest messages."""

    def once() -> float:
        measured.new_chat()
        return float(measured.evaluate(OPEN, thread_id))

    once()
    return statistics.median(once() for _ in range(ROUNDS + 2))


def scrolling(measured: Measured, way: int) -> float:
    """The frame time that 95 % of the frames do not exceed while the wheel turns through the whole thread."""
    page = measured.page
    box = page.locator(".scroller").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    end = "() => { const s = document.querySelector('.scroller'); return %s; }" % (
        "s.scrollTop <= 0 && !document.querySelector('.earlier')"
        if way < 0
        else "s.scrollHeight - s.scrollTop - s.clientHeight < 2"
    )
    measured.evaluate("() => probe.watchFrames()")
    # Each turn of the wheel is a frame of its own.
    while not measured.evaluate(end):
        for _ in range(10):
            page.mouse.wheel(0, way * 500)
    return percentile(measured.evaluate("() => probe.takeFrames()"), 0.95)


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)]


def interactive(measured: Measured, *, cold: bool) -> float:
    """From the navigation to a page that has the list and takes what is typed."""

    def once() -> float:
        if cold:
            measured.cdp.send("Network.clearBrowserCache")
        measured.page.reload()
        return float(measured.evaluate("() => probe.usable"))

    once()
    return statistics.median(once() for _ in range(ROUNDS))


def write_thread(server: LiveServer, account: Account, messages: int) -> str:
    """Questions, and answers of Markdown; the last word of the newest question is known."""
    thread_id = str(uuid.uuid4())
    answer = SECTION.format(number=7)
    values = {"thread": thread_id, "user": account.id, "answer": answer, "turns": messages // 2}
    with server.database() as connection:
        connection.execute(
            """INSERT INTO chat_thread (id, user_id, title, title_origin, created_at, updated_at)
               VALUES (%(thread)s, %(user)s, 'Long', 'user', now(), now())""",
            values,
        )
        connection.execute(
            """WITH place AS (
                SELECT COALESCE((SELECT max(id) FROM chat_message), 0) AS message,
                       COALESCE((SELECT max(run_number) FROM chat_run WHERE user_id = %(user)s), 0) AS run
            ), said AS (
                INSERT INTO chat_message (id, message_id, user_id, thread_id, parent_id, role, content, run_number,
                                          partial, created_at)
                SELECT place.message + 2 * n + a, gen_random_uuid(), %(user)s, %(thread)s,
                       CASE WHEN n + a > 1 THEN place.message + 2 * n + a - 1 END,
                       CASE a WHEN 0 THEN 'user' ELSE 'assistant' END,
                       CASE WHEN a = 1 THEN %(answer)s WHEN n = %(turns)s THEN 'the newest' ELSE 'Question ' || n END,
                       place.run + n, false, now()
                FROM place, generate_series(1, %(turns)s) n, generate_series(0, 1) a
            )
            INSERT INTO chat_run (id, run_number, user_id, thread_id, input_message_id, output_message_id, agent,
                                  status, claim, attempt, last_seq, restart_seq, error_code, error_message,
                                  cancelled_by, created_at, started_at, finished_at)
            SELECT gen_random_uuid(), place.run + n, %(user)s, %(thread)s, place.message + 2 * n,
                   place.message + 2 * n + 1, 'paced', 'completed', 1, 1, 1, 1, '', '', '', now(), now(), now()
            FROM place, generate_series(1, %(turns)s) n""",
            values,
        )
        connection.execute("SELECT setval(pg_get_serial_sequence('chat_message', 'id'), max(id) + 1) FROM chat_message")
        connection.execute(
            """INSERT INTO chat_usercounters (user_id, last_run_number, threads_version) VALUES (%(user)s, %(turns)s, 1)
               ON CONFLICT (user_id) DO UPDATE SET last_run_number = chat_usercounters.last_run_number + %(turns)s,
                                                   threads_version = chat_usercounters.threads_version + 1""",
            values,
        )
    return thread_id


@contextmanager
def a_page(browser: Browser, server: LiveServer, account: Account) -> Iterator[Measured]:
    with browser.new_context(viewport={"width": 1100, "height": 760}) as context:
        yield Measured(context, server, account)


def measure(server: LiveServer, browser: Browser) -> Iterator[Figure]:
    yield from sizes(server)
    with a_page(browser, server, server.add_user("ann")) as measured:
        yield Figure("first delta to paint", first_delta(measured), "ms", 100)
        measured.throttle(4)
        yield Figure("first delta to paint, CPU 4 times slower", first_delta(measured), "ms", 250)
        measured.throttle(1)
        yield Figure("Enter to one's own message", own_message(measured), "ms", 100)
        measured.new_chat()
        yield from stream(measured, "nothing above")
        yield Figure("memory after it", measured.memory(), "MB")
    account = server.add_user("bob")
    thread_id = write_thread(server, account, MESSAGES)
    with a_page(browser, server, account) as measured:
        yield Figure("time to use, cold", interactive(measured, cold=True), "ms")
        yield Figure("time to use, warm", interactive(measured, cold=False), "ms")
        yield Figure(f"a thread of {MESSAGES:,} messages opens", opening(measured, thread_id), "ms", 300)
        yield Figure("memory with its newest page", measured.memory(), "MB")
        yield from stream(measured, f"in a thread of {MESSAGES:,} messages")
        yield Figure("p95 frame, scrolling it the first time", scrolling(measured, -1), "ms", 34)
        yield Figure("p95 frame, scrolling it back", scrolling(measured, 1), "ms", 34)
        yield Figure("memory with all of it", measured.memory(), "MB")
        yield from stream(measured, f"{MESSAGES:,} messages above, all of them loaded")


@contextmanager
def a_server() -> Iterator[LiveServer]:
    with tempfile.TemporaryDirectory(prefix="netra-bench-") as folder:
        data_dir = Path(folder)
        data_dir.chmod(0o755)
        agents = "tests.e2e.applications.paced_agents:AGENTS"
        with LiveServer(data_dir, agents=agents) as server:
            yield server


def figures(told: Callable[[Figure], None] = lambda _figure: None) -> list[Figure]:
    with ExitStack() as stack:
        server = stack.enter_context(a_server())
        found = []
        for figure in measure(server, stack.enter_context(chromium(WHOLE_CHROMIUM))):
            told(figure)
            found.append(figure)
        return found


def written(found: Sequence[Figure]) -> str:
    """The document with these figures in it."""
    text = DOCUMENT.read_text()
    table = "\n".join(("| budget | at most | measured |", "|---|---|---|", *(figure.row() for figure in found)))
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    # Of this process, which makes the hashes of passwords.
    os.environ |= {"DJANGO_SETTINGS_MODULE": "netra.settings", "NETRA_SECRET_KEY": SECRET_KEY}
    print("| budget | at most | measured |\n|---|---|---|")
    found = figures(lambda figure: print(figure.row(), flush=True))
    if "--write" in sys.argv:
        DOCUMENT.write_text(written(found))
    missed = [figure.name for figure in found if figure.is_far_beyond()]
    if missed:
        print(f"\nMore than {WIDE_MARGIN:g} times its budget: {', '.join(missed)}")
    return 1 if missed and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
