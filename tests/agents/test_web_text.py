"""What is made of a page that was read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agents.tools.web_page import CUT, NOTICE, PageLimits
from tests.agents.web_sites import Sites, refusal, reply


@pytest.fixture
async def sites() -> AsyncIterator[Sites]:
    async with Sites.open() as opened:
        yield opened


PAGE = """<!doctype html><html><head><title> A
 page </title><style>p {color: red}</style><script>alert(1)</script></head><body>
<h1>Ships</h1><p>A <b>ship</b> has <a href="/sails">sails</a>.<img src="x.png" alt="picture"></p>
<ul><li>one</li><li>two</li></ul><template>hidden</template></body></html>"""


async def test_a_page_is_markdown_that_is_named_untrusted(sites: Sites) -> None:
    sites.public.answers["/"] = reply(PAGE)
    assert await sites.fetcher().fetch(sites.url()) == {
        "url": sites.url(),
        "title": "A page",
        "notice": NOTICE,
        "untrusted_text": "# Ships\n\nA **ship** has [sails](/sails).\n\n* one\n* two",
    }


DOCUMENTS = [
    ("text/plain; charset=iso-8859-1", "Grüße".encode("latin-1"), "Grüße"),
    ('text/html; charset="windows-1252"', "<p>€ 5".encode("cp1252"), "€ 5"),
    ("text/html", '<meta charset="iso-8859-2"><p>Łódź'.encode("iso-8859-2"), "Łódź"),
    ("text/html; charset=rot_13", b"<p>plain", "plain"),
    ("text/plain; charset=nonsense", "ä".encode(), "ä"),
    ("text/plain; charset=base64", b"plain", "plain"),
    ("text/plain", b"\xff and \x00", "\ufffd and \x00"),
    ("application/json", b'{"a": [1, 2]}', '{"a": [1, 2]}'),
    ("application/rss+xml", b"<rss><title>News</title></rss>", "<rss><title>News</title></rss>"),
]


@pytest.mark.parametrize(("content_type", "body", "text"), DOCUMENTS)
async def test_documents_are_text(sites: Sites, content_type: str, body: bytes, text: str) -> None:
    sites.public.answers["/"] = reply(body, content_type=content_type)
    assert (await sites.fetcher().fetch(sites.url()))["untrusted_text"] == text


async def test_a_long_page_is_cut(sites: Sites) -> None:
    sites.public.answers["/"] = reply("word " * 10_000, content_type="text/plain")
    text = (await sites.fetcher().fetch(sites.url()))["untrusted_text"]
    assert text == "word " * 2400 + CUT


async def test_scripts_do_not_count_and_markup_is_read_to_a_limit(sites: Sites) -> None:
    scripts = "<script>" + "x" * 600_000 + "</SCRIPT ><style>" + "y" * 600_000 + "</style>"
    sites.public.answers["/"] = reply(f"<p>before{scripts}<p>after" + "<!--" + "z" * 600_000 + "--><p>end")
    assert (await sites.fetcher().fetch(sites.url()))["untrusted_text"] == "before\n\nafter" + CUT


async def test_a_page_nested_too_deeply_for_markdown_is_its_words(sites: Sites) -> None:
    sites.public.answers["/"] = reply("<div>" * 20_000 + "<p>deep</p><p>words</p>")
    assert (await sites.fetcher().fetch(sites.url()))["untrusted_text"] == "deep\nwords"


async def test_a_page_that_takes_too_long_for_markdown_is_its_words(sites: Sites) -> None:
    sites.public.answers["/"] = reply("<blockquote>" * 150 + "line\n" * 60_000)
    limits = PageLimits(markdown_seconds=1, convert_seconds=60)
    assert (await sites.fetcher(limits).fetch(sites.url()))["untrusted_text"].startswith("line\nline\nline")


async def test_a_page_that_takes_too_long_to_convert(sites: Sites) -> None:
    sites.public.answers["/"] = reply("<blockquote>" * 150 + "line\n" * 60_000)
    limits = PageLimits(convert_seconds=0.3)
    assert await refusal(sites, sites.url(), limits) == "the page is too complex to be made into text"
