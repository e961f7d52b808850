"""What the offline model understands of a question: fixed rules, no guessing.

A question is cut into clauses; each clause is a calculation, a time, a note, a page, a question about the account, a
search, small talk, a request for help, or nothing the rules know. Only whole clauses match: half a match would answer
another question.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Sequence

from agents.offline.call import Call, Plan, rule
from agents.offline.delegation import hand_over
from agents.offline.notes import URL, notes, pages
from agents.offline.usage import UsageWish, read_periods, read_wish
from agents.offline.usage_calls import can_grant, usage_calls, with_periods
from agents.tools.arithmetic import MAX_LENGTH, tokenize
from agents.tools.zones import is_zone

LONGEST_QUESTION = 1000
MOST_CALLS = 8
KNOWN_TOOLS = frozenset(
    {
        "calculate",
        "current_time",
        "search_threads",
        "remember",
        "recall",
        "forget",
        "fetch_page",
        "usage_summary",
        "savings",
        "compare_models",
        "speedup",
    }
)

_MARK = "\ue000"
_SENTENCES = re.compile(r"[?!;\n]+|\.(?=\s|$)")
_CONNECTED = rule(
    r"""(?<!\bdate)(?: *, *(?:(?:and|then|also|plus) +)*| +(?:(?:and|then|also|plus) +)+)(?=(?:
    what|what's|whats|which|where|when|how|who|why|tell|give|show|list|
    calculate|compute|evaluate|solve|work out|search|find|look|
    (?:did|have) (?:i|we)|(?:can|could) you|please|remind|in which|remember that|forget note|
    (?:read|fetch|open|visit|summari[sz]e)(?= (?:the page )?\ue000)|
    (?:the )?(?:current |local )?time (?:in|at|for|now)|the (?:current |local )?(?:time|date))\b)"""
)
_LEADING = rule(
    r"""(?:and|then|also|so|ok|okay|well|now|please|kindly|(?:can|could|would|will) you(?: please)?|
    i(?: want|'d like| would like) to know|do you know|tell me|let me know|remind me)\b[ ,:]*"""
)
_TRAILING = rule(r"[ ,]+(?:please|thanks|thank you|for me)$")

_GREETING = rule(
    r"""(?:hi|hello|hey|hiya|howdy|hallo|greetings|good (?:morning|afternoon|evening|day))\b
    (?:,? (?:there|netra|assistant|everyone|all)\b)?[ ,]*"""
)
_COURTESY = rule(r"how are you(?: doing| today)*|how's it going|nice to meet you")
_THANKS = rule(
    r"""(?:thanks|thank you|thx|cheers|many thanks|great|perfect|(?:good)?bye|see you)
    (?: a lot| so much| very much| again| netra| later| thanks| for (?:that|your help))*"""
)
_HELP = rule(
    r"""/?help(?: me)?|what (?:can|do) (?:you|i) do(?: here)?|what (?:are|is) (?:you|netra|this)|who are you|
    how (?:do|does) (?:you|this|it|netra) work|what tools do you have|
    (?:what|which) (?:language )?(?:model|llm) (?:are you|is this|do you use)|
    are you (?:online|offline|an? (?:ai|bot|llm|language model))|
    how (?:do|can) i (?:connect|use|configure|set up|add) (?:an?|the) (?:language |ai )?(?:model|llm)"""
)

_NOW = r"(?: right now| now| today| currently| at the moment)"
_TIME_OF_DAY = rule(
    rf"""(?:what(?:'s|s| is)?(?: the)?(?: current| local| exact)? (?:time|date|day)
    (?: and (?:time|date))?(?: is it| it is)?|
    (?:the )?(?:(?:current|local|exact) )?(?:time|date)(?: and (?:time|date))?|
    how late is it|what(?:'s| is) today(?:'s date)?|today's date|what (?:day|date) is (?:it|today)){_NOW}?
    (?: (?:over )?(?:in|at|for) (?P<places>.+))?"""
)
_TIME_DIFFERENCE = rule(r"(?:what(?:'s| is) )?the time difference between (?P<places>.+)")
_PLACE_SEPARATOR = rule(r" *(?:,|&|\b(?:and|or|vs|versus)\b) *")
_PLACE_TAIL = rule(rf"(?:{_NOW}| time)$")

_CALCULATE = rule(
    r"""(?:what(?:'s|s| is| are| does)?|how much (?:is|are|does)|calculate|compute|evaluate|solve|work out|
    find|give me)(?: the (?:result|value|answer) (?:of|to))?(?: ?: ?| )"""
)
_EQUALS = rule(r" *(?:=|\bequals?\b|\bmakes?\b)? *$")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}/\d{2,4}")
_EXPRESSION_SEPARATOR = rule(r", (?:and )?| and ")
_CLOSING = (")", "%", "squared", "cubed")

