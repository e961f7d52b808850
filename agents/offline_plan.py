"""What the offline model understands of a question: fixed rules, no guessing.

A question is cut into clauses; each clause is a calculation, a time, a search, small talk, a request for
help, or nothing the rules know. Only whole clauses match: half a match would answer another question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from agents.arithmetic import MAX_LENGTH, tokenize
from agents.zones import is_zone

LONGEST_QUESTION = 1000
MOST_CALLS = 8


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call and its one argument."""

    tool: str
    parameter: str
    value: str


@dataclass(slots=True)
class Plan:
    """What to do about a question."""

    calls: list[Call] = field(default_factory=list)
    greeting: bool = False
    thanks: bool = False
    help: bool = False
    unanswered: list[str] = field(default_factory=list)


def _rule(pattern: str) -> re.Pattern[str]:
    """A rule for a clause, whose words are one space apart. A line break in the pattern means nothing."""
    return re.compile("".join(line.strip("\n") for line in re.split(r"\n *", pattern)), re.IGNORECASE)


_SENTENCES = re.compile(r"[?!;\n]+|\.(?=\s|$)")
_CONNECTED = _rule(
    r"""(?<!\bdate)(?: *, *(?:(?:and|then|also|plus) +)*| +(?:(?:and|then|also|plus) +)+)(?=(?:
    what|what's|whats|which|where|when|how|who|why|tell|give|show|list|
    calculate|compute|evaluate|solve|work out|search|find|look|
    (?:did|have) (?:i|we)|(?:can|could) you|please|remind|in which|
    (?:the )?(?:current |local )?time (?:in|at|for|now)|the (?:current |local )?(?:time|date))\b)"""
)
_LEADING = _rule(
    r"""(?:and|then|also|so|ok|okay|well|now|please|kindly|(?:can|could|would|will) you(?: please)?|
    i(?: want|'d like| would like) to know|do you know|tell me|let me know|remind me)\b[ ,:]*"""
)
_TRAILING = _rule(r"[ ,]+(?:please|thanks|thank you|for me)$")

_GREETING = _rule(
    r"""(?:hi|hello|hey|hiya|howdy|hallo|greetings|good (?:morning|afternoon|evening|day))\b
    (?:,? (?:there|netra|assistant|everyone|all)\b)?[ ,]*"""
)
_COURTESY = _rule(r"how are you(?: doing| today)*|how's it going|nice to meet you")
_THANKS = _rule(
    r"""(?:thanks|thank you|thx|cheers|many thanks|great|perfect|(?:good)?bye|see you)
    (?: a lot| so much| very much| again| netra| later| thanks| for (?:that|your help))*"""
)
_HELP = _rule(
    r"""/?help(?: me)?|what (?:can|do) (?:you|i) do(?: here)?|what (?:are|is) (?:you|netra|this)|who are you|
    how (?:do|does) (?:you|this|it|netra) work|what tools do you have|
    (?:what|which) (?:language )?(?:model|llm) (?:are you|is this|do you use)|
    are you (?:online|offline|an? (?:ai|bot|llm|language model))|
    how (?:do|can) i (?:connect|use|configure|set up|add) (?:an?|the) (?:language |ai )?(?:model|llm)"""
)

_NOW = r"(?: right now| now| today| currently| at the moment)"
_TIME_OF_DAY = _rule(
    rf"""(?:what(?:'s|s| is)?(?: the)?(?: current| local| exact)? (?:time|date|day)
    (?: and (?:time|date))?(?: is it| it is)?|
    (?:the )?(?:(?:current|local|exact) )?(?:time|date)(?: and (?:time|date))?|
    how late is it|what(?:'s| is) today(?:'s date)?|today's date|what (?:day|date) is (?:it|today)){_NOW}?
    (?: (?:over )?(?:in|at|for) (?P<places>.+))?"""
)
_TIME_DIFFERENCE = _rule(r"(?:what(?:'s| is) )?the time difference between (?P<places>.+)")
_PLACE_SEPARATOR = _rule(r" *(?:,|&|\b(?:and|or|vs|versus)\b) *")
_PLACE_TAIL = _rule(rf"(?:{_NOW}| time)$")

_CALCULATE = _rule(
    r"""(?:what(?:'s|s| is| are| does)?|how much (?:is|are|does)|calculate|compute|evaluate|solve|work out|
    find|give me)(?: the (?:result|value|answer) (?:of|to))?(?: ?: ?| )"""
)
_EQUALS = _rule(r" *(?:=|\bequals?\b|\bmakes?\b)? *$")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4}")
_EXPRESSION_SEPARATOR = _rule(r", (?:and )?| and ")
_CLOSING = (")", "%", "squared", "cubed")

