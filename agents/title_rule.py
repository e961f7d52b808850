"""A thread's title by rule: what the first question is about, without its greetings and courtesies. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agents.plain import plain_text

LONGEST_TITLE = 60
# Of longer messages the beginning says what they are about; every pattern below reads no more than this.
LONGEST_READ = 2000

_FENCE = re.compile(r"(```|~~~).*?(?:\1|\Z)", re.DOTALL)
_IMAGE_OR_LINK = re.compile(r"!?\[([^\]\n]{0,200})\]\([^)\s]{0,500}\)")
_ADDRESS = re.compile(r"https?://(?:www\.)?([^\s/?#]{1,100})\S*")
_LINE_MARK = re.compile(r"^\s*(?:#{1,6}\s+|>\s*|[-*+•]\s+|\d{1,3}[.)]\s+)+")
_EMPHASIS = re.compile(r"(?<![\w*_])(\*\*|__|~~|`|\*|_)(?=[^\s*_])([^\n]{0,300}?)(?<=[^\s*_])\1(?![\w*])")
_ABBREVIATIONS = ("Dr", "Mr", "Mrs", "Ms", "St", "vs", "e\\.g", "i\\.e", "z\\.B")
_NO_ABBREVIATION = "".join(rf"(?<!\b{each}\.)" for each in _ABBREVIATIONS)
_SENTENCE_END = re.compile(rf"(?<=[.!?…]){_NO_ABBREVIATION}[\"')\]]{{0,2}}\s+(?=\S)|\n+")

_GREETING = re.compile(
    r"(?:hi|hiya|hey|hello|greetings|good (?:morning|afternoon|evening|day)|dear \w+|hallo|guten (?:morgen|tag|abend)|"
    r"moin|servus|bonjour|bonsoir|salut|hola|ciao)\b(?: there| all| everyone| team| again| netra| zusammen)?"
    r"[\s,.!:;–—-]*",  # noqa: RUF001
    re.IGNORECASE,
)
_COURTESY = re.compile(
    r"(?:(?:(?:ok(?:ay)?|so|well|now|then|also|and|but|just|quick question|one (?:more )?question|a question|"
    r"(?:many )?thanks(?: a lot| in advance)?|thank you(?: very much)?|please|pls|sorry|excuse me)\b[\s,.!:;–—-]+)"  # noqa: RUF001
    r"|(?:(?:can|could|would|will) you (?:please |kindly |maybe |quickly )?"
    r"|(?:can|could|may) i (?:please )?(?:ask you|ask)[\s,:]*(?:to )?"
    r"|i(?: a|')?m (?:wondering|curious|trying to find out)[\s,:]+"
    r"|i(?: would|'d|’d) (?:like|love) (?:you )?to (?:(?:know|ask|understand|find out)\b)?[\s,:]*"  # noqa: RUF001
    r"|i (?:want|need|have) (?:you )?to (?:(?:know|ask|understand|find out)\b)?[\s,:]*|i was wondering[\s,:]+"
    r"|(?:do|would) you (?:happen to )?know[\s,:]+|any idea[\s,:]+|is it possible to |is there a way to "
    r"|let me know[\s,:]+|(?:tell|show|give) (?:me|us)[\s,:]+|help (?:me|us)[\s,:]+(?:to |with )?"
    r"|explain(?: to)? me[\s,:]+|(?:kannst|könntest) du (?:mir )?(?:bitte )?(?:sagen\b[\s,:]*)?"
    r"|(?:können|könnten) sie (?:mir )?(?:bitte )?(?:sagen\b[\s,:]*)?"
    r"|bitte[\s,:]+))",
    re.IGNORECASE,
)
# What a question asks for, without the form of a question.
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"what(?:'s| is) the (?:time|date) in ", "time in "),
        (r"what time is it in ", "time in "),
        (r"(?:if|whether) (?=\w+ )", ""),
        (r"(?:what(?:'s| is| are| was| were)) (?:the |an? )?(?!you\b|your\b|it\b|this\b|that\b|up\b|i\b)", ""),
        (r"(?:who|where) (?:is|are) the ", "the "),
        (r"how (?:do|can|should|would|could) (?:i|we|you|one) ", ""),
        (r"how to ", ""),
        (r"about ", ""),
    )
)
_ENDING = re.compile(
    r"(?:[\s,;–—-]+(?:please|pls|thanks(?: a lot| in advance)?|thank you(?: very much)?|bitte|danke))?[\s,;:.!?…–—-]*$",  # noqa: RUF001
    re.IGNORECASE,
)
_VAGUE = re.compile(
    r"(?:why|how|what|help|help me|yes|no|ok(?:ay)?|sure|test|testing|this|that|it|more|continue|go on|thanks|"
    r"thank you|bye|\?+|\W*)",
    re.IGNORECASE,
)


def title_by_rule(question: str, answer: str) -> str:
    """The subject of the question; when it has none, of the answer. One line of at most LONGEST_TITLE characters."""
    sentences = [_without_courtesy(sentence) for sentence in _sentences(question)]
    asked = [subject for subject, is_question in sentences if is_question and not _VAGUE.fullmatch(subject)]
    said = [subject for subject, _ in sentences if not _VAGUE.fullmatch(subject)]
    for subject in asked[:1] or said[:1] or _subject_of_answer(answer):
        return _as_title(_without_form(subject))
    return clean_title(_plain(question)) or "New conversation"


def clean_title(text: str) -> str:
    """A text as a title: its first line that has a word, without quotes and Markdown, cut. Empty when none has one."""
    for line in _plain(text).splitlines():
        title = " ".join("".join(c if c.isprintable() else " " for c in line).split())
        title = re.sub(r"^(?:title|titel|subject)\s*:\s*", "", title, flags=re.IGNORECASE)
        title = title.strip("\"'“”„‘’«»*_`# ").rstrip(".:;,! ")  # noqa: RUF001
        if any(c.isalnum() for c in title):
            return _cut(title)
    return ""


def _plain(text: str) -> str:
    """The text without Markdown; of addresses the host, of code nothing."""
    text = _FENCE.sub("\n", plain_text(text[:LONGEST_READ]))
    text = _ADDRESS.sub(r"\1", _IMAGE_OR_LINK.sub(r"\1", text))
    return "\n".join(_EMPHASIS.sub(r"\2", _LINE_MARK.sub("", line)).strip() for line in text.splitlines())


def _sentences(text: str) -> Iterator[str]:
    for sentence in _SENTENCE_END.split(_plain(text)):
        if sentence and (stripped := " ".join(sentence.split())):
            yield stripped


def _without_courtesy(sentence: str) -> tuple[str, bool]:
    """The sentence's subject, and whether it asks for something."""
    asks = sentence.rstrip("\"') ").endswith("?")
    before = None
    while before != sentence:
        before = sentence
        sentence = _GREETING.sub("", sentence, count=1) if _GREETING.match(sentence) else sentence
        if courtesy := _COURTESY.match(sentence):
            sentence = sentence[courtesy.end() :]
            asks = True
    return _ENDING.sub("", sentence), asks