_WROTE = (
    "(?:write|written|wrote|say|said|mention(?:ed)?|ask(?:ed)?|noted?|discuss(?:ed)?|talk(?:ed)?|tell|told|"
    "chat(?:ted)?|learn(?:ed|t)?|decided?)(?: (?:to )?(?:you|me))?"
)
_ABOUT = "(?:about|on|regarding|concerning)"
_MINE = "(?:messages?|threads?|notes?|chats?|conversations?|history)"
_WHO = "(?:i|we|you)"
_SEARCHES = tuple(
    rule(pattern + " (?P<query>.+)")
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
_QUERY_TAIL = rule(
    rf""" (?:(?:in|from|across) (?:(?:all|any|my|our|the|old|earlier|past|previous|other|of) )*{_MINE}|
    before|earlier|again|yet|recently|so far|last (?:week|month|year)|yesterday)$"""
)


def make_plan(question: str, tools: Collection[str] = KNOWN_TOOLS) -> Plan:
    """What the rules make of a question for an agent with these tools."""
    plan = Plan()
    if len(question) > LONGEST_QUESTION:
        plan.unanswered.append(question)
        return plan
    wishes = list[tuple[str, UsageWish]]()
    for clause in clauses(question):
        text = small_talk(clause, plan)
        if not text or _plan_calls(text, plan, tools):
            continue
        if (wish := read_wish(text)) is not None:
            wishes.append((text, wish))
        elif wishes and not wishes[-1][1].periods and (periods := read_periods(text)):
            said, wish = wishes.pop()
            wishes.append((f"{said} {text}", dataclasses.replace(wish, periods=periods)))
        elif "search_threads" in tools and (searches := _searches(text)):
            plan.calls += searches
        else:
            plan.unanswered.append(text)
    _plan_usage(plan, wishes, tools)
    # The same call twice has the same answer.
    plan.calls = list(dict.fromkeys(plan.calls))
    plan.unanswered += [call.value for call in plan.calls[MOST_CALLS:]]
    plan.calls = plan.calls[:MOST_CALLS]
    return plan


def _plan_calls(clause: str, plan: Plan, tools: Collection[str]) -> bool:
    """Adds what the clause asks of tools. False when no rule knows it, or its tool is not there."""
    for read in (_calculations, _times, notes, pages):
        calls = read(clause)
        if calls and all(call.tool in tools for call in calls):
            plan.calls += calls
            return True
    return False


def _plan_usage(plan: Plan, wishes: Sequence[tuple[str, UsageWish]], tools: Collection[str]) -> None:
    """Adds what is asked of the account, and hands to others what they can answer and this agent cannot."""
    complete = with_periods([wish for _, wish in wishes])
    plan.calls += usage_calls([wish for wish in complete if can_grant(wish, tools)], tools)
    together = [(clause, wish, full) for (clause, wish), full in zip(wishes, complete, strict=True)]
    hand_over(plan, [each for each in together if not can_grant(each[2], tools)], tools)


def clauses(question: str) -> Iterator[str]:
    """The parts of a question that stand for themselves. An address is never cut."""
    addresses = URL.findall(question)
    marked = URL.sub(_MARK, question.replace(_MARK, " ")).replace("’", "'")  # noqa: RUF001
    following = iter(addresses)
    for sentence in _SENTENCES.split(marked):
        for clause in _CONNECTED.split(" ".join(sentence.split())):
            if clause := clause.strip(" ,:"):
                yield re.sub(_MARK, lambda _: next(following), clause)


def small_talk(clause: str, plan: Plan) -> str:
    """What is left of a clause when courtesy is taken off: nothing when it was only that."""
    if greeting := _GREETING.match(clause):
        plan.greeting = True
        clause = clause[greeting.end() :]
    while leading := _LEADING.match(clause):
        clause = clause[leading.end() :]
    clause = _TRAILING.sub("", clause).strip(" ,:.")
    if not any(character.isalnum() for character in clause):
        return ""
    if _COURTESY.fullmatch(clause):
        plan.greeting = True
    elif _THANKS.fullmatch(clause):
        plan.thanks = True
    elif _HELP.fullmatch(clause):
        plan.help = True
    else:
        return clause
    return ""


def _calculations(clause: str) -> list[Call]:
    verb = _CALCULATE.match(clause)
    text = clause[verb.end() :] if verb else clause
    whole = _expression(text)
    pieces = [whole] if whole else [_expression(piece) for piece in _EXPRESSION_SEPARATOR.split(text)]
    expressions = [piece for piece in pieces if piece]
    if len(expressions) < len(pieces):
        return []
    return [Call.of("calculate", expression=expression) for expression in expressions]


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


def _times(clause: str) -> list[Call]:
    found = _TIME_OF_DAY.fullmatch(clause) or _TIME_DIFFERENCE.fullmatch(clause)
    if found is None:
        return []
    if found["places"] is None:
        return [Call.of("current_time", zone="UTC")]
    calls = list[Call]()
    for place in filter(None, map(_place, _separate_places(found["places"]))):
        calculations = [] if is_zone(place) else _calculations(place)
        calls += calculations or [Call.of("current_time", zone=place)]
    return calls


def _separate_places(places: str) -> list[str]:
    """One place when the zones know it as one, however it is written; else the parts of the list."""
    return [places] if is_zone(_place(places)) else _PLACE_SEPARATOR.split(places)


def _place(text: str) -> str:
    return _PLACE_TAIL.sub("", text.strip(" .\"'")).removeprefix("the city of ")


def _searches(clause: str) -> list[Call]:
    for pattern in _SEARCHES:
        if found := pattern.fullmatch(clause):
            query, longer = found["query"], ""
            while query != longer:
                longer, query = query, _QUERY_TAIL.sub("", query).strip(" .,:\"'`“”«»")
            return [Call.of("search_threads", query=query)] if query else []
    return []
