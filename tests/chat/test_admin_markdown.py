"""An answer's Markdown in the administration: what it shows, and what it never becomes."""

from __future__ import annotations

import re

import pytest

from chat.admin.markdown import MOST_MARKS, as_html


def test_an_answer_is_shown_as_its_markdown_says() -> None:
    html = as_html("# Cost\n\n**372** for `15 %`\n\n- one\n- two\n\n|day|cost|\n|-|-:|\n|Mon|1|\n\n```py\na < b\n```")
    for part in (
        "<h3>Cost</h3>",
        "<strong>372</strong> for <code>15 %</code>",
        "<li>two</li>",
        '<td class="end">1</td>',
        "a &lt; b",
    ):
        assert part in html


@pytest.mark.parametrize(
    ("asked", "shown"), [((1, 2, 3, 4, 5, 6), "345666"), ((3, 1, 2), "334"), ((1, 6, 2), "344"), ((2,), "3")]
)
def test_headings_stand_below_the_names_of_those_who_speak_and_leave_no_level_out(
    asked: tuple[int, ...], shown: str
) -> None:
    html = as_html("\n".join(f"{'#' * level} a" for level in asked))
    assert re.findall(r"<h(\d)", html) == list(shown)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "a <b onclick=alert(1)>b</b>",
        "<!-- --><svg onload=alert(1)>",
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1))",
        "[a](java&#x0A;script:alert(1))",
        "[a](&#106;avascript:alert(1))",
        "[a](vbscript:x)",
        "[a](data:text/html,<script>alert(1)</script>)",
        "<javascript:alert(1)>",
        "[a]: javascript:alert(1)\n\n[a]",
        '[a](https://e.org "\\" onclick=\\"alert(1)")',
        '```"><script>alert(1)</script>\n```',
        "|a|\n|-|\n|<script>|",
        "![a](https://e.org/x.png)",
        "|a|\n|:-:|\n|b|",
        "`<script>`" * MOST_MARKS,
    ],
)
def test_no_markup_comes_through(text: str) -> None:
    html = as_html(text)
    elements = re.findall(r"<(/?[a-z0-9]+)((?:[^<>\"]|\"[^\"]*\")*)>", html)
    assert {name.strip("/") for name, _ in elements} <= {
        *("p", "a", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "br")
    }
    assert "<" not in re.sub(r"<(/?[a-z0-9]+)((?:[^<>\"]|\"[^\"]*\")*)>", "", html)
    for _, attributes in elements:
        for name, value in re.findall(r'([a-z-]+)="([^"]*)"', attributes):
            assert name in {"href", "rel", "title", "class"}
            assert name != "href" or value.startswith("https://")


@pytest.mark.parametrize("mark", ["[", "|a", "**a*b_", "`a", "<a "])
def test_what_would_keep_the_parser_busy_is_shown_as_it_was_written(mark: str) -> None:
    html = as_html("**a**\n\n" + mark * (MOST_MARKS + 1))
    assert html.startswith("**a**<br><br>")
