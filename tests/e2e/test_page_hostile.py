"""What a text may do to the page, wherever it stands: nothing. In Chromium, with agents that say what they are told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, Dialog, Locator, Page, Request, ViewportSize, expect

from tests.browser import STILL, answers, ask, choose_agent, profile, sign_in
from tests.clients import Account
from tests.e2e.applications.hostile_agents import END, LARGE
from tests.e2e.conftest import own_server
from tests.live import LiveServer
from tests.processes import PATIENCE_SECONDS

ELSEWHERE = "https://elsewhere.example"
SCRIPTS = f"""<script>canary = 1</script><script src="{ELSEWHERE}/a.js"></script>
<img src=x onerror="canary = 1"><img src="{ELSEWHERE}/a.png">
<svg onload="canary = 1"><animate onbegin="canary = 1"/></svg>
<math><mtext></p><style><!--</style><img title="--&gt;&lt;img src=x onerror=canary=1&gt;"></math>
<iframe srcdoc="<script>parent.canary = 1</script>"></iframe><object data="{ELSEWHERE}/a.swf"></object>
<style>* {{ display: none }} @import "{ELSEWHERE}/a.css";</style><link rel=stylesheet href="{ELSEWHERE}/a.css">
<base href="{ELSEWHERE}/"><meta http-equiv=refresh content="0;url={ELSEWHERE}/"><form action="{ELSEWHERE}/"><button>
<details open ontoggle="canary = 1"><video src="{ELSEWHERE}/a.mp4" autoplay onerror="canary = 1"></video><!-- --!> <b"""
LINKS = f"""[a](javascript:canary=1) [b](JaVaScRiPt:canary=1) [c](&#106;avascript:canary=1)
[d](java&Tab;script:canary=1) [e](data:text/html,<script>canary=1</script>) [f](vbscript:canary=1)
[g](\x01javascript:canary=1) [h](//elsewhere.example) <javascript:canary=1> [k](javascript&colon;canary=1)
![i]({ELSEWHERE}/a.png) ![j](data:image/svg+xml,<svg/onload=canary=1>) [l]({ELSEWHERE} "https://bank.example/")
[https://bank.example/]({ELSEWHERE}/login) <https://bank.example@elsewhere.example>

[m]: javascript:canary=1
[m] and [n][m]"""
CLOBBERED = """<a id=chat name=chat>1</a><form id=conversation name=getElementById><input name=body>
<input id=sidebar><img name=cookie><iframe name=localStorage></iframe><a id=__proto__ name=constructor>2</a>
[](#chat) [__proto__] [constructor]"""
DIRECTIONS = "left \u202eright to left\u202c \u2067isolate \u202d override \u200f mark \u2066 never closed \u202e"
UNSEEN = "\u200b\u200c\u200d\u2060\ufeff"
MARKS = "Z\u0301\u0302" + "\u0300\u0315\u0489" * 400 + " al" + "\u0335\u20dd" * 200 + f"go {UNSEEN} end"
LONG = "x" * 4000 + " " + f"{ELSEWHERE}/" + "y" * 4000
BROKEN = """| a |
|-|
| ```` | <td> |

```js
x
````
~~~
**_ [x](<y
> - ```
1. > # <!--

</div></article></main>"""
TEXTS = (SCRIPTS, LINKS, CLOBBERED, DIRECTIONS, MARKS, LONG, BROKEN)
WIDE: ViewportSize = {"width": 1280, "height": 760}
SIZES: tuple[ViewportSize, ...] = (WIDE, {"width": 360, "height": 640})

WATCH = """
globalThis.violations = [];
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    violations.push(`${violatedDirective} ${blockedURI}`));
"""
LAYOUT = """() => {
    const box = (name) => document.querySelector(name).getBoundingClientRect().toJSON();
    const field = box('[data-testid="composer"]');
    const scrollers = [document.documentElement, document.querySelector(".scroller")];
    return {
        beyond: scrollers.map((each) => each.scrollWidth - each.clientWidth),
        at: scrollers.map((each) => each.scrollLeft),
        sidebar: box("#sidebar"), bar: box(".top-bar"), composer: box(".composer"),
        onTop: document.elementFromPoint(field.x + field.width / 2, field.y + field.height / 2)?.dataset.testid,
        direction: getComputedStyle(document.querySelector(".frame")).direction,
    };
}"""
ENDED = '[data-role="assistant"]:is([data-status="completed"], [data-status="failed"])'


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    yield from own_server(agents="tests.e2e.applications.hostile_agents:AGENTS")


@pytest.fixture
def page(browser: Browser, server: LiveServer, account: Account) -> Iterator[Page]:
    """It asks for nothing elsewhere, shows no dialog, breaks no rule of its policy, and runs no script of a text."""
    with watched(browser, server, account) as page:
        yield page


@contextlib.contextmanager
def watched(browser: Browser, server: LiveServer, account: Account) -> Iterator[Page]:
    with profile(browser, viewport=WIDE) as context:
        elsewhere: list[str] = []

        def note_request(request: Request) -> None:
            if urlsplit(request.url).netloc != urlsplit(server.url).netloc:
                elsewhere.append(request.url)

        def note_dialog(dialog: Dialog) -> None:
            elsewhere.append(f"dialog {dialog.message}")
            dialog.dismiss()

        context.on("request", note_request)
        context.on("dialog", note_dialog)
        context.add_init_script(WATCH)
        page = context.new_page()
        sign_in(page, server.url, account)
        choose_agent(page, "echo")
        yield page
        assert page.evaluate("globalThis.canary") is None
        assert page.evaluate("violations") == []
        assert elsewhere == []


def assert_sound(page: Page) -> None:
    """In both widths nothing is beyond the page, sidebar and composer are in their places, and the composer works."""
    for size in SIZES:
        page.set_viewport_size(size)
        page.evaluate(STILL)
        layout = page.evaluate(LAYOUT)
        bar, composer, sidebar = layout["bar"], layout["composer"], layout["sidebar"]
        where = (size, layout)
        assert layout["beyond"] == layout["at"] == [0, 0], where
        assert layout["direction"] == "ltr"
        assert layout["onTop"] == "composer", where
        assert composer["top"] >= bar["bottom"], where
        assert composer["bottom"] <= size["height"], where
        assert (bar["top"], bar["right"]) == (0, size["width"]), where
        if size == WIDE:
            assert (sidebar["left"], sidebar["right"]) == (0, bar["left"]), where
            assert sidebar["width"] < 400, where
    page.set_viewport_size(WIDE)
    field = page.get_by_test_id("composer")
    field.fill("still here")
    expect(field).to_have_value("still here")
    field.fill("")


def answered(page: Page, count: int) -> None:
    """So many runs have ended."""
    expect(page.locator(ENDED)).to_have_count(count, timeout=60_000)


def open_all_steps(page: Page) -> None:
    """And those within them."""
    while (closed := page.locator('.step-head[aria-expanded="false"]')).count():
        closed.first.click()


def assert_asked(page: Page, text: str) -> None:
    """The question has its letters, in their order."""
    shown = page.locator(".bubble").last.text_content() or ""
    assert "".join(text.split()) == "".join(shown.split())


@pytest.mark.timeout(300)
def test_hostile_texts_do_nothing_as_questions_answers_and_thoughts(page: Page) -> None:
    for number, text in enumerate(TEXTS, 1):
        ask(page, text)
        answered(page, number)
        assert_asked(page, text)
        open_all_steps(page)
        assert_sound(page)
    html = "(all) => all.map((each) => each.innerHTML)"
    streamed = page.get_by_test_id("answer").evaluate_all(html)
    page.reload()
    expect(page.get_by_test_id("answer")).to_have_count(len(TEXTS))
    assert page.get_by_test_id("answer").evaluate_all(html) == streamed
    assert_sound(page)


def test_hostile_texts_do_nothing_in_calls_results_errors_and_answers_of_other_agents(page: Page) -> None:
    text = f"{SCRIPTS} {DIRECTIONS} {MARKS[:60]} {LONG[:600]}"
    for number, word in enumerate(("call", "ask", "fail", "unknown"), 1):
        ask(page, f"{word} {text}")
        answered(page, number)
    open_all_steps(page)
    assert page.locator(".step-body").count() >= 4
    assert_sound(page)
    page.reload()
    answered(page, 4)
    assert_sound(page)


def test_a_hostile_request_for_approval_is_shown_whole_and_answered(page: Page) -> None:
    ask(page, f"may {SCRIPTS} {DIRECTIONS} {LONG}")
    card = page.get_by_test_id("approval")
    expect(card).to_contain_text("⟨U+202E⟩")
    expect(card).to_contain_text("canary = 1")
    assert_sound(page)
    page.get_by_test_id("deny-with-reason").click()
    page.get_by_test_id("deny-reason").fill(SCRIPTS.replace("\n", " ")[:900])
    page.keyboard.press("Enter")
    answered(page, 1)
    open_all_steps(page)
    assert_sound(page)


def test_a_hostile_title_stays_in_its_place(page: Page, server: LiveServer, account: Account) -> None:
    ask(page, "find this river")
    answered(page, 1)
    thread = page.url.rpartition("/")[2]
    for text in (SCRIPTS, DIRECTIONS, MARKS, LONG, f"(99) \u202ekcatta\u2069\u202e {ELSEWHERE}"):
        title = " ".join(text.replace("\x01", " ").split())[:200]
        answer = server.http("PATCH", f"/api/threads/{thread}", token=account.token(), body={"title": title})
        assert answer.status == 200, answer
        expect(page.locator("h1")).to_have_text(answer.body["title"])
        expect(page.locator(".thread-title")).to_have_text(answer.body["title"])
        assert not set(page.title()) & set("\u202a\u202b\u202d\u202e")
        assert page.title().endswith(" \u2013 Netra")
        assert_sound(page)
        page.get_by_test_id("search").fill("river")
        expect(page.get_by_test_id("thread-match")).to_be_visible()
        assert_sound(page)
        page.get_by_test_id("search").fill("")
        page.locator(".thread-row").hover()
        page.get_by_test_id("thread-menu").click()
        page.get_by_test_id("menu-archive").click()
        expect(page.get_by_test_id("toast")).to_contain_text("Archived")
        assert_sound(page)
        page.get_by_test_id("undo").click()
        expect(page.get_by_test_id("thread")).to_have_count(1)


def test_an_excerpt_of_a_search_shows_markup_as_text(page: Page) -> None:
    ask(page, f"{SCRIPTS} needle {DIRECTIONS} {LONG}")
    answered(page, 1)
    for words in ("needle", "<script>", "canary = 1", "\u202e", "x" * 150):
        page.get_by_test_id("search").fill(words)
        expect(page.get_by_test_id("thread-match").first).to_be_visible()
        assert_sound(page)


def test_hostile_addresses_of_the_page_itself_do_nothing(page: Page, server: LiveServer) -> None:
    for text in (SCRIPTS, "javascript:canary=1", DIRECTIONS, LONG):
        page.goto(f"{server.url}/?message={quote(text)}#{quote(text)}")
        expect(page.get_by_test_id("composer")).to_be_visible()
        assert_sound(page)


class Delay:
    """The longest time for which the page did not answer."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.evaluate(
            """() => {
                globalThis.longest = 0;
                let last = performance.now();
                const channel = new MessageChannel();
                channel.port1.onmessage = () => {
                    const now = performance.now();
                    longest = Math.max(longest, now - last);
                    last = now;
                    setTimeout(() => channel.port2.postMessage(0), 10);
                };
                channel.port2.postMessage(0);
            }"""
        )

    def milliseconds(self) -> float:
        longest: float = self._page.evaluate("longest")
        return longest


@contextlib.contextmanager
def seconds() -> Iterator[list[float]]:
    """How long what stands in it takes."""
    taken: list[float] = []
    began = time.monotonic()
    yield taken
    taken.append(time.monotonic() - began)


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", LARGE)
def test_the_page_stays_usable_with_a_huge_answer(page: Page, name: str) -> None:
    assert_usable_with(page, name)


def test_the_page_stays_usable_with_five_hundred_levels_and_ten_thousand_columns(page: Page) -> None:
    for name in ("quotes", "lists", "columns"):
        page.get_by_test_id("new-thread").click()
        assert_usable_with(page, name)


def assert_usable_with(page: Page, name: str) -> None:
    """While the answer comes, when it is there, and when the page is opened on it."""
    answer = page.get_by_test_id("answer")
    delay = Delay(page)
    ask(page, f"large {name}")
    expect(answers(page)).to_have_count(1, timeout=60_000)
    assert_ends(answer)
    streaming = delay.milliseconds()
    with seconds() as typing:
        page.get_by_test_id("composer").press_sequentially("typed", timeout=30_000)
    expect(page.get_by_test_id("composer")).to_have_value("typed")
    page.get_by_test_id("composer").fill("")
    with seconds() as opening:
        page.reload()
        assert_ends(answer)
    with seconds() as scrolling:
        for pixels in (-5000, -5000, -200_000, 200_000):
            scroll(page, pixels)
    [typed], [opened], [scrolled] = typing, opening, scrolling
    print(f"{name}: {streaming:.0f} ms, typing {typed:.1f} s, opening {opened:.1f} s, scrolling {scrolled:.1f} s")
    assert_sound(page)
    assert streaming < 5000
    assert typed < 5
    assert opened < PATIENCE_SECONDS
    assert scrolled < 8


def assert_ends(answer: Locator) -> None:
    """All of it is there. Of two megabytes only the end is asked for, again and again."""
    text = "(answer) => answer.textContent.trimEnd().slice(-20)"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not answer.evaluate(text).endswith(END):
        assert time.monotonic() < deadline, answer.evaluate(text)
        answer.page.wait_for_timeout(20)


def scroll(page: Page, pixels: int) -> None:
    page.evaluate(
        """(pixels) => new Promise((done) => {
            document.querySelector(".scroller").scrollBy(0, pixels);
            requestAnimationFrame(() => setTimeout(done));
        })""",
        pixels,
    )