_WROTE = (
    "(?:write|written|wrote|say|said|mention(?:ed)?|ask(?:ed)?|noted?|discuss(?:ed)?|talk(?:ed)?|tell|told|"
    "chat(?:ted)?|learn(?:ed|t)?|decided?)(?: (?:to )?(?:you|me))?"
)
_ABOUT = "(?:about|on|regarding|concerning)"
_MINE = "(?:messages?|threads?|notes?|chats?|conversations?|history)"
_WHO = "(?:i|we|you)"
_SEARCHES = tuple(
    _rule(pattern + " (?P<query>.+)")
    for pattern in (
        rf"what (?:did|have|had) {_WHO} (?:ever |already )?{_WROTE} {_ABOUT}",
        rf"(?:what|everything|anything|where|when) {_WHO} (?:have )?{_WROTE}(?: {_ABOUT})?",
        rf"(?:did|have) {_WHO} (?:ever |already )?{_WROTE}(?: anything| something)?(?: {_ABOUT})?",
        rf"""(?:where|when|(?:in )?(?:which|what) (?:thread|message|chat)) (?:did|have) {_WHO} {_WROTE}
        (?: {_ABOUT})?""",
        rf"(?:search|look)(?: (?:up|through|in|my|all|our|the|of|{_MINE}))*(?: (?:for|{_ABOUT}))?",
        rf"""find(?: (?:me|all|my|our|the|any|old|earlier|{_MINE}|everything|anything|with|mentioning|
        containing|{_ABOUT}|(?:what|where) {_WHO} {_WROTE}))*""",
        rf"""(?:(?:show|list|get|give)(?: me)? )?(?:(?:all|my|our|the|of) )*{_MINE}
        (?: with| mentioning| containing| {_ABOUT}| (?:where|in which) {_WHO} {_WROTE}(?: {_ABOUT})?)""",
    )
)
_QUERY_TAIL = _rule(
    rf""" (?:(?:in|from|across) (?:(?:all|any|my|our|the|old|earlier|past|previous|other|of) )*{_MINE}|
    before|earlier|again|yet|recently|so far|last (?:week|month|year)|yesterday)$"""
)


def make_plan(question: str) -> Plan:
    """What the rules make of a question."""
    plan = Plan()
    if len(question) > LONGEST_QUESTION:
        plan.unanswered.append(question)
        return plan
    for clause in _clauses(question):
        _read(clause, plan)
    # The same call twice has the same answer.
    plan.calls = list(dict.fromkeys(plan.calls))
    plan.unanswered += [call.value for call in plan.calls[MOST_CALLS:]]
    plan.calls = plan.calls[:MOST_CALLS]
    return plan


def _clauses(question: str) -> Iterator[str]:
    for sentence in _SENTENCES.split(question.replace("’", "'")):  # noqa: RUF001
        for clause in _CONNECTED.split(" ".join(sentence.split())):
            if clause := clause.strip(" ,:"):
                yield clause


def _read(clause: str, plan: Plan) -> None:
    if greeting := _GREETING.match(clause):
        plan.greeting = True
        clause = clause[greeting.end() :]
    while leading := _LEADING.match(clause):
        clause = clause[leading.end() :]
    clause = _TRAILING.sub("", clause).strip(" ,:.")
    if not any(character.isalnum() for character in clause):
        return
    if _COURTESY.fullmatch(clause):
        plan.greeting = True
    elif _THANKS.fullmatch(clause):
        plan.thanks = True
    elif _HELP.fullmatch(clause):
        plan.help = True
    elif not any(rule(clause, plan) for rule in _RULES):
        plan.unanswered.append(clause)


def _calculations(clause: str, plan: Plan) -> bool:
    verb = _CALCULATE.match(clause)
    text = clause[verb.end() :] if verb else clause
    whole = _expression(text)
    pieces = [whole] if whole else [_expression(piece) for piece in _EXPRESSION_SEPARATOR.split(text)]
    expressions = [piece for piece in pieces if piece]
    if not expressions or len(expressions) < len(pieces):
        return False
    plan.calls += [Call("calculate", "expression", expression) for expression in expressions]
    return True


def _expression(text: str) -> str | None:
    """The text, when all of it is arithmetic with something to calculate."""
    text = _EQUALS.sub("", text).strip()
    if not text or len(text) > MAX_LENGTH or _DATE.search(text):
        return None
    tokens, end = tokenize(text)
    if end < len(text) or (tokens[-1].kind == "operator" and tokens[-1].text not in _CLOSING):
        return None
    kinds = {token.kind for token in tokens}
    return text if "name" in kinds or {"number", "operator"} <= kinds else None


def _times(clause: str, plan: Plan) -> bool:
    found = _TIME_OF_DAY.fullmatch(clause) or _TIME_DIFFERENCE.fullmatch(clause)
    if found is None:
        return False
    if found["places"] is None:
        plan.calls.append(Call("current_time", "zone", "UTC"))
        return True
    for place in filter(None, map(_place, _separate_places(found["places"]))):
        if is_zone(place) or not _calculations(place, plan):
            plan.calls.append(Call("current_time", "zone", place))
    return True


def _separate_places(places: str) -> list[str]:
    """One place when the zones know it as one, however it is written; else the parts of the list."""
    return [places] if is_zone(_place(places)) else _PLACE_SEPARATOR.split(places)


def _place(text: str) -> str:
    return _PLACE_TAIL.sub("", text.strip(" .\"'")).removeprefix("the city of ")


def _searches(clause: str, plan: Plan) -> bool:
    for pattern in _SEARCHES:
        if found := pattern.fullmatch(clause):
            query, longer = found["query"], ""
            while query != longer:
                longer, query = query, _QUERY_TAIL.sub("", query).strip(" .,:\"'`“”«»")
            if query:
                plan.calls.append(Call("search_threads", "query", query))
            return bool(query)
    return False


_RULES: tuple[Callable[[str, Plan], bool], ...] = (_calculations, _times, _searches)
