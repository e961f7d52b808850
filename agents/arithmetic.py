"""Exact arithmetic on an expression as a person types it.

Numbers are fractions, so that 17.5 % of 2480 is 434 and not 434.00000000000006. Nothing is evaluated as
code: the grammar below is all there is, and length, depth and the size of every intermediate are bounded.

    sum      = product { ("+" | "-") product }        a percentage added or taken away is one of the left side
    product  = unary { ("*" | "/" | "//" | "mod" | "of") unary | name or parenthesis }
    unary    = ("+" | "-") unary | power
    power    = postfix [ "**" unary ]
    postfix  = primary { "%" | "squared" | "cubed" }
    primary  = number | constant | function "(" sum { "," sum } ")" | root unary | "(" sum ")"
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from agents.errors import ToolError
from agents.number import CONSTANTS, FUNCTIONS, MAX_BITS, Number, TooLarge, bounded, power

MAX_LENGTH = 400
MAX_DEPTH = 40

_WORDS = {
    "plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "x": "*", "divided by": "/", "over": "/",
    "of": "of", "mod": "mod", "modulo": "mod", "percent": "%", "per cent": "%", "to the power of": "**",
    "squared": "squared", "cubed": "cubed", "square root of": "sqrt", "cube root of": "cbrt",
    "the square root of": "sqrt", "the cube root of": "cbrt",
}  # fmt: skip
_SIGNS = {"×": "*", "·": "*", "∙": "*", "÷": "/", "−": "-", "–": "-", "^": "**"}  # noqa: RUF001
_ROOTS = ("sqrt", "cbrt")
_EXPONENT = r"(?:[eE][+-]?\d+(?![\w.]))?"
_PLAIN_NUMBER = re.compile(rf"(?:\d+(?:\.\d+)?|\.\d+){_EXPONENT}")
_NUMBER = re.compile(
    rf"(?:\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?![\d,])|\d+,\d{{1,2}}(?![\d,.])|\d+(?:\.\d+)?|\.\d+){_EXPONENT}"
)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_WORD = re.compile(
    "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(_WORDS, key=len, reverse=True))
    + "|" + "|".join(sorted((*FUNCTIONS, *CONSTANTS), key=len, reverse=True)),
    re.IGNORECASE,
)  # fmt: skip
_OPERATOR = re.compile(r"\*\*|//|[-+*/%^(),×·∙÷−–]")  # noqa: RUF001
_IGNORED = re.compile(r"[\s$€£¥]+")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression, and where it ends in the text."""

    kind: Literal["number", "name", "operator"]
    text: str
    end: int


@dataclass(frozen=True, slots=True)
class Calculation:
    """A value as text, and whether the text is the whole of it."""

    result: str
    exact: bool


def calculate(expression: str) -> Calculation:
    """The value of an expression. Raises ToolError, whose text says what is wrong with it."""
    if len(expression) > MAX_LENGTH:
        raise ToolError(f"the expression is longer than {MAX_LENGTH} characters")
    tokens, end = tokenize(expression)
    rest = expression[end:].strip().rstrip("=?!.").strip()
    if rest:
        raise ToolError(f"{rest.split()[0][:40]!r} is not part of an arithmetic expression")
    if not tokens:
        raise ToolError("the expression is empty")
    try:
        value = _Parser(tokens).parse()
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    except TooLarge as error:
        raise ToolError(str(error)) from None
    text, exact = value.text()
    return Calculation(result=text, exact=exact)


def tokenize(text: str) -> tuple[list[Token], int]:
    """The longest run of tokens that the text begins with, and where it ends: at what is not arithmetic."""
    tokens: list[Token] = []
    calls: list[bool] = []
    position = end = 0
    while position < len(text):
        if skipped := _IGNORED.match(text, position):
            position = skipped.end()
            continue
        token = _next_token(text, position, inside_call=bool(calls) and calls[-1])
        if token is None:
            break
        if token.text == "(":
            calls.append(bool(tokens) and tokens[-1].text in FUNCTIONS)
        elif token.text == ")" and calls:
            calls.pop()
        tokens.append(token)
        position = end = token.end
    return tokens, end


def _next_token(text: str, position: int, *, inside_call: bool) -> Token | None:
    # Inside a call a comma separates arguments; elsewhere it belongs to a number (2,480 or 17,5).
    if number := (_PLAIN_NUMBER if inside_call else _NUMBER).match(text, position):
        written = number.group()
        plain = written.replace(",", "") if _THOUSANDS.match(written) else written.replace(",", ".")
        return Token("number", plain, number.end())
    word = _WORD.match(text, position)
    # A letter after it makes it another word, except that "2x4" is a product.
    if word and not (text[word.end() : word.end() + 1].isalpha() or text[word.end() : word.end() + 1] == "_"):
        name = " ".join(word.group().lower().split())
        meaning = _WORDS.get(name, name)
        named = meaning in FUNCTIONS or meaning in CONSTANTS
        return Token("name" if named else "operator", meaning, word.end())
    operator = _OPERATOR.match(text, position)
    if operator and (inside_call or operator.group() != ","):
        return Token("operator", _SIGNS.get(operator.group(), operator.group()), operator.end())
    return None