def _without_form(subject: str) -> str:
    for pattern, replacement in _FORMS:
        if (form := pattern.match(subject)) and len(rest := subject[form.end() :]) >= 3:
            return replacement + rest
    return subject


def _subject_of_answer(answer: str) -> list[str]:
    subjects = [_without_courtesy(sentence)[0] for sentence in _sentences(answer)]
    return [subject for subject in subjects if not _VAGUE.fullmatch(subject)][:1]


def _as_title(subject: str) -> str:
    """In sentence case: shouting is lowered, and the first letter raised unless its word has a case of its own."""
    title = clean_title(subject) or "New conversation"
    letters = [c for c in title if c.isalpha()]
    if len(letters) > 8 and " " in title and sum(c.isupper() for c in letters) > 0.7 * len(letters):
        title = title.lower()
    first = title.split(" ", 1)[0]
    return title[:1].upper() + title[1:] if first.islower() and re.fullmatch(r"[\w'’-]+[,;…]?", first) else title  # noqa: RUF001


def _cut(title: str) -> str:
    if len(title) <= LONGEST_TITLE:
        return title
    cut = title[: LONGEST_TITLE - 1]
    for clause in (", ", "; ", " – ", " - ", ": "):  # noqa: RUF001
        place = cut.rfind(clause)
        if place >= LONGEST_TITLE // 2:
            return cut[:place]
    return (cut.rpartition(" ")[0] if " " in cut[LONGEST_TITLE // 2 :] else cut).rstrip(" ,;:.-") + "…"
