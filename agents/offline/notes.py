"""What the offline model understands of requests about notes and web pages."""

from __future__ import annotations

import re

from agents.offline.call import Call, rule

MOST_PAGES = 3
URL = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:!?)'\]]", re.IGNORECASE)

_NOTE = "(?:notes?|memor(?:y|ies))"
_REMEMBER = rule(
    r"""(?:(?:remember|keep in mind|do not forget|don't forget|note down)
    (?: ?: ?| that | this ?: ?| the following ?: ?| )|
    (?:(?:make|take) a note|note)(?: ?: ?| that | of this ?: ?| of ))(?P<content>.+)"""
)
_NOT_CONTENT = rule(r"(?:me|what|when|where|who|why|how|which|if|whether|note|notes|anything|everything)\b.*")
_RECALL = tuple(
    rule(pattern)
    for pattern in (
        r"""what (?:do|can|did) you (?:still |already )?(?:remember|recall|know)
        (?: (?:about|of|regarding|on) (?P<query>.+))?""",
        r"do you (?:still )?(?:remember|recall)(?: anything)?(?: (?:about|of|regarding))? (?P<query>.+)",
        r"recall(?: (?:everything|anything|all|what you know))?(?: (?:about|of|regarding))? (?P<query>.+)",
        r"what (?:did|have) i (?:ask(?:ed)?|tell|told|want(?:ed)?) you to remember(?: (?:about|of) (?P<query>.+))?",
        rf"""(?:(?:show|list|give|tell|read|find|search|look through|what are|what's in|see)(?: me)? )?
        (?:(?:all|of|the) )*my {_NOTE}(?: (?:about|on|of|for|regarding|with|mentioning|containing) (?P<query>.+))?""",
        rf"(?:what|which) {_NOTE} (?:do (?:you|i) have|are there)(?: (?:about|on|of|regarding) (?P<query>.+))?",
    )
)
_ALL = rule(r"(?:me|myself|us|everything|all|anything|that|this|it|my notes?)")
_ARTICLE = rule(r"(?:the|my|our|a|an) ")
_FORGET_NUMBERS = rule(
    rf"""(?:forget|delete|remove|drop|erase)(?: my| the)? {_NOTE}(?: numbers?)? ?
    (?P<numbers>#?\d{{1,18}}(?:(?: ?, ?(?:and )?| and )(?:note )?#?\d{{1,18}})*)"""
)
_FORGET = rule(
    rf"""(?:forget|(?:delete|remove|drop|erase)(?: my| the)? {_NOTE})
    (?: (?:that|about|what (?:i|you) (?:said|told you|know|remember) about))? (?P<query>.+)"""
)
_PAGE_WORD = rule(
    r"""read|fetch|open|get|load|visit|check|show|me|summari[sz]e|summary|look|at|what|what's|is|are|does|do|says?|on|in|of|
    the|this|that|pages?|web|website|site|article|link|url|and|please|tell|about|text|contents?|give|a|out|written|for|to|
    from|there|it"""
)


def notes(clause: str) -> list[Call]:
    """Calls of `remember`, `recall` and `forget`."""
    if (found := _REMEMBER.fullmatch(clause)) and not _NOT_CONTENT.fullmatch(found["content"]):
        return [Call.of("remember", content=found["content"].strip(" \"'"))]
    if found := _FORGET_NUMBERS.fullmatch(clause):
        return [Call.of("forget", note_id=int(number)) for number in re.findall(r"\d+", found["numbers"])]
    if found := _FORGET.fullmatch(clause):
        return [Call.of("recall", purpose="forget", query=_query(found["query"]))]
    for pattern in _RECALL:
        if found := pattern.fullmatch(clause):
            return [Call.of("recall", query=_query(found["query"] or ""))]
    return []


def _query(text: str) -> str:
    text = text.strip(" .,:\"'`“”«»")
    return "" if _ALL.fullmatch(text) else _ARTICLE.sub("", text, count=1) if _ARTICLE.match(text) else text


def pages(clause: str) -> list[Call]:
    """Calls of `fetch_page`, when the clause asks for nothing but pages."""
    addresses = list(dict.fromkeys(URL.findall(clause)))
    others = re.findall(r"[\w']+", URL.sub(" ", clause))
    if len(addresses) > MOST_PAGES or not all(map(_PAGE_WORD.fullmatch, others)):
        return []
    return [Call.of("fetch_page", url=address) for address in addresses]
