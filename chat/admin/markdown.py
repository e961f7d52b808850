"""An answer's Markdown as the HTML of a page of the administration: no markup of its own, no pictures, no styles."""

from __future__ import annotations

from django.template.defaultfilters import linebreaksbr
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

# The names of those who speak are headings of the second level.
LEVELS_ABOVE = 2
# The parser's time grows with the square of some of these; what has more is shown as it was written.
MARKS = "[|`*_<"
MOST_MARKS = 4000
LINKS = ("https://", "http://", "mailto:")


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802
        return url.lower().startswith(LINKS)


# `js-default` takes markup for text.
_MARKDOWN = _Markdown("js-default", {"breaks": True}).disable("image")


def as_html(text: str) -> SafeString:
    if sum(map(text.count, MARKS)) > MOST_MARKS:
        return linebreaksbr(text, autoescape=True)
    parts = _MARKDOWN.parse(text)
    level = LEVELS_ABOVE
    for part in parts:
        if part.type == "heading_open":
            # No level is left out, as a reader of the page aloud expects.
            level = min(level + 1, LEVELS_ABOVE + int(part.tag[1:]), 6)
        if part.type.startswith("heading"):
            part.tag = f"h{level}"
        for each in (part, *(part.children or ())):
            _adapt(each)
    html: str = _MARKDOWN.renderer.render(parts, _MARKDOWN.options, {})
    # The renderer escapes all text and every attribute, but not what Django escapes, too; it quotes with no apostrophe.
    return mark_safe(html.replace("'", "&#x27;"))  # noqa: S308


def _adapt(part: Token) -> None:
    match part.type:
        case "link_open":
            part.attrSet("rel", "nofollow noopener noreferrer")
        # The policy of the page lets no element have a style.
        case "th_open" | "td_open" if part.attrs.pop("style", "") == "text-align:right":
            part.attrSet("class", "end")