class _Parser:
    """Parses and evaluates in one pass; each method is a line of the grammar."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def parse(self) -> Number:
        value = self._sum()
        if self._position < len(self._tokens):
            raise ToolError(f"unexpected {self._tokens[self._position].text!r}")
        return value

    def _peek(self, ahead: int = 0) -> Token | None:
        position = self._position + ahead
        return self._tokens[position] if position < len(self._tokens) else None

    def _take(self, *operators: str) -> str | None:
        token = self._peek()
        if token is None or token.kind != "operator" or token.text not in operators:
            return None
        self._position += 1
        return token.text

    def _expect(self, operator: str) -> None:
        if self._take(operator) is None:
            token = self._peek()
            where = f"before {token.text!r}" if token else "at the end"
            raise ToolError(f"{operator!r} is missing {where}")

    def _at_factor(self) -> bool:
        """What may follow a factor without a sign between them: 2(3 + 4), 2 pi, but not 2 3."""
        token = self._peek()
        return token is not None and (token.kind == "name" or token.text == "(")

    def _sum(self) -> Number:
        value = self._product()
        while sign := self._take("+", "-"):
            right = self._product()
            change = right.value if sign == "+" else -right.value
            if right.percent and not value.percent:
                change *= value.value
            value = bounded(value.value + change, exact=value.exact and right.exact, percent=value.percent)
        return value

    def _product(self) -> Number:
        value = self._unary()
        while True:
            operator = self._take("*", "/", "//", "mod", "of")
            if operator is None and self._take_percent(remainder=True):
                operator = "mod"
            elif operator is None and self._at_factor():
                operator = "*"
            if operator is None:
                return value
            right = self._unary()
            exact = value.exact and right.exact
            match operator:
                case "*" | "of":
                    result = value.value * right.value
                case "/":
                    result = value.value / right.value
                case "//":
                    result = Fraction(value.value // right.value)
                case _:
                    result = value.value % right.value
            value = bounded(result, exact=exact)

    def _take_percent(self, *, remainder: bool) -> bool:
        """A `%` that an operand follows is a remainder; any other is a percentage of what precedes it."""
        following = self._peek(1)
        followed = following is not None and (following.kind != "operator" or following.text == "(")
        return followed is remainder and self._take("%") is not None

    def _unary(self) -> Number:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ToolError("the expression is nested too deeply")
        try:
            sign = self._take("+", "-")
            if sign is None:
                return self._power()
            value = self._unary()
            return value if sign == "+" else replace(value, value=-value.value)
        finally:
            self._depth -= 1

    def _power(self) -> Number:
        base = self._postfix()
        if self._take("**"):
            return power(base, self._unary())
        return base

    def _postfix(self) -> Number:
        value = self._primary()
        while True:
            if self._take("squared"):
                value = power(value, Number(Fraction(2)))
            elif self._take("cubed"):
                value = power(value, Number(Fraction(3)))
            elif self._take_percent(remainder=False):
                value = bounded(value.value / 100, exact=value.exact, percent=True)
            else:
                return value

    def _primary(self) -> Number:
        token = self._peek()
        if token is None:
            raise ToolError("the expression ends too early")
        self._position += 1
        if token.kind == "number":
            return bounded(_fraction(token.text), exact=True)
        if token.text in CONSTANTS:
            return Number(CONSTANTS[token.text], exact=False)
        if token.kind == "name":
            return self._call(token.text)
        if token.text == "(":
            value = self._sum()
            self._expect(")")
            return value
        raise ToolError(f"unexpected {token.text!r}")

    def _call(self, name: str) -> Number:
        if self._take("(") is None:
            if name in _ROOTS:
                return FUNCTIONS[name]((self._unary(),))
            raise ToolError(f"{name} needs its arguments in parentheses")
        arguments = [self._sum()]
        while self._take(","):
            arguments.append(self._sum())
        self._expect(")")
        return FUNCTIONS[name](tuple(arguments))


def _fraction(text: str) -> Fraction:
    mantissa, _, exponent = text.lower().partition("e")
    if abs(int(exponent or 0)) > MAX_BITS // 4:
        raise TooLarge
    return Fraction(mantissa) * Fraction(10) ** int(exponent or 0)
