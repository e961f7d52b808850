"""What the offline model understands of questions about the account: all words of a clause must be known here.

A clause is cut into pieces from left to right; a word that no piece has means that the clause is about something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from agents.account import Dimension
from agents.tools.periods import MONTHS

Kind = Literal["usage", "saving", "comparison", "speed"]
Metric = Literal["cost", "tokens", "requests", "failed_requests", "average_seconds"]

DEFAULT_PERIOD = "last_30_days"
HALF = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageWish:
    """What a clause asks of the account. Without `periods` it means those of the rest of the question."""

    kind: Kind
    periods: tuple[str, ...] = ()
    by: tuple[Dimension, ...] = ()
    metric: Metric = "cost"
    everyone: bool = False
    target_percent: int = HALF
    models: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()


class Piece(NamedTuple):
    kind: str
    text: str


_DAY = r"\d{4}-\d{2}-\d{2}"
_DIMENSION = r"(?:days?|dates?|agents?|(?:language )?models?|threads?|chats?|conversations?|users?|persons?|people)"
_COUNTS = {"two": 2, "three": 3, "four": 4, "seven": 7, "ten": 10, "fourteen": 14, "thirty": 30, "ninety": 90}
_MONTH = rf"(?:(?:in|of|for|during) (?:{'|'.join(MONTHS)})|{'|'.join(m for m in MONTHS if m != 'may')})"
_NAMED_AGENTS = "assistant|triage|optimization"

_FILLER = (
    r"what(?:'s|s)?|which|how|much|many|did|do|does|doing|done|have|has|had|was|were|is|are|be|been|can|could|should|must|"
    r"i|i've|we|my|our|me|mine|us|the|an?|this|that|these|those|it|its|them|of|on|in|for|at|to|from|by|with|during|over|"
    r"within|and|or|also|then|plus|all|any|there|one|most|least|more|less|than|top|biggest|largest|highest|lowest|totals?|"
    r"altogether|together|sum|down|up|as|per|each|every|ai|llms?|language|other|another|so far|show|list|give|get|tell|"
    r"see|overview|summary|report|table|breakdown|break|split|group(?:ed)?|details?|detailed|exactly|really|go|goes|went|going|"
    r"where|change|need|ways?|plan|make|made|agents|threads|days|people|average|number|amounts?|figures?|numbers|"
    r"statistics|stats|same|run|just"
)
_COST = (
    r"costs?|costing|spen[dt]|spending|spends|money|bills?|pay|paid|expensive|costly|dollars?|usd|expenses|expenditures?|"
    r"account"
)
_SPLIT = (
    rf"(?:by|per|each|every|which|what)(?: of)?(?: my| our| the)* {_DIMENSION}"
    rf"(?:(?: ?, ?(?:and )?| and | & )(?:by |per )?{_DIMENSION})*"
)

# The first that matches counts, so longer phrases stand before their parts.
_PIECES: tuple[tuple[str, str], ...] = (
    ("days", rf"(?:(?:from|between) )?{_DAY}(?:\.\.| (?:to|and|until|till|through) ){_DAY}"),
    ("since", rf"since {_DAY}|{_DAY}\.\."),
    ("days", _DAY),
    ("counted", rf"(?:the )?(?:last|past|previous) (?:\d{{1,4}}|{'|'.join(_COUNTS)}) (?:days?|weeks?)"),
    ("named", r"(?:today|yesterday|(?:this|last) (?:week|month|year))(?:'s)?"),
    ("before", r"(?:the )?(?:previous|past) (?:week|month|year)(?:'s)?"),
    ("ever", r"ever|(?:of |in |for )?all time|since the (?:beginning|start)"),
    ("month", rf"{_MONTH}(?: \d{{4}})?"),
    ("saving", r"halve|halving"),
    ("half", r"(?:by |in )?(?:a )?half"),
    ("third", r"(?:by )?(?:a|one) third"),
    ("quarter", r"(?:by )?(?:a|one) quarter"),
    ("percent", r"(?:by )?[1-9]\d? ?(?:%|percent\b|per cent\b)"),
    ("saving", r"(?:spend|pay|use) less|(?:make|get|become)s?(?: it| this| that| them| everything| my usage)? cheaper"),
    ("saving", r"sav(?:e|ing|ings)|reduc(?:e|ing)|cut(?:ting)?|lower(?:ing)?|shrink|optimi[sz]e|economi[sz]e"),
    ("speed", r"(?:make|get|become)s?(?: it| this| that| them| everything)? faster|speed (?:it |this |things )?up"),
    ("cheaper", r"cheap(?:er|est)"),
    ("compare", r"compar(?:e|ed|ing|ison)|alternatives?"),
    ("would", r"would|instead|if|switch(?:ed|ing)?|mov(?:e|ed|ing)|same tokens"),
    ("top", rf"(?:most |least )(?:expensive|costly|used|active) {_DIMENSION}"),
    ("by", r"(?:days|agents|models|threads|users)(?= by (?:costs?|tokens|requests|usage)\b)"),
    ("slow", rf"(?:slowest|fastest) {_DIMENSION}"),
    ("by", _SPLIT),
    ("daily", r"daily"),
    ("purpose", r"(?:on|for) what|what for"),
    ("agent", rf"(?:the )?(?:agents? )?(?:{_NAMED_AGENTS})(?: agent)?|(?:the )?(?:agent data|data agent)"),
    (
        "everyone",
        r"everyone(?:'s)?|everybody(?:'s)?|all (?:the )?(?:users|people)|(?:the )?other (?:users|people)|others",
    ),
    ("failed_requests", r"fail(?:s|ed|ures?|ing)?|errors?|went wrong"),
    ("tokens", r"tokens?"),
    ("requests", r"requests?|calls?"),
    ("average_seconds", r"slow(?:er|est)?|fast(?:est)?|how long|seconds?|latency|duration"),
    ("cost", _COST),
    ("usage", r"usage|consum(?:e|ed|ption)"),
    ("use", r"us(?:e|ed|ing)"),
    ("model", r"(?:[a-z][a-z-]*:)?[a-z][a-z/-]*\d[a-z0-9./-]*|[a-z][a-z-]*:[a-z][a-z0-9./-]+"),
    ("models", r"models?"),
    ("filler", _FILLER),
)
_SCANNER = re.compile(
    "|".join(f"(?P<p{number}>{pattern})(?![\\w-])" for number, (_, pattern) in enumerate(_PIECES)), re.IGNORECASE
)
_BETWEEN = re.compile(r"[ ,:()\"']*")
_PERIODS = ("days", "since", "counted", "named", "before", "ever", "month")
_METRICS: tuple[Metric, ...] = ("failed_requests", "tokens", "requests", "average_seconds", "cost")
_SHARES = {"half": HALF, "third": 33, "quarter": 25}


def read_wish(clause: str) -> UsageWish | None:
    """What the clause asks of the account; None when it is about something else."""
    pieces = _cut(clause)
    if pieces is None:
        return None
    kinds = {piece.kind for piece in pieces}
    kind = _kind(kinds)
    if kind is None or (kind != "saving" and kinds & {"percent", *_SHARES}):
        return None
    models = tuple(piece.text for piece in pieces if piece.kind == "model")
    agents = tuple(re.sub(r"\b(?:the|agents?)\b| ", "", piece.text) for piece in pieces if piece.kind == "agent")
    return UsageWish(
        kind=kind,
        periods=tuple(dict.fromkeys(_period(piece) for piece in pieces if piece.kind in _PERIODS)),
        by=tuple(dict.fromkeys(_dimensions(pieces, models=models, agents=agents))),
        metric=_metric(kinds),
        everyone="everyone" in kinds,
        target_percent=_share(pieces),
        models=models,
        agents=agents,
    )


def read_periods(clause: str) -> tuple[str, ...]:
    """The periods of a clause that says nothing else."""
    pieces = _cut(clause) or []
    if any(piece.kind not in (*_PERIODS, "filler") for piece in pieces):
        return ()
    return tuple(dict.fromkeys(_period(piece) for piece in pieces if piece.kind in _PERIODS))


def _cut(clause: str) -> list[Piece] | None:
    pieces, place = list[Piece](), 0
    text = clause.lower().rstrip(" .,:)\"'")
    while (place := _between(text, place)) < len(text):
        found = _SCANNER.match(text, place)
        if found is None or found.lastgroup is None or found.end() == place:
            return None
        pieces.append(Piece(_PIECES[int(found.lastgroup[1:])][0], found[0]))
        place = found.end()
    return pieces


def _between(text: str, place: int) -> int:
    found = _BETWEEN.match(text, place)
    return found.end() if found else place


def _kind(kinds: set[str]) -> Kind | None:
    about_usage = kinds & {*_METRICS, "usage", "top", "slow"}
    if "saving" in kinds:
        return "saving"
    if "speed" in kinds:
        return "speed"
    about_models = kinds & {"model", "models"}
    if "cheaper" in kinds or (kinds & {"compare", "would"} and (about_models or about_usage)):
        return "comparison"
    if about_usage or ("use" in kinds and kinds & {"by", "daily", "model", "agent", *_PERIODS}):
        return "usage"
    return None


def _metric(kinds: set[str]) -> Metric:
    if "slow" in kinds:
        return "average_seconds"
    return next((metric for metric in _METRICS if metric in kinds), "cost")


def _share(pieces: list[Piece]) -> int:
    for piece in pieces:
        if piece.kind == "percent":
            return int(re.sub(r"\D", "", piece.text))
        if piece.kind in _SHARES:
            return _SHARES[piece.kind]
    return HALF


def _period(piece: Piece) -> str:
    """The period as the tools name it."""
    words = piece.text.removesuffix("'s").split()
    match piece.kind:
        case "days":
            words = ["..".join(re.findall(_DAY, piece.text))]
        case "since":
            words = [f"{re.findall(_DAY, piece.text)[0]}.."]
        case "counted":
            number = _COUNTS.get(words[-2]) or int(words[-2])
            words = ["last", str(number * (7 if words[-1].startswith("week") else 1)), "days"]
        case "before":
            words = ["last", words[-1]]
        case "ever":
            words = ["all"]
        case "month":
            words = [word for word in words if word not in ("in", "of", "for", "during")]
    return "_".join(words)


def _dimensions(pieces: list[Piece], *, models: tuple[str, ...], agents: tuple[str, ...]) -> Iterator[Dimension]:
    for piece in pieces:
        if piece.kind in ("by", "top", "slow"):
            yield from map(_dimension, re.findall(_DIMENSION, piece.text))
        elif piece.kind == "daily":
            yield "day"
        elif piece.kind == "purpose":
            yield from ("agent", "model")
    if agents:
        yield "agent"
    if models:
        yield "model"


def _dimension(word: str) -> Dimension:
    match word.removeprefix("language ").rstrip("s"):
        case "day" | "date":
            return "day"
        case "agent":
            return "agent"
        case "model":
            return "model"
        case "thread" | "chat" | "conversation":
            return "thread"
        case _:
            return "user"


def words_of(period: str) -> str:
    """The tools' name of a period as a person would write it, and this module reads it."""
    return "ever" if period == "all" else period.replace("_", " ")
